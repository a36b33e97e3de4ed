"""An hour of a simulated release as blocks of a Prometheus: every family of the catalogue has series."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from business_history import add_business
from measure_inputs import feed, plan_of
from mlcanary.catalog import BY_NAME, CATALOG, OBJECTIVES, Group, Kind, MetricSpec
from mlcanary.measures.registry import MEASURES
from prometheus_tools import run
from promtool_cases import series_name
from simulated_release import BASELINE, CANARY, MODEL, Scrapes, count, facts, simulate

HISTORY, STEP = 4500.0, 30.0
TIMES = 60.0
"""What a measure was fed comes so often in the history, so that short windows hold enough of it to be shown."""
PLACE = {"cluster": "eu", "namespace": "shop"}
VALUES = {
    "model": MODEL,
    "version": CANARY,
    **PLACE,
    "verdict": "hold",
    "baseline": BASELINE,
    "gate": "label_coverage",
    "direction": "down",
    "dataset": "predictions",
    "family": "quality",
    "measure": "log_loss",
    "arm": "canary",
    "source": "/var/log/clicks.jsonl",
    "reason": "json",
    "kind": "rename",
    "target": "router",
    "state": "verifying",
    "stage": "effect",
    "outcome": "resolved",
    "order": "rollback",
    "receiver": "slack",
    "decision": "act",
    "result": "confirmed",
    "code": "202",
    "feature": "amount",
    "window": "5m",
    "percentile": "95",
    "actual": "positive",
    "age": "3600",
    "among": "all",
    "bin": "+Inf",
    "by": "actual",
    "figure": "ndcg",
    "k": "10",
    "predicted": "positive",
    "attribution": "device",
    "bucket": "0",
    "category": "DE",
    "center": "0.0",
    "change": "new",
    "class": "1",
    "day": "today",
    "event": "purchase",
    "gpu": "0",
    "meaning": "conversion",
    "segment": "country",
    "sign": "positive",
    "value": "DE",
    "revision": "abc",
    "pythonversion": "3.11",
}
"""A value of each label, for families that the simulation does not count."""


def scrapes() -> Scrapes:
    """All series until now, at instants in seconds before now."""
    history = Scrapes(np.arange(-HISTORY, 0.0, STEP))
    rng = np.random.default_rng(5)
    releases = (
        simulate(BASELINE, rng, start=-2 * HISTORY, end=0, per_second=6, bad=False),
        simulate(CANARY, rng, start=-2 * HISTORY, end=0, per_second=1.5, bad=True),
    )
    count(history, releases)
    facts(history)
    add_business(history)
    _canary_role_since(history, -1800.0)
    _own_limits(history)
    _told_apart(history)
    _values(history)
    _measured(history)
    present = {name for name, _ in history.series}
    for row in CATALOG:
        if not any(name in present for name in (row.name, f"{row.name}_sum", f"{row.name}_bucket")):
            _anything(history, row)
    firing = {"alertname": "MLCanaryAccuracyBelowBaseline", "alertstate": "firing", "action": "rollback"}
    history.put("ALERTS", 1.0, **firing, model=MODEL, version=CANARY, window="1h", severity="critical")
    return history


def _canary_role_since(history: Scrapes, start: float) -> None:
    """Before `start` the canary had no role."""
    for (name, labels), values in history.series.items():
        if name == "mlcanary_model_info" and ("role", "canary") in labels:
            history.series[name, labels] = np.where(history.instants < start, np.nan, values)


def _own_limits(history: Scrapes) -> None:
    """One feature has limits of its own."""
    labels = {"job": "mlcanary-exporter", "instance": "sidecar-0:10877", "model": MODEL, "feature": VALUES["feature"]}
    for row in OBJECTIVES:
        if row.per_feature:
            history.put("mlcanary_feature_objective_threshold", row.default / 2, **labels, objective=row.name)


def _told_apart(history: Scrapes) -> None:
    """A discriminator that tells live rows from the reference: the simulation feeds too little for one."""
    for version, auc in ((BASELINE, 0.5), (CANARY, 0.6)):
        labels = {"job": "mlcanary-exporter", "instance": "sidecar-0:10877", "model": MODEL, "version": version}
        rows = 2.0 * (history.instants + HISTORY)
        history.put("mlcanary_c2st_rows_total", rows, **labels)
        history.put("mlcanary_c2st_placement_total", auc * rows, **labels)
        history.put("mlcanary_c2st_placement_squares_total", (auc**2 + 1 / 12) * rows, **labels)
        history.put("mlcanary_c2st_reference_rows", 2000.0, **labels)


def _values(history: Scrapes) -> None:
    """The values of the simulated feature beside its bins."""
    grown = 2.0 * (history.instants + HISTORY)
    for version in (BASELINE, CANARY):
        labels = {"job": "mlcanary-exporter", "instance": "sidecar-0:10877", "model": MODEL, "version": version}
        labels |= {"feature": "amount"}
        history.put("mlcanary_feature_numbers_total", grown, **labels)
        history.put("mlcanary_feature_center", 50.0, **labels)
        history.put("mlcanary_feature_deviation_squares_total", 100.0 * grown, **labels)
        for sign, size in (("positive", 5.0), ("negative", 4.0)):
            history.put("mlcanary_feature_deviation_total", size * grown, **labels, sign=sign)


def _measured(history: Scrapes) -> None:
    """What measures show whose families the simulation does not count: both versions, counters that grow evenly."""
    simulated = {name for name, _ in history.series}
    for kind in MEASURES:
        for version, offset in ((BASELINE, 0), (CANARY, 40)):
            measure = feed(kind(plan_of(kind)), 60, offset)
            for name, suffix, own, value in (*measure.counters(), *measure.facts(100.0)):
                spec = BY_NAME[name]
                if name + suffix in simulated:
                    continue
                labels = dict(zip((*spec.labels, "le"), (MODEL, version, *own), strict=False))
                constant = spec.kind is Kind.GAUGE
                values = value if constant else TIMES * value * (history.instants + HISTORY) / HISTORY
                history.put(name + suffix, values, job="mlcanary-exporter", instance="sidecar-0:10877", **labels)


def _anything(history: Scrapes, row: MetricSpec) -> None:
    """One series of a family: a counter that grows, a gauge of one."""
    side = row.group.value if row.group in {Group.HANDLER, Group.JUDGE} else "exporter"
    labels = {"job": f"mlcanary-{side}", "instance": f"{side}:10877"} | {name: VALUES[name] for name in row.labels}
    growing = row.kind is Kind.COUNTER
    history.put(row.name, (history.instants + HISTORY) * 0.1 if growing else 1.0, **labels)


def write_blocks(folder: Path, history: Scrapes, now: float) -> None:
    """Blocks in `folder`. Values that end in `_timestamp_seconds` become half a minute old."""
    path = folder.with_suffix(".openmetrics")
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_lines(history, now))
    status, output = run("promtool", "tsdb", "create-blocks-from", "openmetrics", path, folder)
    assert status == 0, output
    path.unlink()


def _lines(history: Scrapes, now: float) -> Iterator[str]:
    for (name, labels), values in history.series.items():
        series = series_name(name, {**PLACE, **dict(labels)})
        recent = now - 30.0 if name.endswith("_timestamp_seconds") else None
        for instant, value in zip(history.instants.tolist(), values.tolist(), strict=True):
            if not math.isnan(value):
                yield f"{series} {value if recent is None else recent!r} {now + instant:.3f}\n"
    yield "# EOF\n"
