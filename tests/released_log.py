"""Logs of a release with known truth: two versions side by side, and from a moment on a fault in one of them.

`v1` serves from the start, `v2` joins at `joins`. Labels come a minute later, each in a line of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

EPOCH = 1_760_000_010.0
"""Event time of the first second: a multiple of 30, so that looks fall on whole minutes of a log."""

LABEL_DELAY = 60.0
CONFIGURATION = "models:\n  - name: churn\n    roles: {v1: baseline, v2: canary}\n"

Line = tuple[float, bytes]
"""When it was written, and its bytes."""


@dataclass(frozen=True)
class ReleasedLog:
    """`requests` a second in all, `share` of them to the canary. `fault` at `faulty` seconds after the start:

    errors     a request in ten of the canary fails, of the baseline one in fifty
    shuffled   the column `tenure` of the canary is that of another request: its distribution stays what it was
    text       the canary writes the number `age` as a text, four times in ten
    shared     both versions fail as often, and so does nobody's canary
    """

    seed: int
    fault: str = ""
    faulty: float = 600.0
    joins: float = 60.0
    seconds: float = 840.0
    requests: float = 12.0
    share: float = 0.5

    def lines(self) -> list[Line]:
        """Every line in the order of writing."""
        random = np.random.default_rng(self.seed)
        times = np.cumsum(random.exponential(1 / self.requests, int(self.seconds * self.requests)))
        to_canary = (random.random(len(times)) < self.share) & (times >= self.joins)
        age = random.normal(40.0, 12.0, len(times))
        tenure = 0.6 * (age - 40.0) + random.normal(0.0, 8.0, len(times))
        other = random.permutation(tenure)
        churned = random.random(len(times)) < 1 / (1 + np.exp(1.0 + 0.1 * tenure))
        score = 1 / (1 + np.exp(1.0 + 0.1 * tenure + random.normal(0.0, 0.3, len(times))))
        chance, latency = random.random(len(times)), random.lognormal(2.5, 0.4, len(times))
        found: list[Line] = []
        for i, second in enumerate(times.tolist()):
            bad = second >= self.faulty and (to_canary[i] or self.fault == "shared")
            failing = 0.1 if bad and self.fault in {"errors", "shared"} else 0.02
            request: dict[str, Any] = {
                "id": f"r{i}",
                "ts": round(EPOCH + second, 3),
                "model": "churn",
                "version": "v2" if to_canary[i] else "v1",
                "features": {
                    "age": round(float(age[i]), 2),
                    "tenure": round(float(other[i] if bad and self.fault == "shuffled" else tenure[i]), 2),
                    "plan": "pro" if chance[i] > 0.7 else "free",
                },
                "latency_ms": round(float(latency[i]), 2),
            }
            if bad and self.fault == "text" and chance[i] > 0.6:
                request["features"]["age"] = str(request["features"]["age"])
            request |= {"status": 503} if chance[i] < failing else {"score": round(float(score[i]), 4)}
            found.append((EPOCH + second, json.dumps(request).encode() + b"\n"))
            label = {"kind": "label", "id": f"r{i}", "ts": round(EPOCH + second + LABEL_DELAY, 3)}
            label["label"] = int(churned[i])
            found.append((EPOCH + second + LABEL_DELAY, json.dumps(label).encode() + b"\n"))
        return sorted(found, key=lambda line: line[0])
