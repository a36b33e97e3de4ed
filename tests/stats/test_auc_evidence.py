"""AUC and DeLong's variance from bins against definitions over single scores; phases; laws of evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.auc_evidence import GRID, LEAST, AUCEvidence, auc_variance

COUNTS = arrays(np.int64, st.shared(st.integers(1, 12), key="bins"), elements=st.integers(0, 9))
Block = list[Floats]
"""Positives and negatives of the canary, then of the baseline."""


def expanded(counts: Floats) -> Floats:
    """One score per count: the number of its bin."""
    return np.repeat(np.arange(len(counts), dtype=np.float64), counts.astype(int))


def fit(evidence: AUCEvidence) -> float:
    """Evidence for promotion, which needs a margin."""
    found = evidence.log_e_noninferior()
    assert found is not None
    return float(found)


def by_pairs(positives: Floats, negatives: Floats) -> tuple[float, float]:
    """Every pair of a positive and a negative, ties half; variances of its two sets of structural components."""
    up, low = expanded(positives), expanded(negatives)
    wins = (up[:, None] > low[None, :]) + 0.5 * (up[:, None] == low[None, :])
    variance = float(wins.mean(axis=1).var(ddof=1)) / up.size + float(wins.mean(axis=0).var(ddof=1)) / low.size
    return float(wins.mean()), variance


def together(*arms: tuple[Floats, Floats]) -> float:
    """Variance of the difference of two AUC if the arms' placements vary alike, from single scores."""
    total = 0.0
    for axis in (1, 0):
        parts = []
        for positives, negatives in arms:
            up, low = expanded(positives), expanded(negatives)
            parts.append(((up[:, None] > low[None, :]) + 0.5 * (up[:, None] == low[None, :])).mean(axis=axis))
        scatter = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
        total += scatter / (parts[0].size + parts[1].size - 2) * (1 / parts[0].size + 1 / parts[1].size)
    return total


def by_midranks(positives: Floats, negatives: Floats) -> tuple[float, float]:
    """DeLong by midranks of the joined sample (Sun and Xu 2014)."""
    up, low = expanded(positives), expanded(negatives)

    def midranks(values: Floats, among: Floats) -> Floats:
        below, upto = (np.searchsorted(np.sort(among), values, side=side) for side in ("left", "right"))
        ranks: Floats = (below + upto + 1) / 2
        return ranks

    joined = np.concatenate([up, low])
    of_up = (midranks(up, joined) - midranks(up, up)) / low.size
    of_low = 1 - (midranks(low, joined) - midranks(low, low)) / up.size
    variance = float(np.cov(of_up)) / up.size + float(np.cov(of_low)) / low.size
    return float(of_up.mean()), variance


@given(positives=COUNTS, negatives=COUNTS)
def test_equal_to_the_definition_by_pairs_and_by_midranks(positives: Floats, negatives: Floats) -> None:
    auc, variance = auc_variance(positives, negatives)
    if positives.sum() < 2 or negatives.sum() < 2:
        assert not np.isfinite(variance)
        return
    for theirs in (by_pairs(positives, negatives), by_midranks(positives, negatives)):
        assert float(auc) == pytest.approx(theirs[0], abs=1e-12)
        assert float(variance) == pytest.approx(theirs[1], abs=1e-12)


def test_a_batch_is_its_elements_bit_for_bit() -> None:
    counts = np.random.default_rng(7).integers(0, 30, (2, 11, 50))
    together = auc_variance(counts[0], counts[1])
    for i in range(11):
        assert (together[0][i], together[1][i]) == auc_variance(counts[0, i], counts[1, i])


def test_the_variance_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(8)
    shares = np.exp(-np.arange(10) / 3.0)[::-1], np.exp(-np.arange(10) / 3.0)
    up, low = (rng.multinomial(n, s / s.sum(), 4000) for n, s in zip((150, 400), shares, strict=True))
    auc, variance = auc_variance(up, low)
    assert float(variance.mean()) == pytest.approx(float(auc.var()), rel=0.07)


