"""Prediction records of a realistic size for benchmarks: 20 numbers, 5 categories, late labels, shuffled keys."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

CATEGORIES = {"country": 8, "device": 3, "channel": 4, "plan": 4, "merchant": 200}
NUMBERS = [f"feature_{i:02d}" for i in range(20)]


def lines(count: int, start: float, rate: float, seed: int = 0) -> Iterator[bytes]:
    """`count` predictions of about 700 bytes, each followed a thousand records later by its label.

    `start`: Unix seconds of the first; `rate`: records per second of event time. Key order and presence vary, as
    they do in real logs: a parser that only likes one order gains nothing here.
    """
    random = np.random.default_rng(seed)
    values = np.round(random.standard_normal((count, len(NUMBERS))), 5)
    actual = random.random(count) < 0.1
    scores = np.round(1 / (1 + np.exp(-(random.standard_normal(count) + 1.6 * actual - 1.5))), 6)
    versions = np.where(random.random(count) < 0.1, "v2", "v1")
    order = list(range(len(NUMBERS)))
    for i in range(count):
        if i % 100 == 0:
            random.shuffle(order)
        features: dict[str, object] = {NUMBERS[j]: float(values[i, j]) for j in order if (i + j) % 200}
        for name, size in CATEGORIES.items():
            features[name] = f"{name[0]}{int(random.integers(size))}"
        ts = start + i / rate
        record = {
            "id": f"req-{seed:04x}-{i:016x}",
            "ts": ts,
            "model": "fraud",
            "version": str(versions[i]),
            "score": float(scores[i]),
            "latency_ms": float(values[i, 0] ** 2 + 3),
            "features": features,
        }
        yield json.dumps(record).encode() + b"\n"
        if i >= 1000:
            label = {"kind": "label", "id": f"req-{seed:04x}-{i - 1000:016x}", "ts": ts, "label": int(actual[i - 1000])}
            yield json.dumps(label).encode() + b"\n"
