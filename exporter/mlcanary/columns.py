"""Columns: many records of one kind as arrays, for the way from bytes to counters.

Guarantee: a batch of columns means exactly the records that `rows()` makes of it; what handles columns must do what it
would do to those. Only plain records travel like this: answered requests of models that give classes, and labels that
name one. Everything else travels as records of `records`. Arrays are never changed once they are handed on.
Cost: objects, not statistics, are what a record costs; a column costs a hundredth of them per value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import isnan
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcanary.records import Label, ModelKey, Prediction
from mlcanary.words import Texts, joined_texts

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]
Users = NDArray[np.uint64]
Mask = NDArray[np.bool_]

NONE = -1
"""Code of a row without a class."""


class Classes:
    """Names as small numbers, in order of first sight; at most `limit` of them.

    >>> classes = Classes(limit=2)
    >>> classes.code("1"), classes.code("0"), classes.code("1"), classes.code("x")
    (0, 1, 0, None)
    """

    __slots__ = ("_codes", "limit", "names")

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.names: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int | None:
        """The number of a name; None for a new one when there is no room."""
        found = self._codes.get(name)
        if found is None and len(self.names) < self.limit:
            found = self._codes[name] = len(self.names)
            self.names.append(name)
        return found

    def own(self, name: str) -> int:
        """The number of a name of the configuration, which has room whatever the log held before."""
        found = self.code(name)
        if found is None:
            found = self._codes[name] = len(self.names)
            self.names.append(name)
        return found

    def name(self, code: int) -> str | None:
        """The name of a number, None for NONE."""
        return None if code < 0 else self.names[code]

    def to(self, other: Classes) -> Codes | None:
        """The number in `other` of each of our names, shape (len(names) + 1,), NONE last; None if one has no room."""
        found = [other.code(name) for name in self.names]
        return None if None in found else np.array([*found, NONE], dtype=np.int32)


@dataclass(frozen=True, slots=True)
class FeatureColumns:
    """Features of n rows. `numbers`: one row of `matrix`, shape (F, n), per name, NaN where missing.

    `texts`: a name or none per row. `strange`: names beside these, with the number of rows that had them.
    """

    numbers: tuple[str, ...]
    matrix: Floats
    texts: Texts
    strange: Counter[str] = field(default_factory=Counter)

    def column(self, name: str, rows: NDArray[np.intp] | None = None) -> Sequence[object]:
        """One value per row, None where missing; of all rows or of these."""
        if name in self.texts.names:
            return (self.texts if rows is None else self.texts.take(rows)).values(name)
        if name in self.numbers:
            values = self.matrix[self.numbers.index(name)]
            values = values if rows is None else values[rows]
            return [None if isnan(value) else value for value in values.tolist()]
        return [None] * (self.matrix.shape[1] if rows is None else len(rows))

    def take(self, rows: NDArray[np.intp]) -> FeatureColumns:
        """These rows only; `strange` is a count and stays with the caller."""
        return FeatureColumns(self.numbers, self.matrix.take(rows, axis=1), self.texts.take(rows))

    def row(self, i: int) -> dict[str, object]:
        """The features of one row, those that it has."""
        found: dict[str, object] = {
            n: v for n, v in zip(self.numbers, self.matrix[:, i].tolist(), strict=True) if not isnan(v)
        }
        return found | self.texts.row(i)


@dataclass(frozen=True, slots=True)
class PredictionColumns:
    """Answered requests of one (model, version), n rows; NaN and NONE stand for what a row lacks.

    `user` is 0 where `has_user` is False. `label`: what a line brought itself, None if no line did. `segments`: codes
    over `segment_values`, one array per segment feature of the plan. `sampled`: whether the features of a row are
    counted, None if those of all are; of a row where they are not, they may be missing here.
    """

    key: ModelKey
    ts: Floats
    ids: Sequence[str | None]
    predicted: Codes
    score: Floats
    latency: Floats
    queue: Floats
    user: Users
    has_user: Mask
    classes: Classes
    features: FeatureColumns
    label: Codes | None = None
    segments: tuple[Codes, ...] = ()
    segment_values: Classes = field(default_factory=Classes)
    sampled: Mask | None = None

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def nbytes(self) -> int:
        """About how much memory the rows take."""
        return self.features.matrix.nbytes + self.features.texts.codes.nbytes + _BYTES_BESIDE * len(self)

    def take(self, rows: NDArray[np.intp]) -> PredictionColumns:
        """These rows only."""
        return replace(
            self,
            ids=take_list(self.ids, rows),
            sampled=None if self.sampled is None else self.sampled[rows],
            features=self.features.take(rows),
            label=None if self.label is None else self.label[rows],
            segments=tuple(codes[rows] for codes in self.segments),
            **{name: getattr(self, name)[rows] for name in _PREDICTION_ARRAYS},
        )

    def to_keep(self) -> PredictionColumns:
        """The same rows, as a copy where they are the lesser part of a block: a view would keep all of it in memory."""
        block = self.ts.base
        if isinstance(block, np.ndarray) and block.size > 2 * len(self):
            return self.take(np.arange(len(self)))
        return self

    def part(self, rows: slice) -> PredictionColumns:
        """These consecutive rows, without a copy of the arrays."""
        features, texts = self.features, self.features.texts
        return PredictionColumns(
            self.key, self.ts[rows], self.ids[rows], self.predicted[rows], self.score[rows], self.latency[rows],
            self.queue[rows], self.user[rows], self.has_user[rows], self.classes,
            FeatureColumns(features.numbers, features.matrix[:, rows], texts._replace(codes=texts.codes[:, rows])),
            None if self.label is None else self.label[rows],
            tuple(codes[rows] for codes in self.segments), self.segment_values,
            None if self.sampled is None else self.sampled[rows],
        )  # fmt: skip

    def rows(self) -> Iterator[Prediction]:
        """The same requests as records."""
        for i in range(len(self)):
            yield Prediction(
                self.key,
                float(self.ts[i]),
                self.ids[i],
                self.features.row(i),
                self.classes.name(int(self.predicted[i])),
                _known(self.score[i]),
                _known(self.latency[i]),
                None,
                None if self.label is None else self.classes.name(int(self.label[i])),
                user=int(self.user[i]) if self.has_user[i] else None,
                queue=_known(self.queue[i]),
                sampled=self.sampled is None or bool(self.sampled[i]),
            )


_BYTES_BESIDE = 128
"""Of a row, beside its features: seven numbers and an id."""
_PREDICTION_ARRAYS = ("ts", "predicted", "score", "latency", "queue", "user", "has_user")


def looked_at(batch: PredictionColumns) -> PredictionColumns:
    """The rows whose features are counted, with the names beside the columns that these had."""
    if batch.sampled is None:
        return batch
    found = batch.take(np.flatnonzero(batch.sampled))
    return replace(found, sampled=None, features=replace(found.features, strange=batch.features.strange))


def alike(one: PredictionColumns, other: PredictionColumns) -> bool:
    """Whether two batches of one key are over the same classes, features and names, so that they can be joined."""
    return (
        one.classes is other.classes
        and one.segment_values is other.segment_values
        and one.features.numbers == other.features.numbers
        and one.features.texts.alike(other.features.texts)
    )


def joined(batches: Sequence[PredictionColumns]) -> PredictionColumns:
    """One batch of several of one key over the same classes and features, in their order."""
    first = batches[0]
    if len(batches) == 1:
        return first
    features = [batch.features for batch in batches]
    texts = joined_texts([part.texts for part in features])
    strange = sum((part.strange for part in features), Counter())
    label = None
    if any(batch.label is not None for batch in batches):
        absent = (np.full(len(b), NONE, dtype=np.int32) if b.label is None else b.label for b in batches)
        label = np.concatenate(list(absent))
    sampled = None
    if any(batch.sampled is not None for batch in batches):
        whole = (np.ones(len(b), dtype=np.bool_) if b.sampled is None else b.sampled for b in batches)
        sampled = np.concatenate(list(whole))
    arrays: dict[str, Any] = {name: np.concatenate([getattr(b, name) for b in batches]) for name in _PREDICTION_ARRAYS}
    return replace(
        first,
        ids=list(chain.from_iterable(batch.ids for batch in batches)),
        features=FeatureColumns(
            first.features.numbers, np.concatenate([part.matrix for part in features], axis=1), texts, strange
        ),
        label=label,
        sampled=sampled,
        segments=tuple(np.concatenate(parts) for parts in zip(*(b.segments for b in batches), strict=True)),
        **arrays,
    )


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """Labels that came on lines of their own, n rows, for predictions of one model, or of whichever knows the id."""

    model: str | None
    ids: Sequence[str]
    ts: Floats
    label: Codes
    classes: Classes

    def __len__(self) -> int:
        return len(self.ts)

    def rows(self) -> Iterator[Label]:
        """The same labels as records."""
        for row_id, ts, label in zip(self.ids, self.ts.tolist(), self.label.tolist(), strict=True):
            yield Label(row_id, ts, self.model, self.classes.name(label))


def joined_labels(batches: Sequence[LabelColumns]) -> list[LabelColumns]:
    """The same labels in fewer batches: one per model and classes, in their order."""
    groups: dict[tuple[str | None, int], list[LabelColumns]] = {}
    for batch in batches:
        groups.setdefault((batch.model, id(batch.classes)), []).append(batch)
    return [
        replace(
            group[0],
            ids=list(chain.from_iterable(batch.ids for batch in group)),
            ts=np.concatenate([batch.ts for batch in group]),
            label=np.concatenate([batch.label for batch in group]),
        )
        for group in groups.values()
    ]


@dataclass(frozen=True, slots=True)
class OutcomeColumns:
    """Predictions of one (model, version) with what is known of their outcome, n rows.

    `actual` is NONE where there is no label; `delay`: seconds from prediction to label, NaN without one. `assumed`: no
    label came, and the plan says what a prediction then counts as.
    """

    key: ModelKey
    ts: Floats
    actual: Codes
    predicted: Codes
    score: Floats
    delay: Floats
    user: Users
    has_user: Mask
    assumed: Mask
    classes: Classes
    segments: tuple[Codes, ...] = ()
    segment_values: Classes = field(default_factory=Classes)

    def __len__(self) -> int:
        return len(self.ts)

    def take(self, rows: NDArray[np.intp]) -> OutcomeColumns:
        """These rows only."""
        return replace(
            self,
            segments=tuple(codes[rows] for codes in self.segments),
            **{name: getattr(self, name)[rows] for name in _OUTCOME_ARRAYS},
        )


_OUTCOME_ARRAYS = ("ts", "actual", "predicted", "score", "delay", "user", "has_user", "assumed")


def take_list(column: Sequence[Any], rows: NDArray[np.intp] | None) -> Sequence[Any]:
    """These places of a list."""
    if rows is None:
        return column
    places = rows.tolist()
    if len(places) < 2:  # itemgetter of one place gives no tuple, of none is an error
        return [column[i] for i in places]
    found: Sequence[Any] = itemgetter(*places)(column)
    return found


def codes_of(names: Iterable[str | None], classes: Classes) -> Codes | None:
    """Codes of names, NONE for None; None if one has no room."""
    found = [NONE if name is None else classes.code(name) for name in names]
    return None if None in found else np.array(found, dtype=np.int32)


def _known(value: float) -> float | None:
    return None if isnan(value) else float(value)
