"""E3 against direct integrals, its bounds against their definitions, and what the reference's own noise does."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.reference_evidence import (
    STRENGTHS,
    ReferenceEvidence,
    distance_lower_bound,
    psi_lower_bound,
    reference_log_e,
    share_bounds,
)

COUNTS = st.lists(st.integers(0, 30), min_size=3, max_size=3)


def mixture(s: int, n: int, a: float, b: float) -> float:
    """Integral of f^s (1 - f)^(n - s) over the Beta(a, b) density, in t with f = sin(t)^2: smooth at both ends."""
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b))

    def density(t: float) -> float:
        value: float = 2.0 * scale * math.sin(t) ** (2 * (a + s) - 1) * math.cos(t) ** (2 * (b + n - s) - 1)
        return value

    top = math.atan(math.sqrt(max(2 * (a + s) - 1, 1e-9) / max(2 * (b + n - s) - 1, 1e-9)))
    parts = [
        quad(density, low, high, epsabs=0.0, epsrel=1e-13, limit=400)[0] for low, high in ((0, top), (top, math.pi / 2))
    ]
    return float(sum(parts))


def one_share(s: int, n: int, share: float, a: float, b: float) -> float:
    """E of an event against its reference, from integrals."""
    alternatives = [mixture(s, n, kappa * share, kappa * (1 - share)) for kappa in STRENGTHS]
    return float(np.mean(alternatives)) / mixture(s, n, a, b)


def all_bins(live: list[int], reference: list[int]) -> float:
    """E of three bins at once: a Dirichlet is two independent betas, first bin, then second of the rest."""

    def sequence(alphas: Floats) -> float:
        first = mixture(live[0], sum(live), float(alphas[0]), float(alphas[1] + alphas[2]))
        return first * mixture(live[1], live[1] + live[2], float(alphas[1]), float(alphas[2]))

    posterior = np.array(reference) + 0.5
    share = posterior / posterior.sum()
    return float(np.mean([sequence(kappa * share) for kappa in STRENGTHS])) / sequence(posterior)


@pytest.mark.parametrize(
    ("reference", "live"),
    [([50, 30, 20], [10, 8, 7]), ([5, 0, 6], [3, 9, 2]), ([400, 300, 300], [10, 0, 40]), ([7, 5, 9], [0, 0, 1])],
)
def test_log_e_is_the_ratio_of_integrals(reference: list[int], live: list[int]) -> None:
    m, n, bins = sum(reference), sum(live), len(live)
    edges = []
    for i in range(1, bins):
        below = sum(reference[:i])
        edges.append(one_share(sum(live[:i]), n, (below + 0.5) / (m + 1), below + 0.5, m - below + 0.5))
    each = [
        one_share(s, n, (r + 0.5) / (m + 0.5 * bins), r + 0.5, m - r + 0.5 * (bins - 1))
        for s, r in zip(live, reference, strict=True)
    ]
    full = all_bins(live, reference)
    numeric = float(np.mean([np.mean(edges), np.mean(each), full]))
    nominal = float(np.mean([np.mean(each), full]))
    assert float(reference_log_e(reference, live, numeric=True)) == pytest.approx(math.log(numeric), abs=1e-12)
    assert float(reference_log_e(reference, live, numeric=False)) == pytest.approx(math.log(nominal), abs=1e-12)


def test_a_healthy_sequence_has_a_mean_of_one_under_what_the_reference_leaves_open() -> None:
    """Sum over all live counts of three bins; each of the parts is a density over the posterior predictive one.

    The reference's own posterior differs by part (one half for each edge, bin or all), so it is checked for two bins,
    where all of them are the same.
    """
    reference, n = np.array([6, 3]), 12
    total = 0.0
    for s in range(n + 1):
        live = np.array([s, n - s])
        chance = math.exp(math.log(math.comb(n, s)) + log_predictive(live, reference + 0.5))
        total += chance * math.exp(float(reference_log_e(reference, live, numeric=True)))
    assert total == pytest.approx(1.0, abs=1e-12)


def log_predictive(live: Floats, alphas: Floats) -> float:
    """log of the Dirichlet-multinomial density of one sequence."""
    ways = (gammaln(alphas + live) - gammaln(alphas)).sum()
    return float(ways + gammaln(alphas.sum()) - gammaln(alphas.sum() + live.sum()))


def test_evidence_against_a_finite_reference_saturates() -> None:
    """Ever more live rows that are a little off, by the noise of 1,000 rows: E3 does not fire, for ever."""
    reference = np.array([232, 268, 259, 241])
    values = [float(reference_log_e(reference, np.full(4, n), numeric=True)) for n in (10**3, 10**5, 10**7, 10**9)]
    assert max(values) < math.log(20)
    assert abs(values[-1] - values[-2]) < 0.01


def test_missing_values_are_a_bin_but_no_edge() -> None:
    reference, live = np.array([50, 50, 50, 10]), np.array([40, 20, 10, 12])
    with_bin = reference_log_e(reference, live, numeric=True, missing=True)
    bins = float(reference_log_e(reference, live, numeric=False, missing=True))
    edges = math.exp(float(with_bin)) * 3 - math.exp(bins) * 2
    other = np.array([40, 20, 10, 3])
    alone = math.exp(float(reference_log_e(reference, other, numeric=True, missing=True))) * 3
    alone -= math.exp(float(reference_log_e(reference, other, numeric=False))) * 2
    assert edges == pytest.approx(alone, rel=1e-9)


def test_nothing_known_or_nothing_seen_says_nothing() -> None:
    empty, some = np.zeros(4), np.array([3, 5, 9, 1])
    assert reference_log_e(empty, some, numeric=True) == 0.0
    assert reference_log_e(some, empty, numeric=True) == 0.0
    assert distance_lower_bound(empty, some, 0.05, numeric=True) == 0.0
    assert distance_lower_bound(some, empty, 0.05, numeric=False) == 0.0
    assert reference_log_e([7], [9], numeric=True) == 0.0
    assert distance_lower_bound([7], [9], 0.05, numeric=True) == 0.0


@given(COUNTS, COUNTS, st.booleans())
def test_values_are_finite_and_bounds_are_in_range(reference: list[int], live: list[int], numeric: bool) -> None:
    assert np.isfinite(reference_log_e(reference, live, numeric=numeric))
    bound = float(distance_lower_bound(reference, live, 0.05, numeric=numeric))
    assert 0.0 <= bound < 1.0
    assert float(psi_lower_bound(bound)) >= 0.0


def test_batches_keep_the_bits_of_single_features() -> None:
    rng = np.random.default_rng(4)
    reference, live = rng.integers(0, 90, (3, 5, 20)), rng.integers(0, 40, (3, 5, 20))
    together = reference_log_e(reference, live, numeric=True)
    bounds = distance_lower_bound(reference, live, 0.05, numeric=True)
    for place in itertools.product(range(3), range(5)):
        assert reference_log_e(reference[place], live[place], numeric=True) == together[place]
        assert distance_lower_bound(reference[place], live[place], 0.05, numeric=True) == bounds[place]


def test_blocks_add_up() -> None:
    reference = np.array([100, 200, 300])
    evidence = ReferenceEvidence(reference, numeric=True)
    for block in ([3, 9, 5], [8, 1, 0], [0, 0, 0]):
        evidence.update(block)
    assert evidence.log_e() == reference_log_e(reference, [11, 10, 5], numeric=True)
    assert evidence.distance_lower_bound(0.05) == distance_lower_bound(reference, [11, 10, 5], 0.05, numeric=True)


@pytest.mark.parametrize(("s", "n"), [(0, 20), (20, 20), (1, 3), (40, 900), (899, 900)])
def test_bounds_of_a_share_solve_their_equation(s: int, n: int) -> None:
    low, high = (float(bound) for bound in share_bounds(s, n, 0.05))
    log_mixture = math.log(mixture(s, n, 0.5, 0.5))

    def beaten(share: float) -> float:
        return log_mixture - s * math.log(share) - (n - s) * math.log1p(-share) + math.log(0.05)

    assert low <= s / n <= high
    assert low == 0.0 if s == 0 else beaten(low) == pytest.approx(0.0, abs=1e-6)
    assert high == 1.0 if s == n else beaten(high) == pytest.approx(0.0, abs=1e-6)


def test_the_distance_of_a_large_sample_is_bounded_from_below_and_closely() -> None:
    reference = np.array([10_000, 10_000, 10_000, 10_000])
    live = np.array([20_000, 10_000, 6_000, 4_000])
    bound = float(distance_lower_bound(reference, live, 0.05, numeric=True))
    assert 0.22 < bound < 0.25
    assert 0.22 < float(distance_lower_bound(reference, live, 0.05, numeric=False)) < 0.25


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_no_two_probabilities_have_a_smaller_psi_than_the_bound(one: float, other: float) -> None:
    psi = (one - other) * (math.log(one / other) - math.log((1 - one) / (1 - other)))
    assert psi >= float(psi_lower_bound(abs(one - other))) - 1e-12
