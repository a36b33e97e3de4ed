"""The script that most teams write first: json, prometheus-client per record, scipy per window of 10,000."""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_records import NUMBERS
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from scipy.stats import ks_2samp

WINDOW = 10_000


def naive_seconds(log: Path) -> float:
    """CPU seconds of it over a log."""
    gc.collect()
    start = time.process_time()
    naive(log)
    return time.process_time() - start


def naive(log: Path) -> bytes:
    """Its page after the whole log."""
    reference = {name: np.random.default_rng(0).standard_normal(WINDOW) for name in NUMBERS}
    registry = CollectorRegistry()
    predictions = Counter("predictions", "n", ["version"], registry=registry)
    latency = Histogram("latency", "ms", ["version"], registry=registry)
    values = Histogram("feature", "value", ["version", "feature"], registry=registry)
    drift = Gauge("drift", "KS", ["feature"], registry=registry)
    window: list[dict[str, Any]] = []
    with log.open() as handle:
        for line in handle:
            record = json.loads(line)
            if "features" not in record:
                continue
            predictions.labels(record["version"]).inc()
            latency.labels(record["version"]).observe(record.get("latency_ms", 0.0))
            for name in NUMBERS:
                value = record["features"].get(name)
                if value is not None:
                    values.labels(record["version"], name).observe(value)
            window.append(record["features"])
            if len(window) >= WINDOW:
                for name in NUMBERS:
                    now = [row[name] for row in window if row.get(name) is not None]
                    drift.labels(name).set(ks_2samp(reference[name], now).statistic)
                window.clear()
    return generate_latest(registry)
