"""A fleet of models as blocks of a Prometheus, cheap enough for hundreds of them.

A few pages are made by the real exporter: names, labels and bins are its own. Each model of the fleet is one of them
under another name, with its own traffic; its counters grow evenly, in the proportions of the page.

    python tests/fleet.py FOLDER --models 300     # FOLDER/data holds the blocks; prints how many series of what
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from mlcanary.catalog import Role
from mlcanary.engine import Engine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import Reference, categorical_reference, numeric_reference
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.settings import ExporterSettings
from prometheus_tools import run
from promtool_cases import series_name

BASELINE, CANARY = "v1", "v2"
SHARES = {BASELINE: 0.9, CANARY: 0.1}
TEMPLATE = "template"
ROWS = 4000
PAGE_SECONDS = 600.0
NUMBERS, CATEGORIES = 24, 6
BINS, SCORE_BINS, CATEGORY_NAMES = 20, 50, ("DE", "FR", "PL", "IT", "ES")
CATEGORY_SHARES = (0.4, 0.25, 0.15, 0.12, 0.08)
PLACE = {"cluster": "eu", "namespace": "shop"}
MOST_SECONDS = 1800.0
"""How long promtool may take for the blocks of hundreds of models."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with the canary. `noise` blurs its scores, `shift` moves a third of the numbers, `failed` fails."""

    noise: float = 0.0
    shift: float = 0.0
    failed: float = 0.002
    clicks: float = 0.3


FAULTS: Mapping[str, Fault] = {
    "healthy": Fault(),
    "worse": Fault(noise=3.0, clicks=0.2),
    "drifted": Fault(shift=1.0),
    "failing": Fault(failed=0.08),
}
ROTATION = ("healthy",) * 3 + ("drifted",) + ("healthy",) * 3 + ("worse",) + ("healthy",) + ("failing",)
"""The fault of each model in turn: 7 of 10 are healthy."""


@dataclass(frozen=True)
class Fleet:
    """How large, and how much history: samples every `step` seconds for `history` seconds.

    `names`: the families that are written, all if empty; Prometheus' own `up` always is.
    """

    models: int = 300
    sidecars: int = 2
    history: float = 4200.0
    step: float = 60.0
    features: int = NUMBERS + CATEGORIES
    bins: int = BINS
    names: Collection[str] = ()

    def model(self, i: int) -> str:
        """Name of a model: its number and what is wrong with its canary."""
        return f"m{i:03d}-{self.fault(i)}"

    @staticmethod
    def fault(i: int) -> str:
        """What is wrong with the canary of a model."""
        return ROTATION[i % len(ROTATION)]


@dataclass(frozen=True)
class Line:
    """One series of a page: `labels` with `version` where it has one; `counts` if it grows."""

    name: str
    labels: Mapping[str, str]
    value: float
    counts: bool


