"""E2 on means against its definition from raw values; laws of evidence; the interval and the verdict agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.mean_evidence import BURN_IN, GRID, MeanEvidence, as_share

RawBlock = tuple[Floats, Floats]


def block(values: Floats) -> tuple[float, float, float]:
    """What the counters of one arm hold."""
    return float(values.size), float(values.sum()), float((values**2).sum())


def fed(blocks: list[RawBlock], **keywords: float) -> MeanEvidence:
    """Evidence of raw blocks, canary first."""
    evidence = MeanEvidence(**keywords)  # type: ignore[arg-type]  # numbers only, no shape
    for canary, baseline in blocks:
        evidence.update(*block(canary), *block(baseline))
    return evidence


def promoting(evidence: MeanEvidence) -> Floats:
    """Evidence for promotion, which needs a margin."""
    found = evidence.log_e_noninferior()
    assert found is not None
    return found


def raw(seed: int, blocks: int = 12, shift: float = 0.0, canary: int = 25, baseline: int = 40) -> list[RawBlock]:
    """Skewed values whose level drifts from block to block."""
    rng = np.random.default_rng(seed)
    return [
        (k / 3 + shift + rng.exponential(1.0, canary + k), k / 3 + rng.exponential(1.0, baseline))
        for k in range(blocks)
    ]


def deviation(blocks: list[RawBlock], shift: float) -> tuple[float, float]:
    """M - shift H over its standard error, and H: from the raw values, the canary's moved by -shift."""
    moment = information = permutation = welch = 0.0
    for canary, baseline in blocks:
        moved = canary - shift
        n_c, n_b = moved.size, baseline.size
        h = n_c * n_b / (n_c + n_b)
        moment += h * (moved.mean() - baseline.mean())
        information += h
        permutation += h * float(np.concatenate([moved, baseline]).var(ddof=1))
        welch += h**2 * (float(moved.var(ddof=1)) / n_c + float(baseline.var(ddof=1)) / n_b)
    return moment / math.sqrt(max(permutation, welch)), information


def evidence_by_definition(blocks: list[RawBlock], shift: float, sign: float) -> float:
    """log of the mixture, effect by effect."""
    t, information = deviation(blocks, shift)
    terms = zip(np.exp(GRID.log_weights), GRID.effects, strict=True)
    total = math.fsum(w * math.exp(d * sign * t * math.sqrt(information) - d * d * information / 2) for w, d in terms)
    return math.log(total)


@pytest.mark.parametrize("shift", [0.0, 0.3, -0.4])
@pytest.mark.parametrize(("tolerance", "margin"), [(0.0, 0.2), (0.1, 0.5), (0.4, 0.0)])
def test_equal_to_the_definition_on_raw_values(shift: float, tolerance: float, margin: float) -> None:
    blocks = raw(1, shift=shift)
    evidence = fed(blocks, tolerance=tolerance, margin=margin)
    assert float(evidence.log_e()) == pytest.approx(evidence_by_definition(blocks, tolerance, 1.0), abs=1e-9)
    assert float(promoting(evidence)) == pytest.approx(evidence_by_definition(blocks, margin, -1.0), abs=1e-9)


@pytest.mark.parametrize("sizes", [(25, 40), (5, 60), (60, 5)])
def test_the_interval_holds_the_shifts_that_neither_direction_rejects(sizes: tuple[int, int]) -> None:
    blocks = raw(2, blocks=60, shift=0.25, canary=sizes[0], baseline=sizes[1])
    lower, upper = (float(end) for end in fed(blocks).interval(0.9))
    threshold = math.log(20.0)
    assert evidence_by_definition(blocks, lower, 1.0) == pytest.approx(threshold, abs=1e-6)
    assert evidence_by_definition(blocks, upper, -1.0) == pytest.approx(threshold, abs=1e-6)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-0.6, 0.6), tolerance=st.floats(0.0, 0.3))
def test_a_rollback_at_alpha_shows_an_interval_above_the_tolerance(seed: int, shift: float, tolerance: float) -> None:
    evidence = fed(raw(seed, shift=shift), tolerance=tolerance, margin=tolerance)
    lower, upper = evidence.interval(0.9)
    found, fit = float(evidence.log_e()), promoting(evidence)
    assert (found >= math.log(20.0) - 1e-9) == (float(lower) >= tolerance - 1e-9)
    assert (float(fit) >= math.log(20.0) - 1e-9) == (float(upper) <= tolerance + 1e-9)


