"""The contract of a measure.

A measure owns accumulators (`parts`), feeds them from batches, and shows them twice: as counters that merge
over sidecars, and as gauges of one window. What cannot be subtracted, such as distinct users, is kept in `sketches`,
which no window copies, and shown by `facts`. What cannot be subtracted but belongs to a window, such as a minimum, is
kept in `slots`: the panel takes their content over and over, and gives a window's measure the merged content of its
time. A measure never keeps a record. A new measure is one file, one row group
in the catalogue, one test, and one line in `registry.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import isnan
from typing import Any, ClassVar

import numpy as np

from mlcanary.catalog import NO_PREDICTION, OTHER
from mlcanary.columns import NONE, Classes, Codes, Floats, OutcomeColumns, PredictionColumns
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Run, Sample, Shown
from mlcanary.stats.accumulator import Accumulator


@dataclass(frozen=True, slots=True)
class Labeled:
    """A prediction with its label; `score` None where the log had none, `delay` from prediction to label in seconds.

    `positive` is None where the class cannot be known to be positive or negative. `segments` are the values of the
    plan's segment features, in their order; `user` a salted hash; `assumed`: no label came, and the plan says what a
    prediction then counts as.
    """

    actual: str
    predicted: str | None
    score: float | None
    positive: bool | None
    delay: float
    scores: Mapping[str, float] | None = None
    items: tuple[str, ...] | None = None
    user: int | None = None
    segments: tuple[str, ...] = ()
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A business event joined to its prediction, as it arrives; `ts` is the event time of the prediction."""

    event: str
    value: float | None
    ts: float
    user: int | None = None
    segments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matured:
    """A prediction whose wait is over: `labeled` None without a label; `events` happened in it, with their values."""

    ts: float
    labeled: Labeled | None
    events: Mapping[str, float | None]
    user: int | None = None
    segments: tuple[str, ...] = ()


def labeled_rows(batch: OutcomeColumns, plan: ModelPlan) -> list[Labeled]:
    """The same outcomes as rows; every one has a label."""
    positive = {name: plan.is_positive(name) for name in batch.classes.names}
    found = []
    for i in range(len(batch)):
        actual, score = batch.classes.name(int(batch.actual[i])) or "", float(batch.score[i])
        found.append(
            Labeled(
                actual,
                batch.classes.name(int(batch.predicted[i])),
                None if isnan(score) else score,
                positive[actual],
                float(batch.delay[i]),
                user=int(batch.user[i]) if batch.has_user[i] else None,
                segments=tuple(batch.segment_values.names[codes[i]] for codes in batch.segments),
                assumed=bool(batch.assumed[i]),
            )
        )
    return found


def matured_rows(batch: OutcomeColumns, plan: ModelPlan) -> list[Matured]:
    """The same outcomes as rows, of which some have a label."""
    has_label = batch.actual != NONE
    labeled = iter(labeled_rows(batch.take(np.flatnonzero(has_label)), plan))
    return [
        Matured(
            float(batch.ts[i]),
            next(labeled) if has else None,
            {},
            int(batch.user[i]) if batch.has_user[i] else None,
            tuple(batch.segment_values.names[codes[i]] for codes in batch.segments),
        )
        for i, has in enumerate(has_label.tolist())
    ]


def positive_of(codes: Codes, classes: Classes, plan: ModelPlan) -> Floats:
    """1 for a positive class, 0 for a negative one, NaN for neither and for NONE; shape (n,)."""
    known = [plan.is_positive(name) for name in classes.names]
    table = np.array([*(np.nan if each is None else float(each) for each in known), np.nan])
    found: Floats = table[codes]
    return found


def names_counted(codes: Codes, classes: Classes) -> list[tuple[str | None, int]]:
    """How often each name comes, in the order in which they come first; None for NONE."""
    counts = np.bincount(codes + 1)
    present = np.flatnonzero(counts)
    if len(present) > 1:
        _, first = np.unique(codes, return_index=True)
        present = present[np.argsort(first)]
    return [(classes.name(int(i) - 1), int(counts[i])) for i in present]


