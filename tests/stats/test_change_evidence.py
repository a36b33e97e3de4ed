"""R is the sum over all restarts, R minus updates a fair game, and alarms begin anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from mlcanary.stats.change_evidence import ChangeEvidence, RateChangeEvidence, null_rates
from mlcanary.stats.evidence_family import mean_log_e
from mlcanary.stats.hypergeometric import log_mgf
from mlcanary.stats.proportion_evidence import odds_ratio_grid

GRID = odds_ratio_grid(0.2)
BLOCKS = [(20, 3, 30, 2), (25, 6, 25, 1), (10, 0, 15, 4), (40, 9, 35, 5)]


def sum_of_restarts(increments: list[np.ndarray]) -> float:
    """log of the weighted sum over tilts and over all beginnings of the products from there to the end."""
    total = 0.0
    for begin in range(len(increments)):
        products = np.exp(np.sum(increments[begin:], axis=0))
        total += float((np.exp(GRID.log_weights) * products).sum())
    return math.log(total)


@pytest.mark.parametrize("falling", [False, True])
def test_r_of_two_arms_is_the_sum_over_all_beginnings(falling: bool) -> None:
    evidence = ChangeEvidence(falling=falling)
    tilts = GRID.effects * (-1 if falling else 1)
    increments = []
    for n_c, x_c, n_b, x_b in BLOCKS:
        evidence.update(n_c, x_c, n_b, x_b)
        increments.append(tilts * x_c - log_mgf(n_c, n_b, x_c + x_b, tilts))
    assert float(evidence.log_r()) == pytest.approx(sum_of_restarts(increments), abs=1e-12)


@pytest.mark.parametrize("falling", [False, True])
def test_r_of_one_arm_is_the_sum_over_all_beginnings(falling: bool) -> None:
    evidence = RateChangeEvidence(np.array(0.15), falling=falling)
    tilts = GRID.effects * (-1 if falling else 1)
    increments = []
    for n, x, _, _ in BLOCKS:
        evidence.update(n, x)
        increments.append(tilts * x - n * np.log(0.85 + 0.15 * np.exp(tilts)))
    assert float(evidence.log_r()) == pytest.approx(sum_of_restarts(increments), abs=1e-12)


def test_without_a_change_an_update_adds_one_on_average() -> None:
    """Over all outcomes of the next block: E[R'] = 1 + R, the root of the guarantee."""
    n_c, n_b, m = 6, 9, 5
    after = 0.0
    for x in range(m + 1):
        evidence = ChangeEvidence()
        evidence.update(20, 5, 20, 2)
        before = math.exp(float(evidence.log_r()))
        evidence.update(n_c, x, n_b, m - x)
        after += float(hypergeom.pmf(x, n_c + n_b, n_c, m)) * math.exp(float(evidence.log_r()))
    assert after == pytest.approx(1 + before, rel=1e-12)


@pytest.mark.parametrize(("falling", "rate"), [(False, 0.2), (False, 0.1), (True, 0.2), (True, 0.3)])
def test_no_rate_of_the_null_adds_more_than_one_on_average(falling: bool, rate: float) -> None:
    after = 0.0
    for x in range(13):
        evidence = RateChangeEvidence(np.array(0.2), falling=falling)
        evidence.update(12, x)
        after += float(binom.pmf(x, 12, rate)) * math.exp(float(evidence.log_r()))
    assert after <= 1 + 1e-12
    assert after == pytest.approx(1.0, abs=1e-12) if rate == 0.2 else after < 0.95


def test_an_alarm_begins_anew_and_only_there() -> None:
    evidence = RateChangeEvidence(np.array([0.1, 0.1]))
    for _ in range(6):
        evidence.update([50, 50], [5, 25])
    assert evidence.alarm(1000.0).tolist() == [False, True]
    again = evidence.log_r()
    assert again[1] == -math.inf
    assert math.isfinite(again[0])
    assert evidence.alarm(1000.0).tolist() == [False, False]
    evidence.update([50, 50], [5, 25])
    fresh = RateChangeEvidence(np.array([0.1]))
    fresh.update([50], [25])
    assert evidence.log_r()[1] == fresh.log_r()[0]


def test_blocks_that_tell_nothing_do_not_bring_an_alarm_nearer() -> None:
    two, one = ChangeEvidence(), RateChangeEvidence(np.array(0.1))
    for n_c, x_c, n_b, x_b in ((0, 0, 9, 3), (9, 3, 0, 0), (9, 0, 9, 0), (9, 9, 9, 9)):
        two.update(n_c, x_c, n_b, x_b)
    one.update(0, 0)
    assert two.log_r() == -math.inf
    assert one.log_r() == -math.inf
    assert not two.alarm(2.0)


@pytest.mark.parametrize(("rate", "falling", "usual", "odd"), [(0.0, False, 0, 1), (1.0, True, 20, 19)])
def test_a_null_without_chance_is_refuted_by_its_first_exception_and_not_by_time(
    rate: float, falling: bool, usual: int, odd: int
) -> None:
    evidence = RateChangeEvidence(np.array(rate), falling=falling)
    for _ in range(50):
        evidence.update(20, usual)
    assert evidence.log_r() == -math.inf
    evidence.update(20, odd)
    assert evidence.log_r() > -math.inf


@pytest.mark.parametrize(("rate", "falling"), [(1.0, False), (0.0, True)])
def test_a_null_that_holds_whatever_happens_never_raises_an_alarm(rate: float, falling: bool) -> None:
    evidence = RateChangeEvidence(np.array(rate), falling=falling)
    for x in (20, 0, 20, 5, 20, 20, 0):
        evidence.update(20, x)
    assert not evidence.alarm(5.0)


def test_the_mean_over_streams_is_the_mean_of_r() -> None:
    streams = RateChangeEvidence(np.array([0.1, 0.3, 0.5]))
    streams.update([20, 20, 20], [6, 6, 6])
    assert math.exp(float(mean_log_e(streams.log_r()))) == pytest.approx(np.exp(streams.log_r()).mean(), rel=1e-12)


def test_streams_keep_their_bits_in_any_batch() -> None:
    together = ChangeEvidence(shape=(len(BLOCKS),))
    columns = [np.array(column) for column in zip(*BLOCKS, strict=True)]
    for _ in range(30):
        together.update(*columns)
    for k, block in enumerate(BLOCKS):
        alone = ChangeEvidence()
        for _ in range(30):
            alone.update(*block)
        assert alone.log_r() == together.log_r()[k]


def test_null_rates_leave_room_for_the_noise_of_the_reference() -> None:
    low, high = null_rates([0.0, 0.5, 0.9], [100, 10_000, 25], tolerance=0.02)
    np.testing.assert_allclose(low, [0.0, 0.48, 0.78])
    np.testing.assert_allclose(high, [0.02, 0.52, 1.0])
