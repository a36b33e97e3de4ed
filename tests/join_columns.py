"""Records as columns for the join, and what it decided in words that can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mlcanary.columns import Classes, FeatureColumns, LabelColumns, OutcomeColumns, PredictionColumns, codes_of
from mlcanary.joins.decisions import JoinOutcomes
from mlcanary.joins.rows import Outcomes, Waiting
from mlcanary.records import Label, Prediction
from mlcanary.words import no_texts

Segmented = tuple[Prediction, tuple[str, ...]]

CLASSES, VALUES = Classes(), Classes()
NO_FEATURES = FeatureColumns((), np.zeros((0, 0)), no_texts(0))


def codes(names: Sequence[str | None], classes: Classes) -> Any:
    """Codes of names that find room."""
    found = codes_of(names, classes)
    assert found is not None
    return found


def columns(rows: Sequence[Segmented]) -> PredictionColumns:
    """Plain predictions of one version as columns."""
    records = [p for p, _ in rows]
    label = None if all(p.label is None for p in records) else codes([p.label for p in records], CLASSES)
    return PredictionColumns(
        records[0].key,
        np.array([p.ts for p in records]),
        [p.id for p in records],
        codes([p.predicted for p in records], CLASSES),
        np.array([np.nan if p.score is None else p.score for p in records]),
        np.full(len(rows), np.nan),
        np.full(len(rows), np.nan),
        np.array([p.user or 0 for p in records], dtype=np.uint64),
        np.array([p.user is not None for p in records]),
        CLASSES,
        NO_FEATURES,
        label,
        tuple(codes(column, VALUES) for column in zip(*(values for _, values in rows), strict=True)),
        VALUES,
    )


def label_columns(labels: Sequence[Label]) -> LabelColumns:
    """Labels for one model as columns."""
    names = codes([label.label for label in labels], CLASSES)
    return LabelColumns(labels[0].model, [x.id for x in labels], np.array([x.ts for x in labels]), names, CLASSES)


def wanted(out: Outcomes) -> Counter[Any]:
    """What the machine decided, in plain words."""
    found: Counter[Any] = Counter(out.results)
    found.update(("unmatched", model) for model in out.unmatched)
    found.update(("event", e.waiting.key, e.waiting.ts, e.event, e.value) for e in out.events)
    for name, joined in (("joined", out.joined), ("provisional", out.provisional)):
        found.update((name, *_plain(x.waiting, x.label, x.label_ts, ())) for x in joined)
    for grown in out.matured:
        w = grown.waiting
        found["matured", *_plain(w, w.label, w.label_ts, tuple(sorted(grown.events.items())))] += 1
    return found


def _plain(w: Waiting, label: str | None, label_ts: float, events: tuple[Any, ...]) -> tuple[Any, ...]:
    delay = None if label is None else label_ts - w.ts
    return w.key, w.ts, label, delay, w.predicted, w.score, w.user, w.segments, w.assumed, w.items, events


def decided(out: JoinOutcomes) -> Counter[Any]:
    """What the compact join decided, in the same words."""
    found = wanted(out.odd)
    found.update(out.results)
    found.update({("unmatched", model): n for model, n in out.unmatched.items()})
    for name, batches in (("joined", out.joined), ("provisional", out.provisional), ("matured", out.matured)):
        for batch in batches:
            found.update((name, *row) for row in _rows(batch))
    return found


def _rows(batch: OutcomeColumns) -> Iterable[tuple[Any, ...]]:
    for i in range(len(batch)):
        actual = batch.classes.name(int(batch.actual[i]))
        yield (
            batch.key,
            float(batch.ts[i]),
            actual,
            None if actual is None else float(batch.delay[i]),
            batch.classes.name(int(batch.predicted[i])),
            None if np.isnan(batch.score[i]) else float(batch.score[i]),
            int(batch.user[i]) if batch.has_user[i] else None,
            tuple(batch.segment_values.names[values[i]] for values in batch.segments),
            bool(batch.assumed[i]),
            None,
            (),
        )
