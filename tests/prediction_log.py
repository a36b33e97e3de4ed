"""Prediction logs with known truth: what was written, and what the exporter must make of it.

The truth is kept beside the lines while they are made, never computed from counters.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

START = 1_760_000_000.0
"""Event time of the first record, Unix seconds."""


@dataclass
class Truth:
    """What must be counted. Lists are parallel: one entry per labelled prediction of a version."""

    predictions: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    joins: Counter[tuple[str, str]] = field(default_factory=Counter)
    unmatched: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    lines: int = 0
    actual: dict[str, list[int]] = field(default_factory=dict)
    predicted: dict[str, list[int]] = field(default_factory=dict)
    score: dict[str, list[float]] = field(default_factory=dict)
    features: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def label(self, version: str, actual: int, score: float) -> None:
        """Note a prediction whose label counts."""
        self.actual.setdefault(version, []).append(actual)
        self.predicted.setdefault(version, []).append(int(score >= 0.5))
        self.score.setdefault(version, []).append(score)
        self.joins[version, "matched"] += 1


class PredictionLog:
    """Makes lines of a binary classifier with two versions; `v2` ranks worse."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.truth = Truth()
        self._made = 0

    def prediction(self, ts: float, version: str) -> tuple[str, int, float, str]:
        """(id, true class, score, line) of a new request; features a (shifted in v2) and b (skewed)."""
        r = self._random
        actual = int(r.random() < 0.3)
        spread = 1.6 if version == "v1" else 0.8
        score = round(float(1 / (1 + np.exp(-(r.normal() + spread * actual - 1.0)))), 6)
        features = {"a": round(float(r.normal() + (version == "v2")), 4), "b": round(float(np.exp(r.normal())), 4)}
        row_id = f"r{self._made}"
        self._made += 1
        self.truth.predictions[version] += 1
        for name, value in features.items():
            self.truth.features.setdefault(version, {}).setdefault(name, []).append(value)
        line = {
            "id": row_id,
            "ts": round(ts, 3),
            "model": "m",
            "version": version,
            "features": features,
            "score": score,
            "latency_ms": round(float(r.lognormal(2, 0.5)), 3),
        }
        return row_id, actual, score, self._written(line)

    def label(self, row_id: str, ts: float, actual: int) -> str:
        """The line of a label; the caller notes what becomes of it."""
        return self._written({"kind": "label", "id": row_id, "ts": round(ts, 3), "label": actual})

    def broken(self, text: str, reason: str | None) -> str:
        """A line that must be rejected with `reason`, or skipped for None."""
        self.truth.lines += 1
        if reason is not None:
            self.truth.rejected[reason] += 1
        return text

    def _written(self, line: dict[str, object]) -> str:
        self.truth.lines += 1
        return json.dumps(line)


def hundred_thousand_lines(seed: int = 1) -> tuple[list[bytes], Truth]:
    """About 100,000 lines: predictions, labels some seconds later, and every kind of trouble among them."""
    log = PredictionLog(seed)
    random = np.random.default_rng(seed + 1)
    due: list[tuple[float, str]] = []
    timed: list[tuple[float, str]] = []
    for i in range(52_000):
        ts = START + i * 0.05
        version = "v2" if random.random() < 0.2 else "v1"
        row_id, actual, score, line = log.prediction(ts, version)
        timed.append((ts, line))
        trouble = random.random()
        if trouble < 0.01:  # a prediction line twice
            timed.append((ts + 0.01, line))
            log.truth.lines += 1
            log.truth.duplicates[version] += 1
        if trouble > 0.98:  # never labelled
            log.truth.joins[version, "expired"] += 1
            continue
        delay = 90_000.0 if 0.96 < trouble <= 0.98 else float(random.exponential(20.0))
        due.append((ts + delay, log.label(row_id, ts + delay, actual)))
        if delay == 90_000.0:  # a day and more: the wait is over
            log.truth.joins[version, "expired"] += 1
            log.truth.unmatched += 1
            continue
        log.truth.label(version, actual, score)
        if 0.01 <= trouble < 0.02:
            due.append((ts + delay + 1, log.label(row_id, ts + delay + 1, 1 - actual)))
            log.truth.joins[version, "duplicate"] += 1
        if 0.02 <= trouble < 0.03:
            due.append((ts + delay, log.label(f"nobody-{i}", ts + delay, actual)))
            log.truth.unmatched += 1
        if 0.03 <= trouble < 0.035:
            text, reason = _BROKEN[i % len(_BROKEN)]
            timed.append((ts, log.broken(text, reason)))
    rows = sorted([*timed, *due], key=lambda row: row[0])
    return [line.encode("latin-1") + b"\n" for _, line in rows], log.truth


_BROKEN: tuple[tuple[str, str | None], ...] = (
    ('{"id": "x", "ts": ', "json"),
    ("", None),
    ('{"id": "x", "features": 3}', "type"),
    ('{"id": "caf\xe9", "score": 0.5}', "utf8"),
    ('{"id": "x", "score": 1.5}', "score"),
    ('{"id": "x", "ts": "yesterday", "score": 0.5}', "timestamp"),
    ('{"kind": "label", "label": 1}', "no_id"),
    ("[1, 2, 3]", "type"),
)
