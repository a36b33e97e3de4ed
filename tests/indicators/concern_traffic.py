"""Rates, failures, latency and queue time against counting and numpy's interpolation on the raw values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from indicators.oracles import Concern, Oracle, Values
from mlcanary.catalog import LATENCY_BUCKETS
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.traffic import KNOWN_REASONS, LatencyMeasure, QueueMeasure, TrafficMeasure
from mlcanary.records import ModelKey, Prediction, Sample
from nasty_streams import numbers

KEY = ModelKey("m", "v")
SECONDS = 60.0
"""Length of the window that test_every_indicator asks for."""


class Everything(TrafficMeasure):
    """The three measures of traffic as one."""

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.others = (LatencyMeasure(plan), QueueMeasure(plan))

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Feed all three."""
        super().on_predictions(batch)
        for other in self.others:
            other.on_predictions(batch)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """What all three show."""
        yield from super().gauges(seconds)
        for other in self.others:
            yield from other.gauges(seconds)


def rows(stream: str) -> list[Prediction]:
    """Requests with a latency wherever the stream has a usable number; a quarter of it was waiting."""
    made = []
    for i, number in enumerate(numbers(stream)):
        usable = isinstance(number, int | float) and math.isfinite(number)
        latency = abs(float(number)) / 10 if usable else None  # type: ignore[arg-type]
        error = ("503", "418", "429")[i % 3] if i % 7 == 3 else None
        queue = None if latency is None or i % 5 == 0 else latency / 4
        made.append(Prediction(KEY, float(i), predicted="1", latency=latency, error=error, queue=queue))
    return made


def interpolated(values: Sequence[float], q: float) -> float:
    """The q-quantile read off the buckets: rank q n on straight lines between the edges, at most the last edge."""
    edges = np.array([0.0, *LATENCY_BUCKETS])
    below = np.array([0.0, *(sum(v <= edge for v in values) for edge in LATENCY_BUCKETS)])
    rank = q * len(values)
    if rank > below[-1]:
        return float(edges[-1])
    upper = int(np.argmax(below >= rank))
    return float(np.interp(rank, below[upper - 1 : upper + 1], edges[upper - 1 : upper + 1]))


def quantiles(read: Callable[[Prediction], float | None], *percents: int) -> Callable[[Sequence[Prediction]], Values]:
    """Expected percentiles of what `read` gives, nothing without a value."""

    def expected(batch: Sequence[Prediction]) -> Values:
        values = [v for v in map(read, batch) if v is not None]
        return {(str(p),): interpolated(values, p / 100) for p in percents} if values else {}

    return expected


def failed(batch: Sequence[Prediction]) -> Values:
    """Share of requests by reason; the reasons that everybody knows also at zero."""
    reasons = {*KNOWN_REASONS, *(p.error for p in batch if p.error is not None)}
    return {(reason,): sum(p.error == reason for p in batch) / len(batch) for reason in reasons}


CONCERN = Concern(
    make=lambda: Everything(ModelPlan()),
    rows=rows,
    take=lambda measure, batch: measure.on_predictions(batch),
    oracles={
        "requests per second (QPS)": Oracle(lambda batch: {(): len(batch) / SECONDS}),
        "failed requests by reason": Oracle(failed),
        "latency p50, p95, p99": Oracle(quantiles(lambda p: p.latency, 50, 95, 99)),
        "queue time p50, p95": Oracle(quantiles(lambda p: p.queue, 50, 95)),
    },
)
