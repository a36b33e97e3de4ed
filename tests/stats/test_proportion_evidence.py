"""E1 by enumeration: expected value at most 1 under every healthy canary, and laws of evidence and interval."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.count_evidence import CountEvidence
from mlcanary.stats.evidence import log_sum_exp
from mlcanary.stats.horizon import horizon_threshold
from mlcanary.stats.hypergeometric import log_mgf
from mlcanary.stats.odds_lattice import NODES, interpolated
from mlcanary.stats.proportion_evidence import (
    ProportionEvidence,
    estimates_together,
    log_odds_ratio,
    odds_ratio_grid,
    update_together,
)

Block = tuple[int, int, int, int]


@st.composite
def blocks(draw: st.DrawFn, largest: int = 60, least: int = 0) -> Block:
    """n_c, x_c, n_b, x_b."""
    n_c, n_b = draw(st.integers(least, largest)), draw(st.integers(least, largest))
    return n_c, draw(st.integers(0, n_c)), n_b, draw(st.integers(0, n_b))


def fed(history: list[Block], **settings_: Any) -> ProportionEvidence:
    evidence = ProportionEvidence(**settings_)
    for n_c, x_c, n_b, x_b in history:
        evidence.update(n_c, x_c, n_b, x_b)
    return evidence


def state(evidence: ProportionEvidence) -> list[bytes]:
    parts = (evidence.totals, evidence.exposure, evidence.worse, evidence.better, evidence.cumulants)
    return [part.tobytes() for part in (*parts, evidence.dependence.state)]


def law(n_c: int, n_b: int, m: int, theta: float) -> tuple[Floats, Floats]:
    """All x and their chances given the margins, the log odds ratio being theta."""
    x = range(max(0, m - n_b), min(n_c, m) + 1)
    tilt = Decimal(theta).exp()
    weights = [math.comb(n_c, i) * math.comb(n_b, m - i) * tilt**i for i in x]
    return np.array(x, dtype=np.float64), np.array([float(w / sum(weights)) for w in weights])


MARGINS = [(30, 30, 6), (5, 95, 10), (60, 20, 41), (1, 19, 3), (200, 200, 40)]


@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize("tolerance", [0.0, 0.1])
@pytest.mark.parametrize("odds", [0.1, 0.0, -0.05, -0.4, -2.0])
def test_its_expected_value_is_at_most_one_for_every_canary_that_is_tolerated(
    margins: tuple[int, int, int], tolerance: float, odds: float
) -> None:
    n_c, n_b, m = margins
    x, chance = law(n_c, n_b, m, odds)
    evidence = ProportionEvidence(tolerance=tolerance, shape=x.shape, with_interval=False)
    evidence.update(n_c, x, n_b, m - x)
    expected = float((chance * np.exp(evidence.log_e())).sum())
    if odds == tolerance:
        assert expected == pytest.approx(1.0, abs=1e-12)
    elif odds < tolerance:
        assert expected < 1.0
    else:
        assert expected > 1.0


@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize("odds", [0.2, 0.25, 0.5, 2.0, 0.0])
def test_so_is_the_one_for_promotion_for_every_canary_beyond_the_margin(
    margins: tuple[int, int, int], odds: float
) -> None:
    n_c, n_b, m = margins
    x, chance = law(n_c, n_b, m, odds)
    evidence = ProportionEvidence(margin=0.2, shape=x.shape, with_interval=False)
    evidence.update(n_c, x, n_b, m - x)
    promote = evidence.log_e_noninferior()
    assert promote is not None
    expected = float((chance * np.exp(promote)).sum())
    assert (expected > 1.0 + 1e-9) == (odds == 0.0)
    if odds == 0.2:
        assert expected == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("rates", [(0.1, 0.1), (0.1, 0.9)])
def test_over_blocks_it_multiplies_whatever_the_shared_rates(rates: tuple[float, float]) -> None:
    """Two blocks of different rates and splits; every outcome of both arms, no margin given."""
    sizes = [(3, 5), (6, 2)]
    outcomes = [
        (x_c, x_b, math.comb(a, x_c) * math.comb(b, x_b) * p ** (x_c + x_b) * (1 - p) ** (a + b - x_c - x_b))
        for (a, b), p in zip(sizes, rates, strict=True)
        for x_c in range(a + 1)
        for x_b in range(b + 1)
    ]
    cut = 4 * 6
    first, second = np.array(outcomes[:cut]), np.array(outcomes[cut:])
    one, two = np.repeat(first, len(second), axis=0), np.tile(second, (len(first), 1))
    evidence = ProportionEvidence(shape=(len(one),), with_interval=False)
    evidence.update(3, one[:, 0], 5, one[:, 1])
    evidence.update(6, two[:, 0], 2, two[:, 1])
    chance = one[:, 2] * two[:, 2]
    assert float(chance.sum()) == pytest.approx(1.0)
    untempered = log_sum_exp(odds_ratio_grid(0.2).log_weights + evidence.worse)
    assert float((chance * np.exp(untempered)).sum()) == pytest.approx(1.0, abs=1e-12)
    assert float((chance * np.exp(evidence.log_e())).sum()) <= 1.0 + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.lists(blocks(least=1), max_size=6), st.sampled_from([0.0, 0.15]))
def test_it_is_its_definition(history: list[Block], tolerance: float) -> None:
    """Sums of exact weights for each tilt and block."""
    tilts = odds_ratio_grid(0.2).effects
    total = np.zeros(tilts.size)
    for n_c, x_c, n_b, x_b in history:
        x, chance = law(n_c, n_b, x_c + x_b, tolerance)
        for j, theta in enumerate(tilts):
            total[j] += theta * x_c - math.log((chance * np.exp(theta * x)).sum())
    weights = tilts / (1 + (tilts / 0.2) ** 2)
    evidence = fed(history, tolerance=tolerance)
    expected = math.log((weights / weights.sum() * np.exp(total / float(evidence.phi))).sum())
    plain = math.log((weights / weights.sum() * np.exp(total)).sum())
    assert float(evidence.log_e()) == pytest.approx(min(expected, plain), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(blocks(least=1), st.integers(0, 59))
def test_one_more_bad_event_at_the_canary_is_more_evidence(block: Block, lower: int) -> None:
    n_c, x_c, n_b, x_b = block
    if lower < x_c:
        more, less = (fed([(n_c, x, n_b, x_b)], margin=0.2) for x in (x_c, lower))
        assert more.log_e() >= less.log_e()
        assert (more.log_e_noninferior() or 0.0) <= (less.log_e_noninferior() or 0.0)


@settings(max_examples=30, deadline=None)
@given(blocks(), st.sampled_from([(7, 0, 9, 0), (7, 7, 9, 9), (1, 1, 1, 1)]))
def test_no_event_or_nothing_but_events_say_nothing(first: Block, blank: Block) -> None:
    before, after = fed([first], margin=0.2), fed([first, blank], margin=0.2)
    assert before.worse.tobytes() == after.worse.tobytes()
    assert before.better.tobytes() == after.better.tobytes()
    assert after.trials == (before.trials[0] + blank[0], before.trials[1] + blank[2])
    assert after.events == (before.events[0] + blank[1], before.events[1] + blank[3])
    assert after.blocks == before.blocks + 1


@settings(max_examples=30, deadline=None)
@given(blocks(least=1), st.sampled_from([(0, 0, 9, 4), (9, 4, 0, 0), (0, 0, 0, 0)]))
def test_a_block_without_one_arm_changes_nothing(first: Block, lonely: Block) -> None:
    assert state(fed([first])) == state(fed([first, lonely]))


@settings(max_examples=30, deadline=None)
@given(st.lists(blocks(least=1), min_size=1, max_size=4), st.sampled_from([1, 7, 50]), st.integers(0, 2**32 - 1))
def test_replicas_change_no_bit(history: list[Block], replicas: int, seed: int) -> None:
    """Counters of many sidecars add up to the same whole numbers."""
    rng = np.random.default_rng(seed)
    whole, summed = ProportionEvidence(margin=0.2), ProportionEvidence(margin=0.2)
    for block in history:
        parts = np.stack([rng.multinomial(count, np.full(replicas, 1 / replicas)) for count in block])
        whole.update(*block)
        summed.update(*(float(v) for v in parts.astype(np.float64).sum(axis=1)))
    assert state(whole) == state(summed)
    assert whole.log_e().tobytes() == summed.log_e().tobytes()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(blocks(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_side_by_side_has_the_bits_of_each_alone(history: list[list[Block]]) -> None:
    alone = [fed([row[i] for row in history], margin=0.2) for i in range(3)]
    batch = ProportionEvidence(margin=0.2, shape=(3,))
    kept: list[ProportionEvidence] = [ProportionEvidence(margin=0.2) for _ in range(3)]
    for row in history:
        batch.update(*np.array(row).T)
        update_together(kept, row)
    assert estimates_together(kept) == [one.estimate() for one in alone]
    for i, one in enumerate(alone):
        assert state(kept[i]) == state(one)
        assert batch.worse[i].tobytes() == one.worse.tobytes()
        assert batch.cumulants[i].tobytes() == one.cumulants.tobytes()
        assert batch.log_e()[i] == one.log_e()


def test_comparisons_of_any_settings_are_updated_together() -> None:
    made: list[dict[str, Any]] = [
        {"tolerance": 0.1},
        {"margin": 0.3},
        {"mde": 0.5},
        {"margin": 0.1, "mde": 0.1},
        {"with_interval": False},
    ]
    rows: list[Block] = [(50, 7, 60, 5), (9, 1, 900, 50), (1, 0, 4, 2), (0, 0, 3, 1), (5, 1, 5, 1)]
    together = [ProportionEvidence(**s) for s in made]
    update_together(together, rows)
    for settings_, row, evidence in zip(made, rows, together, strict=True):
        assert state(evidence) == state(fed([row], **settings_))


def test_large_counts_stay_finite_and_point_the_right_way() -> None:
    bad = fed([(3_000_000, 600_000, 100_000, 10_000)] * 3, margin=0.2)
    good = fed([(3_000_000, 300_000, 100_000, 10_000)] * 3, margin=0.2)
    assert 1e4 < float(bad.log_e()) < math.inf
    assert -math.inf < float(good.log_e()) < 0.0
    assert float(good.log_e_noninferior() or 0.0) > 100.0


def test_clustered_events_temper_the_evidence() -> None:
    evidence = fed([(100, 20 + (-1) ** k * 12, 100, 10) for k in range(40)])
    phi = float(evidence.phi)
    assert phi > 5.0
    tempered = log_sum_exp(odds_ratio_grid(0.2).log_weights + evidence.worse / phi)
    assert float(evidence.log_e()) == pytest.approx(float(tempered), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.lists(blocks(least=1), max_size=8), st.sampled_from([1.0, 3.0]))
def test_tempering_never_adds_evidence(history: list[Block], assumed: float) -> None:
    """So the exact guarantee for independent events does not depend on how well phi is estimated."""
    evidence = fed(history, assumed_phi=assumed)
    untempered = float(log_sum_exp(odds_ratio_grid(0.2).log_weights + evidence.worse))
    assert float(evidence.log_e()) <= untempered
    assert float(evidence.phi) >= (assumed if not history else 1.0)


def test_interpolation_hits_the_log_of_m_between_its_nodes() -> None:
    points = np.random.default_rng(8).uniform(-3, 3, 300)
    for n_c, n_b, m in ((1000, 1000, 200), (50_000, 950_000, 100_000), (3, 5, 4)):
        sums, exact = log_mgf(n_c, n_b, m, NODES), log_mgf(n_c, n_b, m, points)
        information = n_c * n_b * m * (n_c + n_b - m) / (n_c + n_b) ** 3
        np.testing.assert_allclose(interpolated(sums, points), exact, rtol=0, atol=1e-7 * information + 1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(blocks(largest=400, least=50), min_size=1, max_size=5), st.sampled_from([0.95, 0.99]))
def test_the_interval_is_where_no_hypothesis_is_rejected(history: list[Block], confidence: float) -> None:
    grid, threshold = odds_ratio_grid(0.2), math.log(2 / (1 - confidence))
    evidence = fed(history)
    phi = float(evidence.phi)
    for side, bound in zip((1, -1), evidence.log_odds_interval(confidence), strict=True):
        if math.isfinite(bound):
            at = []
            for c in (float(bound), float(bound) + side * 0.0005):
                total = np.zeros(grid.effects.size)
                for n_c, x_c, n_b, x_b in history:
                    log_m = log_mgf(n_c, n_b, x_c + x_b, np.append(c + side * grid.effects, c))
                    total += side * grid.effects * x_c - (log_m[:-1] - log_m[-1])
                within = np.abs(c + side * grid.effects) <= 3.0
                at.append(float(log_sum_exp(np.where(within, grid.log_weights + total / phi, -np.inf))))
            assert at[0] >= threshold - 1e-5
            assert at[1] <= threshold + 1e-5


@pytest.mark.parametrize("margins", [(400, 400, 100), (100, 900, 300), (600, 200, 700)])
@pytest.mark.parametrize("odds", [-0.8, 0.0, 0.31])
def test_the_interval_misses_the_truth_less_often_than_it_says(margins: tuple[int, int, int], odds: float) -> None:
    n_c, n_b, m = margins
    x, chance = law(n_c, n_b, m, odds)
    evidence = ProportionEvidence(shape=x.shape)
    evidence.update(n_c, x, n_b, m - x)
    for confidence in (0.5, 0.95):
        lower, upper = evidence.log_odds_interval(confidence)
        above, below = (float(chance[missed].sum()) for missed in (lower > odds, upper < odds))
        assert 0.0 < above < (1 - confidence) / 2
        assert 0.0 < below < (1 - confidence) / 2
        assert (lower < upper).all()


def test_the_interval_starts_infinite_and_closes_in_on_the_truth() -> None:
    evidence = ProportionEvidence()
    assert [float(bound) for bound in evidence.log_odds_interval()] == [-math.inf, math.inf]
    nothing = evidence.estimate()
    assert (nothing.lower, nothing.upper) == (-math.inf, math.inf)
    widths = []
    for _ in range(3):
        for _ in range(30):
            evidence.update(1000, 120, 1000, 100)
        estimate = evidence.estimate()
        assert estimate.difference == pytest.approx(0.02)
        assert (estimate.canary, estimate.baseline) == pytest.approx((0.12, 0.10))
        assert estimate.lower < 0.02 < estimate.upper
        widths.append(estimate.upper - estimate.lower)
    assert widths[0] > widths[1] > widths[2]
    assert estimate.lower > 0.0


def test_a_ramp_while_the_rate_drifts_does_not_look_like_a_difference() -> None:
    """Simpson: 10 % at a small share, 30 % at a large one; equal in every block."""
    evidence = fed([(100, 10, 1900, 190)] * 10 + [(1000, 300, 1000, 300)] * 10)
    estimate = evidence.estimate()
    assert estimate.canary - estimate.baseline > 0.05
    assert estimate.difference == pytest.approx(0.0, abs=1e-12)
    assert estimate.lower < 0.0 < estimate.upper
    assert float(evidence.log_e()) < 0.0


def test_settings_that_make_no_sense_are_refused() -> None:
    refused: list[dict[str, Any]] = [{"mde": 0.0}, {"tolerance": -0.1}, {"margin": 0.0}, {"mde": math.nan}]
    for wrong in refused:
        with pytest.raises(ValueError, match="need mde > 0"):
            ProportionEvidence(**wrong)
    with pytest.raises(ValueError, match="rates must lie"):
        log_odds_ratio(0.9, 0.1)
    with pytest.raises(ValueError, match="without an interval"):
        ProportionEvidence(with_interval=False).log_odds_interval()
    assert ProportionEvidence().log_e_noninferior() is None


@pytest.mark.parametrize("tolerance", [0.0, 0.3])
@pytest.mark.parametrize("odds", [0.3, 0.0, -0.5])
def test_counts_without_trials_have_expected_value_one_given_their_total(tolerance: float, odds: float) -> None:
    total, share = 40, 0.2
    x = np.arange(total + 1.0)
    q = share * math.exp(odds) / (share * math.exp(odds) + 1 - share)
    chance = np.array([math.comb(total, int(i)) * q**i * (1 - q) ** (total - i) for i in x])
    evidence = CountEvidence(tolerance=tolerance, shape=x.shape)
    evidence.update(x, total - x, share)
    evidence.update(x, total - x, 0.0)
    expected = float((chance * np.exp(evidence.log_e())).sum())
    assert expected == pytest.approx(1.0, abs=1e-12) if odds == tolerance else (expected < 1.0) == (odds < tolerance)


def test_the_threshold_of_a_declared_size_is_the_quantile_of_brownian_evidence() -> None:
    """By simulation of what it calculates; 4,000 paths leave one point of 5 % uncertain by .35 points."""
    rng, grid = np.random.default_rng(9), odds_ratio_grid(0.2)
    at, top = np.zeros(4000), np.full(4000, -np.inf)
    for k in range(1, 201):
        at += rng.normal(0.0, 1.5, at.size)
        likelihood = grid.effects * at[:, None] - grid.effects**2 * 2.25 * k / 2
        top = np.maximum(top, log_sum_exp(grid.log_weights + likelihood))
    threshold = horizon_threshold(450.0, 2.25, 0.05, grid)
    assert float((np.exp(top) >= threshold).mean()) == pytest.approx(0.05, abs=0.01)


def test_a_larger_size_or_more_looks_ask_for_more_evidence() -> None:
    grid = odds_ratio_grid(0.2)
    sizes = [horizon_threshold(size, 0.0, 0.05, grid) for size in (1.0, 30.0, 900.0, 1e6)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == pytest.approx(20.0, rel=1e-3)
    looks = [horizon_threshold(900.0, look, 0.05, grid) for look in (900.0, 22.5, 2.25, 0.0)]
    assert looks == sorted(looks)
    assert horizon_threshold(900.0, 0.0, 0.01, grid) > 4 * looks[-1]
    with pytest.raises(ValueError, match="need information > 0"):
        horizon_threshold(0.0, 0.0, 0.05, grid)
