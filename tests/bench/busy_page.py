"""What a page costs while every figure on it changes: 4 versions, 25 features, windows of 5m and 1h.

Run as `python tests/bench/busy_page.py`: one JSON object. `publish` is CPU milliseconds of publishing a page for 5
seconds of 1,000 records a second, mean over rounds, since figures of the hour are not made for every page; `client`
is what prometheus-client's `generate_latest` takes in turn for the samples of the same page, which it is handed ready
made; `ratio` is the second over the first. `core_percent` is `publish` every 5 seconds, in percent of one core.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from memory import write_log, write_reference  # noqa: E402 - beside this file, not installed
from render import cpu_milliseconds  # noqa: E402

from mlcanary.engine import Engine  # noqa: E402
from mlcanary.exposition.families import families  # noqa: E402
from mlcanary.records import Sample  # noqa: E402
from mlcanary.settings import Flags, load_settings  # noqa: E402
from mlcanary.sources.checkpoint import Checkpoint  # noqa: E402

RATE, INTERVAL = 1000, 5.0
QUIET = (60.0,) * 10
"""Pages without traffic before the measured ones, by which the windows are no longer young."""
WARM, ROUNDS = 3, 12


class Ready(Collector):
    """Samples of a page as prometheus-client's own objects."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._metrics = []
        for spec, found in families(samples):
            metric = Metric(spec.name.removesuffix("_total"), spec.help, spec.kind.value)
            for name, suffix, values, value in found:
                names = (*spec.labels, "le") if suffix == "_bucket" else spec.labels
                metric.add_sample(name + suffix, dict(zip(names, values, strict=True)), value)
            self._metrics.append(metric)

    def collect(self) -> Iterator[Metric]:
        """What was made beforehand."""
        return iter(self._metrics)


def client_milliseconds(samples: Sequence[Sample]) -> float:
    """CPU time of rendering these samples once."""
    registry = CollectorRegistry()
    registry.register(Ready(samples))
    return cpu_milliseconds(lambda: generate_latest(registry))


def measured(directory: Path) -> dict[str, float]:
    """Publishing and the client in turn."""
    log, profile = directory / "log.jsonl", directory / "profile.json"
    now = time.time()
    count = int(RATE * INTERVAL)
    write_log(log, count, now - INTERVAL, 0)
    write_reference(log, profile)
    settings = load_settings(Flags(log_paths=(str(log),), reference=profile))
    engine = Engine(settings, clock=lambda: now, checkpoint=Checkpoint(directory / "state"))
    ours, theirs = [], []
    for number, seconds in enumerate((*QUIET, *[INTERVAL] * (WARM + ROUNDS))):
        if seconds == INTERVAL:
            write_log(log, count, now, number)
        while engine.read_some():
            pass
        engine.monitor.flush()  # counting what was read is the cost of reading
        now += seconds
        one = cpu_milliseconds(engine.publish)
        if number >= len(QUIET) + WARM:
            ours.append(one)
            theirs.append(client_milliseconds(list(engine.monitor.samples(now))))
    series = engine.page.series
    engine.close()
    return {
        "series": series,
        "publish": round(mean(ours), 1),
        "client": round(mean(theirs), 1),
        "ratio": round(mean(theirs) / mean(ours), 2),
        "core_percent": round(mean(ours) / INTERVAL / 10, 2),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(measured(Path(name))))