def drawn(seed: int, looks: int, canary: float = 1.0, baseline: float = 1.0, positives: int = 20) -> list[Block]:
    """Blocks of 8 bins; the higher `canary` and `baseline`, the better they rank."""
    rng = np.random.default_rng(seed)
    laws = []
    for skill in (canary, baseline):
        shares = np.exp(skill * np.arange(8) / 8.0)
        laws += [shares / shares.sum(), shares[::-1] / shares.sum()]
    sizes = (positives, 60, positives, 60)
    return [[rng.multinomial(n, law).astype(float) for n, law in zip(sizes, laws, strict=True)] for _ in range(looks)]


def fed(phases: list[list[Block]], tolerance: float = 0.0, margin: float | None = None) -> AUCEvidence:
    """Evidence of blocks phase by phase."""
    evidence = AUCEvidence(bins=8, tolerance=tolerance, margin=margin)
    for phase, blocks in enumerate(phases):
        for block in blocks:
            evidence.update(block[0], block[1], block[2], block[3], phase)
    return evidence


def evidence_by_definition(phases: list[list[Block]], shift: float, sign: float, *, at_null: bool = False) -> float:
    """Inverse-variance mean of the phases' differences, then the mixture, effect by effect."""
    precision = weighted = level = 0.0
    for blocks in phases:
        p_c, q_c, p_b, q_b = (np.sum([block[i] for block in blocks], axis=0) for i in range(4))
        canary, baseline = by_pairs(p_c, q_c), by_pairs(p_b, q_b)
        variance = max(canary[1] + baseline[1], together((p_c, q_c), (p_b, q_b)))
        precision += 1 / variance
        weighted += (baseline[0] - canary[0]) / variance
        level += baseline[0] / variance
    est, v = sign * (weighted / precision - shift), 1 / precision
    if at_null:
        null, found = level / precision - shift, (level - weighted) / precision
        labelled = [sum(float(b[i].sum() + b[i + 1].sum()) for blocks in phases for b in blocks) for i in (0, 2)]
        v *= 1 + labelled[1] / sum(labelled) * max(null * (1 - null) / (found * (1 - found)) - 1, 0)
    terms = zip(np.exp(GRID.log_weights), GRID.effects, strict=True)
    return math.log(math.fsum(w * math.exp(d * est / v - d * d / (2 * v)) for w, d in terms))


PHASES = [drawn(1, 4, 1.0, 1.4), drawn(2, 9, 2.0, 2.6), drawn(3, 5, 1.5, 1.6)]


@pytest.mark.parametrize(("tolerance", "margin"), [(0.0, 0.02), (0.03, 0.1), (0.2, 0.0)])
def test_equal_to_the_definition_over_phases(tolerance: float, margin: float) -> None:
    evidence = fed(PHASES, tolerance, margin)
    by_definition = evidence_by_definition(PHASES, margin, -1.0, at_null=True)
    assert float(evidence.log_e()) == pytest.approx(evidence_by_definition(PHASES, tolerance, 1.0), abs=1e-10)
    assert fit(evidence) == pytest.approx(by_definition, abs=1e-10)


def test_the_interval_holds_what_neither_direction_rejects() -> None:
    lower, upper = (float(end) for end in fed(PHASES).interval(0.9))
    assert evidence_by_definition(PHASES, lower, 1.0) == pytest.approx(math.log(20.0), abs=1e-8)
    assert evidence_by_definition(PHASES, upper, -1.0) == pytest.approx(math.log(20.0), abs=1e-8)


def test_the_estimate_pools_both_arms_like_their_difference() -> None:
    found = fed(PHASES).estimate()
    assert found.difference == found.baseline - found.canary
    assert found.lower < found.difference < found.upper
    assert 0.5 < found.canary < found.baseline < 1.0


def test_a_phase_counts_from_fifty_of_each_class_in_each_arm() -> None:
    few = drawn(4, 2, positives=20)
    evidence = fed([few], margin=0.1)
    assert (float(evidence.log_e()), fit(evidence)) == (0.0, 0.0)
    assert math.isnan(evidence.estimate().canary)
    assert (evidence.estimate().lower, evidence.estimate().upper) == (-math.inf, math.inf)
    both = fed([few, drawn(5, 6)])
    assert float(both.log_e()) == float(fed([drawn(5, 6)]).log_e()), "what did not count is left out"
    assert float(fed([[*few, *drawn(4, 1, positives=LEAST - 40)]]).log_e()) != 0.0
    assert float(both.trials[0]) == 2 * 80 + 6 * 80


