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
    counter("duplicate_predictions_total", MODEL_VERSION, "Prediction lines dropped since their id was seen before."),
    gauge("last_prediction_timestamp_seconds", MODEL_VERSION, "Event time of the newest prediction."),
    gauge("objective_threshold", ("model", "objective"), "Limits from the configuration that the rules read."),
    window("predictions", MODEL_VERSION_WINDOW, "Requests, failed ones included."),
    window("predictions_per_second", MODEL_VERSION_WINDOW, "Requests per second (QPS)."),
    window("latency_seconds", (*MODEL_VERSION_WINDOW, "percentile"), "Latency percentile, interpolated in its bucket."),
)

INDICATORS: tuple[Indicator, ...] = ()
