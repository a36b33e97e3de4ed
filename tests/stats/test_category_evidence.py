"""E of a categorical feature is the plug-in bet and one-vs-rest E1 by their definitions, and a fair bet."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mlcanary.stats.category_evidence import STRENGTHS, CategoriesEvidence
from mlcanary.stats.feature_evidence import SETTLED, Counts, FeaturesEvidence


def bets_by_definition(history: list[tuple[Counts, Counts]]) -> list[float]:
    """Product over blocks of (p_c / p_0)^x_c (p_b / p_0)^x_b for each strength."""
    size, found = len(history[0][0]), []
    for kappa in STRENGTHS:
        past_c, past_b, log_e = np.zeros(size), np.zeros(size), 0.0
        for x_c, x_b in history:
            n_c, n_b = x_c.sum(), x_b.sum()
            if n_c == 0 or n_b == 0:
                continue
            pool = (past_c + past_b + 0.5) / (past_c + past_b + 0.5).sum()
            p_c = (past_c + kappa * pool) / (past_c.sum() + kappa)
            p_b = (past_b + kappa * pool) / (past_b.sum() + kappa)
            p_0 = (n_c * p_c + n_b * p_b) / (n_c + n_b)
            log_e += sum(x * math.log(p / q) for x, p, q in zip(x_c, p_c, p_0, strict=True))
            log_e += sum(x * math.log(p / q) for x, p, q in zip(x_b, p_b, p_0, strict=True))
            past_c, past_b = past_c + x_c, past_b + x_b
        found.append(log_e)
    return found


def random_history(seed: int, sizes: list[int]) -> list[tuple[list[Counts], list[Counts]]]:
    """Blocks whose arms differ; a third of them without rows of a feature in one arm."""
    rng = np.random.default_rng(seed)

    def arm() -> list[Counts]:
        return [rng.multinomial(25 * rng.integers(0, 3), rng.dirichlet(np.ones(size))) for size in sizes]

    return [(arm(), arm()) for _ in range(12)]


def test_the_bets_are_those_of_the_definition() -> None:
    sizes = [4, 2, 7]
    history = random_history(5, sizes)
    evidence = CategoriesEvidence(sizes)
    for canary, baseline in history:
        evidence.update(canary, baseline)
    for k in range(len(sizes)):
        expected = bets_by_definition([(canary[k], baseline[k]) for canary, baseline in history])
        np.testing.assert_allclose(evidence.log_bets[k], expected, rtol=1e-10, atol=1e-10)


def test_evidence_is_the_mean_of_the_bet_and_of_one_against_the_rest() -> None:
    canary, baseline = np.array([12, 5, 3]), np.array([4, 9, 7])
    evidence = CategoriesEvidence([3], assumed_phi=1.0)
    bins_only = FeaturesEvidence([(3, False)], assumed_phi=1.0)
    evidence.update([canary], [baseline])
    bins_only.update([canary], [baseline])
    rest = np.exp(bins_only.shares.log_e()[2:]).mean()
    bet = np.exp(evidence.log_bets[0]).mean()
    assert np.exp(evidence.log_e()[0]) == pytest.approx((bet + rest) / 2, rel=1e-12)


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.9, 0.05, 0.05), (1.0, 0.0, 0.0)])
def test_no_healthy_block_multiplies_evidence_by_more_than_one_on_average(shares: tuple[float, ...]) -> None:
    """Over all outcomes of 3 canary rows and 2 baseline rows, after a past that misleads the bets."""
    mean_before = mean_after = 0.0
    for rows in itertools.product(range(3), repeat=5):
        evidence = CategoriesEvidence([3], assumed_phi=1.0)
        evidence.update([np.array([8, 1, 1])], [np.array([2, 5, 4])])
        before = math.exp(float(evidence.log_e()[0]))
        canary, baseline = np.bincount(rows[:3], minlength=3), np.bincount(rows[3:], minlength=3)
        evidence.update([canary], [baseline])
        chance = math.prod(shares[row] for row in rows)
        mean_before += chance * before
        mean_after += chance * math.exp(float(evidence.log_e()[0]))
    assert mean_after <= mean_before + 1e-12


def test_features_and_runs_keep_their_bits_in_any_batch() -> None:
    sizes = [3, 6, 2]
    history = random_history(7, sizes)
    together, stacked = CategoriesEvidence(sizes), CategoriesEvidence(sizes, shape=(4,))
    alone = [CategoriesEvidence([size]) for size in sizes]
    for canary, baseline in history:
        together.update(canary, baseline)
        stacked.update([np.tile(c, (4, 1)) for c in canary], [np.tile(b, (4, 1)) for b in baseline])
        for k, one in enumerate(alone):
            one.update([canary[k]], [baseline[k]])
    np.testing.assert_array_equal(together.log_e(), np.concatenate([one.log_e() for one in alone]))
    np.testing.assert_array_equal(stacked.log_e(), np.tile(together.log_e(), (4, 1)))


def test_no_evidence_comes_from_an_empty_arm_or_from_a_single_category() -> None:
    evidence = CategoriesEvidence([3, 1])
    for _ in range(20):
        evidence.update([np.array([9, 1, 0]), np.array([10])], [np.array([0, 0, 0]), np.array([10])])
    np.testing.assert_allclose(evidence.log_e(), 0.0, atol=1e-12)
    assert evidence.guilty_categories()[0].canary == 0.0


def test_a_bet_is_not_trusted_before_clusters_are_known_and_divided_by_phi_then() -> None:
    rng = np.random.default_rng(3)
    evidence, certain = CategoriesEvidence([4]), CategoriesEvidence([4], assumed_phi=1.0)
    for k in range(40):
        canary, baseline = (6 * rng.multinomial(12, np.ones(4) / 4) for _ in range(2))
        for each in (evidence, certain):
            each.update([canary], [baseline])
        if k + 1 < SETTLED:
            assert evidence.log_e()[0] <= 0
    assert evidence.phi[0] == pytest.approx(6.0, rel=0.3)
    assert evidence.log_e()[0] < 2 < certain.log_e()[0] + 6
    assert evidence.log_bets[0] == pytest.approx(certain.log_bets[0])


def test_the_category_that_grew_is_named() -> None:
    evidence = CategoriesEvidence([4])
    for _ in range(20):
        evidence.update([np.array([40, 30, 20, 10])], [np.array([43, 32, 21, 4])])
    guilty = evidence.guilty_categories()[0]
    assert (guilty.is_edge, guilty.place, guilty.canary, guilty.baseline) == (False, 3, 0.1, 0.04)
    assert guilty.log_e > math.log(100)