def test_an_arm_without_a_class_is_no_statement() -> None:
    evidence = AUCEvidence(bins=8)
    full, none = np.full(8, 100), np.zeros(8)
    evidence.update(full, none, full, full, phase=1)
    assert float(evidence.log_e()) == 0.0


def test_perfect_ranking_in_both_arms_is_no_statement() -> None:
    """DeLong's variance is 0 there, and a difference of 0 would outweigh all other phases."""
    low, high = np.array([100, 0]), np.array([0, 100])
    evidence = AUCEvidence(bins=2, margin=0.01)
    evidence.update(high, low, high, low, phase=0)
    assert (float(evidence.log_e()), fit(evidence)) == (0.0, 0.0)


def test_the_number_of_a_phase_may_be_any_and_blocks_of_one_add_up() -> None:
    once, thrice = AUCEvidence(bins=8), AUCEvidence(bins=8)
    blocks = drawn(9, 3, 1.0, 2.0)
    whole = [np.sum([block[i] for block in blocks], axis=0) for i in range(4)]
    once.update(whole[0], whole[1], whole[2], whole[3], -7)
    for block in blocks:
        thrice.update(block[0], block[1], block[2], block[3], 1_717_200_000)
    assert once.log_e() == thrice.log_e()


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), more=st.integers(1, 30))
def test_evidence_rises_when_a_positive_of_the_canary_falls(seed: int, more: int) -> None:
    blocks = drawn(seed, 6)
    worse = [block[0].copy() for block in blocks]
    worse[0][0] += more
    worse[0][7] = max(worse[0][7] - more, 0)
    lower = [[moved, *block[1:]] for moved, block in zip(worse, blocks, strict=True)]
    assert float(fed([lower]).estimate().difference) > float(fed([blocks]).estimate().difference)


def test_bits_do_not_depend_on_the_batch() -> None:
    runs = [PHASES, [drawn(21, 4), drawn(22, 9), drawn(23, 5)], [drawn(31, 4), drawn(32, 9), drawn(33, 5)]]
    batch = AUCEvidence(bins=8, shape=(3,))
    for phase in range(3):
        for block in range(len(PHASES[phase])):
            counts = [np.stack([run[phase][block][i] for run in runs]) for i in range(4)]
            batch.update(counts[0], counts[1], counts[2], counts[3], phase)
    for i, run in enumerate(runs):
        assert batch.log_e()[i] == fed(run).log_e()
        assert tuple(end[i] for end in batch.interval()) == fed(run).interval()


def test_the_scale_of_an_arms_scores_does_not_matter() -> None:
    """A canary whose scores all lie in other bins, in the same order, ranks as well and is as surely known to."""
    blocks = drawn(10, 8)
    wide = AUCEvidence(bins=24)
    for block in blocks:
        canary = [np.concatenate([np.zeros(16), arm]) for arm in block[:2]]
        baseline = [np.concatenate([arm, np.zeros(16)]) for arm in block[2:]]
        wide.update(canary[0], canary[1], baseline[0], baseline[1], 0)
    assert float(wide.log_e()) == pytest.approx(float(fed([blocks]).log_e()), abs=1e-10)


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), skill=st.floats(0.5, 3.0), level=st.floats(0.0, 0.1))
def test_rollback_and_promotion_at_alpha_show_an_interval_beyond_their_level(
    seed: int, skill: float, level: float
) -> None:
    evidence = fed([drawn(seed, 8, skill, 1.5), drawn(seed + 1, 8, skill, 1.5)], level, level)
    lower, upper = evidence.interval(0.9)
    assert (float(evidence.log_e()) >= math.log(20.0) - 1e-9) == (float(lower) >= level - 1e-9)
    if fit(evidence) >= math.log(20.0):
        assert float(upper) <= level + 1e-9


def test_a_perfect_canary_is_promoted() -> None:
    low, high = np.array([100, 0, 0]), np.array([0, 0, 100])
    evidence = AUCEvidence(bins=3, margin=0.02)
    for _ in range(60):
        evidence.update(high, low, np.array([0, 2, 98]), np.array([97, 3, 0]), phase=0)
    assert fit(evidence) > math.log(100.0)
