"""Everything that a measure can take in, for any task: requests, labels, events and cohorts with every trait."""

from __future__ import annotations

from dataclasses import replace

from mlcanary.catalog import Task
from mlcanary.measures.contract import Labeled, Matured, Measure, Outcome
from mlcanary.measures.outcomes import OutcomeMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.registry import measures_of
from mlcanary.records import ModelKey, Prediction, canonical_class, canonical_relevance
from monitored_traffic import reference

PLAN = ModelPlan(reference=reference(sample=400), segments=("plan", "device"))
KEY = ModelKey("m", "v")
ITEMS = tuple("abcdefghij")
SEGMENTS = ("pro", "none")
"""Values of the segment features in all that is made here; requests lack the second one."""

LEARNING = {"RegressionMeasure"}
"""Measures whose labels depend on what they saw first."""

DAY = 86_400.0


def plans_of(kind: type[Measure]) -> list[ModelPlan]:
    """A plan of each task that has the measure."""
    plans = [replace(PLAN, task=task) for task in Task]
    found = [plan for plan in plans if kind in {type(measure) for measure in measures_of(plan)}]
    assert found, f"no task has {kind.__name__}"
    return found


def plan_of(kind: type[Measure]) -> ModelPlan:
    """The plan of the first task that has the measure."""
    return plans_of(kind)[0]


def predictions(n: int, offset: int = 0, task: Task = Task.BINARY) -> list[Prediction]:
    """Requests with every trait that a measure looks at."""
    made = [
        Prediction(
            KEY,
            float(i),
            None,
            {"age": None if i % 3 == 0 else "old" if i % 5 == 0 else 20.0 + i, "plan": "pro", "balance": 3}
            | ({"new": i} if i % 9 == 0 else {}),
            str(i % 2) if i % 4 else None,
            (i % 11) / 10,
            i / 100,
            "500" if i % 7 == 0 else None,
            user=None if i % 5 == 0 else i % 47 * 0x9E37_79B9_7F4A_7C15 % 2**64,
            queue=None if i % 6 == 0 else i / 1000,
        )
        for i in range(offset, offset + n)
    ]
    return [_for_task(p, i, task) for i, p in enumerate(made, offset)]


def labeled(n: int, offset: int = 0, task: Task = Task.BINARY) -> list[Labeled]:
    """Labelled predictions, some without a score, a class or a ranking."""
    return [_labeled(i, task) for i in range(offset, offset + n)]


def _for_task(p: Prediction, i: int, task: Task) -> Prediction:
    return Prediction(
        p.key,
        p.ts,
        p.id,
        p.features,
        None if p.error is not None else _labeled(i, task).predicted if task is not Task.BINARY else p.predicted,
        p.score if task is Task.BINARY else None,
        p.latency,
        p.error,
        p.label,
        _labeled(i, task).scores,
        _labeled(i, task).items,
        p.user,
        p.queue,
    )


def _labeled(i: int, task: Task) -> Labeled:
    of = {"user": None if i % 5 == 0 else i % 17 * 0x9E37_79B9_7F4A_7C15 % 2**64, "segments": SEGMENTS}
    if task is Task.MULTICLASS:
        p = {"cat": 0.1 + (i % 7) / 10, "dog": 0.2, "eel": 0.7 - (i % 7) / 10}
        scores = None if i % 9 == 0 else p
        return Labeled(("cat", "dog", "eel")[i % 3], max(p, key=lambda c: p[c]), None, None, float(i), scores, **of)  # type: ignore[arg-type]
    if task is Task.REGRESSION:
        actual, predicted = canonical_class(i % 13 - 4.5), canonical_class(i % 11 - 3.25)
        return Labeled(actual or "", None if i % 9 == 0 else predicted, None, None, float(i), **of)  # type: ignore[arg-type]
    if task is Task.RANKING:
        right = canonical_relevance({ITEMS[i % 10]: 2, ITEMS[(i + 3) % 10]: 1, "z": i % 2} if i % 4 else {})
        items = None if i % 9 == 0 else ITEMS[i % 3 :]
        return Labeled(right or "", None, None, None, float(i), items=items, **of)  # type: ignore[arg-type]
    score = None if i % 9 == 0 else (i % 13) / 12
    return Labeled(str(i % 2), str(i % 3 % 2), score, i % 2 == 1, float(i), **of)  # type: ignore[arg-type]


def matured(n: int, offset: int = 0, task: Task = Task.BINARY) -> list[Matured]:
    """Predictions whose wait is over: every third without a label, every second with an event."""
    return [
        Matured(
            float(i),
            None if i % 3 == 0 else _labeled(i, task),
            {} if i % 2 else {"click": None, "purchase": float(i % 9) - 2.0},
            _labeled(i, task).user,
            SEGMENTS,
        )
        for i in range(offset, offset + n)
    ]


def outcomes(n: int, offset: int = 0) -> list[Outcome]:
    """Business events, some with an amount."""
    return [
        Outcome(
            ("click", "purchase")[i % 2],
            None if i % 3 == 0 else float(i) - 5.0,
            float(i),
            i % 17 or None,
            SEGMENTS,
        )
        for i in range(offset, offset + n)
    ]


def feed(measure: Measure, n: int, offset: int = 0, batch: int = 1000) -> Measure:
    """Give a measure everything it can take in."""
    task = measure.plan.task
    requests, labels = predictions(n, offset, task), labeled(n, offset, task)
    events, cohort = outcomes(n, offset), matured(n, offset, task)
    for i in range(0, n, batch):
        measure.on_predictions(requests[i : i + batch])
        measure.on_provisional(labels[i : i + batch])
        measure.on_labeled(labels[i : i + batch])
        measure.on_events(events[i : i + batch])
        measure.on_matured(cohort[i : i + batch])
    if isinstance(measure, OutcomeMeasure):
        for _ in range(n):
            measure.count_join("matched")
            measure.count_duplicate()
    return measure
