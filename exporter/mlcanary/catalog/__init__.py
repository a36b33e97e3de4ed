"""The one home of every metric name, label, objective and alert label.

A family without a row here cannot be exported: the renderer builds families from rows only. Tests hold
the shipped rules, the dashboards and the guides against this table in both directions.

Rows lie in one module per concern, each with the indicators (what users ask for by name) that they give.

`CONTRACT` families are counters and static gauges that merge over any number of sidecars: rules use them.
`WINDOW` families are gauges of one sidecar and one window, for people who look at a single process.
`SELF` families tell how the process itself is doing. `HANDLER` families belong to `mlcanary handler`, `JUDGE`
families to `mlcanary judge`.
"""

from __future__ import annotations

from mlcanary.catalog import (
    business,
    drift,
    estimated,
    exporter,
    features,
    joint_drift,
    judge,
    labels,
    quality,
    ranking,
    regression,
    resources,
    rollback,
    sampling,
    score,
    segments,
    traffic,
    users,
)
from mlcanary.catalog.exporter import CLIENT_DROP_REASONS
from mlcanary.catalog.judge import Family, Gate, Verdict
from mlcanary.catalog.objectives import OBJECTIVES
from mlcanary.catalog.sampling import SHEDDING_DIRECTIONS
from mlcanary.catalog.spec import (
    ACTION_LABEL,
    ACTION_ROLLBACK,
    ANSWERED,
    FEATURES,
    JOIN_RESULTS,
    JOINT_DRIFT,
    LABEL_AGES,
    LABEL_DELAY_BUCKETS,
    LATENCY_BUCKETS,
    MODEL_VERSION,
    MODEL_VERSION_WINDOW,
    NEGATIVE,
    NO_PREDICTION,
    OTHER,
    POSITIVE,
    PREDICTION_FEATURE,
    ROLLBACK_OUTCOMES,
    UNKNOWN,
    WATCHDOG_ALERT,
    Group,
    Indicator,
    Kind,
    MetricSpec,
    Objective,
    Role,
    Task,
)

_CONCERNS = (
    traffic,
    quality,
    score,
    regression,
    ranking,
    estimated,
    labels,
    business,
    users,
    features,
    drift,
    joint_drift,
    sampling,
    segments,
    resources,
    exporter,
    judge,
    rollback,
)

CATALOG: tuple[MetricSpec, ...] = tuple(row for concern in _CONCERNS for row in concern.ROWS)
INDICATORS: tuple[Indicator, ...] = tuple(row for concern in _CONCERNS for row in concern.INDICATORS)
BY_NAME: dict[str, MetricSpec] = {row.name: row for row in CATALOG}

__all__ = [
    "ACTION_LABEL",
    "ACTION_ROLLBACK",
    "ANSWERED",
    "BY_NAME",
    "CATALOG",
    "CLIENT_DROP_REASONS",
    "FEATURES",
    "INDICATORS",
    "JOINT_DRIFT",
    "JOIN_RESULTS",
    "LABEL_AGES",
    "LABEL_DELAY_BUCKETS",
    "LATENCY_BUCKETS",
    "MODEL_VERSION",
    "MODEL_VERSION_WINDOW",
    "NEGATIVE",
    "NO_PREDICTION",
    "OBJECTIVES",
    "OTHER",
    "POSITIVE",
    "PREDICTION_FEATURE",
    "ROLLBACK_OUTCOMES",
    "SHEDDING_DIRECTIONS",
    "UNKNOWN",
    "WATCHDOG_ALERT",
    "Family",
    "Gate",
    "Group",
    "Indicator",
    "Kind",
    "MetricSpec",
    "Objective",
    "Role",
    "Task",
    "Verdict",
]
