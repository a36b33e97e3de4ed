"""Statistics equal scikit-learn and scipy at every prefix of nasty data, or lie inside their stated bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score

from datasets import COLUMNS, PREFIXES, SCORED, column, scored
from mlcanary.catalog import LATENCY_BUCKETS
from mlcanary.stats.bin_counts import NumericBins
from mlcanary.stats.bin_edges import SPIKE_SHARE, logit_edges, quantile_edges
from mlcanary.stats.bucket_histogram import BucketHistogram
from mlcanary.stats.confusion import Confusion
from mlcanary.stats.ks import kolmogorov_pvalue, ks_from_counts
from mlcanary.stats.log_loss import CLIP, LogLoss
from mlcanary.stats.roc_auc import ScoreBins


def counts_over(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Counts of values over bins."""
    bins = NumericBins.empty(edges)
    bins.update_many(values)
    return bins.values


@pytest.mark.parametrize("name", SCORED)
def test_confusion_figures_equal_scikit_learn_and_are_absent_where_undefined(name: str) -> None:
    scores, positive = scored(name)
    predicted = scores >= 0.5
    for n in PREFIXES:
        y, p = positive[:n], predicted[:n]
        matrix = Confusion()
        matrix.update_many((str(int(a)), str(int(b))) for a, b in zip(y, p, strict=True))
        found = matrix.by_class()
        assert found.accuracy() == pytest.approx(accuracy_score(y, p), abs=1e-9)
        for value, oracle, defined in (
            (found.precision("1"), precision_score, p.any()),
            (found.recall("1"), recall_score, y.any()),
            (found.f1("1"), f1_score, p.any() or y.any()),
        ):
            assert value == (pytest.approx(oracle(y, p, zero_division=0.0), abs=1e-9) if defined else None)


@pytest.mark.parametrize("name", SCORED)
def test_log_loss_equals_scikit_learn_on_clipped_scores(name: str) -> None:
    scores, positive = scored(name)
    for n in PREFIXES:
        loss = LogLoss.empty()
        loss.update_many(scores[:n], positive[:n])
        clipped = np.clip(scores[:n], CLIP, 1 - CLIP)
        assert loss.mean() == pytest.approx(log_loss(positive[:n], clipped, labels=[False, True]), abs=1e-9)
        losses = -np.log(np.where(positive[:n], clipped, 1 - clipped))
        assert loss.squares == pytest.approx((losses**2).sum(), rel=1e-9)


@pytest.mark.parametrize("name", SCORED)
def test_auc_lies_inside_its_bound_with_any_bins_at_every_prefix(name: str) -> None:
    scores, positive = scored(name)
    for edges in (logit_edges(), quantile_edges(scores, 50), np.array([0.5]), np.linspace(0, 1, 21)[1:-1]):
        for n in PREFIXES:
            bins = ScoreBins.empty(edges)
            bins.update_many(scores[:n], positive[:n])
            estimate = bins.estimate()
            if positive[:n].all() or not positive[:n].any():
                assert estimate is None
                continue
            assert estimate is not None
            assert abs(estimate.auc - roc_auc_score(positive[:n], scores[:n])) <= estimate.bound + 1e-12


@pytest.mark.parametrize(("base_rate", "gain"), [(0.2, 1.2), (0.2, 2.3), (0.05, 1.2), (0.5, 0.3)])
def test_auc_over_fifty_reference_quantiles_is_right_to_a_thousandth(base_rate: float, gain: float) -> None:
    rng = np.random.default_rng(11)
    positive = rng.random(20_000) < base_rate
    scores = 1 / (1 + np.exp(-(rng.normal(-2, 1.3, positive.size) + gain * positive)))
    reference = 1 / (1 + np.exp(-(rng.normal(-2, 1.3, 20_000) + gain * (rng.random(20_000) < base_rate))))
    bins = ScoreBins.empty(quantile_edges(reference, 50))
    bins.update_many(scores, positive)
    estimate = bins.estimate()
    assert estimate is not None
    exact = roc_auc_score(positive, scores)
    assert abs(estimate.auc - exact) < 1e-3
    assert abs(estimate.auc - exact) <= estimate.bound <= 0.02


def test_auc_does_not_change_under_a_monotone_transform_and_mirrors_under_a_label_flip() -> None:
    scores, positive = scored("usual")
    edges = quantile_edges(scores, 50)
    plain, squared, flipped = ScoreBins.empty(edges), ScoreBins.empty(edges**2), ScoreBins.empty(edges)
    plain.update_many(scores, positive)
    squared.update_many(scores**2, positive)
    flipped.update_many(scores, ~positive)
    first, second, third = plain.estimate(), squared.estimate(), flipped.estimate()
    assert first is not None
    assert second == first
    assert third is not None
    assert third.auc == pytest.approx(1 - first.auc, abs=1e-12)


@pytest.mark.parametrize("reference", COLUMNS)
@pytest.mark.parametrize("current", COLUMNS)
def test_the_ks_bracket_holds_scipys_exact_distance(reference: str, current: str) -> None:
    base, live = column(reference), column(current, seed=8)
    edges = quantile_edges(base, 20)
    for n in PREFIXES:
        found = ks_from_counts(counts_over(edges, live[:n]), counts_over(edges, base))
        assert found is not None
        exact = ks_2samp(live[:n], base, method="asymp").statistic
        assert found.statistic - 1e-12 <= exact <= found.upper_bound + 1e-12


