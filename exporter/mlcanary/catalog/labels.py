"""Labels: how they join, how late they come, what they say early, and what they say of cohorts of equal age."""

from __future__ import annotations

from mlcanary.catalog.spec import (
    MODEL_VERSION,
    MODEL_VERSION_WINDOW,
    Group,
    Indicator,
    Kind,
    MetricSpec,
    counter,
    gauge,
    row,
    window,
)

_PROVISIONAL = (
    "Provisional: from the first labels of predictions that are not mature yet, so biased by whatever comes sooner. "
    "Nobody acts on it, and it is absent where the model has no maturity."
)

ROWS: tuple[MetricSpec, ...] = (
    row("label_delay_seconds", Kind.HISTOGRAM, Group.CONTRACT, MODEL_VERSION, "Time from a prediction to its label."),
    counter(
        "label_joins_total",
        (*MODEL_VERSION, "result"),
        "Predictions and labels by outcome of the join: matched, assumed, late, duplicate, expired, evicted.",
    ),
    counter(
        "labels_unmatched_total",
        ("model",),
        "Labels without a usable prediction: never seen by this sidecar, failed, or older than label_ttl.",
    ),
    gauge("label_join_pending", MODEL_VERSION, "Predictions that wait for their label."),
    gauge("label_maturity_seconds", ("model",), "Age at which a prediction counts with its final label; 0: at once."),
    gauge("last_label_timestamp_seconds", MODEL_VERSION, "Event time of the newest label."),
    counter(
        "label_age_predictions_total",
        MODEL_VERSION,
        "Answered predictions whose wait is over: a cohort of equal age.",
    ),
    counter(
        "label_age_labeled_total",
        (*MODEL_VERSION, "age"),
        "Those of the cohort whose final label had come when they were so many seconds old; ages up to the wait.",
    ),
    counter(
        "mature_labels_total",
        (*MODEL_VERSION, "actual"),
        "Final labels, positive or negative, of answered predictions whose wait is over.",
    ),
    counter("provisional_labeled_predictions_total", (*MODEL_VERSION, "actual", "predicted"), _PROVISIONAL),
    counter("provisional_labels_total", (*MODEL_VERSION, "actual"), _PROVISIONAL),
    window(
        "label_delay_seconds",
        (*MODEL_VERSION_WINDOW, "percentile"),
        "Median delay of the labels that came, interpolated in its bucket.",
    ),
    window(
        "label_coverage_ratio",
        (*MODEL_VERSION_WINDOW, "age"),
        "Share of predictions whose wait is over that had their final label when they were so many seconds old.",
    ),
    window(
        "mature_positive_ratio",
        (*MODEL_VERSION_WINDOW, "among"),
        "Share of positive final labels among predictions whose wait is over: among the labelled, or among all, where "
        "a missing label is no positive one.",
    ),
    window("provisional_labels", MODEL_VERSION_WINDOW, f"Labels so far. {_PROVISIONAL}"),
    window("provisional_accuracy_ratio", MODEL_VERSION_WINDOW, f"Accuracy so far. {_PROVISIONAL}"),
    window(
        "provisional_positive_ratio",
        (*MODEL_VERSION_WINDOW, "among"),
        f"Share of positive labels so far, among the labelled or all answered predictions. {_PROVISIONAL}",
    ),
)

_VERSION = "model_version:mlcanary_"
_MATURE = tuple(
    f"{_VERSION}mature_labels:{share}{part}<W>"
    for share in ("positive_ratio", "positive_per_prediction")
    for part in ("", "_stderr", "_delta", "_zscore")
)

INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "label coverage by age",
        "window_label_coverage_ratio",
        ("model_version_age:mlcanary_label_age:coverage<W>",),
        "exact",
        "empirical distribution function of the delay over a fully observed cohort (Lawless 2003, 3.2)",
    ),
    Indicator(
        "median label delay",
        "window_label_delay_seconds",
        (f"{_VERSION}label_delay_seconds:p50_<W>",),
        "within its bucket of mlcanary_label_delay_seconds_bucket",
        "histogram_quantile of Prometheus",
    ),
    Indicator(
        "mature positive rate",
        "window_mature_positive_ratio",
        _MATURE,
        "exact",
        "proportion of a cohort of equal age; difference and z-score of two proportions, unpooled (Wald)",
    ),
    Indicator(
        "provisional labels",
        "window_provisional_labels",
        (f"{_VERSION}provisional_labeled_predictions:count<W>",),
        "exact count of a biased sample",
        "count of first labels",
    ),
    Indicator(
        "provisional accuracy",
        "window_provisional_accuracy_ratio",
        (f"{_VERSION}provisional_labeled_predictions:accuracy<W>",),
        "exact figure of a biased sample",
        "sklearn.metrics.accuracy_score over first labels",
    ),
    Indicator(
        "provisional positive rate",
        "window_provisional_positive_ratio",
        (f"{_VERSION}provisional_labels:positive_ratio<W>", f"{_VERSION}provisional_labels:positive_per_prediction<W>"),
        "exact figure of a biased sample",
        "proportion of first labels",
    ),
)
