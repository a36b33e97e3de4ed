"""All measures of one model version, and their windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlcanary.measures.contract import Labeled, Matured, Measure, Outcome
from mlcanary.measures.outcomes import OutcomeMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.registry import measures_of
from mlcanary.records import ModelKey, Prediction, Sample
from mlcanary.windows.ring import SnapshotRing


class Counters:
    """The measures of a version as one value that windows can copy and subtract."""

    def __init__(self, measures: tuple[Measure, ...]) -> None:
        self.measures = measures

    def copy(self) -> Counters:
        """An independent state."""
        return Counters(tuple(measure.copy() for measure in self.measures))

    def minus(self, earlier: Counters) -> Counters:
        """What came in since `earlier`."""
        pairs = zip(self.measures, earlier.measures, strict=True)
        return Counters(tuple(measure.minus(before) for measure, before in pairs))


class Panel:
    """What is known of one (model, version). `last_prediction`, `last_label`: newest event times or None."""

    def __init__(self, key: ModelKey, plan: ModelPlan, windows: Sequence[tuple[str, float]], now: float) -> None:
        """`windows`: label value and length in seconds; `now`: Unix seconds, start of the windows."""
        self.key = key
        self.plan = plan
        self.counters = Counters(measures_of(plan))
        self.last_prediction: float | None = None
        self.last_label: float | None = None
        self._windows = tuple(windows)
        self._rings = self._start_rings(now)

    @property
    def outcomes(self) -> OutcomeMeasure:
        """The measure that the join reports to."""
        return next(m for m in self.counters.measures if isinstance(m, OutcomeMeasure))

    def replan(self, plan: ModelPlan) -> None:
        """Take another plan over the same bin edges; counters and windows go on."""
        self.plan = plan
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

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Hand a batch to every measure."""
        newest = max(p.ts for p in batch)
        self.last_prediction = newest if self.last_prediction is None else max(self.last_prediction, newest)
        for measure in self.counters.measures:
            measure.on_predictions(batch)

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
        for measure in self.counters.measures:
            for name, suffix, labels, value in (*measure.counters(), *measure.facts(now)):
                yield Sample(name, suffix, (*self.key, *labels), value)
        for (window, _), ring in zip(self._windows, self._rings, strict=True):
            ring.record(now, self.counters)
            seconds = ring.covered(now)
            for measure in ring.since(self.counters).measures:
                for name, suffix, labels, value in measure.gauges(seconds):
                    yield Sample(name, suffix, (*self.key, window, *labels), value)

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
        }

    def load(self, state: Any, now: float) -> None:
        """Take over a dumped state; windows start anew at `now`. Raises ValueError on another layout."""
        for measure in self.counters.measures:
            for kind, stored in (("parts", measure.parts), ("sketches", measure.sketches)):
                for name, part in stored.items():
                    dumped = state.get(kind, {}).get(f"{type(measure).__name__}.{name}")
                    if dumped is not None:
                        part.load(dumped)
        self.last_prediction, self.last_label = state["last_prediction"], state["last_label"]
        self._rings = self._start_rings(now)

    def _start_rings(self, now: float) -> tuple[SnapshotRing[Counters], ...]:
        return tuple(SnapshotRing(seconds, self.counters, now) for _, seconds in self._windows)
