"""All measures of one model version, and their windows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlcanary.columns import OutcomeColumns, PredictionColumns, looked_at
from mlcanary.measures.business import BusinessMeasure
from mlcanary.measures.contract import Labeled, Matured, Measure, Outcome
from mlcanary.measures.outcomes import OutcomeMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.registry import measures_of
from mlcanary.monitor.figures import Figures
from mlcanary.monitor.window import Held, State, Window, start_of
from mlcanary.records import ModelKey, Prediction, Sample, Shown
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.row_choice import Unnamed
from mlcanary.windows.packed import Packed


class Counters:
    """The measures of a version as one value that windows can keep."""

    def __init__(self, measures: tuple[Measure, ...]) -> None:
        self.measures = measures
        self._layout: tuple[Any, ...] = ()

    def pack(self) -> Packed:
        """The counters as they are now. The layout has an entry per measure: its parts, and where its numbers end."""
        layout, pieces, end = [], [], 0
        for measure in self.measures:
            parts = []
            for name, part in measure.parts.items():
                piece = part.pack()
                end += len(piece)
                pieces.append(piece)
                parts.append((name, part.layout, len(piece)))
            layout.append((tuple(parts), end))
        if (found := tuple(layout)) != self._layout:
            self._layout = found  # else the former one, so that what compares them sees at once that it is the same
        return Packed(self._layout, np.concatenate(pieces))

    def between(self, earlier: Packed, later: Packed, number: int) -> Measure:
        """What came into the measure of this number between two states."""
        if earlier.layout[number] == later.layout[number]:  # then all that counts is subtracted at once
            return self._over(later.layout, number, _of(later, number) - _of(earlier, number))
        between: Measure = self._over(later.layout, number, _of(later, number)).minus(
            self._over(earlier.layout, number, _of(earlier, number))
        )
        return between

    def _over(self, layout: Any, number: int, values: Floats) -> Measure:
        """The measure over such numbers."""
        measure, parts, at = self.measures[number], {}, 0
        for name, names, size in layout[number][0]:
            parts[name] = measure.parts[name].unpack(names, values[at : at + size])
            at += size
        over: Measure = measure.over(parts)
        return over

    def take_slots(self) -> Slots:
        """What came into the slots since the last call."""
        return Slots(tuple(measure.take_slots() for measure in self.measures))


class Slots:
    """The slots of every measure of a version as one value that windows can merge."""

    def __init__(self, of: tuple[dict[str, Any], ...]) -> None:
        self.of = of

    def merge(self, other: Slots) -> Slots:
        """The slots that would have seen both inputs."""
        return Slots(tuple(map(_merged, self.of, other.of)))


def _of(state: Packed, number: int) -> Floats:
    """The numbers of a measure."""
    numbers: Floats = state.values[start_of(state, number) : state.layout[number][1]]
    return numbers


def _merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Both slots of a measure; most measures have none, and all windows then share one empty dictionary."""
    return {name: slot.merge(theirs[name]) for name, slot in ours.items()} if ours else ours


