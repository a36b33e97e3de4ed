"""A segment shows what the measures of the whole show over its rows alone, which are held against libraries.

At every prefix, for every task, and for the counters that the recorded series are made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec
import pytest

from measure_inputs import labeled, matured, outcomes, predictions
from mlcanary.catalog import Task
from mlcanary.catalog.segments import INDICATORS, RENAMED
from mlcanary.measures.contract import Measure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.segments import SegmentMeasure
from mlcanary.records import Sample

NAMES = (
    "requests per segment",
    "errors per segment",
    "labels per segment",
    "accuracy per segment",
    "precision per segment",
    "recall per segment",
    "F1 per segment",
    "macro F1 per segment",
    "balanced accuracy per segment",
    "AUC per segment",
    "log loss per segment",
    "Brier score per segment",
    "mean absolute error per segment",
    "root mean squared error per segment",
    "bias per segment",
    "ranking figures per segment",
    "CTR per segment",
    "CVR per segment",
    "conversions per request per segment",
    "GMV per request per segment",
)
ROWS = 120
VALUES = ("DE", "FR", "naïve")
Shown = dict[tuple[str, str, tuple[str, ...]], float]


def value_of(i: int) -> str:
    """The segment of the i-th row of every kind."""
    return VALUES[i % 7 % 3]


def feed(measure: Measure, task: Task, rows: Iterable[int]) -> None:
    """Give a measure these rows of every kind, one by one."""
    for i in rows:
        place = (value_of(i),)
        (request,) = predictions(1, i, task)
        measure.on_predictions([msgspec.structs.replace(request, features={"country": value_of(i)})])
        measure.on_labeled([replace(x, segments=place) for x in labeled(1, i, task)])
        measure.on_events([replace(x, segments=place) for x in outcomes(1, i)])
        measure.on_matured([replace(x, segments=place) for x in matured(1, i, task)])


def shown(samples: Iterable[Sample]) -> Shown:
    """Samples by name, suffix and labels."""
    return {s[:3]: s.value for s in samples}


def whole(kinds: Sequence[Measure]) -> Shown:
    """What the measures of the whole show, under the names of a segment."""
    found = [s for measure in kinds for s in (*measure.counters(), *measure.gauges(60.0)) if s.name in RENAMED]
    return {(RENAMED[s.name], s.suffix, s.labels): s.value for s in found}


@pytest.mark.parametrize("task", Task)
def test_a_segment_is_the_whole_over_its_rows_at_every_prefix(task: Task) -> None:
    plan = ModelPlan(task=task, segments=("country",), objectives={"segment_min_labels": 0.0})
    segments = SegmentMeasure(plan)
    inner = replace(plan, segments=(), coarse=True)
    alone = {value: tuple(kind(inner) for kind in SegmentMeasure.kinds[task]) for value in VALUES}
    for n in range(ROWS):
        feed(segments, task, [n])
        for measure in alone[value_of(n)]:
            feed(measure, task, [n])
        found = shown((*segments.counters(), *segments.gauges(60.0)))
        expected = {
            (name, suffix, ("country", value, *labels)): x
            for value in VALUES
            for (name, suffix, labels), x in whole(alone[value]).items()
            if any(value_of(i) == value for i in range(n + 1))
        }
        assert found == pytest.approx(expected, rel=1e-12), n


def test_every_segment_figure_is_of_a_family_that_is_held_here() -> None:
    assert tuple(row.name for row in INDICATORS) == NAMES
    assert {f"mlcanary_{row.metric}" for row in INDICATORS} <= set(RENAMED.values())
