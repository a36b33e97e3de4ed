"""Moments, extremes, quantiles and bins of features against NumPy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from datasets import COLUMNS, PREFIXES, column
from mlcanary.stats.bin_counts import NumericBins
from mlcanary.stats.bin_edges import SPIKE_SHARE, points, quantile_edges
from mlcanary.stats.binned_quantile import binned_quantile
from mlcanary.stats.extremes import Extremes
from mlcanary.stats.ks import ks_from_counts
from mlcanary.stats.moments import LIMIT, Moments, moment_sums
from mlcanary.stats.named_rows import NamedRows

Floats = NDArray[np.float64]
_EXTREMES = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.floats(-9, 9), st.floats(0, 9)).map(lambda x: (x[0], x[0] + x[1]))
).map(Extremes)


def counted(edges: Floats, values: Floats) -> Floats:
    """Counts of values over bins."""
    bins = NumericBins.empty(edges)
    bins.update_many(values)
    return bins.values


def spiked(share: float, seed: int = 3) -> Floats:
    """A constant with this share among lognormal numbers."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(5000) < share, 999.0, rng.lognormal(1.0, 2.0, 5000))


@pytest.mark.parametrize("center", [0.0, 40.0, 50.3])
@pytest.mark.parametrize("name", ["normal", "constant", "two values", "integers", "zero-heavy", "heavy tail"])
def test_moments_equal_numpy_from_any_centre(name: str, center: float) -> None:
    values = column(name)
    for n in PREFIXES:
        moments = Moments(*moment_sums(values[None, :n], np.array([center]))[0].tolist())
        assert moments.mean(center) == pytest.approx(values[:n].mean(), rel=1e-12, abs=1e-12)
        assert moments.variance() == pytest.approx(values[:n].var(), rel=1e-9, abs=1e-9)


def test_numbers_that_are_absent_or_would_drown_all_others_are_left_out() -> None:
    numbers = np.array([[1.0, np.nan, 3.0, 2 * LIMIT, -1e308], [LIMIT, -LIMIT, 0.0, np.nan, np.nan]])
    assert moment_sums(numbers, np.array([2.0, 0.0]))[:, 0].tolist() == [2.0, 3.0]
    assert moment_sums(numbers, np.array([2.0, 0.0]))[0].tolist() == [2.0, 1.0, 1.0, 2.0]
    assert Moments(0, 0, 0, 0).mean(1.0) is None
    assert Moments(0, 0, 0, 0).variance() is None


@given(_EXTREMES, _EXTREMES, _EXTREMES)
def test_extremes_merge_in_any_order_and_twice_changes_nothing(a: Extremes, b: Extremes, c: Extremes) -> None:
    assert a.merge(b).merge(c).of == a.merge(b.merge(c)).of
    assert a.merge(b).of == b.merge(a).of
    assert a.merge(a).of == a.of == a.merge(a.empty()).of
    before = dict(a.of)
    a.merge(b).update("a", -100.0, 100.0)
    assert a.of == before


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("live", COLUMNS)
@pytest.mark.parametrize("q", [0.05, 0.25, 0.5, 0.95, 1.0])
def test_the_bracket_of_a_quantile_holds_numpys(name: str, live: str, q: float) -> None:
    edges, values = quantile_edges(column(name), 20), column(live, seed=9)
    for n in PREFIXES:
        x = values[:n]
        found = binned_quantile(edges, counted(edges, x), q, float(x.min()), float(x.max()))
        assert found is not None
        exact = np.quantile(x, q, method="inverted_cdf")
        assert found.lower <= exact <= found.upper
        assert found.lower <= found.value <= found.upper
    assert binned_quantile(edges, np.zeros(len(edges) + 1), q, 0.0, 0.0) is None


@pytest.mark.parametrize("share", [0.06, 0.5, 0.95, 1.0])
def test_a_spike_leaves_as_many_bins_to_the_rest_and_is_alone_in_its_own(share: float) -> None:
    base = spiked(share)
    edges = quantile_edges(base, 20)
    counts, alone = counted(edges, base), points(edges)
    spike = int(np.searchsorted(edges, 999.0))
    assert alone[spike]
    assert counts[spike] == np.count_nonzero(base == 999.0)
    rest = base[base != 999.0]
    if rest.size:
        assert np.delete(counts, spike).max() <= rest.size / 19 + 2
    near = np.array([np.nextafter(999.0, 0), 999.0, np.nextafter(999.0, 2000)])
    assert np.searchsorted(edges, near).tolist() == [spike - 1, spike, spike + 1]


