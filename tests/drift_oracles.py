"""Drift figures of two binned samples by scipy, from counts that the caller made of raw values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import rel_entr
from scipy.stats.contingency import association

Floats = NDArray[np.float64]

ALPHA = 1e-5
FLOOR = 1e-4


def bin_of(values: Sequence[float], edges: Floats) -> Floats:
    """Counts per bin, closed above."""
    return np.bincount(np.digitize(values, edges, right=True), minlength=edges.size + 1).astype(np.float64)


def of_any_kind(live: Floats, reference: Floats) -> dict[str, float]:
    """Figures that need no order of the bins, by the name of the gauge without `window_feature_`."""
    n, m = live.sum(), reference.sum()
    noise = 1 / n + 1 / m
    table = np.array([live, reference])
    table = table[:, table.any(axis=0)]
    p, q = live / n, reference / m
    shares = table / table.sum(axis=1, keepdims=True)
    figures = {
        "observations": n,
        "psi": _psi(np.maximum(p, FLOOR), np.maximum(q, FLOOR)),
        "le_cam_ratio": stats.chi2_contingency(shares, correction=False).statistic / 2,
        "total_variation_ratio": float(np.minimum(p, q).sum() * -1 + 1),
    }
    chisquare, pvalue, degrees, _ = stats.chi2_contingency(table, correction=False)
    figures |= {"chisquare": chisquare, "chisquare_pvalue": pvalue, "psi_expected": degrees * noise}
    figures["cramers_v_ratio"] = math.sqrt(chisquare / table.sum())
    figures["bin_zscore"] = max(arcsine_zscore(a, n, b, m) for a, b in zip(live, reference, strict=True))
    figures["bin_zscore_critical"] = float(stats.norm.isf(ALPHA / table.shape[1]))
    if degrees > 0:
        critical = float(stats.chi2.isf(ALPHA, degrees))
        figures["chisquare_critical"] = critical
        figures["psi_critical"] = critical * noise
        figures["le_cam_critical_ratio"] = critical * noise / 4
        if (table == np.round(table)).all():
            figures["cramers_v_ratio"] = association(table.astype(int), method="cramer", correction=False)
    return figures


def of_numbers(live: Floats, reference: Floats, edges: Floats, means: Floats, stddev: float) -> dict[str, float]:
    """Figures along the order of the bins; `means` of the reference in each bin."""
    n, m = live.sum(), reference.sum()
    noise, places = float(1 / n + 1 / m), np.arange(live.size, dtype=np.float64)
    # One sample may lie at the end of its bin and the other at the start, where a bin holds more than one number.
    alone = np.append(np.nextafter(np.append(-np.inf, edges[:-1]), np.inf) == edges, False)
    later: Floats = places + np.where(alone, 0.0, 0.5)
    rise = _ks(later, places, live, reference), _ks(places, later, live, reference)
    distance = _ks(places, places, live, reference)
    size = math.sqrt(1 / noise)
    raw = stats.wasserstein_distance(means, means, live, reference)
    figures = {
        "ks_ratio": distance,
        "ks_upper_bound_ratio": max(rise),
        "ks_pvalue": float(stats.kstwobign.sf((size + 0.12 + 0.11 / size) * distance)),
        "ks_critical_ratio": float(stats.kstwobign.isf(ALPHA)) / size,
        "wasserstein": raw,
    }
    if stddev > 0:
        figures["wasserstein_stddevs"] = raw / stddev
        figures["wasserstein_critical_stddevs"] = wasserstein_quantile(reference, means / stddev, noise)
    return figures


def wasserstein_quantile(counts: Floats, places: Floats, noise: float) -> float:
    """Mean of the integrated Brownian bridge, and Borell's bound with Hoeffding's double integral for the variance."""
    under, steps = (np.cumsum(counts) / counts.sum())[:-1], np.diff(places)
    mean = math.sqrt(2 / math.pi) * float((np.sqrt(under * (1 - under)) * steps).sum())
    covariance = np.minimum.outer(under, under) - np.multiply.outer(under, under)
    variance = float(steps @ covariance @ steps)
    return math.sqrt(noise) * (mean + math.sqrt(variance) * float(stats.norm.isf(ALPHA)))


def share_zscore(live: float, rows: float, reference: float, reference_rows: float) -> float:
    """The smaller of the arcsine and the pooled z-score of two counts."""
    p = (live + reference + 3 / 4) / (rows + reference_rows + 3 / 2)
    spread = math.hypot(math.sqrt(p * (1 - p) / rows), math.sqrt(p * (1 - p) / reference_rows))
    scores = (
        (live / rows - reference / reference_rows) / spread,
        arcsine_zscore(live, rows, reference, reference_rows),
    )
    return min(scores, key=abs)


def arcsine_zscore(live: float, rows: float, reference: float, reference_rows: float) -> float:
    """Difference of two counts after Anscombe's transformation, in standard errors."""
    angles = [
        2 * math.asin(math.sqrt((k + 3 / 8) / (n + 3 / 4))) for k, n in ((live, rows), (reference, reference_rows))
    ]
    return (angles[0] - angles[1]) / math.hypot(1 / math.sqrt(rows + 1 / 2), 1 / math.sqrt(reference_rows + 1 / 2))


def _psi(p: Floats, q: Floats) -> float:
    return float((rel_entr(p, q) + rel_entr(q, p)).sum())


def _ks(a: Floats, b: Floats, live: Floats, reference: Floats) -> float:
    """Distance of values at places `a` and `b`, as often as counted."""
    x, y = (np.repeat(places, counts.astype(int)) for places, counts in ((a, live), (b, reference)))
    return float(stats.ks_2samp(x, y, method="asymp").statistic)