class Measure:
    """Base of every measure: accumulators by name, and the arithmetic that windows and checkpoints need.

    Samples that a measure yields carry its own labels only; the panel puts model and version before them.
    """

    families: ClassVar[tuple[str, ...]] = ()
    """Catalogue rows that this measure emits; a test holds the samples against it."""

    budget: ClassVar[str] = ""
    """The class of `exposition.budget.ORDER` under which its samples are left out; "" if they always stay."""

    stage: ClassVar[str] = ""
    """Name of a sampling stage whose rows alone the measure sees of the predictions; "" for all rows."""

    timed: ClassVar[bool] = False
    """Whether its gauges depend on the length of the window, beside what was counted in it."""

    def __init__(self, plan: ModelPlan) -> None:
        self.plan = plan
        self.parts: dict[str, Any] = {}
        self.sketches: dict[str, Any] = {}
        self.slots: dict[str, Any] = {}
        self._folded: set[tuple[str, str]] = set()

    def replan(self, plan: ModelPlan) -> None:
        """Take another plan over the same bin edges (thresholds, roles, reference counts)."""
        self.plan = plan

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Take in requests of one model version, failed ones included."""

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """What `on_predictions` does to the rows; overridden where arrays do it without making rows."""
        if type(self).on_predictions is not Measure.on_predictions:
            self.on_predictions(list(batch.rows()))

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Take in predictions whose label is final."""

    def on_labeled_columns(self, batch: OutcomeColumns) -> None:
        """What `on_labeled` does to the rows."""
        if type(self).on_labeled is not Measure.on_labeled:
            self.on_labeled(labeled_rows(batch, self.plan))

    def on_provisional(self, batch: Sequence[Labeled]) -> None:
        """Take in labels as they arrive, of predictions that `on_labeled` will bring again once they are mature."""

    def on_provisional_columns(self, batch: OutcomeColumns) -> None:
        """What `on_provisional` does to the rows."""
        if type(self).on_provisional is not Measure.on_provisional:
            self.on_provisional(labeled_rows(batch, self.plan))

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Take in business events as they arrive."""

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Take in every prediction whose wait is over, labelled or not: a cohort of equal age."""

    def on_matured_columns(self, batch: OutcomeColumns) -> None:
        """What `on_matured` does to the rows: those of columns have no events."""
        if type(self).on_matured is not Measure.on_matured:
            self.on_matured(matured_rows(batch, self.plan))

    def facts(self, now: float) -> Iterator[Sample]:
        """Gauges that no window has a part in; `now` in Unix seconds."""
        yield from ()

    def counters(self) -> Iterator[Sample]:
        """Monotone counters since the start."""
        yield from ()

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Estimates over what these parts hold, gathered in `seconds`; nothing where undefined."""
        yield from ()

    def counter_runs(self) -> Iterator[Shown]:
        """What `counters` gives; overridden where arrays hold many samples of one name."""
        yield from self.counters()

    def gauge_runs(self, seconds: float) -> Iterator[Shown]:
        """What `gauges` gives; overridden likewise."""
        yield from self.gauges(seconds)

    def labels(self) -> float | None:
        """Labelled rows behind the gauges; None for a measure whose gauges need none."""
        return None

    def adopt(self, names: Iterable[str]) -> None:
        """Make the parts of these names, which a checkpoint holds, where they are not made from the start."""

    def leave_out(self, classes: Collection[str], features: Collection[str]) -> None:
        """Make no samples of these classes and features any more; they do not fit on the page."""

    def take_folded(self) -> set[tuple[str, str]]:
        """(cap of `Limits`, name) that were folded into `other` or dropped since the last call."""
        folded, self._folded = self._folded, set()
        return folded

    def capped(self, part: str, name: str, cap: str) -> tuple[str]:
        """The counter of a tally to use for a learnt name: its own while there is room, else `other`."""
        counts = self.parts[part].counts
        if (name,) in counts:
            return (name,)
        learnt = len(counts) - ((OTHER,) in counts) - ((NO_PREDICTION,) in counts)
        if learnt < getattr(self.plan.limits, cap):
            return (name,)
        self._folded.add((cap, name))
        return (OTHER,)

    def take_slots(self) -> dict[str, Any]:
        """What the slots hold; they go on empty."""
        if not self.slots:
            return _NO_SLOTS
        taken, self.slots = self.slots, {name: slot.empty() for name, slot in self.slots.items()}
        return taken

    def copy(self) -> Any:
        """The same measure over independent parts."""
        return self._with({name: part.copy() for name, part in self.parts.items()})

    def minus(self, earlier: Measure) -> Any:
        """What came in since `earlier`; a part that was born since then counts in full."""
        before = earlier.parts
        return self._with({n: p.minus(before[n]) if n in before else p.copy() for n, p in self.parts.items()})

    def over(self, parts: Mapping[str, Any]) -> Any:
        """The same measure over other parts."""
        return self._with(dict(parts))

    def _with(self, parts: dict[str, Accumulator]) -> Measure:
        other = object.__new__(type(self))
        other.__dict__ = {**self.__dict__, "parts": parts}
        return other


_NO_SLOTS: dict[str, Any] = {}
"""One for all measures without slots: every window of every version holds sixty of them."""


def undefined(figure: str, reason: str) -> Sample:
    """Says why a figure of the window is absent: no_labels, one_class, no_positive_prediction, no_reference ..."""
    return sample("window_undefined", (figure, reason), 1.0)


@lru_cache(maxsize=64)
def crossed(*axes: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Labels for every combination, the last axis fastest; the same ones for all versions, segments and pages.

    >>> crossed(("a", "b"), ("1", "2"))
    (('a', '1'), ('a', '2'), ('b', '1'), ('b', '2'))
    """
    return tuple(product(*axes))


def run(name: str, labels: Sequence[tuple[str, ...]], values: Floats) -> Iterator[Run]:
    """A run under a catalogue name without its prefix; nothing for no values. `values` has shape (len(labels),)."""
    if len(labels):
        yield Run(f"mlcanary_{name}", "", labels, values.tolist())


def sample(name: str, labels: tuple[str, ...], value: float, suffix: str = "") -> Sample:
    """A sample under a catalogue name without its prefix."""
    return Sample(f"mlcanary_{name}", suffix, labels, value)
