"""Tails, quantiles and distances behind the drift figures, against scipy and where they are extreme."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from scipy.spatial.distance import jensenshannon

from mlcanary.stats.chi_square import chi_square_from_counts, chi_square_quantile, chi_square_tail
from mlcanary.stats.ks import ks_critical
from mlcanary.stats.le_cam import le_cam_from_counts
from mlcanary.stats.psi import psi_from_counts
from mlcanary.stats.share_change import largest_change_critical, largest_share_change, share_change
from mlcanary.stats.total_variation import total_variation_from_counts
from mlcanary.stats.wasserstein import wasserstein_critical, wasserstein_from_counts

DEGREES = (*range(1, 41), 49, 50, 99, 100, 200)
COUNTS = st.lists(st.integers(0, 500), min_size=6, max_size=6).map(lambda c: np.array(c, dtype=np.float64))


@pytest.mark.parametrize("degrees", DEGREES)
def test_the_chi_square_tail_is_that_of_scipy_down_to_1e_minus_300(degrees: int) -> None:
    far = stats.chi2.isf(1e-300, degrees)
    for x in (*np.geomspace(1e-8, 1, 20), *np.linspace(1, far, 200)):
        expected = special.gammaincc(degrees / 2, x / 2)
        assert chi_square_tail(float(x), degrees) == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("tail", [0.5, 0.05, 1e-5, 1e-12, 1e-300])
def test_the_chi_square_quantile_is_that_of_scipy(degrees: int, tail: float) -> None:
    assert chi_square_quantile(tail, degrees) == pytest.approx(stats.chi2.isf(tail, degrees), rel=1e-12)


def test_a_tail_that_no_float_holds_is_zero() -> None:
    assert chi_square_tail(1e6, 3) == 0.0
    assert chi_square_tail(0.0, 0) == chi_square_tail(0.0, 4) == 1.0


def test_the_critical_ks_distance_is_kolmogorovs() -> None:
    noise = 1 / 400 + 1 / 900
    assert ks_critical(noise, 1e-5) == pytest.approx(stats.kstwobign.isf(1e-5) * math.sqrt(noise), rel=1e-12)


@given(COUNTS, COUNTS)
def test_distances_are_symmetric_and_zero_only_for_equal_shares(a: np.ndarray, b: np.ndarray) -> None:
    gaps = np.array([0.0, 1.0, 0.5, 2.0, 0.25, 1.0])
    for distance in (
        psi_from_counts,
        le_cam_from_counts,
        total_variation_from_counts,
        lambda x, y: wasserstein_from_counts(x, y, gaps),
        lambda x, y: None if (found := chi_square_from_counts(x, y)) is None else found.statistic,
    ):
        there, back = distance(a, b), distance(b, a)
        if a.sum() == 0 or b.sum() == 0:
            assert there is back is None
            continue
        assert there is not None
        assert there == pytest.approx(back, rel=1e-9, abs=1e-12)
        assert there >= -1e-15
        assert distance(a, 3 * a) == pytest.approx(0, abs=1e-12)


@given(COUNTS, COUNTS)
def test_known_inequalities_hold_between_the_distances(a: np.ndarray, b: np.ndarray) -> None:
    """TV^2 <= LC <= TV (Cauchy & Schwarz), LC / 2 <= JSD <= ln 2 LC (Topsoe 2000), and V^2 <= 1."""
    moved, distance = total_variation_from_counts(a, b), le_cam_from_counts(a, b)
    chi_square = chi_square_from_counts(a, b)
    if moved is None or distance is None or chi_square is None:
        return
    assert moved**2 - 1e-12 <= distance <= moved + 1e-12
    divergence = float(jensenshannon(a, b)) ** 2
    assert distance / 2 - 1e-9 <= divergence <= math.log(2) * distance + 1e-9
    assert chi_square.cramers_v <= 1 + 1e-12


@pytest.mark.parametrize("name", ["normal", "exponential", "mostly zero"])
def test_chance_stays_under_the_wasserstein_quantile(name: str) -> None:
    """Simulated under no drift: conservative at every level, and not by half in the distance."""
    rng = np.random.default_rng(3)
    shares = {
        "normal": np.diff(stats.norm.cdf(np.linspace(-3, 3, 21))),
        "exponential": np.diff(stats.expon.cdf(np.linspace(0, 8, 21))),
        "mostly zero": np.array([0.7, *[0.3 / 19] * 19]),
    }[name]
    shares = shares / shares.sum()
    gaps = np.full(20, 0.3)
    n, m, draws = 2000, 10_000, 4000
    live, reference = rng.multinomial(n, shares, draws).astype(float), rng.multinomial(m, shares, draws).astype(float)
    noise = 1 / n + 1 / m
    found = [wasserstein_from_counts(a, b, gaps) or 0.0 for a, b in zip(live, reference, strict=True)]
    for tail in (0.1, 0.01):
        critical = [wasserstein_critical(b, gaps, noise, tail) for b in reference]
        assert np.mean(np.array(found) > critical) <= tail / 2
        assert np.quantile(found, 1 - tail) > np.mean(critical) / 1.5


@pytest.mark.parametrize(("n", "m"), [(50, 10_000), (2000, 10_000), (5000, 1000)])
def test_chance_stays_under_the_score_of_a_changed_share(n: int, m: int) -> None:
    """Exact binomial probability of |z| > 4.26, which is 2.0e-5 for a normal, over expected counts from 0.1 on."""
    for rate in np.geomspace(0.1, 0.45 * min(n, m), 12) / min(n, m):
        chance = 0.0
        for r in _likely(m, rate):
            far = [k for k in _likely(n, rate) if abs(share_change(float(k), n, float(r), m)) > 4.26]
            chance += stats.binom.pmf(r, m, rate) * stats.binom.pmf(far, n, rate).sum()
        assert chance <= 2.2e-5


@pytest.mark.parametrize(("n", "m", "most"), [(200, 10_000, 1.3e-5), (2000, 10_000, 1.3e-5), (5000, 1000, 3.6e-4)])
def test_chance_stays_under_the_critical_rise_of_a_bin(n: int, m: int, most: float) -> None:
    """Exact binomial probability, times the number of bins."""
    bins, critical = 20, largest_change_critical(20, 1e-5)
    for rate in np.geomspace(0.1, 0.45 * min(n, m), 12) / min(n, m):
        chance = 0.0
        for r in _likely(m, rate):
            rises = [k for k in _likely(n, rate) if _rise(k, n, r, m) > critical]
            chance += stats.binom.pmf(r, m, rate) * stats.binom.pmf(rises, n, rate).sum()
        assert bins * chance <= most


def _likely(n: int, rate: float) -> list[int]:
    low, high = stats.binom.ppf([1e-10, 1 - 1e-10], n, rate)
    return list(range(max(0, int(low) - 1), int(high) + 2))


def _rise(k: int, n: int, r: int, m: int) -> float:
    angles = [2 * math.asin(math.sqrt((count + 3 / 8) / (size + 3 / 4))) for count, size in ((k, n), (r, m))]
    return (angles[0] - angles[1]) / math.sqrt(1 / (n + 0.5) + 1 / (m + 0.5))


def test_the_largest_rise_is_that_of_the_bin_that_gained_most() -> None:
    live, reference = np.array([100.0, 950.0, 950.0]), np.array([100.0, 4950.0, 4950.0])
    assert largest_share_change(live, reference) == pytest.approx(_rise(100, 2000, 100, 10_000), rel=1e-12)
    assert largest_share_change(np.zeros(3), reference) is None


def test_a_share_of_nearly_all_of_very_many_is_defined() -> None:
    assert share_change(0.0, 10.0, 2.0**63, 2.0**63 + 4) < -1
    assert share_change(10.0, 10.0, 2.0**63, 2.0**63) == pytest.approx(0.0, abs=1.0)
