"""What `mlcanary.client` adds to a call: `python tests/bench/client.py [CALLS]`.

Each call records a dict of 25 features (20 numbers, 5 texts), a score and a latency into a file on this disk; calls come at
a steady rate, as in a server, or as fast as they can. The time of the call alone is taken, in turn with an empty one, whose
median is subtracted. Ways: the explicit call, the block, the decorator.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mlcanary.client import Client

FEATURES: dict[str, object] = {f"number_{i}": i * 0.37 + 0.001 for i in range(20)}
FEATURES |= {f"text_{i}": f"value-{i}" for i in range(5)}


def timed(call: Callable[[], object], calls: int, pause: float) -> list[float]:
    """Seconds of each call, ascending; `pause` seconds of sleep between two."""
    clock, out = time.perf_counter, []
    for _ in range(calls):
        begun = clock()
        call()
        out.append(clock() - begun)
        if pause:
            time.sleep(pause)
    return sorted(out)


def ways(client: Client) -> dict[str, Callable[[], object]]:
    """How a server may record a prediction."""

    def block() -> None:
        with client.predicting(FEATURES) as p:
            p.score = 0.7

    @client.watch(answer="score")
    def watched(features: dict[str, object]) -> float:
        return 0.7

    return {
        "prediction(...)": lambda: client.prediction(FEATURES, score=0.7, latency_ms=1.5),
        "with predicting(...)": block,
        "@watch": lambda: watched(FEATURES),
    }


def main(calls: int) -> None:
    """Print a table."""
    print(f"{'way':22}{'pause':>8}{'p50 us':>9}{'p99 us':>9}{'p99.9 us':>10}{'dropped':>9}")
    for pause in (0.0, 0.0005):
        number = calls if not pause else calls // 10
        with tempfile.TemporaryDirectory() as folder:
            for index, name in enumerate(ways(Client(Path(folder) / "unused"))):
                client = Client(Path(folder) / f"{index}.jsonl", capacity=max(calls, 1), model="churn", version="v2")
                call = ways(client)[name]
                empty = timed(lambda: None, 2000, 0.0)[1000]
                found = timed(call, number, pause)
                client.flush(60.0)
                us = [(found[int(number * q)] - empty) * 1e6 for q in (0.5, 0.99, 0.999)]
                dropped = sum(client.stats().dropped.values())
                print(f"{name:22}{pause * 1e3:>6.1f}ms{us[0]:>9.2f}{us[1]:>9.2f}{us[2]:>10.1f}{dropped:>9}")
                client.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
