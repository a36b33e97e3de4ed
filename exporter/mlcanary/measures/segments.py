"""The same figures once more for each value of the configured segment features, such as country or device.

A value has measures of its own, over coarser score bins. Values are kept up to a cap, those of the reference profile
first, so that all sidecars keep the same ones; what is above is `other`. Drift is not measured per segment: a segment
has no reference of its own. A gauge needs a minimum of labels, since a figure of five rows only looks like one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog import OTHER, Task, segments
from mlcanary.columns import OutcomeColumns, PredictionColumns
from mlcanary.measures.business import BusinessMeasure
from mlcanary.measures.contract import Labeled, Matured, Measure, Outcome
from mlcanary.measures.losses import LossMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.quality import QualityMeasure
from mlcanary.measures.ranking import RankingMeasure
from mlcanary.measures.reference import CategoricalReference
from mlcanary.measures.regression import RegressionMeasure
from mlcanary.measures.score import ScoreMeasure
from mlcanary.measures.traffic import TrafficMeasure
from mlcanary.records import Prediction, Sample

T = TypeVar("T")
C = TypeVar("C", PredictionColumns, OutcomeColumns)
Place = tuple[str, str]
"""(segment feature, value)"""

_SEPARATOR = "\x1f"


class SegmentMeasure(Measure):
    """Measures by (segment, value). Their parts are this measure's too, named segment, value, measure, part."""

    families = tuple(row.name for row in segments.ROWS)
    budget = "segments"
    timed = True
    kinds: ClassVar[Mapping[Task, tuple[type[Measure], ...]]] = {
        Task.BINARY: (TrafficMeasure, QualityMeasure, ScoreMeasure, LossMeasure, BusinessMeasure),
        Task.MULTICLASS: (TrafficMeasure, QualityMeasure, LossMeasure, BusinessMeasure),
        Task.REGRESSION: (TrafficMeasure, RegressionMeasure, BusinessMeasure),
        Task.RANKING: (TrafficMeasure, RankingMeasure, BusinessMeasure),
    }

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self._places: dict[Place, tuple[Measure, ...]] = {}

    def adopt(self, names: Iterable[str]) -> None:
        """Open the segments whose parts a checkpoint holds."""
        for name in names:
            segment, value, *_ = name.split(_SEPARATOR)
            self._open((segment, value))

    def replan(self, plan: ModelPlan) -> None:
        """Take another plan; segments that it no longer names stop growing and stay on the page."""
        super().replan(plan)
        for measures in self._places.values():
            for measure in measures:
                measure.replan(_inner(plan))

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count requests under each of their segments."""
        self._each(batch, lambda p: self.plan.segment_values(p.features), lambda m, rows: m.on_predictions(rows))

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Count labelled predictions under each of their segments."""
        self._each(batch, lambda x: x.segments, lambda m, rows: m.on_labeled(rows))

    def on_events(self, batch: Sequence[Outcome]) -> None:
        """Count business events under each segment of their prediction."""
        self._each(batch, lambda x: x.segments, lambda m, rows: m.on_events(rows))

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Count predictions whose wait is over under each of their segments."""
        self._each(batch, lambda x: x.segments, lambda m, rows: m.on_matured(rows))

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count requests under each of their segments."""
        self._each_column(batch, lambda m, rows: m.on_prediction_columns(rows))

    def on_labeled_columns(self, batch: OutcomeColumns) -> None:
        """Count labelled predictions under each of their segments."""
        self._each_column(batch, lambda m, rows: m.on_labeled_columns(rows))

    def on_matured_columns(self, batch: OutcomeColumns) -> None:
        """Count predictions whose wait is over under each of their segments."""
        self._each_column(batch, lambda m, rows: m.on_matured_columns(rows))

    def counters(self) -> Iterator[Sample]:
        """The counters of every segment."""
        for place, measures in self._bound():
            for measure in measures:
                yield from _renamed(place, measure.counters())

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """The gauges of every segment; those of quality only with enough labels."""
        least = self.plan.thresholds()["segment_min_labels"]
        for place, measures in self._bound():
            for measure in measures:
                labels = measure.labels()
                if labels is None or labels >= least:
                    yield from _renamed(place, measure.gauges(seconds))

    def _each(
        self,
        batch: Sequence[T],
        values_of: Callable[[T], tuple[str, ...]],
        feed: Callable[[Measure, Sequence[T]], None],
    ) -> None:
        if not self.plan.segments:
            return
        batches: dict[Place, list[T]] = {}
        for row in batch:
            for name, value in zip(self.plan.segments, values_of(row), strict=False):
                batches.setdefault(self._place(name, value), []).append(row)
        for place, rows in batches.items():
            for measure in self._places[place]:
                feed(measure, rows)
                self._folded |= measure.take_folded()

    def _each_column(self, batch: C, feed: Callable[[Measure, C], None]) -> None:
        places: dict[Place, list[NDArray[np.intp]]] = {}
        for name, codes in zip(self.plan.segments, batch.segments, strict=False):
            values, first = np.unique(codes, return_index=True)
            for code in values[np.argsort(first)].tolist():
                place = self._place(name, batch.segment_values.names[code])
                places.setdefault(place, []).append(np.flatnonzero(codes == code))
        for place, rows in places.items():
            some = batch.take(np.sort(np.concatenate(rows)))
            for measure in self._places[place]:
                feed(measure, some)
                self._folded |= measure.take_folded()

    def _place(self, name: str, value: str) -> Place:
        """The place of a value: its own while there is room, else that of `other`."""
        place = (name, value)
        if place not in self._places:
            expected = self._expected(name)
            if value not in expected:
                learnt = {v for n, v in self._places if n == name} - {*expected, OTHER}
                if len(expected) + len(learnt) >= self.plan.limits.segment_values:
                    self._folded.add(("segment_values", _SEPARATOR.join(place)))
                    place = (name, OTHER)
            self._open(place)
        return place

    def _expected(self, name: str) -> tuple[str, ...]:
        reference = self.plan.reference.features.get(name) if self.plan.reference is not None else None
        categories = reference.categories if isinstance(reference, CategoricalReference) else ()
        return categories[: self.plan.limits.segment_values]

    def _open(self, place: Place) -> None:
        if place in self._places:
            return
        measures = tuple(kind(_inner(self.plan)) for kind in self.kinds[self.plan.task])
        self._places[place] = measures
        for measure in measures:
            for name, part in measure.parts.items():
                self.parts[_part(place, measure, name)] = part

    def _bound(self) -> Iterator[tuple[Place, tuple[Measure, ...]]]:
        """The measures over the parts that this measure holds now: its own, or those of a window."""
        for place, measures in self._places.items():
            found = []
            for measure in measures:
                parts = {name: self.parts.get(_part(place, measure, name)) for name in measure.parts}
                if None not in parts.values():
                    found.append(measure.over(parts))
            yield place, tuple(found)


def _inner(plan: ModelPlan) -> ModelPlan:
    """The plan of one segment: coarse score bins, no segments of its own, no drift."""
    return replace(plan, segments=(), coarse=True)


def _part(place: Place, measure: Measure, name: str) -> str:
    return _SEPARATOR.join((*place, type(measure).__name__, name))


def _renamed(place: Place, samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples under the names of the segment families; what has no such family is left out."""
    for name, suffix, labels, value in samples:
        found = segments.RENAMED.get(name)
        if found is not None:
            yield Sample(found, suffix, (*place, *labels), value)
