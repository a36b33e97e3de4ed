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
    counter(
        "feature_missing_total",
        (*MODEL_VERSION, "feature"),
        "Predictions without a usable value of the feature: none, null, or one of another type than the reference's.",
    ),
    counter(
        "feature_mistyped_total",
        (*MODEL_VERSION, "feature"),
        "Values of another type than the reference's; feature_missing counts them too.",
    ),
    counter(
        "feature_values_total",
        (*MODEL_VERSION, "feature", "kind"),
        "Values of a feature by their kind in the log: number, text, boolean, other.",
    ),
    counter(
        "feature_numbers_total",
        (*MODEL_VERSION, "feature"),
        "Finite numbers of at most 1e15 in size: those that the deviations are summed over.",
    ),
    counter(
        "feature_deviation_total",
        (*MODEL_VERSION, "feature", "sign"),
        "Sum of the deviations from feature_center, those above it positive, those below it negative, without sign.",
    ),
    counter(
        "feature_deviation_squares_total",
        (*MODEL_VERSION, "feature"),
        "Sum of the squared deviations from feature_center.",
    ),
    gauge(
        "feature_center",
        (*MODEL_VERSION, "feature"),
        "What deviations are taken from: the mean of the reference, 0 without one.",
    ),
    counter(
        "feature_out_of_range_total",
        (*MODEL_VERSION, "feature"),
        "Numbers under the least or over the greatest of the reference, or beyond 1e15 in size.",
    ),
    counter(
        "feature_unseen_total",
        (*MODEL_VERSION, "feature"),
        "Values of a categorical feature that the reference never had.",
    ),
    counter(
        "feature_unexpected_total",
        (*MODEL_VERSION, "feature"),
        "Predictions with a feature that the reference does not have.",
    ),
    gauge("feature_reference_missing_ratio", ("model", "feature"), "Share of the reference that lacks the feature."),
    gauge("feature_reference_ratio", ("model", "feature", "bin"), "Share of the reference in the bin."),
    gauge(
        "feature_reference_below_ratio",
        ("model", "feature", "bin"),
        "Share of the reference at or under the lower edge of the bin.",
    ),
    gauge(
        "feature_reference_point",
        ("model", "feature", "bin"),
        "1 for a bin that can hold one number only, a spike of the reference: nothing inside of it is unknown.",
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
    window(
        "feature_missing_ratio",
        (*MODEL_VERSION_WINDOW, "feature"),
        "Share of predictions without a usable value of the feature.",
    ),
    window("feature_mean", (*MODEL_VERSION_WINDOW, "feature"), "Mean of a numeric feature."),
    window("feature_variance", (*MODEL_VERSION_WINDOW, "feature"), "Population variance of a numeric feature."),
    window("feature_stddev", (*MODEL_VERSION_WINDOW, "feature"), "Standard deviation of a numeric feature."),
    window("feature_min", (*MODEL_VERSION_WINDOW, "feature"), "Smallest number of a feature."),
    window("feature_max", (*MODEL_VERSION_WINDOW, "feature"), "Largest number of a feature."),
    window(
        "feature_quantile",
        (*MODEL_VERSION_WINDOW, "feature", "percentile"),
        "Quantile of a numeric feature, interpolated in its bin.",
    ),
    window(
        "feature_quantile_lower",
        (*MODEL_VERSION_WINDOW, "feature", "percentile"),
        "The exact quantile is at least this.",
    ),
    window(
        "feature_quantile_upper",
        (*MODEL_VERSION_WINDOW, "feature", "percentile"),
        "The exact quantile is at most this.",
    ),
    window(
        "feature_out_of_range_ratio",
        (*MODEL_VERSION_WINDOW, "feature"),
        "Share of a feature's numbers that lie under the least or over the greatest of the reference.",
    ),
    window(
        "feature_unseen_ratio",
        (*MODEL_VERSION_WINDOW, "feature"),
        "Share of a feature's values that the reference never had.",
    ),
    window(
        "feature_mistyped_ratio",
        (*MODEL_VERSION_WINDOW, "feature"),
        "Share of a feature's values that are of another type than the reference's.",
    ),
    window(
        "feature_category_ratio",
        (*MODEL_VERSION_WINDOW, "feature", "category"),
        "Share of a feature's values that are this category.",
    ),
    window(
        "schema_changes",
        (*MODEL_VERSION_WINDOW, "change"),
        "Features that are new to the reference, missing in every prediction, or mistyped in most.",
    ),
)

