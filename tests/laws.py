"""Laws that every accumulator of `mlcanary.stats` obeys, and one subject per class to try them on.

A new accumulator is found by introspection; without a subject here the suite is red.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import mlcanary.stats
from mlcanary.stats.accumulator import Tally, Vector
from mlcanary.stats.age_coverage import AgeCoverage
from mlcanary.stats.bin_counts import CategoryBins, NumericBins
from mlcanary.stats.bucket_histogram import BucketHistogram
from mlcanary.stats.confusion import Confusion
from mlcanary.stats.expected_auc import UnlabeledBins
from mlcanary.stats.expected_confusion import ExpectedConfusion
from mlcanary.stats.expected_log_loss import ExpectedLogLoss
from mlcanary.stats.log_loss import LogLoss
from mlcanary.stats.roc_auc import ScoreBins

Batch = list[Any]


@dataclass(frozen=True)
class Subject:
    """How to make, feed and read one class. A batch is a list of inputs; `readers` are all its estimates."""

    empty: Callable[[], Any]
    inputs: SearchStrategy[Any]
    feed: Callable[[Any, Batch], None]
    readers: Sequence[Callable[[Any], Any]]


def found_by_introspection() -> set[type]:
    """Every class under `mlcanary.stats` that keeps counters, apart from the storage that only others use."""
    modules = [
        importlib.import_module(f"mlcanary.stats.{module.name}")
        for module in pkgutil.iter_modules(mlcanary.stats.__path__)
    ]
    classes = {kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)}
    return {kind for kind in classes if issubclass(kind, Vector | Tally) and kind is not Vector}


def _feed_columns(accumulator: Any, batch: Batch) -> None:
    accumulator.update_many([score for score, _ in batch], [positive for _, positive in batch])


def _feed(accumulator: Any, batch: Batch) -> None:
    accumulator.update_many(batch)


def _feed_tally(accumulator: Tally, batch: Batch) -> None:
    for name, amount in batch:
        accumulator.add(name, amount)


_EDGES = np.array([0.2, 0.4, 0.6, 0.8])
_LABELED = st.tuples(st.floats(0, 1), st.booleans())
_CLASSES = st.sampled_from(["0", "1", "other", ""])
_NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([0.2, 0.4, 0.6, 0.8])

SUBJECTS: dict[type, Subject] = {
    Tally: Subject(
        Tally,
        st.tuples(st.tuples(_CLASSES), st.integers(0, 1000).map(float)),
        _feed_tally,
        (Tally.total, lambda t: list(t.items())),
    ),
    Confusion: Subject(
        Confusion,
        st.tuples(_CLASSES, _CLASSES),
        _feed,
        (Confusion.accuracy, lambda m: m.precision("1"), lambda m: m.recall("1"), lambda m: m.f1("1")),
    ),
    LogLoss: Subject(LogLoss.empty, _LABELED, _feed_columns, (LogLoss.mean, lambda x: (x.count, x.sum, x.squares))),
    ScoreBins: Subject(
        lambda: ScoreBins.empty(_EDGES),
        _LABELED,
        _feed_columns,
        (ScoreBins.estimate, lambda x: (x.positives.sum(), x.negatives.sum(), x.score_sums.sum())),
    ),
    AgeCoverage: Subject(
        lambda: AgeCoverage.empty([1.0, 10.0]),
        st.floats(0, 20) | st.just(float("inf")),
        _feed,
        (lambda c: (c.cohort, c.labeled.tolist()),),
    ),
    ExpectedConfusion: Subject(
        ExpectedConfusion.empty,
        _LABELED,
        _feed_columns,
        (ExpectedConfusion.accuracy, ExpectedConfusion.precision, ExpectedConfusion.recall, ExpectedConfusion.f1),
    ),
    ExpectedLogLoss: Subject(ExpectedLogLoss.empty, st.floats(0, 1), _feed, (ExpectedLogLoss.mean,)),
    UnlabeledBins: Subject(lambda: UnlabeledBins.empty(_EDGES), st.floats(0, 1), _feed, (UnlabeledBins.estimate,)),
    NumericBins: Subject(lambda: NumericBins.empty(_EDGES), _NUMBERS, _feed, (lambda x: x.values.sum(),)),
    CategoryBins: Subject(lambda: CategoryBins.empty(["0", "1"]), _CLASSES, _feed, (lambda x: x.values.tolist(),)),
    BucketHistogram: Subject(
        lambda: BucketHistogram.empty([0.1, 1.0, 10.0]),
        st.floats(0, 100),
        _feed,
        (lambda h: h.quantile(0.5), lambda h: (h.count, h.sum, h.counts.sum())),
    ),
}


def subjects() -> SearchStrategy[tuple[Subject, tuple[Batch, Batch, Batch]]]:
    """A subject and three batches for it."""
    return st.sampled_from(sorted(SUBJECTS, key=lambda kind: kind.__name__)).flatmap(
        lambda kind: st.tuples(st.just(SUBJECTS[kind]), st.tuples(*[st.lists(SUBJECTS[kind].inputs, max_size=12)] * 3))
    )


def made(subject: Subject, *batches: Batch) -> Any:
    """An accumulator that has seen these batches, one after the other."""
    accumulator = subject.empty()
    for batch in batches:
        subject.feed(accumulator, batch)
    return accumulator


def state(accumulator: Any) -> dict[Any, float]:
    """Counters by name; those at zero left out, since a name that came in at zero says nothing."""
    if isinstance(accumulator, Tally):
        return {name: count for name, count in accumulator.counts.items() if count}
    return {i: v for i, v in enumerate(accumulator.values.ravel().tolist()) if v}


def close(a: Any, b: Any) -> bool:
    """Equal but for the rounding of sums."""
    left, right = state(a), state(b)
    return all(np.isclose(left.get(k, 0.0), right.get(k, 0.0), rtol=1e-12, atol=1e-8) for k in left | right)


def wire(accumulator: Any) -> bytes:
    """What a checkpoint would hold."""
    return msgspec.msgpack.encode(accumulator.dump())
