"""What a row of the catalogue is, and the words that rows and rules share."""

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
    JUDGE = "judge"


class Role(StrEnum):
    """Part that a version plays in a release. `unassigned` never takes part in a comparison."""

    BASELINE = "baseline"
    CANARY = "canary"
    SHADOW = "shadow"
    UNASSIGNED = "unassigned"


class Task(StrEnum):
    """What a model answers: decides which quality figures are measured."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    RANKING = "ranking"


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
    """A limit that rules compare against, published as `mlcanary_objective_threshold{objective=name}`.

    What makes sense lies between `low` and `high`, both included: of the limits that sidecars of a model publish the
    largest counts, so that a slip in one would switch an alert off for all. `per_feature`: it speaks of each feature,
    of which one may have a limit of its own, published as `mlcanary_feature_objective_threshold{objective=name}`.
    """

    name: str
    default: float
    help: str
    low: float = 0.0
    high: float = 1.0
    per_feature: bool = False


@dataclass(frozen=True, slots=True)
class Indicator:
    """A figure that users ask for by name: one row of the table in docs/metrics.md.

    `metric` is the gauge of one sidecar (without the prefix `mlcanary_`), "" if there is none. `recorded` are the
    series that the rules record from the counters of all sidecars, with `<W>` for the window; none if it cannot be
    merged. `exact` says "exact" or names the bound; `source` is the definition: a paper, an equation, a library.
    """

    name: str
    metric: str
    recorded: tuple[str, ...]
    exact: str
    source: str


OTHER = "other"
"""Label value that stands for everything above a cap (classes, categories, versions)."""

UNKNOWN = "unknown"
"""Label value for a model or version that the record does not name."""

POSITIVE, NEGATIVE = "positive", "negative"
"""Values of the `actual` label on score families."""

NO_PREDICTION = "none"
"""`predicted` value of a request that failed: attempts include failures."""

ANSWERED = "answered"
"""`predicted` value of a request that was answered with a number or a ranking: those have no classes."""

PREDICTION_FEATURE = "prediction"
"""Reserved feature name under which the model's own score is watched for drift."""

MODEL_VERSION = ("model", "version")
MODEL_VERSION_WINDOW = ("model", "version", "window")


def row(name: str, kind: Kind, group: Group, labels: tuple[str, ...], text: str) -> MetricSpec:
    """A family of any kind; `name` without the prefix."""
    return MetricSpec(f"mlcanary_{name}", kind, group, labels, text)


def counter(name: str, labels: tuple[str, ...], text: str) -> MetricSpec:
    """A counter that merges over sidecars."""
    return row(name, Kind.COUNTER, Group.CONTRACT, labels, text)


def gauge(name: str, labels: tuple[str, ...], text: str) -> MetricSpec:
    """A gauge that rules read."""
    return row(name, Kind.GAUGE, Group.CONTRACT, labels, text)


def window(name: str, labels: tuple[str, ...], text: str) -> MetricSpec:
    """A gauge of one sidecar and one window."""
    return row(f"window_{name}", Kind.GAUGE, Group.WINDOW, labels, f"{text} This sidecar alone, over the window.")


def own(name: str, labels: tuple[str, ...], text: str, kind: Kind = Kind.GAUGE) -> MetricSpec:
    """What the exporter says about itself."""
    return row(name, kind, Group.SELF, labels, text)


def handler(name: str, labels: tuple[str, ...], text: str, kind: Kind = Kind.COUNTER) -> MetricSpec:
    """What the handler says about itself."""
    return row(name, kind, Group.HANDLER, labels, text)


LATENCY_BUCKETS: tuple[float, ...] = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper edges of the latency histogram, seconds."""

LABEL_DELAY_BUCKETS: tuple[float, ...] = (
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0, 2592000.0,
)  # fmt: skip
"""Upper edges of the label delay histogram, seconds: one second to thirty days."""

LABEL_AGES: tuple[float, ...] = (
    60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0, 259200.0, 604800.0, 2592000.0,
)  # fmt: skip
"""Ages at which the label coverage of a cohort is read, seconds; a model has those up to the end of its wait."""

JOIN_RESULTS: tuple[str, ...] = ("matched", "assumed", "late", "duplicate", "expired", "evicted")
ROLLBACK_OUTCOMES: tuple[str, ...] = ("resolved", "ineffective", "stuck", "failed", "dry_run")
ACTION_LABEL = "action"
ACTION_ROLLBACK = "rollback"
"""An alert asks for a rollback by the label `action="rollback"`; anything else only informs."""
FEATURES, JOINT_DRIFT = "features", "joint_drift"
"""Stages that may look at a share of the rows."""
WATCHDOG_ALERT = "MLCanaryWatchdog"
