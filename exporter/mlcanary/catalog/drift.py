"""Drift: how far features lie from the reference."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION_WINDOW, Indicator, MetricSpec, window

ROWS: tuple[MetricSpec, ...] = (
    window(
        "feature_ks_ratio",
        (*MODEL_VERSION_WINDOW, "feature"),
        "Kolmogorov-Smirnov distance to the reference, at bin edges.",
    ),
    window(
        "feature_ks_upper_bound_ratio",
        (*MODEL_VERSION_WINDOW, "feature"),
        "The exact Kolmogorov-Smirnov distance lies between feature_ks_ratio and this.",
    ),
    window("feature_ks_pvalue", (*MODEL_VERSION_WINDOW, "feature"), "Asymptotic p-value of feature_ks_ratio."),
)

INDICATORS: tuple[Indicator, ...] = ()
