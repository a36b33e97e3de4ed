"""The one home of every metric name, label, objective and alert label.

A family without a row here cannot be exported: the renderer builds families from rows only. Tests hold
the shipped rules, the dashboards and the README against this table in both directions.

`CONTRACT` families are counters and static gauges that merge over any number of sidecars: rules use them.
`WINDOW` families are gauges of one sidecar and one window, for people who look at a single process.
`SELF` families tell how the process itself is doing. `HANDLER` families belong to `mlcanary handler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Metric types of the text format."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


class Group(StrEnum):
    """Who reads a family."""

    CONTRACT = "contract"
    WINDOW = "window"
    SELF = "self"
    HANDLER = "handler"


class Role(StrEnum):
    """Part that a version plays in a release. `unassigned` never takes part in a comparison."""

    BASELINE = "baseline"
    CANARY = "canary"
    SHADOW = "shadow"
    UNASSIGNED = "unassigned"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One family as it appears on the wire.

    `name` includes `_total` for counters; histograms and summaries carry the base name. `labels` are in
    wire order, without the `le` of histograms.
    """

    name: str
    kind: Kind
    group: Group
    labels: tuple[str, ...]
    help: str


@dataclass(frozen=True, slots=True)
class Objective:
    """A limit that rules compare against, published as `mlcanary_objective_threshold{objective=name}`."""

    name: str
    default: float
    help: str


OTHER = "other"
"""Label value that stands for everything above a cap (classes, categories, versions)."""

UNKNOWN = "unknown"
"""Label value for a model or version that the record does not name."""

POSITIVE, NEGATIVE = "positive", "negative"
"""Values of the `actual` label on score families."""

NO_PREDICTION = "none"
"""`predicted` value of a request that failed: attempts include failures."""

PREDICTION_FEATURE = "prediction"
"""Reserved feature name under which the model's own score is watched for drift."""

_MV = ("model", "version")
_MVW = ("model", "version", "window")

OBJECTIVES: tuple[Objective, ...] = (
    Objective("accuracy_drop", 0.02, "Accuracy that a canary may lie under its baseline over 1h, absolute."),
    Objective("accuracy_drop_fast", 0.10, "Accuracy that a canary may lie under its baseline over 5m, absolute."),
    Objective("auc_drop", 0.02, "AUC that a canary may lie under its baseline over 1h, absolute."),
    Objective("auc_drop_fast", 0.10, "AUC that a canary may lie under its baseline over 5m, absolute."),
    Objective("log_loss_rise", 0.02, "Log loss that a canary may lie over its baseline over 1h, nats."),
    Objective("log_loss_rise_fast", 0.20, "Log loss that a canary may lie over its baseline over 5m, nats."),
    Objective("error_rise", 0.01, "Share of failed requests that a canary may lie over its baseline over 1h."),
    Objective("error_rise_fast", 0.05, "Share of failed requests that a canary may lie over it over 5m."),
    Objective("min_labels", 200.0, "Labelled predictions (errors: requests) under which no rule compares."),
    Objective("label_coverage", 0.5, "Share of predictions with a label under which no quality rule acts."),
    Objective("error_ratio", 0.001, "Budgeted share of failed requests; the burn-rate rule speaks at 14.4 times it."),
    Objective("feature_psi", 0.2, "Population stability index against the reference that opens a drift ticket."),
    Objective("feature_missing_ratio", 0.05, "Share of predictions that may lack a feature."),
    Objective("quiet_seconds", 900.0, "Seconds without a prediction that are normal: 300 at least, under a day."),
)


def _row(name: str, kind: Kind, group: Group, labels: tuple[str, ...], text: str) -> MetricSpec:
    return MetricSpec(f"mlcanary_{name}", kind, group, labels, text)


def _counter(name: str, labels: tuple[str, ...], text: str, group: Group = Group.CONTRACT) -> MetricSpec:
    return _row(name, Kind.COUNTER, group, labels, text)


def _gauge(name: str, labels: tuple[str, ...], text: str, group: Group = Group.CONTRACT) -> MetricSpec:
    return _row(name, Kind.GAUGE, group, labels, text)


def _window(name: str, labels: tuple[str, ...], text: str) -> MetricSpec:
    return _row(f"window_{name}", Kind.GAUGE, Group.WINDOW, labels, f"{text} This sidecar alone, over the window.")


def _self(name: str, labels: tuple[str, ...], text: str, kind: Kind = Kind.GAUGE) -> MetricSpec:
    return _row(name, kind, Group.SELF, labels, text)


def _handler(name: str, labels: tuple[str, ...], text: str, kind: Kind = Kind.COUNTER) -> MetricSpec:
    return _row(name, kind, Group.HANDLER, labels, text)