def test_nothing_is_said_before_the_burn_in() -> None:
    values = np.array([0.0, 1.0])
    evidence = fed([(values + 50.0, values)] * (BURN_IN // 2 - 1), margin=0.1)
    assert (float(evidence.log_e()), float(promoting(evidence))) == (0.0, 0.0)
    assert evidence.estimate().lower == -math.inf
    assert evidence.estimate().upper == math.inf
    evidence.update(*block(values + 50.0), *block(values))
    assert float(evidence.log_e()) > 20.0


def test_without_a_trial_nothing_is_known() -> None:
    evidence = MeanEvidence()
    found = evidence.estimate()
    assert float(evidence.log_e()) == 0.0
    assert evidence.log_e_noninferior() is None
    assert math.isnan(found.canary)
    assert (found.lower, found.upper) == (-math.inf, math.inf)


def test_a_block_with_fewer_than_two_trials_in_an_arm_changes_nothing() -> None:
    one, other = fed(raw(3)), fed(raw(3))
    other.update(1.0, 5.0, 25.0, 40.0, 20.0, 30.0)
    other.update(40.0, 20.0, 30.0, 0.0, 0.0, 0.0)
    assert other.log_e() == one.log_e()
    assert other.trials == one.trials


@pytest.mark.parametrize("level", [0.0, 3.0, -1e6])
def test_values_that_are_all_the_same_are_no_evidence(level: float) -> None:
    same = np.full(30, level)
    evidence = fed([(same, same)] * 20, margin=0.5)
    assert float(evidence.log_e()) < 0.0
    assert np.isfinite(promoting(evidence))


def test_two_levels_without_noise_are_as_apart_as_trials_allow() -> None:
    evidence = fed([(np.ones(30), np.zeros(30))] * 20)
    assert math.log(20.0) < float(evidence.log_e()) < 1200.0


def test_a_margin_as_a_ratio_is_a_margin_of_nothing_for_scaled_values() -> None:
    blocks = raw(8)
    ours, theirs = MeanEvidence(margin=0.0), fed([(c / 1.2, b) for c, b in blocks], margin=0.0)
    for canary, baseline in blocks:
        n, total, squares = block(canary)
        ours.update(n, *as_share(total, squares, 1.2), *block(baseline))
    assert float(promoting(ours)) == pytest.approx(float(promoting(theirs)), rel=1e-9)


def test_a_small_baseline_is_waited_for_too() -> None:
    evidence = fed(raw(9, blocks=30, canary=100, baseline=5, shift=3.0))
    assert float(evidence.log_e()) == 0.0
    assert float(fed(raw(9, blocks=40, canary=100, baseline=5, shift=3.0)).log_e()) > 3.0


@given(seed=st.integers(0, 1000), more=st.floats(0.01, 1.0))
def test_evidence_rises_with_the_canary(seed: int, more: float) -> None:
    blocks = raw(seed)
    higher = [(canary + more, baseline) for canary, baseline in blocks]
    assert float(fed(higher).log_e()) > float(fed(blocks).log_e())


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_the_unit_does_not_matter(seed: int, scale: float) -> None:
    blocks = raw(seed, shift=0.2)
    scaled = [(canary * scale, baseline * scale) for canary, baseline in blocks]
    ours, theirs = fed(blocks, tolerance=0.1), fed(scaled, tolerance=0.1 * scale)
    assert float(theirs.log_e()) == pytest.approx(float(ours.log_e()), rel=1e-6, abs=1e-6)


def test_the_estimate_is_the_difference_by_block() -> None:
    """Both arms drift; the canary gets its traffic late. Pooled means differ, the difference by block does not."""
    rng = np.random.default_rng(4)
    blocks = [(k + rng.normal(0.5, 1.0, 10 + 40 * k), k + rng.normal(0.0, 1.0, 10 + 40 * (20 - k))) for k in range(20)]
    found = fed(blocks).estimate()
    assert found.canary - found.baseline > 3.0
    assert found.difference == pytest.approx(0.5, abs=0.1)
    assert found.lower < 0.5 < found.upper


def test_bits_do_not_depend_on_the_batch_nor_on_how_a_block_was_split_over_replicas() -> None:
    """Whole numbers add up exactly, so replicas cannot show; and no element of a batch sees its neighbours."""
    rng = np.random.default_rng(6)
    values = rng.integers(0, 50, (30, 2, 9, 40)).astype(float)
    batch = MeanEvidence(margin=2.0, shape=(9,))
    single = [MeanEvidence(margin=2.0) for _ in range(9)]
    for canary, baseline in values:
        arms = [(np.full(9, 40.0), arm.sum(axis=1), (arm**2).sum(axis=1)) for arm in (canary, baseline)]
        batch.update(*arms[0], *arms[1])
        for i in range(9):
            parts = zip(block(canary[i, :7]), block(canary[i, 7:]), strict=True)
            n, total, squares = (one + other for one, other in parts)
            single[i].update(n, total, squares, *block(baseline[i]))
    ends = batch.interval()
    for i in range(9):
        assert batch.log_e()[i] == single[i].log_e()
        assert promoting(batch)[i] == promoting(single[i])
        assert (ends[0][i], ends[1][i]) == single[i].interval()
