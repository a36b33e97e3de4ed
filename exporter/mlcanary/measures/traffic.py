"""Requests, failures, duplicates, latency and waiting: what needs no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np

from mlcanary.catalog import ANSWERED, LATENCY_BUCKETS, NO_PREDICTION, Task
from mlcanary.columns import PredictionColumns
from mlcanary.measures.contract import Measure, names_counted, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.bucket_histogram import BucketHistogram

KNOWN_REASONS = ("400", "429", "500", "502", "503", "504")
"""Failures that are born at zero: a burst that is over before the next scrape must still show as growth."""


class TrafficMeasure(Measure):
    """Counts every request once: by predicted class, failed ones as `none`, and failures by reason."""

    timed = True
    families = (
        "mlcanary_predictions_total",
        "mlcanary_prediction_errors_total",
        "mlcanary_window_predictions",
        "mlcanary_window_predictions_per_second",
        "mlcanary_window_prediction_errors_ratio",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"predicted": Tally({(NO_PREDICTION,): 0.0}), "errors": Tally({(r,): 0.0 for r in KNOWN_REASONS})}

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count classes and reasons, folding names above the caps."""
        predicted, errors = self.parts["predicted"], self.parts["errors"]
        classes = self.plan.task in {Task.BINARY, Task.MULTICLASS}
        for p in batch:
            if p.error is None:
                name = p.predicted if classes else ANSWERED
                predicted.add(self.capped("predicted", NO_PREDICTION if name is None else name, "classes"))
            else:
                predicted.add((NO_PREDICTION,))
                errors.add(self.capped("errors", p.error, "reasons"))

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count classes: nothing in columns has failed."""
        predicted = self.parts["predicted"]
        for name, count in names_counted(batch.predicted, batch.classes):
            predicted.add(self.capped("predicted", NO_PREDICTION if name is None else name, "classes"), float(count))

    def counters(self) -> Iterator[Sample]:
        """Attempts by class, failures by reason."""
        for name, count in self.parts["predicted"].items():
            yield sample("predictions_total", name, count)
        for name, count in self.parts["errors"].items():
            yield sample("prediction_errors_total", name, count)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Number and rate of requests, and the share of them that failed, by reason."""
        total = self.parts["predicted"].total()
        yield sample("window_predictions", (), total)
        for name, count in self.parts["errors"].items() if total > 0 else ():
            yield sample("window_prediction_errors_ratio", name, count / total)
        if seconds >= _MIN_RATE_SECONDS:
            yield sample("window_predictions_per_second", (), total / seconds)


class LatencyMeasure(Measure):
    """Latency as the model server logged it."""

    families = ("mlcanary_prediction_latency_seconds", "mlcanary_window_latency_seconds")
    percentiles = (("50", 0.50), ("95", 0.95), ("99", 0.99))

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"latency": BucketHistogram.empty(LATENCY_BUCKETS)}

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count latencies where the log has them."""
        if observed := [p.latency for p in batch if p.latency is not None]:
            self.parts["latency"].update_many(observed)

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count latencies where the log has them."""
        self.parts["latency"].update_many(batch.latency[~np.isnan(batch.latency)])

    def counters(self) -> Iterator[Sample]:
        """A classic histogram."""
        yield from histogram_samples("prediction_latency_seconds", self.parts["latency"])

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """p50, p95 and p99."""
        for text, q in self.percentiles:
            value = self.parts["latency"].quantile(q)
            if value is not None:
                yield sample("window_latency_seconds", (text,), value)


class QueueMeasure(Measure):
    """The part of the latency that a request spent waiting. Nothing is shown before a log has had one."""

    families = ("mlcanary_prediction_queue_seconds", "mlcanary_window_queue_seconds")
    percentiles = (("50", 0.50), ("95", 0.95))

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"queue": BucketHistogram.empty(LATENCY_BUCKETS)}

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count queue times where the log has them."""
        if observed := [p.queue for p in batch if p.queue is not None]:
            self.parts["queue"].update_many(observed)

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count queue times where the log has them."""
        waited = ~np.isnan(batch.queue)
        if waited.any():
            self.parts["queue"].update_many(batch.queue[waited])

    def counters(self) -> Iterator[Sample]:
        """A classic histogram."""
        if self.parts["queue"].count > 0:
            yield from histogram_samples("prediction_queue_seconds", self.parts["queue"])

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """p50 and p95."""
        for text, q in self.percentiles:
            value = self.parts["queue"].quantile(q)
            if value is not None:
                yield sample("window_queue_seconds", (text,), value)


_MIN_RATE_SECONDS = 5.0
"""A rate over less is the start of the process reading a backlog, not traffic."""


def histogram_samples(name: str, histogram: BucketHistogram) -> Iterator[Sample]:
    """Buckets, sum and count of a histogram in wire form."""
    uppers = (*(repr(float(upper)) for upper in histogram.uppers), "+Inf")
    for upper, count in zip(uppers, accumulate(histogram.counts.tolist()), strict=True):
        yield sample(name, (upper,), count, "_bucket")
    yield sample(name, (), histogram.sum, "_sum")
    yield sample(name, (), histogram.count, "_count")