class Panel:
    """What is known of one (model, version). `last_prediction`, `last_label`: newest event times or None.

    `resting`: sampling stages that take no rows now; `unnamed` counts rows without an id while rows are sampled.
    """

    def __init__(self, key: ModelKey, plan: ModelPlan, windows: Sequence[tuple[str, float]], now: float) -> None:
        """`windows`: label value and length in seconds; `now`: Unix seconds, start of the windows."""
        self.key = key
        self.plan = plan
        self.counters = Counters(measures_of(plan))
        self.last_prediction: float | None = None
        self.last_label: float | None = None
        self.last_seen = now
        self.resting: frozenset[str] = frozenset()
        self.unnamed = Unnamed()
        self._left_out: frozenset[str] = frozenset()
        self._terms = object()  # stands for all but the counters that figures depend on
        self._spans = tuple(windows)
        self._start_windows(now)

    @property
    def outcomes(self) -> OutcomeMeasure:
        """The measure that the join reports to."""
        return next(m for m in self.counters.measures if isinstance(m, OutcomeMeasure))

    @property
    def business(self) -> BusinessMeasure:
        """The measure that knows the business events."""
        return next(m for m in self.counters.measures if isinstance(m, BusinessMeasure))

    def replan(self, plan: ModelPlan) -> None:
        """Take another plan over the same bin edges; counters and windows go on."""
        self.plan = plan
        self._terms = object()
        for measure in self.counters.measures:
            measure.replan(plan)

    def totals(self) -> Iterator[Sample]:
        """The estimates of all that was ever counted, under the window `all`."""
        for measure in self.counters.measures:
            for name, suffix, labels, value in measure.gauges(0.0):
                yield Sample(name, suffix, (*self.key, "all", *labels), value)

    def take_folded(self) -> set[tuple[str, str]]:
        """(cap, name) that the measures folded into `other` or dropped since the last call."""
        return set().union(*(measure.take_folded() for measure in self.counters.measures))

    @property
    def nbytes(self) -> int:
        """Memory of one state of the counters, which every slot of every window keeps: at most this, packed less."""
        return self._state_bytes

    def leave_out(self, classes: Collection[str], features: Collection[str]) -> None:
        """Make no samples of these classes and features any more."""
        self._left_out = frozenset(classes)
        self._terms = object()
        for measure in self.counters.measures:
            measure.leave_out(classes, features)

    def set_slots(self, slots: int) -> None:
        """Keep about this many former states per window."""
        for window in self.windows:
            window.set_slots(slots)

    def on_predictions(self, batch: Sequence[Prediction], now: float) -> None:
        """Hand a batch to every measure; `now` is when it was read."""
        self.last_seen = now
        newest = max(p.ts for p in batch)
        self.last_prediction = newest if self.last_prediction is None else max(self.last_prediction, newest)
        features = batch if all(p.sampled for p in batch) else [p for p in batch if p.sampled]
        for measure in self.counters.measures:
            if not measure.stage:
                measure.on_predictions(batch)
            elif features and measure.stage not in self.resting:
                measure.on_predictions(features)

    def on_prediction_columns(self, batch: PredictionColumns, now: float) -> None:
        """Hand columns to every measure; `now` is when they were read."""
        self.last_seen = now
        newest = float(batch.ts.max())
        self.last_prediction = newest if self.last_prediction is None else max(self.last_prediction, newest)
        features = looked_at(batch)
        for measure in self.counters.measures:
            if not measure.stage:
                measure.on_prediction_columns(batch)
            elif len(features) and measure.stage not in self.resting:
                measure.on_prediction_columns(features)

    def on_labeled_columns(self, batch: OutcomeColumns, newest: float | None) -> None:
        """Hand labelled predictions to every measure; `newest`: event time of the newest label, None if none came."""
        if newest is not None:
            self.last_label = newest if self.last_label is None else max(self.last_label, newest)
        for measure in self.counters.measures:
            measure.on_labeled_columns(batch)

    def on_provisional_columns(self, batch: OutcomeColumns) -> None:
        """Hand labels that are not mature yet to every measure."""
        for measure in self.counters.measures:
            measure.on_provisional_columns(batch)

    def on_matured_columns(self, batch: OutcomeColumns) -> None:
        """Hand predictions whose wait is over to every measure."""
        for measure in self.counters.measures:
            measure.on_matured_columns(batch)

    def on_labeled(self, batch: Sequence[Labeled], newest: float | None) -> None:
        """Hand labelled predictions to every measure; `newest`: event time of the newest label, None if none came."""
        if newest is not None:
            self.last_label = newest if self.last_label is None else max(self.last_label, newest)
        for measure in self.counters.measures:
            measure.on_labeled(batch)

    def on_provisional(self, batch: Sequence[Labeled]) -> None:
        """Hand labels that are not mature yet to every measure."""
        for measure in self.counters.measures:
            measure.on_provisional(batch)

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Hand business events to every measure."""
        for measure in self.counters.measures:
            measure.on_events(batch)

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Hand predictions whose wait is over to every measure."""
        for measure in self.counters.measures:
            measure.on_matured(batch)

    def samples(self, now: float) -> Iterator[Sample]:
        """Counters and facts, then the gauges of each window, all under this model and version."""
        for figures in self.figures(now):
            yield from figures.samples()

    def figures(self, now: float) -> Iterator[Figures]:
        """The same in groups, which are to be made before anything else is counted.

        Counters are those of `now`; gauges of a window are at most as old as `window.oldest_figures` says.
        """
        packed, fresh = self.counters.pack(), self.counters.take_slots()
        state = State.of(packed)
        self._state_bytes = packed.values.nbytes
        for number, measure in self._shown():
            # What a sketch shows depends on the day, and comparing it would cost more than making it.
            stamp = None if measure.sketches else (self._terms, state.told[number])
            yield Figures((*self.key, "", type(measure).__name__), self.key, stamp, partial(_counted, measure, now))
        for window in self.windows:
            window.record(now, packed, fresh)
            yield from self._window_figures(window.label, window.held(now, state, self._terms))

    def _window_figures(self, window: str, held: Held) -> Iterator[Figures]:
        for number, measure in self._shown():
            slots, timed = held.slots.of[number], held.seconds if measure.timed else 0.0
            stamp = (self._terms, held.newest.told[number], held.oldest.told[number], slots, timed)

            def make(number: int = number, slots: dict[str, Any] = slots) -> Iterator[Shown]:
                between = self.counters.between(held.oldest.packed, held.newest.packed, number)
                between.slots = slots
                return between.gauge_runs(held.seconds)

            yield Figures((*self.key, window, type(measure).__name__), (*self.key, window), stamp, make)

    def _shown(self) -> Iterator[tuple[int, Measure]]:
        for number, measure in enumerate(self.counters.measures):
            if measure.budget not in self._left_out:
                yield number, measure

    def dump(self) -> Any:
        """State for the checkpoint, in plain values."""
        parts = {
            f"{type(m).__name__}.{name}": part.dump() for m in self.counters.measures for name, part in m.parts.items()
        }
        sketches = {
            f"{type(m).__name__}.{name}": sketch.dump()
            for m in self.counters.measures
            for name, sketch in m.sketches.items()
        }
        return {
            "parts": parts,
            "sketches": sketches,
            "last_prediction": self.last_prediction,
            "last_label": self.last_label,
            "last_seen": self.last_seen,
            "unnamed": self.unnamed.count,
        }

    def load(self, state: Any, now: float) -> None:
        """Take over a dumped state; windows start anew at `now`. Raises ValueError on another layout."""
        for measure in self.counters.measures:
            prefix = f"{type(measure).__name__}."
            measure.adopt(name.removeprefix(prefix) for name in state["parts"] if name.startswith(prefix))
            for kind, stored in (("parts", measure.parts), ("sketches", measure.sketches)):
                for name, part in stored.items():
                    dumped = state.get(kind, {}).get(f"{type(measure).__name__}.{name}")
                    if dumped is not None:
                        part.load(dumped)
        self.last_prediction, self.last_label = state["last_prediction"], state["last_label"]
        self.last_seen = state.get("last_seen", now)
        self.unnamed.count = state.get("unnamed", 0)
        self._start_windows(now)

    def _start_windows(self, now: float) -> None:
        self.counters.take_slots()
        empty = self.counters.take_slots()
        state = self.counters.pack()
        self._state_bytes = state.values.nbytes
        self.windows = tuple(Window(label, seconds, state, empty, now) for label, seconds in self._spans)


def _counted(measure: Measure, now: float) -> Iterator[Shown]:
    yield from measure.counter_runs()
    yield from measure.facts(now)
