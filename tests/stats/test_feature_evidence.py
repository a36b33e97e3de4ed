"""E of a numeric feature is a fair bet on any block, sees what edges and bins see, and keeps its bits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.feature_evidence import GRID, SETTLED, Counts, FeaturesEvidence

SIZES = [(5, True), (4, False), (1, False), (2, True)]


def blocks(seed: int, runs: int, rows: int) -> list[tuple[list[Counts], list[Counts]]]:
    """Random blocks over `SIZES`; some arms of some features are empty."""
    rng = np.random.default_rng(seed)

    def arm() -> list[Counts]:
        return [rng.multinomial(rows * rng.integers(0, 3), rng.dirichlet(np.ones(bins))) for bins, _ in SIZES]

    return [(arm(), arm()) for _ in range(runs)]


def two_sided(n_c: int, x_c: int, n_b: int, x_b: int) -> float:
    """E of one share and one block from the definition."""
    m, total = x_c + x_b, 0.0
    for effect, log_weight in zip(GRID.effects, GRID.log_weights, strict=True):
        for theta in (effect, -effect):
            mgf = sum(
                math.comb(n_c, x) * math.comb(n_b, m - x) / math.comb(n_c + n_b, m) * math.exp(theta * x)
                for x in range(max(0, m - n_b), min(n_c, m) + 1)
            )
            total += math.exp(log_weight) / 2 * math.exp(theta * x_c) / mgf
    return total


def by_definition(canary: Counts, baseline: Counts, missing: bool) -> float:
    """E of one feature after one block."""
    inner = len(canary) - int(missing)
    present_c, present_b = canary[:inner], baseline[:inner]
    edges = [
        two_sided(int(present_c.sum()), int(present_c[:i].sum()), int(present_b.sum()), int(present_b[:i].sum()))
        for i in range(1, inner)
    ]
    bins = [
        two_sided(int(canary.sum()), int(c), int(baseline.sum()), int(b)) for c, b in zip(canary, baseline, strict=True)
    ]
    means = [float(np.mean(part)) for part in (edges, bins) if part]
    return float(np.mean(means))


@pytest.mark.parametrize("seed", range(5))
def test_evidence_is_the_mean_of_the_mean_over_edges_and_the_mean_over_bins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    canary = [rng.multinomial(30, rng.dirichlet(np.ones(bins))) for bins, _ in SIZES]
    baseline = [rng.multinomial(20, rng.dirichlet(np.ones(bins))) for bins, _ in SIZES]
    evidence = FeaturesEvidence(SIZES, assumed_phi=1.0)
    evidence.update(canary, baseline)
    expected = [by_definition(c, b, missing) for c, b, (_, missing) in zip(canary, baseline, SIZES, strict=True)]
    np.testing.assert_allclose(np.exp(evidence.log_e()), expected, rtol=1e-12)


def test_a_healthy_block_multiplies_evidence_by_one_on_average() -> None:
    """All ways in which 6 rows of given bins fall on the arms are equally likely: their mean E is 1, exactly."""
    rows = np.array([0, 0, 1, 2, 2, 2])
    found = []
    for chosen in itertools.combinations(range(6), 2):
        evidence = FeaturesEvidence([(3, False)], assumed_phi=1.0)
        canary = np.bincount(rows[list(chosen)], minlength=3)
        evidence.update([canary], [np.bincount(rows, minlength=3) - canary])
        found.append(float(np.exp(evidence.log_e()[0])))
    assert np.mean(found) == pytest.approx(1.0, abs=1e-12)
    assert np.std(found) > 0.01


def test_features_and_runs_keep_their_bits_in_any_batch() -> None:
    history = blocks(3, 20, 40)
    together = FeaturesEvidence(SIZES)
    stacked = FeaturesEvidence(SIZES, shape=(2, 3))
    for canary, baseline in history:
        together.update(canary, baseline)
        stacked.update(
            [np.broadcast_to(c, (2, 3, len(c))) for c in canary], [np.broadcast_to(b, (2, 3, len(b))) for b in baseline]
        )
    alone: list[Floats] = []
    for k, size in enumerate(SIZES):
        one = FeaturesEvidence([size])
        for canary, baseline in history:
            one.update([canary[k]], [baseline[k]])
        alone.append(one.log_e())
    np.testing.assert_array_equal(together.log_e(), np.concatenate(alone))
    np.testing.assert_array_equal(stacked.log_e(), np.broadcast_to(together.log_e(), (2, 3, len(SIZES))))


def test_a_feature_without_rows_in_one_arm_stays_as_it_was() -> None:
    evidence = FeaturesEvidence([(3, False), (3, False)])
    evidence.update([np.array([9, 1, 0]), np.array([9, 1, 0])], [np.array([1, 9, 0]), np.array([1, 9, 0])])
    before = evidence.log_e()
    evidence.update([np.array([0, 0, 0]), np.array([5, 5, 5])], [np.array([5, 5, 5]), np.array([0, 0, 0])])
    np.testing.assert_array_equal(evidence.log_e(), before)
    assert evidence.guilty_bins()[0].canary == 0.9
    assert evidence.guilty_bins()[1].baseline == 0.1


def test_nothing_to_tell_leaves_evidence_at_one() -> None:
    evidence = FeaturesEvidence([(3, False), (1, False)])
    for _ in range(50):
        evidence.update([np.array([7, 0, 0]), np.array([7])], [np.array([9, 0, 0]), np.array([9])])
    np.testing.assert_allclose(evidence.log_e(), 0.0, atol=1e-12)


def test_a_shift_is_named_by_its_edge_and_a_spike_by_its_bin() -> None:
    evidence = FeaturesEvidence([(6, True), (6, True)])
    even = np.array([20, 20, 20, 20, 20, 0])
    for _ in range(10):
        evidence.update([np.array([35, 25, 14, 13, 13, 0]), np.array([15, 15, 15, 15, 15, 25])], [even, even])
    shift, spike = evidence.guilty_bins()[0], evidence.guilty_bins()[1]
    assert (shift.is_edge, shift.canary, shift.baseline) == (True, 0.6, 0.4)
    assert shift.place == 1
    assert (spike.is_edge, spike.place, spike.canary, spike.baseline) == (False, 5, 0.25, 0.0)
    assert min(shift.log_e, spike.log_e) > math.log(1000)


def test_missing_values_do_not_move_the_edges() -> None:
    """What is missing at random leaves the values that are present as they were."""
    evidence = FeaturesEvidence([(5, True)])
    evidence.update([np.array([10, 10, 10, 10, 40])], [np.array([20, 20, 20, 20, 0])])
    edges = evidence.shares.log_e()[:3]
    assert (edges < 0).all()
    assert evidence.guilty_bins()[0].place == 4


def test_before_a_few_blocks_no_evidence_is_trusted_unless_rows_are_known_to_be_independent() -> None:
    open_minded, certain = FeaturesEvidence([(3, False)]), FeaturesEvidence([(3, False)], assumed_phi=1.0)
    for k in range(1, SETTLED + 1):
        for evidence in (open_minded, certain):
            evidence.update([np.array([60, 20, 20])], [np.array([20, 40, 40])])
        assert certain.log_e()[0] > 0
        assert (open_minded.log_e()[0] > 0) == (k == SETTLED)
    assert open_minded.log_e()[0] == pytest.approx(certain.log_e()[0])


def test_evidence_is_divided_by_what_users_repeat() -> None:
    """Every row five times: phi is 5, and evidence no larger than that of the rows themselves."""
    rng = np.random.default_rng(2)
    once = FeaturesEvidence([(4, False), (4, False)], assumed_phi=1.0)
    repeated = FeaturesEvidence([(4, False), (4, False)])
    for _ in range(300):
        canary, baseline = (rng.multinomial(20, np.ones(4) / 4, size=2) for _ in range(2))
        once.update(list(canary), list(baseline))
        repeated.update(list(5 * canary), list(5 * baseline))
    np.testing.assert_allclose(repeated.phi, 5.0, rtol=0.15)
    np.testing.assert_allclose(once.phi, 1.0, atol=0.15)
    assert (repeated.log_e() < once.log_e() + 1.0).all()
    assert (once.log_e() < 0).all()


def test_counts_far_from_small_give_finite_evidence() -> None:
    evidence = FeaturesEvidence([(3, False)])
    for _ in range(5):
        evidence.update([np.array([3000, 0, 0])], [np.array([0, 0, 3000])])
    assert np.isfinite(evidence.log_e()).all()
    assert evidence.log_e()[0] > 1000
