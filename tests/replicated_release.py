"""What Prometheus scrapes from seven sidecars that restart at random, as promtool test series.

Each sidecar is the real monitor over its share of the records. A restart comes right after a scrape and loses the
state, so its counters begin again at zero. Prometheus cannot count what a series already held when it saw it first;
that loss is documented and none of the rules' business, so a counter is filled with zeros from the start of each life.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kept_joins import KeptJoin
from mlcanary.catalog import BY_NAME, Kind, Role
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, Record, Sample
from promtool_cases import Labels, Values, case, check, expression, near, series_name
from side_by_side import placed

REPLICAS, STEP, END, WARM_UP = 7, 15, 3600, 1800
START = 1_800_000_000.0
"""Unix seconds of promtool's time 0; records may begin `WARM_UP` seconds before it."""

WINDOWS = {"5m": 300.0, "1h": 3600.0}
RESTARTS_PER_SIDECAR = 2
HERE = {"cluster": "here", "namespace": "here"}
ELSEWHERE = ({"cluster": "elsewhere"}, {"namespace": "elsewhere"}, {"model": "another"})
_GROWING = {Kind.COUNTER, Kind.HISTOGRAM, Kind.SUMMARY}


class Expected(NamedTuple):
    """A recorded series, its value from the raw events, and how far the two may lie apart (relative above 1)."""

    name: str
    value: float
    labels: Labels
    within: float = 1e-9


def replica_of(record: Record) -> int:
    """The sidecar that reads a record: labels lie in the log of their prediction."""
    name = record.id if record.id is not None else repr(record.ts)
    return hashlib.blake2b(str(name).encode(), digest_size=2).digest()[0] % REPLICAS


def scraped(
    plan: MonitorPlan, records: Sequence[Record], *, seed: int = 1, families: Iterable[str] = (), joins: bool = False
) -> dict[str, Values]:
    """Series of all sidecars at promtool times 0, 15 s ... 1 h. `families`: window gauges wanted, without prefix.

    `joins`: a restart keeps the join table, and loses everything that was counted.
    """
    wanted = {f"mlcanary_window_{name}" for name in families}
    plan = plan if wanted else replace(plan, windows=())  # nobody asks for gauges: do not compute them
    series: dict[str, Values] = {}
    for replica, restarts in enumerate(restart_ticks(seed)):
        own = sorted((r for r in records if replica_of(r) == replica), key=lambda r: (r.ts, isinstance(r, Label)))
        series |= _of_one(plan, own, restarts, _target(replica), wanted, joins)
    return series


