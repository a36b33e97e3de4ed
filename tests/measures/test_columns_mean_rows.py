"""A batch of columns does to every measure exactly what its rows would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlcanary.catalog import Task
from mlcanary.columns import NONE, Classes, FeatureColumns, OutcomeColumns, PredictionColumns, alike, joined
from mlcanary.measures.contract import Measure, labeled_rows, matured_rows
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import CategoricalReference
from mlcanary.measures.registry import measures_of
from mlcanary.records import ModelKey, Sample
from mlcanary.words import Texts, Words
from monitored_traffic import reference

KEY = ModelKey("m", "v")
TASKS = (Task.BINARY, Task.MULTICLASS)
CASES = [
    pytest.param(task, i, id=f"{task}-{type(measure).__name__}")
    for task in TASKS
    for i, measure in enumerate(measures_of(ModelPlan(task=task)))
]


WORDS = Words()


def plan(task: Task) -> ModelPlan:
    """With a reference and its sample, two segments, a maturity, and few places for classes."""
    base = ModelPlan(task=task, reference=reference(sample=400), segments=("plan", "device"))
    return replace(base, join=base.join._replace(maturity=60.0), limits=replace(base.limits, classes=3))


def requests(rng: np.random.Generator, n: int, classes: Classes, values: Classes) -> PredictionColumns:
    """Requests with gaps in every column, names that the reference never had, and users on three days."""
    watched = plan(Task.BINARY).reference
    assert watched is not None
    texts = {name: f for name, f in watched.features.items() if isinstance(f, CategoricalReference)}
    numbers = tuple(name for name in watched.features if name not in texts)
    matrix = np.round(rng.normal(30, 40, (len(numbers), n)), 2)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    names: dict[str, list[str | None]] = {
        name: [
            None if i == 0 else [*f.categories, "never seen"][int(i) - 1]
            for i in rng.integers(0, 2 + len(f.categories), n)
        ]
        for name, f in texts.items()
    }
    features = FeatureColumns(numbers, matrix, Texts.of(names, WORDS))
    has_user = rng.random(n) < 0.7
    batch = PredictionColumns(
        KEY,
        86_400.0 * 3 + rng.integers(0, 3 * 86_400, n).astype(float),
        [f"r{i}" for i in range(n)],
        rng.integers(NONE, len(classes.names), n).astype(np.int32),
        np.where(rng.random(n) < 0.2, np.nan, np.round(rng.random(n), 3)),
        np.where(rng.random(n) < 0.2, np.nan, np.round(rng.random(n), 3)),
        np.where(rng.random(n) < 0.2, np.nan, np.round(rng.random(n), 3)),
        np.where(has_user, rng.integers(1, 2**63, n), 0).astype(np.uint64),
        has_user,
        classes,
        features,
        segment_values=values,
    )
    segments = []
    for name in plan(Task.BINARY).segments:
        found = [values.code(str(v) if v is not None else "none") for v in features.column(name)]
        segments.append(np.array(found, dtype=np.int32))
    return replace(batch, segments=tuple(segments))


def outcomes(rng: np.random.Generator, batch: PredictionColumns, *, labeled: bool) -> OutcomeColumns:
    """What became of the requests."""
    n = len(batch)
    actual = rng.integers(0 if labeled else NONE, len(batch.classes.names), n).astype(np.int32)
    return OutcomeColumns(
        KEY, batch.ts, actual, batch.predicted, batch.score,
        np.where(actual == NONE, np.nan, rng.integers(-5, 90, n).astype(float)), batch.user, batch.has_user,
        (rng.random(n) < 0.2) & (actual != NONE), batch.classes, batch.segments, batch.segment_values,
    )  # fmt: skip


def fed(measure: Measure, *, columns: bool) -> tuple[list[Sample], set[tuple[str, str]]]:
    """Everything that a measure shows after three rounds of columns, or of their rows, and what it folded."""
    rng = np.random.default_rng(7)
    classes, values = Classes(), Classes()
    for name in ("1", "0", "x", "y", "z"):
        classes.code(name)
    for n in (1, 40, 300):
        batch = requests(rng, n, classes, values)
        final, early, old = (outcomes(rng, batch, labeled=labeled) for labeled in (True, True, False))
        if columns:
            measure.on_prediction_columns(batch)
            measure.on_labeled_columns(final)
            measure.on_provisional_columns(early)
            measure.on_matured_columns(old)
        else:
            measure.on_predictions(list(batch.rows()))
            measure.on_labeled(labeled_rows(final, measure.plan))
            measure.on_provisional(labeled_rows(early, measure.plan))
            measure.on_matured(matured_rows(old, measure.plan))
    shown = [*measure.counters(), *measure.gauges(300.0), *measure.facts(86_400.0 * 5)]
    return shown, measure.take_folded()


@pytest.mark.parametrize(("task", "place"), CASES)
def test_columns_do_what_their_rows_do(task: Task, place: int) -> None:
    by_columns, by_rows = (fed(measures_of(plan(task))[place], columns=columns) for columns in (True, False))
    expected: dict[Any, float] = {(s.name, s.suffix, s.labels): s.value for s in by_rows[0]}
    found: dict[Any, float] = {(s.name, s.suffix, s.labels): s.value for s in by_columns[0]}
    assert found.keys() == expected.keys()
    for series, value in expected.items():
        assert found[series] == pytest.approx(value, rel=1e-9, abs=1e-12), series
    assert by_columns[1] == by_rows[1]


def test_joined_batches_are_the_rows_of_both_in_order() -> None:
    rng = np.random.default_rng(3)
    classes, values = Classes(), Classes()
    classes.code("1")
    one, other = requests(rng, 5, classes, values), requests(rng, 8, classes, values)
    labels = rng.integers(NONE, 1, 8).astype(np.int32)
    other = replace(other, label=labels)
    assert alike(one, other)
    both = joined([one, other])
    assert list(both.rows()) == [*one.rows(), *other.rows()]
    assert list(both.take(np.array([6, 2])).rows()) == [list(both.rows())[6], list(both.rows())[2]]