@cache
def page(fault: str, features: int = NUMBERS + CATEGORIES, bins: int = BINS) -> tuple[Line, ...]:
    """The page of an exporter that has read ten minutes of both versions of a model, windows and all."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log.jsonl"
        start = 1_800_000_000.0
        log.write_text("".join(f"{json.dumps(record)}\n" for record in _records(FAULTS[fault], features, start)))
        plan = MonitorPlan(default=_plan(features, bins))
        now = start + PAGE_SECONDS
        engine = Engine(ExporterSettings((str(log),), plan), clock=lambda: now)
        while engine.read_some():
            pass
        engine.publish()
        lines = tuple(_lines(engine))
        engine.close()
    return lines


def _lines(engine: Engine) -> Iterator[Line]:
    for family in text_string_to_metric_families(engine.page.text.decode()):
        for sample in family.samples:
            yield Line(sample.name, sample.labels, sample.value, family.type not in {"gauge", "unknown"})


def _plan(features: int, bins: int) -> ModelPlan:
    rng = np.random.default_rng(3)
    numbers = min(features, NUMBERS)
    reference = Reference(
        {f"number_{i:02d}": numeric_reference(rng.standard_normal(2000), bins, missing=20.0) for i in range(numbers)}
        | {
            f"name_{i:02d}": categorical_reference(list(rng.choice(CATEGORY_NAMES, 2000, p=CATEGORY_SHARES)), 20)
            for i in range(features - numbers)
        },
        numeric_reference(1 / (1 + np.exp(-rng.normal(-1.5, 1.5, 2000))), SCORE_BINS),
        rows=2000,
    )
    roles = {BASELINE: Role.BASELINE, CANARY: Role.CANARY}
    return ModelPlan(reference=reference, roles=roles, split=SHARES, join=JoinPolicy(1.0, 3600.0))


def _records(fault: Fault, features: int, start: float) -> Iterator[Mapping[str, object]]:
    rng = np.random.default_rng(4)
    numbers = min(features, NUMBERS)
    for i in range(ROWS):
        version = CANARY if i % 10 == 9 else BASELINE
        bad = fault if version == CANARY else Fault()
        ts = start + i * (PAGE_SECONDS - 60) / ROWS
        of = {"id": f"r{i}", "ts": ts, "model": TEMPLATE, "version": version}
        if rng.random() < bad.failed:
            yield {**of, "status": 503, "latency_ms": 900}
            continue
        values = rng.standard_normal(numbers)
        values[: numbers // 3] += bad.shift
        names = rng.choice(CATEGORY_NAMES, features - numbers, p=CATEGORY_SHARES)
        logit = rng.normal(-1.5, 1.5)
        label = int(rng.random() < 1 / (1 + math.exp(-logit)))
        score = 1 / (1 + math.exp(-(logit + rng.normal(0, 0.3 + bad.noise))))
        found: dict[str, object] = {f"number_{j:02d}": round(value, 4) for j, value in enumerate(values.tolist())}
        found |= {f"name_{j:02d}": str(name) for j, name in enumerate(names)}
        if i % 50 == 0:
            found["number_00"] = None
        latency = round(float(rng.lognormal(3, 0.6)), 2)
        traits = {"score": round(score, 5), "latency_ms": latency, "queue_ms": latency / 4, "user": f"u{i % 700}"}
        yield {**of, **traits, "prediction": int(score >= 0.5), "features": found}
        yield {"kind": "label", "id": f"r{i}", "ts": ts + 1, "label": label}
        if rng.random() < bad.clicks:
            yield {"kind": "label", "id": f"r{i}", "ts": ts + 2, "event": "click"}
            if rng.random() < 0.2:
                yield {
                    "kind": "label",
                    "id": f"r{i}",
                    "ts": ts + 3,
                    "event": "purchase",
                    "value": round(20 * rng.random(), 2),
                }


def write_blocks(folder: Path, fleet: Fleet, end: float, further: Iterable[Grown] = ()) -> Counter[str]:
    """Blocks in `folder` that end at `end`, with `further` series; gives how many there are of each name.

    Prometheus takes no samples of rules before `end`, and sees no series five minutes after it.
    """
    path = folder.with_suffix(".openmetrics")
    instants = np.arange(end - fleet.history, end + fleet.step / 2, fleet.step)
    tails = [f" {instant:.3f}\n" for instant in instants.tolist()]
    written: Counter[str] = Counter()
    with path.open("w", encoding="utf-8", buffering=1 << 20) as file:
        for i, version, sidecar in product(range(fleet.models), SHARES, range(fleet.sidecars)):
            file.writelines(_lines_of(sidecar_series(fleet, i, version, sidecar, end), tails, written))
        file.writelines(_lines_of(further, tails, written))
        file.write("# EOF\n")
    blocks = ("create-blocks-from", "openmetrics", "--quiet")
    status, output = run("promtool", "tsdb", *blocks, path, folder, seconds=MOST_SECONDS)
    assert status == 0, output
    path.unlink()
    return written


def _lines_of(series: Iterable[Grown], tails: Sequence[str], written: Counter[str]) -> Iterator[str]:
    """Lines of OpenMetrics, a text for each series; counts them by name."""
    steps = range(1, len(tails) + 1)
    for grown in series:
        written[grown.name] += 1
        name = series_name(grown.name, grown.labels)
        yield "".join([f"{name} {grown.at(k)}{tail}" for k, tail in zip(steps, tails, strict=True)])


@dataclass(frozen=True)
class Grown:
    """A series whose value at step k is `start + k * growth`."""

    name: str
    labels: Mapping[str, str]
    start: float
    growth: float

    def at(self, k: int) -> str:
        """The value as text."""
        return f"{self.growth * k:.8g}" if self.growth else repr(self.start)


def sidecar_series(fleet: Fleet, i: int, version: str, sidecar: int, end: float) -> Iterator[Grown]:
    """The series that one sidecar gives: those of its version, and those of the model or the process."""
    model = fleet.model(i)
    pace = float(np.random.default_rng((i, sidecar)).uniform(0.5, 1.5)) * fleet.step / PAGE_SECONDS
    target = {"job": "mlcanary-exporter", "instance": f"{model}-{version}-{sidecar}:10877", **PLACE}
    yield Grown("up", target, 1.0, 0.0)
    for line in page(fleet.fault(i), fleet.features, fleet.bins):
        if line.labels.get("version", version) != version or (fleet.names and line.name not in fleet.names):
            continue
        labels = {**target, **line.labels, **({"model": model} if "model" in line.labels else {})}
        if line.counts:
            yield Grown(line.name, labels, 0.0, line.value * pace)
        else:
            value = end - 30.0 if line.name.endswith("_timestamp_seconds") else line.value
            yield Grown(line.name, labels, value, 0.0)


def main() -> None:
    """Write a fleet, and say what it is made of."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=Fleet.models)
    parser.add_argument("--history", type=float, default=Fleet.history, help="seconds")
    parser.add_argument("--step", type=float, default=Fleet.step, help="seconds between samples")
    parser.add_argument("--end", type=float, default=None, help="Unix time of the last sample; default: now")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    fleet = Fleet(asked.models, history=asked.history, step=asked.step)
    written = write_blocks(asked.folder / "data", fleet, asked.end or time.time())
    for name, series in written.most_common():
        print(f"{series:>10} {name}")
    print(f"{sum(written.values()):>10} in all")


if __name__ == "__main__":
    main()
