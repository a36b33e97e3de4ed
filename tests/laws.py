"""Laws that every accumulator of `mlcanary.stats` obeys, and one subject per class to try them on.

A new accumulator or sketch is found by introspection; without a subject here the suite is red.
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
from mlcanary.stats.accumulator import Sketch, Tally, Vector
from mlcanary.stats.age_coverage import AgeCoverage
from mlcanary.stats.bin_counts import CategoryBins, NumericBins
from mlcanary.stats.brier import BrierScore
from mlcanary.stats.bucket_histogram import BucketHistogram
from mlcanary.stats.confusion import Confusion
from mlcanary.stats.distinct import HyperLogLog
from mlcanary.stats.expected_auc import UnlabeledBins
from mlcanary.stats.expected_confusion import ExpectedConfusion
from mlcanary.stats.expected_log_loss import ExpectedLogLoss
from mlcanary.stats.log_loss import LogLoss
from mlcanary.stats.loss_sums import LossSums
from mlcanary.stats.named_rows import NamedRows
from mlcanary.stats.one_vs_rest import OneVsRestBins
from mlcanary.stats.placements import Placements
from mlcanary.stats.r_squared import TargetSums
from mlcanary.stats.residuals import Residuals
from mlcanary.stats.roc_auc import ScoreBins
from mlcanary.stats.user_buckets import BUCKETS, UserBuckets, clustered

Batch = list[Any]


@dataclass(frozen=True)
class Subject:
    """How to make, feed and read one class. A batch is a list of inputs; `readers` are all its estimates."""

    empty: Callable[[], Any]
    inputs: SearchStrategy[Any]
    feed: Callable[[Any, Batch], None]
    readers: Sequence[Callable[[Any], Any]]


def found_by_introspection() -> set[type]:
    """Every class under `mlcanary.stats` that keeps counters or a sketch, apart from what only others build upon."""
    modules = [
        importlib.import_module(f"mlcanary.stats.{module.name}")
        for module in pkgutil.iter_modules(mlcanary.stats.__path__)
    ]
    classes = {kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass)}
    return {kind for kind in classes if issubclass(kind, Vector | Tally | Sketch) and kind not in {Vector, Sketch}}


def _feed_columns(accumulator: Any, batch: Batch) -> None:
    accumulator.update_many([score for score, _ in batch], [positive for _, positive in batch])


def _feed_rows(accumulator: OneVsRestBins, batch: Batch) -> None:
    accumulator.grow(3)
    for row, score, actual in batch:
        accumulator.update_many(row, [score], [actual])


def _feed(accumulator: Any, batch: Batch) -> None:
    accumulator.update_many(batch)


def _feed_users(accumulator: Any, batch: Batch) -> None:
    accumulator.update_many(0, [user for user, _ in batch])
    accumulator.update_many(1, [user for user, _ in batch], [amount for _, amount in batch])


def _feed_tally(accumulator: Tally | NamedRows, batch: Batch) -> None:
    for name, amount in batch:
        accumulator.add(name, amount)


def _feed_pairs(accumulator: Any, batch: Batch) -> None:
    accumulator.update_many([a for a, _ in batch], [b for _, b in batch])


def _feed_targets(accumulator: TargetSums, batch: Batch) -> None:
    for target, center in batch:
        accumulator.update_many([target], center)


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
        (
            lambda m: m.by_class().accuracy(),
            lambda m: [m.by_class().precision("1"), m.by_class().recall("1"), m.by_class().f1("1")],
            lambda m: [m.by_class().macro_f1(), m.by_class().weighted_f1(), m.by_class().balanced_accuracy()],
            lambda m: [m.by_class().lift("1"), m.by_class().matthews()],
        ),
    ),
    LogLoss: Subject(LogLoss.empty, _LABELED, _feed_columns, (LogLoss.mean, lambda x: (x.count, x.sum, x.squares))),
    Residuals: Subject(
        Residuals.empty,
        st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
        _feed_pairs,
        (
            Residuals.absolute_error,
            Residuals.squared_error,
            Residuals.bias,
            lambda x: x.quantile_loss(0.9),
            lambda x: (x.count, x.over, x.under, x.squares, x.fourth_powers),
        ),
    ),
    TargetSums: Subject(
        TargetSums,
        st.tuples(st.floats(-1e3, 1e3), st.sampled_from(["0.0", "-2.5", "1000.0"])),
        _feed_targets,
        (TargetSums.squares_about_mean, lambda x: x.r_squared(1.0), lambda x: x.centers),
    ),
    LossSums: Subject(
        LossSums.empty, st.floats(0, 100), lambda x, batch: x.add(batch), (lambda x: (x.mean(), x.count),)
    ),
    BrierScore: Subject(BrierScore.empty, _LABELED, _feed_columns, (BrierScore.mean, lambda x: (x.sum, x.squares))),
    OneVsRestBins: Subject(
        lambda: OneVsRestBins.empty(_EDGES),
        st.tuples(st.integers(0, 2), st.floats(0, 1), st.booleans()),
        _feed_rows,
        (OneVsRestBins.estimates, OneVsRestBins.means, lambda x: x.values.sum()),
    ),
    ScoreBins: Subject(
        lambda: ScoreBins.empty(_EDGES),
        _LABELED,
        _feed_columns,
        (ScoreBins.estimate, lambda x: (x.positives.sum(), x.negatives.sum(), x.score_sums.sum())),
    ),
    Placements: Subject(
        Placements.empty,
        st.floats(0, 1),
        _feed,
        (Placements.auc, lambda x: x.critical(500.0), lambda x: (x.rows, x.sum, x.squares)),
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
    NamedRows: Subject(
        lambda: NamedRows.empty(("red", "blue")),
        st.tuples(_CLASSES, st.tuples(st.integers(0, 1000).map(float), st.integers(0, 9).map(float))),
        _feed_tally,
        (lambda r: r.column("red").sum(), lambda r: r.get("0", "blue"), lambda r: [r.of(n).tolist() for n in r.names]),
    ),
    UserBuckets: Subject(
        lambda: UserBuckets.empty(2),
        st.tuples(st.integers(0, 2**64 - 1), st.integers(-1000, 1000).map(float)),
        _feed_users,
        (lambda b: clustered(b.values[1], b.values[0]), lambda b: clustered(b.values[0], np.ones(BUCKETS))),
    ),
    BucketHistogram: Subject(
        lambda: BucketHistogram.empty([0.1, 1.0, 10.0]),
        st.floats(0, 100),
        _feed,
        (lambda h: h.quantile(0.5), lambda h: (h.count, h.sum, h.counts.sum())),
    ),
}

SKETCHES: dict[type, Subject] = {
    HyperLogLog: Subject(
        lambda: HyperLogLog.empty(11),
        # Few places, so that two hashes often meet in one register.
        st.builds(lambda place, rest: place << 53 | rest, st.integers(0, 15), st.integers(0, 2**53 - 1)),
        _feed,
        (HyperLogLog.estimate, lambda x: x.registers.sum()),
    ),
}
"""What merges as a set: these have no `minus`, and the same twice is the same."""


def subjects() -> SearchStrategy[tuple[Subject, tuple[Batch, Batch, Batch]]]:
    """An accumulator or a sketch, and three batches for it."""
    return _any_of(SUBJECTS | SKETCHES)


def additive() -> SearchStrategy[tuple[Subject, tuple[Batch, Batch, Batch]]]:
    """A subject that can be subtracted, and three batches for it."""
    return _any_of(SUBJECTS)


def sketches() -> SearchStrategy[tuple[Subject, tuple[Batch, Batch, Batch]]]:
    """A sketch and three batches for it."""
    return _any_of(SKETCHES)


def _any_of(among: dict[type, Subject]) -> SearchStrategy[tuple[Subject, tuple[Batch, Batch, Batch]]]:
    return st.sampled_from(sorted(among, key=lambda kind: kind.__name__)).flatmap(
        lambda kind: st.tuples(st.just(among[kind]), st.tuples(*[st.lists(among[kind].inputs, max_size=12)] * 3))
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
    if isinstance(accumulator, NamedRows):
        return {(n, i): c for n in accumulator.names for i, c in enumerate(accumulator.of(n).tolist()) if c}
    values = accumulator.registers if isinstance(accumulator, HyperLogLog) else accumulator.values
    return {i: v for i, v in enumerate(values.ravel().tolist()) if v}


def close(a: Any, b: Any) -> bool:
    """Equal but for the rounding of sums."""
    left, right = state(a), state(b)
    return all(np.isclose(left.get(k, 0.0), right.get(k, 0.0), rtol=1e-12, atol=1e-8) for k in left | right)


def wire(accumulator: Any) -> bytes:
    """What a checkpoint would hold."""
    return msgspec.msgpack.encode(accumulator.dump())
