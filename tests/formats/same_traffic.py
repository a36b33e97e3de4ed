"""One small traffic that every format can tell, and the counters that the native format makes of it.

A format is held to native by `assert_same_counters(calls, lines, options, ...)`: `lines` tell the calls in that format,
and the counters must be those of the native lines of the same calls. What a format cannot say (a latency, an id) is
left out of the native lines by `Tells`, never out of the comparison.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mlcanary.catalog import BY_NAME, Kind, Role
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import make_format
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Reject

START = 1_793_520_000.0
NOW = START + 7200.0
MODEL = "churn"
FEATURES = ("age", "balance", "plan")
VERSIONS = ("v1", "v2")


@dataclass(frozen=True)
class Answered:
    """One row of a call: its features by name (None: missing), the probability of class 1, its class, its outcome."""

    features: dict[str, Any]
    score: float
    prediction: int
    label: int | None


@dataclass(frozen=True)
class Call:
    """One request with one row or a batch. `ts`: Unix seconds of the request, milliseconds; `latency`: seconds."""

    id: str
    ts: float
    version: str
    latency: float
    rows: tuple[Answered, ...]
    model: str = MODEL

    @property
    def row_ids(self) -> tuple[str, ...]:
        """`<id>` of a single row, `<id>/<row>` of a batch."""
        return (self.id,) if len(self.rows) == 1 else tuple(f"{self.id}/{row}" for row in range(len(self.rows)))


@dataclass(frozen=True)
class Tells:
    """What the records of a format say; the native lines that they are compared with say no more."""

    latency: bool = True
    score: bool = True
    prediction: bool = True
    ids: bool = True


ALL = Tells()


def traffic(calls: int = 60, *, seed: int = 7, largest_batch: int = 4) -> tuple[Call, ...]:
    """Calls of two versions, a third of them batches, some features missing, most rows with a label."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(calls):
        size = 1 if i % 3 else int(rng.integers(1, largest_batch + 1))
        rows = tuple(_answered(rng, first=i == 0 and row == 0) for row in range(size))
        ts = START + i * 7.0 + int(rng.integers(0, 1000)) / 1000.0
        latency = float(rng.integers(3, 400)) / 1000.0 + 0.0003
        made.append(Call(f"call-{i}", ts, VERSIONS[i % 4 == 0], latency, rows))
    return tuple(made)


def _answered(rng: np.random.Generator, *, first: bool) -> Answered:
    score = round(float(rng.beta(2, 3)), 4)
    features: dict[str, Any] = {
        "age": None if rng.random() < 0.1 and not first else int(rng.integers(18, 90)),
        "balance": round(float(rng.exponential(100.0)), 2) + 0.001,
        "plan": ("free", "pro", "team")[int(rng.integers(0, 3))],
    }
    label = None if rng.random() < 0.2 else int(rng.random() < score)
    return Answered(features, score, int(score >= 0.5), label)


def rfc3339(ts: float) -> str:
    """A time as servers write it: UTC, microseconds."""
    return datetime.fromtimestamp(round(ts * 1e6) / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def native_predictions(calls: Iterable[Call], tells: Tells = ALL) -> list[bytes]:
    """A native line for each row."""
    lines = []
    for call in calls:
        for row_id, row in zip(call.row_ids, call.rows, strict=True):
            record: dict[str, Any] = {"ts": call.ts, "model": call.model, "version": call.version}
            record["features"] = row.features
            record |= {"id": row_id} if tells.ids else {}
            record |= {"score": row.score} if tells.score else {}
            record |= {"prediction": row.prediction} if tells.prediction else {}
            record |= {"latency_ms": call.latency * 1000.0} if tells.latency else {}
            lines.append(json.dumps(record).encode())
    return lines


def native_labels(calls: Iterable[Call], delay: float = 30.0) -> list[bytes]:
    """A native line for each label, in the order of their times."""
    return [
        json.dumps({"kind": "label", "id": row_id, "ts": call.ts + delay, "label": row.label}).encode()
        for call in calls
        for row_id, row in zip(call.row_ids, call.rows, strict=True)
        if row.label is not None
    ]


Counts = dict[tuple[str, str, tuple[str, ...]], float]


@dataclass
class Counted:
    """What a run of lines came to."""

    counters: Counts = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)


Lines = Sequence[bytes] | Mapping[str, Sequence[bytes]]
"""Lines of one log, or of several by their path."""


def counted(sources: Sequence[tuple[FormatOptions, Lines]], plan: ModelPlan | None = None) -> Counted:
    """Every counter and histogram after these lines, each entry through a decoder of its own, in this order."""
    model = plan or ModelPlan(roles={"v1": Role.BASELINE, "v2": Role.CANARY}, join=JoinPolicy(60.0, 86_400.0))
    monitor_plan = MonitorPlan(models={MODEL: model}, default=model)
    monitor = Monitor(monitor_plan, START)
    out = Counted()
    for options, logs in sources:
        reader = make_format(options, monitor_plan.model)
        for source, lines in logs.items() if isinstance(logs, Mapping) else [(options.name, logs)]:
            decoded = reader.decode_block(b"\n".join(lines) + b"\n", NOW, source)
            monitor.feed(decoded.records, NOW, decoded.predictions, decoded.labels)
            out.rejects.extend(decoded.rejects)
    monitor.advance(NOW, NOW)
    for found in monitor.samples(NOW):
        if BY_NAME[found.name].kind is not Kind.GAUGE:
            out.counters[found.name, found.suffix, found.labels] = found.value
    return out


def assert_same_counters(
    calls: Sequence[Call],
    lines: Lines,
    options: FormatOptions,
    tells: Tells = ALL,
    labels: Sequence[tuple[FormatOptions, Lines]] | None = None,
) -> None:
    """These lines in this format give the counters of the native lines of the same calls.

    `labels`: sources of the labels; None for native label lines beside the format's own lines.
    """
    by_native = [(FormatOptions(), native_labels(calls))]
    wanted = counted([(FormatOptions(), native_predictions(calls, tells)), *by_native])
    found = counted([(options, lines), *(by_native if labels is None else labels)])
    assert found.rejects == []
    assert sum(value for (name, _, _), value in wanted.counters.items() if name == "mlcanary_predictions_total") == sum(
        len(call.rows) for call in calls
    )
    assert found.counters.keys() == wanted.counters.keys()
    different = {
        key: (found.counters[key], value)
        for key, value in wanted.counters.items()
        if not math.isclose(found.counters[key], value, rel_tol=1e-6, abs_tol=1e-6)
    }
    assert different == {}


def renamed(calls: Iterable[Call], names: Sequence[str]) -> tuple[Call, ...]:
    """The calls with other names of their features, in the order of `FEATURES`."""
    return tuple(
        replace(
            call,
            rows=tuple(
                replace(row, features=dict(zip(names, row.features.values(), strict=True))) for row in call.rows
            ),
        )
        for call in calls
    )
