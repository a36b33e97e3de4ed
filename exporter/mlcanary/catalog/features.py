"""Features: their values, what is missing or wrong, and the reference they are held against."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, MODEL_VERSION_WINDOW, Indicator, MetricSpec, counter, gauge, window

ROWS: tuple[MetricSpec, ...] = (
    counter(
        "feature_bin_total",
        (*MODEL_VERSION, "feature", "bin"),
        "Values of a feature in the bin; bin is its upper edge or its category.",
    ),
    counter(
        "feature_below_total",
        (*MODEL_VERSION, "feature", "bin"),
        "Values of a numeric feature at or under the lower edge of the bin.",
    ),
    counter("feature_missing_total", (*MODEL_VERSION, "feature"), "Predictions that lack the feature."),
    counter("feature_mistyped_total", (*MODEL_VERSION, "feature"), "Values of another type than the reference's."),
    gauge("feature_reference_ratio", ("model", "feature", "bin"), "Share of the reference in the bin."),
    gauge(
        "feature_reference_below_ratio",
        ("model", "feature", "bin"),
        "Share of the reference at or under the lower edge of the bin.",
    ),
    gauge(
        "feature_reference_gap",
        ("model", "feature", "bin"),
        "Distance of the bin's representative from the previous one, in reference standard deviations.",
    ),
    gauge("feature_reference_observations", ("model", "feature"), "Rows behind the reference of a feature."),
    gauge(
        "bin_edges_info",
        ("model", "edges"),
        "Hash of the model's bin edges; two values for one model mean that its series must not be merged.",
    ),
    window("feature_missing_ratio", (*MODEL_VERSION_WINDOW, "feature"), "Share of predictions that lack the feature."),
)

INDICATORS: tuple[Indicator, ...] = ()
