"""What `mlcanary.client` adds to a request: `python tests/bench/client_overhead.py [REQUESTS]`.

The request is the least that a server does: JSON of 25 features (20 numbers, 5 texts) in, a logistic model in plain
Python, JSON out. It is served with and without the client in turn, which writes to a file on this disk, as fast as it
goes and with a pause before each, when the caches are cold. What is added at a quantile is the difference between the
quantiles. Ways: the explicit call, the block, the decorator.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlcanary.client import Client

FEATURES: dict[str, Any] = {f"number_{i}": i * 0.37 + 0.001 for i in range(20)}
FEATURES |= {f"text_{i}": f"value-{i}" for i in range(5)}
BODY = json.dumps(FEATURES)
WEIGHTS = {name: 0.01 for name in FEATURES if name.startswith("number")}

Score = Callable[[dict[str, Any]], float]


def model(features: dict[str, Any]) -> float:
    """P(positive) of a logistic model."""
    return 1.0 / (1.0 + math.exp(-sum(weight * features[name] for name, weight in WEIGHTS.items())))


def serve(score: Score) -> str:
    """A request: body in, answer out."""
    return json.dumps({"score": score(json.loads(BODY))})


def both(score: Score, requests: int, pause: float) -> tuple[list[float], list[float]]:
    """Seconds of each request without and with the client, ascending; `pause` seconds of sleep before each."""
    clock = time.perf_counter
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(requests):
        for way, out in zip((model, score), times, strict=True):
            if pause:
                time.sleep(pause)
            begun = clock()
            serve(way)
            out.append(clock() - begun)
    return sorted(times[0]), sorted(times[1])


def ways(client: Client) -> dict[str, Score]:
    """How a server may record a prediction."""

    def explicit(features: dict[str, Any]) -> float:
        begun = time.perf_counter()
        score = model(features)
        client.prediction(features, score=score, latency_ms=(time.perf_counter() - begun) * 1000.0)
        return score

    def block(features: dict[str, Any]) -> float:
        with client.predicting(features) as p:
            p.score = model(features)
        return float(p.score)

    return {"prediction(...)": explicit, "with predicting(...)": block, "@watch": client.watch(answer="score")(model)}


def measured(name: str, requests: int, pause: float) -> dict[str, float]:
    """Microseconds per request without the client at p50, and added by it at p50, p99 and p99.9; records dropped."""
    with tempfile.TemporaryDirectory() as folder:
        client = Client(Path(folder) / "predictions.jsonl", capacity=requests, model="churn", version="v2")
        without, with_client = both(ways(client)[name], requests, pause)
        client.close()
    found = {"request": without[requests // 2] * 1e6, "dropped": float(sum(client.stats().dropped.values()))}
    for text, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)):
        found[text] = (with_client[int(requests * share)] - without[int(requests * share)]) * 1e6
    return found


def main(requests: int) -> None:
    """Print a table."""
    columns = ("request", "p50", "p99", "p99.9", "dropped")
    print(f"{'way, microseconds added':28}{'pause':>8}" + "".join(f"{name:>10}" for name in columns))
    for pause in (0.0, 0.0005):
        for name in ("prediction(...)", "with predicting(...)", "@watch"):
            found = measured(name, requests if not pause else requests // 5, pause)
            print(f"{name:28}{pause * 1e3:>6.1f}ms" + "".join(f"{found[column]:>10.1f}" for column in columns))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