CATALOG: tuple[MetricSpec, ...] = (
    # --- contract: what rules and the judge read
    _gauge("model_info", (*_MV, "role", "task"), "Role and task of a model version."),
    _counter("predictions_total", (*_MV, "predicted"), "Requests by predicted class; failed ones as none."),
    _counter("prediction_errors_total", (*_MV, "reason"), "Requests that failed, by status."),
    _row(
        "prediction_latency_seconds",
        Kind.HISTOGRAM,
        Group.CONTRACT,
        _MV,
        "Latency of a request as logged by the model server.",
    ),
    _counter("duplicate_predictions_total", _MV, "Prediction lines dropped since their id was seen before."),
    _counter(
        "labeled_predictions_total",
        (*_MV, "actual", "predicted"),
        "Confusion matrix of predictions whose label arrived and matured.",
    ),
    _counter(
        "labeled_score_bin_total",
        (*_MV, "actual", "bin"),
        "Labelled predictions with the score in the bin; bin is its upper edge.",
    ),
    _counter(
        "labeled_score_below_total",
        (*_MV, "actual", "bin"),
        "Labelled predictions with the score at or under the lower edge of the bin.",
    ),
    _counter("labeled_score_bin_score_total", (*_MV, "bin"), "Sum of scores of labelled predictions in the bin."),
    _row("log_loss", Kind.SUMMARY, Group.CONTRACT, _MV, "Log loss of labelled predictions, nats."),
    _counter("log_loss_squares_total", _MV, "Sum of squared log losses, for the standard error."),
    _counter(
        "feature_bin_total",
        (*_MV, "feature", "bin"),
        "Values of a feature in the bin; bin is its upper edge or its category.",
    ),
    _counter(
        "feature_below_total",
        (*_MV, "feature", "bin"),
        "Values of a numeric feature at or under the lower edge of the bin.",
    ),
    _counter("feature_missing_total", (*_MV, "feature"), "Predictions that lack the feature."),
    _counter("feature_mistyped_total", (*_MV, "feature"), "Values of another type than the reference's."),
    _gauge("feature_reference_ratio", ("model", "feature", "bin"), "Share of the reference in the bin."),
    _gauge(
        "feature_reference_below_ratio",
        ("model", "feature", "bin"),
        "Share of the reference at or under the lower edge of the bin.",
    ),
    _gauge(
        "feature_reference_gap",
        ("model", "feature", "bin"),
        "Distance of the bin's representative from the previous one, in reference standard deviations.",
    ),
    _gauge("feature_reference_observations", ("model", "feature"), "Rows behind the reference of a feature."),
    _gauge(
        "bin_edges_info",
        ("model", "edges"),
        "Hash of the model's bin edges; two values for one model mean that its series must not be merged.",
    ),
    _counter("business_events_total", (*_MV, "event"), "Outcomes such as click or purchase joined to a prediction."),
    _counter("business_value_total", (*_MV, "event", "sign"), "Money of joined outcomes, by sign."),
    _counter("business_value_squares_total", (*_MV, "event"), "Sum of squared values of joined outcomes."),
    _row("label_delay_seconds", Kind.HISTOGRAM, Group.CONTRACT, _MV, "Time from a prediction to its label."),
    _counter(
        "label_joins_total",
        (*_MV, "result"),
        "Predictions and labels by outcome of the join: matched, late, duplicate, expired, evicted.",
    ),
    _counter(
        "labels_unmatched_total",
        ("model",),
        "Labels without a usable prediction: never seen by this sidecar, failed, or older than label_ttl.",
    ),
    _gauge("label_join_pending", _MV, "Predictions that wait for their label."),
    _gauge("last_prediction_timestamp_seconds", _MV, "Event time of the newest prediction."),
    _gauge("last_label_timestamp_seconds", _MV, "Event time of the newest label."),
    _gauge("objective_threshold", ("model", "objective"), "Limits from the configuration that the rules read."),
    # --- windowed gauges of one sidecar
    _window("predictions", _MVW, "Requests, failed ones included."),
    _window("predictions_per_second", _MVW, "Requests per second (QPS)."),
    _window("labels", _MVW, "Labelled predictions."),
    _window("accuracy_ratio", _MVW, "Share of labelled predictions whose class is right."),
    _window("precision_ratio", _MVW, "Precision of the positive class."),
    _window("recall_ratio", _MVW, "Recall of the positive class."),
    _window("f1_ratio", _MVW, "F1 of the positive class."),
    _window("auc_ratio", _MVW, "Area under the ROC curve from the score bins."),
    _window("auc_error_bound_ratio", _MVW, "The exact AUC lies within this distance of auc_ratio."),
    _window("log_loss_nats", _MVW, "Mean log loss."),
    _window("latency_seconds", (*_MVW, "percentile"), "Latency percentile, interpolated in its bucket."),
    _window("feature_ks_ratio", (*_MVW, "feature"), "Kolmogorov-Smirnov distance to the reference, at bin edges."),
    _window(
        "feature_ks_upper_bound_ratio",
        (*_MVW, "feature"),
        "The exact Kolmogorov-Smirnov distance lies between feature_ks_ratio and this.",
    ),
    _window("feature_ks_pvalue", (*_MVW, "feature"), "Asymptotic p-value of feature_ks_ratio."),
    _window("feature_missing_ratio", (*_MVW, "feature"), "Share of predictions that lack the feature."),
    # --- the process itself
    _self("exporter_build_info", ("version", "revision", "pythonversion"), "Build of the exporter."),
    _self("up", ("source",), "1 while the source can be read."),
    _self("log_lines_total", ("source",), "Lines read, broken and blank ones included.", Kind.COUNTER),
    _self("log_read_bytes_total", ("source",), "Bytes of the lines read.", Kind.COUNTER),
    _self(
        "log_parse_errors_total",
        ("source", "reason"),
        "Lines rejected, by reason; the landing page shows the last ones.",
        Kind.COUNTER,
    ),
    _self("log_lag_bytes", ("source",), "Bytes written to the log and not read yet."),
    _self("log_rotations_total", ("source", "kind"), "Rotations followed: rename or truncate.", Kind.COUNTER),
    _self("label_join_capacity", (), "Predictions that the join table can hold before the oldest is evicted."),
    _self(
        "log_lost_total",
        ("source", "reason"),
        "Ends of rotated logs that could not be read: vanished, truncated or compressed.",
        Kind.COUNTER,
    ),
    _self("series", (), "Series of the last page."),
    _self(
        "series_limited_total",
        ("reason",),
        "Distinct names that were folded into other or dropped by a cap.",
        Kind.COUNTER,
    ),
    _self("render_duration_seconds", (), "Time to evaluate the windows and write the last page."),
    _self("checkpoint_timestamp_seconds", (), "When the last checkpoint was made durable; absent without one."),
    _self("checkpoint_duration_seconds", (), "Time that the last checkpoint took."),
    _self("checkpoint_errors_total", (), "Checkpoints that could not be written.", Kind.COUNTER),
    _self("config_last_reload_successful", (), "1 if the last load of the configuration succeeded."),
    _self("config_last_reload_success_timestamp_seconds", (), "When a configuration was last loaded."),
    # --- the rollback handler
    _handler("handler_build_info", ("version", "revision", "pythonversion"), "Build of the handler.", Kind.GAUGE),
    _handler("webhook_requests_total", ("code",), "Webhook calls by HTTP status."),
    _handler("webhook_last_received_timestamp_seconds", (), "When a webhook call was last accepted.", Kind.GAUGE),
    _handler("watchdog_last_received_timestamp_seconds", (), "When MLCanaryWatchdog last came in.", Kind.GAUGE),
    _handler(
        "decisions_total",
        ("target", "decision", "reason"),
        "Decisions on incidents: act, suppress or attach, with the reason.",
    ),
    _handler("effects_total", ("target", "result"), "Changes dispatched to a target, by result."),
    _handler(
        "rollbacks_total",
        ("target", "model", "outcome"),
        "Incidents that ended: resolved (proven by traffic), ineffective, stuck, failed, dry_run.",
    ),
    _handler("rollback_last_timestamp_seconds", ("target",), "When the last effect was applied.", Kind.GAUGE),
    _handler(
        "rollback_duration_seconds",
        ("target", "stage"),
        "Last incident: seconds from webhook to decision, effect and verified.",
        Kind.GAUGE,
    ),
    _handler("incident_open", ("target", "state"), "Open incidents by state.", Kind.GAUGE),
    _handler("frozen", ("target",), "1 while automatic action is frozen.", Kind.GAUGE),
    _handler("target_up", ("target",), "1 if the last observation of the target succeeded.", Kind.GAUGE),
    _handler(
        "target_share_ratio", ("target", "model", "version"), "Configured share of traffic as observed.", Kind.GAUGE
    ),
)

BY_NAME: dict[str, MetricSpec] = {row.name: row for row in CATALOG}

LATENCY_BUCKETS: tuple[float, ...] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper edges of the latency histogram, seconds."""

LABEL_DELAY_BUCKETS: tuple[float, ...] = (
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0, 2592000.0,
)  # fmt: skip
"""Upper edges of the label delay histogram, seconds: one second to thirty days."""

JOIN_RESULTS: tuple[str, ...] = ("matched", "late", "duplicate", "expired", "evicted")
ROLLBACK_OUTCOMES: tuple[str, ...] = ("resolved", "ineffective", "stuck", "failed", "dry_run")
ACTION_LABEL = "action"
ACTION_ROLLBACK = "rollback"
"""An alert asks for a rollback by the label `action="rollback"`; anything else only informs."""
WATCHDOG_ALERT = "MLCanaryWatchdog"