_VALUE = "model_version_feature:mlcanary_feature_value:"
_NUMPY = "NumPy {} of the finite numbers of at most 1e15 in size"
_ROUNDING = "exact; without a reference up to rounding of the squared mean"

INDICATORS: tuple[Indicator, ...] = (
    Indicator("Feature mean", "window_feature_mean", (f"{_VALUE}mean<W>",), "exact", _NUMPY.format("mean")),
    Indicator(
        "Feature variance", "window_feature_variance", (f"{_VALUE}variance<W>",), _ROUNDING, _NUMPY.format("var")
    ),
    Indicator(
        "Feature standard deviation", "window_feature_stddev", (f"{_VALUE}stddev<W>",), _ROUNDING, _NUMPY.format("std")
    ),
    Indicator(
        "Feature minimum",
        "window_feature_min",
        (f"{_VALUE}min<W>",),
        "exact over what each sidecar has seen since it started",
        "NumPy: min of the finite numbers",
    ),
    Indicator(
        "Feature maximum",
        "window_feature_max",
        (f"{_VALUE}max<W>",),
        "exact over what each sidecar has seen since it started",
        "NumPy: max of the finite numbers",
    ),
    Indicator(
        "Feature median and other quantiles",
        "window_feature_quantile",
        tuple(f"{_VALUE}p{percentile}_<W>" for percentile in ("05", "25", "50", "75", "95")),
        "within window_feature_quantile_lower and window_feature_quantile_upper; recorded: within the same inner bin",
        "Hyndman & Fan 1996, definition 1; interpolated as histogram_quantile does",
    ),
    Indicator(
        "Feature missing rate",
        "window_feature_missing_ratio",
        ("model_version_feature:mlcanary_feature_missing:ratio<W>",),
        "exact",
        "share of answered requests without the feature, with null or a value of another type than the reference's",
    ),
    Indicator(
        "Feature missing rate against the reference",
        "",
        ("model_version_feature:mlcanary_feature_missing:ratio_delta<W>",),
        "exact",
        "missing rate minus that of the reference",
    ),
    Indicator(
        "Feature out-of-range rate",
        "window_feature_out_of_range_ratio",
        ("model_version_feature:mlcanary_feature_out_of_range:ratio<W>",),
        "exact",
        "share of the finite numbers under min or over max of the reference",
    ),
    Indicator(
        "Unseen categories",
        "window_feature_unseen_ratio",
        ("model_version_feature:mlcanary_feature_unseen:ratio<W>",),
        "exact where the reference had at most 10,000 further names, else absent",
        "share of the values whose name is not in the reference",
    ),
    Indicator(
        "Category shares",
        "window_feature_category_ratio",
        ("model_version_feature_bin:mlcanary_feature_bin:ratio_rate<W>",),
        "exact; names without a bin together as other",
        "relative frequency",
    ),
    Indicator(
        "Value kinds",
        "",
        ("model_version_feature_kind:mlcanary_feature_values:ratio<W>",),
        "exact",
        "share of the values that are a number, a text, a boolean or other in JSON",
    ),
    Indicator(
        "Mistyped values",
        "window_feature_mistyped_ratio",
        ("model_version_feature:mlcanary_feature_mistyped:ratio<W>",),
        "exact",
        "share of the values of another type than the reference's",
    ),
    Indicator(
        "Schema changes",
        "window_schema_changes",
        (
            "model_version:mlcanary_feature_schema:new<W>",
            "model_version:mlcanary_feature_schema:missing<W>",
            "model_version:mlcanary_feature_schema:mistyped<W>",
        ),
        "exact up to the cap on features, above which new ones count as one",
        "features new to the reference, missing in all requests, or mistyped in more than half of their values",
    ),
)