@pytest.mark.parametrize("share", [0.0, 0.06, 0.5, 0.95, 1.0])
def test_the_ks_bracket_is_narrow_whatever_the_spike(share: float) -> None:
    base, live = spiked(share), spiked(min(1.0, share + 0.02), seed=4)
    edges = quantile_edges(base, 20)
    found = ks_from_counts(counted(edges, live), counted(edges, base), points(edges))
    assert found is not None
    exact = ks_2samp(live, base, method="asymp").statistic
    assert found.statistic - 1e-12 <= exact <= found.upper_bound + 1e-12
    assert found.upper_bound - found.statistic <= 0.06


@pytest.mark.parametrize("reference", COLUMNS)
@pytest.mark.parametrize("current", COLUMNS)
def test_the_ks_bracket_with_points_holds_scipys_exact_distance(reference: str, current: str) -> None:
    base, live = column(reference), column(current, seed=8)
    edges = quantile_edges(base, 20)
    for n in PREFIXES:
        found = ks_from_counts(counted(edges, live[:n]), counted(edges, base), points(edges))
        assert found is not None
        exact = ks_2samp(live[:n], base, method="asymp").statistic
        assert found.statistic - 1e-12 <= exact <= found.upper_bound + 1e-12


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=60), st.integers(1, 20))
def test_what_lies_outside_of_the_reference_has_bins_of_its_own(values: list[float], bins: int) -> None:
    x = np.array(values)
    edges = quantile_edges(x, bins)
    counts = counted(edges, x)
    assert counts[0] == counts[-1] == 0
    outside = np.array([np.nextafter(x.min(), -np.inf), np.nextafter(x.max(), np.inf)])
    assert np.searchsorted(edges, outside).tolist() == [0, len(edges)]


def test_only_a_heavy_tail_is_cut_again() -> None:
    rng = np.random.default_rng(2)
    normal, heavy = rng.normal(0, 1, 50_000), rng.lognormal(0, 1, 50_000)
    assert len(quantile_edges(normal, 20)) == 21
    for values, sign in ((heavy, 1.0), (-heavy, -1.0)):
        edges = sign * quantile_edges(values, 20)
        assert len(edges) == 23
        assert {float(np.quantile(heavy, q, method="inverted_cdf")) for q in (0.99, 0.999)} & set(edges.tolist()) or (
            sign < 0
        )


@pytest.mark.parametrize("spikes", [1, 3, 10])
def test_every_value_above_the_share_is_a_point(spikes: int) -> None:
    rng = np.random.default_rng(5)
    x = np.where(rng.random(20_000) < 0.9, rng.integers(0, spikes, 20_000), rng.normal(0, 9, 20_000))
    edges = quantile_edges(x, 20)
    values, repeats = np.unique(x, return_counts=True)
    heavy = values[repeats > SPIKE_SHARE * x.size]
    assert heavy.size == spikes
    assert points(edges)[np.searchsorted(edges, heavy)].all()
    assert points(edges).sum() == spikes


def test_rows_of_other_fields_are_refused() -> None:
    rows = NamedRows.empty(("a", "b"), ["x"])
    with pytest.raises(ValueError, match="fields"):
        rows.merge(NamedRows.empty(("a",)))
    with pytest.raises(ValueError, match="2 saved counters for 1 names of 1"):
        NamedRows.empty(("a",)).load(rows.dump())


def test_a_name_stays_at_zero_and_a_former_state_does_not_know_later_ones() -> None:
    rows = NamedRows.empty(("a",))
    rows.add("x", [1.0])
    before = rows.copy()
    rows.learn("y")
    assert list(before.names) == ["x"]
    assert rows.minus(before).get("y", "a") == rows.get("unknown", "a") == 0.0
    assert list(rows.minus(before).names) == ["x", "y"]
