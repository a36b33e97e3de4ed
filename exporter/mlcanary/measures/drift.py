"""Drift figures of every watched feature: live counts against the reference, each with its n and what chance explains.

Pure: counts in, samples out. The same figures are recorded over all sidecars by `rules/expressions/drift.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mlcanary.measures.contract import sample, undefined
from mlcanary.measures.reference import FeatureReference, NumericReference
from mlcanary.records import Sample
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.chi_square import chi_square_from_counts, chi_square_quantile
from mlcanary.stats.jensen_shannon import jensen_shannon_from_counts
from mlcanary.stats.ks import ks_critical, ks_from_counts
from mlcanary.stats.psi import psi_from_counts
from mlcanary.stats.share_change import share_change
from mlcanary.stats.total_variation import total_variation_from_counts
from mlcanary.stats.wasserstein import wasserstein_critical, wasserstein_from_counts

FALSE_ALARM = 1e-5
"""Probability with which a critical value is exceeded without drift, per feature and window."""

DRIFT_FAMILIES = (
    "mlcanary_window_feature_observations",
    "mlcanary_window_feature_ks_ratio",
    "mlcanary_window_feature_ks_upper_bound_ratio",
    "mlcanary_window_feature_ks_pvalue",
    "mlcanary_window_feature_ks_critical_ratio",
    "mlcanary_window_feature_chisquare",
    "mlcanary_window_feature_chisquare_critical",
    "mlcanary_window_feature_chisquare_pvalue",
    "mlcanary_window_feature_cramers_v_ratio",
    "mlcanary_window_feature_total_variation_ratio",
    "mlcanary_window_feature_psi",
    "mlcanary_window_feature_psi_expected",
    "mlcanary_window_feature_psi_critical",
    "mlcanary_window_feature_jensen_shannon_nats",
    "mlcanary_window_feature_jensen_shannon_critical_nats",
    "mlcanary_window_feature_wasserstein",
    "mlcanary_window_feature_wasserstein_stddevs",
    "mlcanary_window_feature_wasserstein_critical_stddevs",
    "mlcanary_window_feature_missing_delta_ratio",
    "mlcanary_window_feature_missing_zscore",
    "mlcanary_window_undefined",
)
"""Catalogue rows that `drift` emits."""


class Live(NamedTuple):
    """A feature in one window: `counts` over the reference's bins; `missing` of `rows`, None if that is not counted."""

    counts: Floats
    missing: float | None
    rows: float


def drift(features: Mapping[str, FeatureReference], live: Mapping[str, Live]) -> Iterator[Sample]:
    """Figures of all features of a reference; those that are undefined are named once, whatever the number of features.

    Cost: O(B) per feature, about 0.1 ms for 20 bins.
    """
    absent: set[tuple[str, str]] = set() if features else {("feature_drift", "no_reference")}
    for name, reference in features.items():
        seen = live[name]
        if seen.counts.sum() > 0:
            yield from _named(name, _of_any_kind(seen.counts, reference.counts))
            if isinstance(reference, NumericReference):
                yield from _named(name, _of_numbers(seen.counts, reference))
                if reference.stddev <= 0:
                    absent.add(("feature_wasserstein_stddevs", "no_spread"))
        else:
            absent.add(("feature_drift", "no_values"))
        if seen.missing is not None and seen.rows > 0:
            yield from _named(name, _of_missing(seen.missing, seen.rows, reference))
    for figure, reason in sorted(absent):
        yield undefined(figure, reason)


def _named(name: str, figures: Mapping[str, float]) -> Iterator[Sample]:
    for figure, value in figures.items():
        yield sample(f"window_feature_{figure}", (name,), value)


def _noise(n: float, m: float) -> float:
    """Variance of a difference between two samples, in variances of one value."""
    return 1 / n + 1 / m


def _of_any_kind(counts: Floats, reference: Floats) -> dict[str, float]:
    n = float(counts.sum())
    noise = _noise(n, float(reference.sum()))
    figures = {"observations": n}
    chi_square = chi_square_from_counts(counts, reference)
    psi, divergence = psi_from_counts(counts, reference), jensen_shannon_from_counts(counts, reference)
    moved = total_variation_from_counts(counts, reference)
    if chi_square is None or psi is None or divergence is None or moved is None:
        return figures
    figures |= {
        "chisquare": chi_square.statistic,
        "chisquare_pvalue": chi_square.pvalue,
        "cramers_v_ratio": chi_square.cramers_v,
        "total_variation_ratio": moved,
        "psi": psi,
        "psi_expected": chi_square.degrees * noise,
        "jensen_shannon_nats": divergence,
    }
    if chi_square.degrees > 0:
        critical = chi_square_quantile(FALSE_ALARM, chi_square.degrees)
        figures |= {
            "chisquare_critical": critical,
            "psi_critical": critical * noise,
            "jensen_shannon_critical_nats": critical * noise / 8,
        }
    return figures


def _of_numbers(counts: Floats, reference: NumericReference) -> dict[str, float]:
    noise = _noise(float(counts.sum()), float(reference.counts.sum()))
    gaps = reference.gaps
    ks = ks_from_counts(counts, reference.counts, reference.points)
    distance = wasserstein_from_counts(counts, reference.counts, gaps)
    if ks is None or distance is None:
        return {}
    figures = {
        "ks_ratio": ks.statistic,
        "ks_upper_bound_ratio": ks.upper_bound,
        "ks_pvalue": ks.pvalue,
        "ks_critical_ratio": ks_critical(noise, FALSE_ALARM),
        "wasserstein": distance * (reference.stddev if reference.stddev > 0 else 1.0),
    }
    if reference.stddev > 0:
        figures["wasserstein_stddevs"] = distance
        figures["wasserstein_critical_stddevs"] = wasserstein_critical(reference.counts, gaps, noise, FALSE_ALARM)
    return figures


def _of_missing(missing: float, rows: float, reference: FeatureReference) -> dict[str, float]:
    before = float(reference.counts.sum()) + reference.missing
    return {
        "missing_delta_ratio": missing / rows - reference.missing_ratio,
        "missing_zscore": share_change(missing, rows, reference.missing, before),
    }
