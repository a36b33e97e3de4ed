"""Labels: how they join, how late they come."""

from __future__ import annotations

from mlcanary.catalog.spec import MODEL_VERSION, Group, Indicator, Kind, MetricSpec, counter, gauge, row

ROWS: tuple[MetricSpec, ...] = (
    row("label_delay_seconds", Kind.HISTOGRAM, Group.CONTRACT, MODEL_VERSION, "Time from a prediction to its label."),
    counter(
        "label_joins_total",
        (*MODEL_VERSION, "result"),
        "Predictions and labels by outcome of the join: matched, late, duplicate, expired, evicted.",
    ),
    counter(
        "labels_unmatched_total",
        ("model",),
        "Labels without a usable prediction: never seen by this sidecar, failed, or older than label_ttl.",
    ),
    gauge("label_join_pending", MODEL_VERSION, "Predictions that wait for their label."),
    gauge("last_label_timestamp_seconds", MODEL_VERSION, "Event time of the newest label."),
)

INDICATORS: tuple[Indicator, ...] = ()