def restart_ticks(seed: int = 1) -> list[set[int]]:
    """Of each sidecar the scrapes after which it restarts. Rare counters want no records in the interval that follows:
    one that is as large at the first scrape of a life as at the last one before hides its reset."""
    random = np.random.default_rng(seed)
    places = np.arange(20, END // STEP - 2)
    return [set(random.choice(places, RESTARTS_PER_SIDECAR, replace=False).tolist()) for _ in range(REPLICAS)]


def while_up(records: Iterable[Record], seed: int = 1) -> list[Record]:
    """Records without those that come between a restart and the next scrape of their sidecar.

    Every counter then shows its reset: one that soon stands where it stood before would hide it. For figures of many
    sparse counters, where no seed shows them all.
    """
    down = restart_ticks(seed)
    return [r for r in records if math.ceil((r.ts - START) / STEP) - 1 not in down[replica_of(r)]]


def windows_of(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records that each window of the last evaluation covers."""
    return {
        name: [r for r in records if START + END - seconds < r.ts <= START + END] for name, seconds in WINDOWS.items()
    }


def in_company(series: Mapping[str, Values]) -> dict[str, Values]:
    """The series with the labels of `HERE`, and the last minutes of single sidecars in places that differ in one label.

    There baseline and canary change roles, and limits are a tenth. So a rule that mixes up clusters, namespaces or
    models gives out something else, or cannot be evaluated.
    """
    model = min(re.findall(r'\bmodel="[^"]*"', " ".join(series)))
    found = placed(series, HERE)
    for replica, other in enumerate(ELSEWHERE):
        own = {
            _roles_changed(name): _late(values, 10 if name.startswith("mlcanary_objective_threshold{") else 1)
            for name, values in series.items()
            if f'"sidecar-{replica}:' in name and ("model" not in other or model in name)
        }
        found |= placed(own, {**HERE, **other})
    return found


def _roles_changed(name: str) -> str:
    swap = {Role.BASELINE: Role.CANARY, Role.CANARY: Role.BASELINE}
    return re.sub(r'role="(\w+)"', lambda found: f'role="{swap.get(Role(found[1]), found[1])}"', name)


def _late(values: Values, parts: int) -> Values:
    """Samples of the last five minutes: all that any window needs at least."""
    late = 300 // STEP + 1
    return [*[None] * (len(values) - late), *(None if value is None else value / parts for value in values[-late:])]


def hold(folder: Path, series: Mapping[str, Values], expected: Sequence[Expected]) -> None:
    """Have promtool evaluate the shipped rules over the series in company and compare every expected value.

    A recorded name that is expected of some versions of a model must have no other version of it.
    """
    check(folder, "20m", [case(f"{STEP}s", in_company(series), _asked(expected))], records={e.name for e in expected})


def _asked(expected: Sequence[Expected]) -> list[dict[str, Any]]:
    """What promtool is asked at the end of the hour, in the place `HERE`."""
    tests = [
        # scalar() wants exactly one series.
        expression(
            near(f"vector(scalar({series_name(e.name, {**e.labels, **HERE})}))", e.value, e.within), "1h", ({}, 1.0)
        )
        for e in expected
    ]
    versions: dict[tuple[str, str], set[str]] = {}
    for e in expected:
        versions.setdefault((e.name, e.labels["model"]), set()).add(e.labels.get("version", ""))
    for (name, model), held in versions.items():
        of = series_name(name, {"model": model, **HERE})
        tests.append(expression(f"count(group by (version) ({of}))", "1h", ({}, float(len(held)))))
    return tests


def _target(replica: int) -> Labels:
    return {"job": "exporter", "instance": f"sidecar-{replica}:10877"}


def _of_one(
    plan: MonitorPlan, records: list[Record], restarts: set[int], target: Labels, wanted: set[str], joins: bool
) -> dict[str, Values]:
    ticks = END // STEP + 1
    lives: list[tuple[int, dict[tuple[str, str, tuple[str, ...]], list[float | None]]]] = []
    monitor, fed, kept = Monitor(plan, START - WARM_UP, stored=True), 0, KeptJoin()
    lives.append((0, {}))
    for tick in range(ticks):
        now = START + tick * STEP
        due = fed
        while due < len(records) and records[due].ts <= now:
            due += 1
        monitor.feed(records[fed:due], now)
        fed = due
        monitor.advance(now, now)
        first, columns = lives[-1]
        for sample in monitor.samples(now):
            spec = BY_NAME[sample.name]
            if sample.name in wanted or not sample.name.startswith("mlcanary_window_"):
                column = columns.setdefault(sample[:3], [])
                column += [0.0 if spec.kind in _GROWING else None] * (tick - first - len(column))
                column.append(sample.value)
        if tick in restarts:
            before, monitor = monitor, Monitor(plan, now, stored=True)
            if joins:
                names = before.dump()["join_names"]
                stored = kept.keep(before.drain_joins()).stored()
                monitor.load({"panels": [], "unmatched": [], "limited": [], "join_names": names}, stored, now)
            lives.append((tick + 1, {}))
    return _joined(lives, ticks, target)


def _joined(
    lives: list[tuple[int, dict[tuple[str, str, tuple[str, ...]], list[float | None]]]], ticks: int, target: Labels
) -> dict[str, Values]:
    series: dict[str, Values] = {}
    for key in {key for _, columns in lives for key in columns}:
        spec, growing = BY_NAME[key[0]], BY_NAME[key[0]].kind in _GROWING
        whole: list[float | None] = []
        for i, (first, columns) in enumerate(lives):
            length = (lives[i + 1][0] if i + 1 < len(lives) else ticks) - first
            column = columns.get(key, [])
            column = column + [0.0 if growing else None] * (length - len(column))
            if growing and whole and whole[-1]:
                assert (column[0] or 0.0) < whole[-1], f"choose another seed: the reset of {key} is hidden"
            whole += column
        names = (*spec.labels, "le") if key[1] == "_bucket" else spec.labels
        labels = {**target, **dict(zip(names, key[2], strict=True))}
        series[series_name(key[0] + key[1], labels)] = whole
    return series


def samples_of(records: Iterable[Record], plan: MonitorPlan) -> list[Sample]:
    """What one sidecar that saw all of the records shows."""
    monitor = Monitor(plan, START)
    monitor.feed(list(records), START + END)
    return list(monitor.samples(START + END))
