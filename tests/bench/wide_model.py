"""What 1,000 features x 20 bins x 4 versions cost, within the default budget and without one.

Run as `python tests/bench/wide_model.py SERIES WINDOW_BYTES FEATURES`: a process of its own, whose memory is its own.
Prints one JSON object. `make bench` runs it and writes what it prints into RESULTS.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from mlcanary.engine import Engine
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.measures.reference import Reference, numeric_reference
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.settings import ExporterSettings

VERSIONS, ROWS, BINS, PUBLISHES, INTERVAL = 4, 50, 20, 62, 60.0


def settings(log: Path, features: int, series: int, window_bytes: int) -> ExporterSettings:
    """A model with that many features, all of them in the reference."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((2000, features))
    reference = Reference({f"f{i:04d}": numeric_reference(values[:, i], BINS) for i in range(features)}, rows=2000)
    limits = Limits(series=series, window_bytes=window_bytes)
    plan = MonitorPlan(default=ModelPlan(reference=reference, limits=limits), limits=limits)
    return ExporterSettings((str(log),), plan)


def write_rows(log: Path, features: int, ts: float) -> None:
    """Append some rows of every version."""
    rng = np.random.default_rng(int(ts))
    with log.open("a") as handle:
        for i in range(ROWS):
            row = {f"f{j:04d}": round(x, 4) for j, x in enumerate(rng.standard_normal(features).tolist())}
            record = {"ts": ts, "model": "m", "version": f"v{i % VERSIONS}", "features": row, "prediction": i % 2}
            handle.write(json.dumps(record) + "\n")


def main(series: int, window_bytes: int, features: int) -> None:
    """Publish until every window is full, then measure."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "wide.jsonl"
        now = 1_800_000_000.0
        write_rows(log, features, now)
        engine = Engine(settings(log, features, series, window_bytes), clock=lambda: now)
        cpu: list[float] = []
        for i in range(PUBLISHES):
            if i % 10 == 0:
                write_rows(log, features, now)
            while engine.read_some():
                pass
            start = time.process_time()
            engine.publish()
            cpu.append(time.process_time() - start)
            now += INTERVAL
        print(
            json.dumps(
                {
                    "features": features,
                    "series": engine.page.series,
                    "dropped": dict(engine.page.dropped),
                    "megabytes": psutil.Process().memory_info().rss / 1e6,
                    "page_megabytes": len(engine.page.text) / 1e6,
                    "publish_seconds": float(np.median(cpu[-20:])),
                }
            )
        )
        engine.close()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:4]))