@pytest.mark.parametrize(("n", "m", "error"), [(20, 20, 0.08), (30, 1000, 0.02), (200, 200, 0.02), (1000, 1000, 0.01)])
def test_the_ks_p_value_is_that_of_scipy(n: int, m: int, error: float) -> None:
    rng = np.random.default_rng(n)
    for shift in np.linspace(0.0, 1.5, 30):
        a, b = rng.normal(shift, 1, n), rng.normal(0, 1, m)
        asymptotic, exact = ks_2samp(a, b, method="asymp"), ks_2samp(a, b, method="exact")
        found = kolmogorov_pvalue(asymptotic.statistic, n, m)
        assert found == pytest.approx(asymptotic.pvalue, abs=0.025)
        assert found == pytest.approx(exact.pvalue, abs=error)


@given(st.floats(0, 1), st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_p_value_is_a_probability_and_falls_with_the_distance(d: float, n: int, m: int) -> None:
    p = kolmogorov_pvalue(d, n, m)
    assert 0.0 <= p <= 1.0
    assert kolmogorov_pvalue(min(1.0, d + 0.01), n, m) <= p + 1e-9


def test_ks_is_symmetric_zero_if_equal_and_absent_without_data() -> None:
    a, b = np.array([3.0, 5.0, 2.0]), np.array([1.0, 1.0, 8.0])
    there, back = ks_from_counts(a, b), ks_from_counts(b, a)
    assert there == back
    same = ks_from_counts(a, 2 * a)
    assert same is not None
    assert (same.statistic, same.pvalue) == (0.0, 1.0)
    assert ks_from_counts(np.zeros(3), b) is None
    assert ks_from_counts(a, np.zeros(3)) is None


@pytest.mark.parametrize("q", [0.0, 0.01, 0.5, 0.95, 0.99, 1.0])
def test_a_quantile_lies_in_the_bucket_of_the_exact_one(q: float) -> None:
    latency = np.random.default_rng(5).lognormal(-3.0, 1.0, 4000)
    for n in PREFIXES:
        histogram = BucketHistogram.empty(LATENCY_BUCKETS)
        histogram.update_many(latency[:n])
        exact = np.quantile(latency[:n], q, method="inverted_cdf")
        bucket = int(np.searchsorted(LATENCY_BUCKETS, exact, side="left"))
        low = (0.0, *LATENCY_BUCKETS)[bucket]
        high = (*LATENCY_BUCKETS, LATENCY_BUCKETS[-1])[bucket]
        found = histogram.quantile(q)
        assert found is not None
        assert (low if q > 0 else 0.0) <= found <= high


def test_a_quantile_above_every_bucket_is_the_largest_edge_and_absent_without_values() -> None:
    histogram = BucketHistogram.empty([1.0, 2.0])
    assert histogram.quantile(0.5) is None
    histogram.update_many([5.0, 6.0])
    assert histogram.quantile(0.5) == 2.0
    assert histogram.counts.tolist() == [0.0, 0.0, 2.0]


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("bins", [1, 2, 10, 50])
def test_quantile_edges_are_finite_ascending_and_leave_no_bin_overfull(name: str, bins: int) -> None:
    values = column(name)
    edges = quantile_edges(values, bins)
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    counts = counts_over(edges, values)
    _, repeats = np.unique(values, return_counts=True)
    assert counts.max() <= values.size / bins + max(repeats.max(), SPIKE_SHARE * values.size) + 1


@pytest.mark.parametrize("name", ["constant", "two values", "integers", "zero-heavy"])
def test_a_change_of_a_spikes_share_changes_the_counts(name: str) -> None:
    base = column(name)
    edges = quantile_edges(base, 10)
    values, repeats = np.unique(base, return_counts=True)
    for spike in values[repeats > SPIKE_SHARE * base.size]:
        counts = counts_over(edges, base)
        for moved_to in (np.nextafter(spike, -np.inf) - 1e-3 * abs(spike) - 1.0, spike + 1e-3 * abs(spike) + 1.0):
            fewer = base.copy()
            fewer[np.flatnonzero(base == spike)[::2]] = moved_to
            assert (counts_over(edges, fewer) != counts).any(), f"{spike} can hide among {moved_to}"
        alone = counts_over(edges, np.array([spike]))
        others = counts_over(edges, base[base != spike])
        assert not (alone * others).any(), f"{spike} shares its bin"


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=40), st.integers(1, 12))
def test_quantile_edges_of_any_numbers_separate_every_spike(values: list[float], bins: int) -> None:
    x = np.array(values)
    edges = quantile_edges(x, bins)
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    distinct, repeats = np.unique(x, return_counts=True)
    bins_of = np.searchsorted(edges, distinct, side="left")
    for i in np.flatnonzero(repeats > SPIKE_SHARE * x.size):
        assert (bins_of == bins_of[i]).sum() == 1


@given(st.integers(2, 200), st.floats(1, 8))
def test_logit_edges_ascend_and_mirror_around_one_half(bins: int, limit: float) -> None:
    edges = logit_edges(bins, limit)
    assert edges.size == bins - 1
    assert (np.diff(edges) > 0).all()
    np.testing.assert_allclose(edges + edges[::-1], 1.0, atol=1e-5)
    np.testing.assert_allclose(np.diff(np.log(edges / (1 - edges))), 2 * limit / bins, rtol=0.5)
