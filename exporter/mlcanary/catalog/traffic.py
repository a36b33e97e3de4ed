"""Traffic: requests, failures, latency, and who plays which part."""

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

ROWS: tuple[MetricSpec, ...] = (
    gauge("model_info", (*MODEL_VERSION, "role", "task"), "Role and task of a model version."),
    counter("predictions_total", (*MODEL_VERSION, "predicted"), "Requests by predicted class; failed ones as none."),
    counter("prediction_errors_total", (*MODEL_VERSION, "reason"), "Requests that failed, by status."),
    row(
        "prediction_latency_seconds",
        Kind.HISTOGRAM,
        Group.CONTRACT,
        MODEL_VERSION,
        "Latency of a request as logged by the model server.",
    ),
    row(
        "prediction_queue_seconds",
        Kind.HISTOGRAM,
        Group.CONTRACT,
        MODEL_VERSION,
        "Time that a request waited before the model, as logged; absent until one was logged.",
    ),
    counter("duplicate_predictions_total", MODEL_VERSION, "Prediction lines dropped since their id was seen before."),
    gauge("last_prediction_timestamp_seconds", MODEL_VERSION, "Event time of the newest prediction."),
    gauge("objective_threshold", ("model", "objective"), "Limits from the configuration that the rules read."),
    gauge(
        "feature_objective_threshold",
        ("model", "objective", "feature"),
        "Limits of single features, where they are not those of the model.",
    ),
    window("predictions", MODEL_VERSION_WINDOW, "Requests, failed ones included."),
    window("predictions_per_second", MODEL_VERSION_WINDOW, "Requests per second (QPS)."),
    window("prediction_errors_ratio", (*MODEL_VERSION_WINDOW, "reason"), "Share of requests that failed, by status."),
    window("latency_seconds", (*MODEL_VERSION_WINDOW, "percentile"), "Latency percentile, interpolated in its bucket."),
    window("queue_seconds", (*MODEL_VERSION_WINDOW, "percentile"), "Queue time percentile, interpolated in a bucket."),
)

_BUCKET = "off by less than the width of its bucket (le of {}_bucket)"
_INTERPOLATION = "linear interpolation inside the bucket: histogram_quantile of Prometheus"

INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "requests per second (QPS)",
        "window_predictions_per_second",
        ("model_version:mlcanary_predictions:rate<W>",),
        "exact",
        "requests / seconds, failed ones included",
    ),
    Indicator(
        "failed requests by reason",
        "window_prediction_errors_ratio",
        (
            "model_version_reason:mlcanary_prediction_errors:ratio<W>",
            "model_version:mlcanary_prediction_errors:ratio<W>",
        ),
        "exact",
        "failed requests of a status / all requests",
    ),
    Indicator(
        "latency p50, p95, p99",
        "window_latency_seconds",
        tuple(f"model_version:mlcanary_prediction_latency_seconds:p{q}_<W>" for q in (50, 95, 99)),
        _BUCKET.format("mlcanary_prediction_latency_seconds"),
        _INTERPOLATION,
    ),
    Indicator(
        "queue time p50, p95",
        "window_queue_seconds",
        tuple(f"model_version:mlcanary_prediction_queue_seconds:p{q}_<W>" for q in (50, 95)),
        _BUCKET.format("mlcanary_prediction_queue_seconds"),
        _INTERPOLATION,
    ),
)
