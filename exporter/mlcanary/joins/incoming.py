"""Batches on their way into the join: columns and records in the one form that it works on.

Guarantee: a row is `odd` exactly if the columns of the join cannot hold it: a failed request, ranking items, scores per
class, a name that has no code; a business event. Such a row travels as a record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import NONE, Codes, LabelColumns, Mask, PredictionColumns
from mlcanary.compiled import ID_TABLE
from mlcanary.joins.names import NO_ROOM, Names
from mlcanary.joins.row_ring import HAS_USER, LIVE, Rows, no_rows, together
from mlcanary.records import Label, Prediction

ANY_MODEL, NO_MODEL = -1, -2
"""Model of a label that names none, and of one of which no version is known."""


@dataclass(frozen=True, slots=True)
class IncomingPredictions:
    """Predictions as rows, with what rows do not hold: ids, the code of a label of their own, who is odd."""

    rows: Rows
    ids: Sequence[str | None]
    label: Codes
    odd: Mask
    record: Callable[[int], tuple[Prediction, tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class IncomingLabels:
    """Labels as columns; `model`: a code, ANY_MODEL or NO_MODEL.

    `codes` of the classes at some places: asked for rows in columns only, since of other models every number is a name.
    """

    ids: Sequence[str]
    ts: NDArray[np.float64]
    codes: Callable[[NDArray[np.intp]], Codes]
    model: NDArray[np.int64]
    odd: Mask
    record: Callable[[int], Label]


def of_columns(batches: Sequence[PredictionColumns], names: Names) -> IncomingPredictions:
    """Predictions that came as columns, in at least one batch."""
    parts = [_rows(batch, names) for batch in batches]
    ends = np.cumsum([len(batch) for batch in batches])

    def record(i: int) -> tuple[Prediction, tuple[str, ...]]:
        part = int(np.searchsorted(ends, i, side="right"))
        batch = batches[part]
        row = i - (int(ends[part]) - len(batch))
        segments = tuple(batch.segment_values.names[codes[row]] for codes in batch.segments)
        return _record(batch, row), segments

    if len(parts) == 1:
        return IncomingPredictions(parts[0][0], batches[0].ids, *parts[0][1:], record)
    return IncomingPredictions(
        together([rows for rows, _, _ in parts]),
        list(chain.from_iterable(batch.ids for batch in batches)),
        np.concatenate([label for _, label, _ in parts]),
        np.concatenate([odd for _, _, odd in parts]),
        record,
    )


def _rows(batch: PredictionColumns, names: Names) -> tuple[Rows, Codes, Mask]:
    rows = no_rows(len(batch))
    codes = names.class_map(batch.classes)
    predicted = codes[batch.predicted]
    label = np.full(len(rows), NONE, dtype=np.int32) if batch.label is None else codes[batch.label]
    segments = names.combined(batch.segments, batch.segment_values, len(rows))
    odd = (predicted == NO_ROOM) | (label == NO_ROOM)
    if batch.segments:
        odd |= segments == NO_ROOM
    rows["ts"], rows["score"], rows["user"] = batch.ts, batch.score, batch.user
    rows["predicted"], rows["key"] = predicted, names.key_code(batch.key)
    rows["label"] = NONE
    rows["segments"] = segments if not batch.segments else np.maximum(segments, 0)
    rows["flags"] = LIVE + HAS_USER * batch.has_user.astype(np.uint16)
    return rows, label, odd


def _record(batch: PredictionColumns, row: int) -> Prediction:
    """One row as far as the join looks at it."""
    score, label = float(batch.score[row]), NONE if batch.label is None else int(batch.label[row])
    return Prediction(
        batch.key,
        float(batch.ts[row]),
        batch.ids[row],
        predicted=batch.classes.name(int(batch.predicted[row])),
        score=None if isnan(score) else score,
        label=batch.classes.name(label),
        user=int(batch.user[row]) if batch.has_user[row] else None,
    )


def of_records(
    records: Sequence[Prediction],
    segments: Sequence[tuple[str, ...]],
    names: Names,
    gives_classes: Callable[[str], bool],
) -> IncomingPredictions:
    """Predictions that came as records, with the segments of each; those of models without classes are odd."""
    rows = no_rows(len(records))
    classes = {model: gives_classes(model) for model in {p.key.model for p in records}}
    keys = np.array([names.key_code(p.key) for p in records], dtype=np.int64)
    strange = [
        p.error is not None or p.scores is not None or p.items is not None or not classes[p.key.model] for p in records
    ]
    codes_of = [
        (NO_ROOM, NO_ROOM) if odd else (names.class_code(p.predicted), names.class_code(p.label))
        for odd, p in zip(strange, records, strict=True)
    ]
    predicted, label = np.array(codes_of, dtype=np.int32).reshape(-1, 2).T
    codes = np.array([names.segments_code(values) for values in segments], dtype=np.int64)
    odd = (predicted == NO_ROOM) | (label == NO_ROOM) | (codes == NO_ROOM)
    rows["ts"] = [p.ts for p in records]
    rows["score"] = [np.nan if p.score is None else p.score for p in records]
    rows["user"] = np.array([p.user or 0 for p in records], dtype=np.uint64)
    rows["predicted"], rows["key"], rows["label"] = predicted, keys, NONE
    rows["segments"] = np.maximum(codes, 0)
    rows["flags"] = [LIVE if p.user is None else LIVE | HAS_USER for p in records]
    return IncomingPredictions(rows, [p.id for p in records], label, odd, lambda i: (records[i], segments[i]))


def of_label_columns(batch: LabelColumns, names: Names) -> IncomingLabels:
    """Labels that came as columns."""
    label = names.class_map(batch.classes)[batch.label]
    model = np.full(len(batch), _model(batch.model, names), dtype=np.int64)

    def record(i: int) -> Label:
        return Label(batch.ids[i], float(batch.ts[i]), batch.model, batch.classes.name(int(batch.label[i])))

    return IncomingLabels(batch.ids, batch.ts, label.take, model, label < 0, record)


def of_label_records(records: Sequence[Label], names: Names) -> IncomingLabels:
    """Labels and events that came as records."""
    odd = np.array([r.event is not None or r.label is None for r in records], dtype=np.bool_)
    model = np.array([_model(r.model, names) for r in records], dtype=np.int64)
    ts = np.array([r.ts for r in records], dtype=np.float64)

    def codes(places: NDArray[np.intp]) -> Codes:
        return np.array([names.class_code(records[i].label) for i in places.tolist()], dtype=np.int32)

    return IncomingLabels([r.id for r in records], ts, codes, model, odd, lambda i: records[i])


def hashes_of(ids: Sequence[Any]) -> NDArray[np.int64]:
    """Python's hash of each id."""
    if ID_TABLE is not None:
        return np.frombuffer(ID_TABLE.hashes_of(ids), dtype=np.int64)
    return np.fromiter(map(hash, ids), dtype=np.int64, count=len(ids))


def _model(model: str | None, names: Names) -> int:
    if model is None:
        return ANY_MODEL
    code = names.model_code(model)
    return NO_MODEL if code is None else code
