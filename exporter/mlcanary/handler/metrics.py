"""The handler's own metrics, with the names and labels of the catalogue.

Guarantee: a family that the catalogue does not hold, or other labels, raise KeyError or ValueError; every
known label set exists from the start, so that the first increment is seen as one. (prometheus-client's own
counters would add a `_created` series to each.)
"""

from __future__ import annotations

import itertools
import platform
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

import mlcanary
from mlcanary.catalog import CATALOG, ROLLBACK_OUTCOMES, Group, Kind, MetricSpec
from mlcanary.handler.core.machines import OPEN_INCIDENTS, RELEASE, ActionState
from mlcanary.handler.core.policy import Reason
from mlcanary.handler.core.releases import OrderKind, OrderState
from mlcanary.handler.settings import TargetPlan

_ROWS = {row.name.removeprefix("mlcanary_"): row for row in CATALOG if row.group is Group.HANDLER}
UNMATCHED = "none"
"""Value of the label `target` for an alert that no target answers for."""

CODES = ("202", "400", "401", "403", "404", "408", "409", "413", "503")
RESULTS = (ActionState.CONFIRMED, ActionState.FAILED, ActionState.CONFLICT, ActionState.UNKNOWN)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HandlerMetrics(Collector):
    """Counters and gauges by short name (without `mlcanary_`). Not thread-safe: one event loop writes."""

    def __init__(self) -> None:
        self._values: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in _ROWS}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        build = (mlcanary.__version__, "unknown", platform.python_version())
        self.set("handler_build_info", 1.0, *build)
        for code in CODES:
            self.add("webhook_requests_total", code, by=0.0)
        self.add("decisions_total", UNMATCHED, "suppress", Reason.UNKNOWN_TARGET, by=0.0)

    def introduce(self, plan: TargetPlan) -> None:
        """Create every known label set of a target."""
        self.add("decisions_total", plan.name, "act", "", by=0.0)
        self.add("decisions_total", plan.name, "attach", "", by=0.0)
        for reason in Reason:
            self.add("decisions_total", plan.name, "suppress", reason, by=0.0)
        for result in RESULTS:
            self.add("effects_total", plan.name, result, by=0.0)
        for outcome in ROLLBACK_OUTCOMES:
            self.add("rollbacks_total", plan.name, plan.model, outcome, by=0.0)
        for state in OPEN_INCIDENTS:
            self.set("incident_open", 0.0, plan.name, state)
        for order, ended in itertools.product(OrderKind, (OrderState.DONE, OrderState.REFUSED)):
            self.add("orders_total", plan.name, order, ended, by=0.0)
        self.add("missed_webhooks_total", plan.name, by=0.0)
        for gauge in ("frozen", "promotions_frozen", "capacity_missing_ratio"):
            self.set(gauge, 0.0, plan.name)
        self.set("quarantined_versions", 0.0, plan.model)
        if plan.mode == "drive":
            for outcome in RELEASE.final_states():
                self.add("releases_total", plan.name, plan.model, outcome, by=0.0)
            self.set("release_hold_deadline_seconds", plan.release.hold_deadline, plan.name)

    def keep(self, plans: Sequence[TargetPlan]) -> None:
        """Drop the gauges of every other target, and of versions that a target no longer has; counters stay."""
        versions = {plan.name: plan.versions for plan in plans}
        for name, row in _ROWS.items():
            if row.kind is Kind.GAUGE and "target" in row.labels:
                self._values[name] = {
                    labels: value
                    for labels, value in self._values[name].items()
                    if _kept(dict(zip(row.labels, labels, strict=True)), versions)
                }

    def add(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Add to a counter."""
        series = self._series(name, labels, Kind.COUNTER)
        series[labels] = series.get(labels, 0.0) + by

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._series(name, labels, Kind.GAUGE)[labels] = value

    def value(self, name: str, *labels: str) -> float:
        """The value of a series, 0 if there is none yet."""
        return self._values[name].get(labels, 0.0)

    def known(self, name: str, *labels: str) -> bool:
        """Whether a series has a value."""
        return labels in self._values[name]

    def collect(self) -> Iterator[Metric]:
        """Families for prometheus-client."""
        for name, row in _ROWS.items():
            kind = CounterMetricFamily if row.kind is Kind.COUNTER else GaugeMetricFamily
            family = kind(row.name.removesuffix("_total"), row.help, labels=row.labels)
            for labels, value in self._values[name].items():
                family.add_metric(labels, value)
            if family.samples:
                yield family

    def render(self) -> bytes:
        """The page, text format 0.0.4."""
        return generate_latest(self._registry)

    def _series(self, name: str, labels: Sequence[str], kind: Kind) -> dict[tuple[str, ...], float]:
        row: MetricSpec = _ROWS[name]
        if row.kind is not kind or len(labels) != len(row.labels):
            raise ValueError(f"{row.name} is a {row.kind} with labels {row.labels}")
        return self._values[name]


def _kept(labels: Mapping[str, str], versions: Mapping[str, Sequence[str]]) -> bool:
    known = versions.get(labels["target"])
    return known is not None and ("version" not in labels or labels["version"] in known)
