"""Plain native lines straight to columns; what is not plain is left to `native`, line by line.

Guarantee: the columns mean exactly the records that `RowReader` would make of the same lines. Plain is a line that
decodes under the layout of its model's reference and holds nothing unusual: no failure, no ranking, no class
probabilities, no business event, no value that would be rejected. Cost: about half of the decoding itself.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import compress
from math import nan
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from mlcanary.catalog import NO_PREDICTION, OTHER, Task
from mlcanary.columns import (
    NONE,
    Classes,
    Codes,
    FeatureColumns,
    Floats,
    LabelColumns,
    Mask,
    PredictionColumns,
    Users,
    take_list,
)
from mlcanary.formats.feature_choice import FeatureChoice
from mlcanary.formats.gathered import HOT_BYTES, Gathered
from mlcanary.formats.layout import LaidOut, Layout, floats
from mlcanary.formats.lines import Lines
from mlcanary.formats.plain_type import KIND, Plain, PlainType
from mlcanary.formats.rows import FUTURE_SLACK, LARGEST, LONGEST_NAME, Rejected, RowReader, seconds, user_hashes
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey, canonical_class
from mlcanary.stats.row_choice import Unnamed
from mlcanary.words import ABSENT, Texts

_MILLISECONDS = 1e11
"""A time that is larger is none in seconds."""

ODD = -2
"""Code of a value that a column cannot hold."""

_CACHE = 10_000
_MOST_KEYS = 64
"""Of one block in columns: each costs as much as some ten rows on their own, and no release has so many versions."""
_TASKS = frozenset({Task.BINARY, Task.MULTICLASS})
_OK = 200


class _ClassCodes:
    """Codes of classes by their value in JSON: 1, 1.0 and true are one class."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._known: dict[Any, int] = {None: NONE}

    def of(self, values: Sequence[Any]) -> Codes:
        """One code per value, NONE for None, ODD for what a column cannot hold."""
        try:
            return np.fromiter(map(self._known.__getitem__, values), dtype=np.int32, count=len(values))
        except KeyError:
            return np.fromiter(map(self._code, values), dtype=np.int32, count=len(values))

    def _code(self, value: Any) -> int:
        found = self._known.get(value)
        if found is not None:
            return found
        name = canonical_class(value)
        code = None if name is None or len(name) > LONGEST_NAME else self._classes.code(name)
        found = ODD if code is None else code
        if len(self._known) < _CACHE:
            self._known[value] = found
        return found


class Columns(NamedTuple):
    """What plain lines gave, the numbers of the lines that were not plain, and the times that lines had themselves."""

    predictions: list[PredictionColumns]
    labels: list[LabelColumns]
    odd: list[int]
    times: Floats


class ColumnDecoder:
    """Lines of the models of one layout to columns."""

    def __init__(
        self, layout: Layout, keys: Collection[str], reader: RowReader, classes: Classes, segment_values: Classes
    ) -> None:
        """`keys`: those that lines of this log have."""
        self.layout = layout
        self._reader = reader
        self._classes, self._segment_values = classes, segment_values
        self._codes = _ClassCodes(classes)
        self._whole, self._raw = PlainType(layout.type, keys), PlainType(msgspec.Raw, keys)
        self._type = self._whole
        self.choice = FeatureChoice(layout, reader)

    def thin(self, share: float, unnamed: Unnamed) -> None:
        """Look at the features of this share of rows from here on, beside what the plans of the models say."""
        self.choice.share, self.choice.unnamed = share, unnamed
        self._type = self._whole if self.choice.takes_all else self._raw

    def columns(self, lines: Lines, now: float) -> Columns:
        """Columns of the lines that are plain. `now`: Unix seconds, time of arrival."""
        predictions, labels, odd = self._gather(lines)
        found: list[PredictionColumns] = []
        found_labels: list[LabelColumns] = []
        times = [np.zeros(0)]
        for gathered in (predictions, labels):
            if not len(gathered):
                continue
            fields, wrong = gathered.fields(), np.zeros(len(gathered), dtype=bool)
            when, own = _times(fields, now, wrong)
            if gathered is labels:
                found_labels = self._labels(fields, when, wrong)
            else:
                found = self._predictions(gathered, fields, when, wrong)
            if wrong.any():
                own &= ~wrong
                odd += gathered.lines[wrong].tolist()
            times.append(when[own])
        return Columns(found, found_labels, sorted(odd), np.concatenate(times))

    def _gather(self, lines: Lines) -> tuple[Gathered, Gathered, list[int]]:
        """Lines of predictions, lines of labels, and the numbers of lines that fit neither."""
        predictions = Gathered(self._type, None if self._type is self._raw else self.layout)
        labels = Gathered(self._type, None)
        odd: list[int] = []
        for stretch in lines.stretches(HOT_BYTES):
            objects = self._decode(lines, stretch)
            numbers: Sequence[int] = stretch
            if None in objects:
                odd += [i for i, each in zip(stretch, objects, strict=True) if each is None]
                numbers = [i for i, each in zip(stretch, objects, strict=True) if each is not None]
                objects = [each for each in objects if each is not None]
            rows = list(map(astuple, objects))
            is_label = [row[KIND] == "label" for row in rows]
            if True in is_label:
                is_prediction = [not each for each in is_label]
                predictions.add(list(compress(rows, is_prediction)), list(compress(numbers, is_prediction)))
                labels.add(list(compress(rows, is_label)), list(compress(numbers, is_label)))
            else:
                predictions.add(rows, numbers)
            del objects, rows  # their memory, which lies in the cache, is for the next stretch
        return predictions, labels, odd

    def _decode(self, lines: Lines, stretch: range) -> list[Any]:
        """One object per line, None where a line does not fit."""
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found: list[Any] = self._type.decoder.decode_lines(lines.between(stretch))
            if len(found) == len(stretch):
                return found
        return [self._one(lines[i]) for i in stretch]

    def _one(self, line: bytes) -> Any:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._type.decoder.decode(line)
        return None

    def _labels(self, fields: Plain, when: Floats, wrong: Mask) -> list[LabelColumns]:
        for column in (fields.event, fields.value, fields.weight):
            _mark_present(column, wrong)
        codes = self._codes.of(fields.label)
        ids = _ids(fields)
        wrong |= codes < 0
        if None in ids:
            _mark(wrong, (row_id is None for row_id in ids))
        by_model: dict[str | None, list[int]] = {}
        for name in set(fields.model):
            usable = name is None or (len(name) <= LONGEST_NAME and self._reader.plan_of(name).task in _TASKS)
            if usable:
                by_model[name] = []
            else:
                _mark(wrong, (each == name for each in fields.model))
        if len(by_model) == 1 and not wrong.any():
            return [LabelColumns(fields.model[0], list(map(str, ids)), when, codes, self._classes)]
        for i in np.flatnonzero(~wrong).tolist():
            by_model[fields.model[i]].append(i)
        return [
            LabelColumns(name, [str(ids[i]) for i in at], when[at], codes[at], self._classes)
            for name, at in by_model.items()
            if at
        ]

    def _predictions(self, gathered: Gathered, fields: Plain, when: Floats, wrong: Mask) -> list[PredictionColumns]:
        for column in (fields.scores, fields.items, fields.weight):
            _mark_present(column, wrong)
        if fields.status.count(None) != len(wrong):
            _mark(wrong, (status is not None and str(status) != str(_OK) for status in fields.status))
        keys, place = self._keys(fields, wrong)
        score = floats([fields.score], len(wrong))[0]
        predicted = self._codes.of(fields.prediction)
        wrong |= (score < 0) | (score > 1) | (predicted == ODD) | ((predicted == NONE) & np.isnan(score))
        label = None
        if fields.label.count(None) != len(wrong):
            label = self._codes.of(fields.label)
            wrong |= label == ODD
        latency, queue = _seconds_of(fields.latency_ms, wrong), _seconds_of(fields.queue_ms, wrong)
        users = _first(fields.user, fields.user_id)
        ids = _ids(fields)
        sampled = None
        if gathered.features is None:
            laid_out, sampled = self.choice.look(fields.features, ids, keys, place, wrong)
        else:
            laid_out = gathered.features.laid_out()
        whole = PredictionColumns(
            _NOBODY, when, ids, predicted, score, latency, queue,
            np.zeros(len(wrong), dtype=np.uint64), np.zeros(len(wrong), dtype=bool), self._classes,
            laid_out.features, label, sampled=sampled,
        )  # fmt: skip
        found = []
        plain = ~wrong
        for i, key in enumerate(keys):
            mine = np.flatnonzero(plain & (place == i)) if len(keys) > 1 or wrong.any() else None
            if mine is None or len(mine):
                found.append(self._batch(key, whole, laid_out, users, mine))
        return found

    def _batch(
        self,
        key: ModelKey,
        whole: PredictionColumns,
        laid_out: LaidOut,
        users: Sequence[Any],
        rows: NDArray[np.intp] | None,
    ) -> PredictionColumns:
        """The rows of one key: what depends on its plan is filled in."""
        plan = self._reader.plan_of(key.model)
        batch = whole if rows is None else whole.take(rows)
        features = self.layout.of(key.model, _with(batch.features, laid_out.strange_of(rows)))
        user, has_user = _users(users, rows, plan.user_salt, len(batch))
        predicted = batch.predicted
        if plan.task is Task.BINARY and (predicted == NONE).any():
            high, low = (self._classes.own(plan.class_of_score(score)) for score in (1.0, -1.0))
            of_score = np.where(batch.score >= plan.threshold, np.int32(high), np.int32(low))
            predicted = np.where(predicted == NONE, of_score, predicted)
        segments = tuple(self._segment(features, name) for name in plan.segments)
        return PredictionColumns(
            key, batch.ts, batch.ids, predicted, batch.score, batch.latency, batch.queue, user, has_user,
            self._classes, features, batch.label, segments, self._segment_values,
            batch.sampled,
        )  # fmt: skip

    def _segment(self, features: FeatureColumns, name: str) -> Codes:
        texts = features.texts
        if name not in texts.names:
            texts = Texts.of({name: list(map(canonical_class, features.column(name)))})
        other = self._segment_values.own(OTHER)
        codes = np.full(len(texts.words.names) + 1, other, dtype=np.int32)
        for i in set(texts.column(name).tolist()):
            code = self._segment_values.code((i != ABSENT and texts.words.names[i]) or NO_PREDICTION)
            codes[i] = other if code is None else code
        found: Codes = codes[texts.column(name)]
        return found

    def _keys(self, fields: Plain, wrong: Mask) -> tuple[list[ModelKey], Codes]:
        """The keys of the rows, and for each row which; rows of models outside the layout are wrong."""
        keys: dict[ModelKey, int] = {}
        one_model = fields.model.count(fields.model[0]) == len(fields.model)
        named = fields.version if one_model else list(zip(fields.model, fields.version, strict=True))
        place: dict[Any, int] = {}
        for name in dict.fromkeys(named):
            model, version = (fields.model[0], name) if one_model else name
            place[name] = ODD
            with suppress(Rejected):
                if model is None or len(model) <= LONGEST_NAME:
                    key = self._reader.key(model, version)
                    if key.model in self.layout.models and (len(keys) < _MOST_KEYS or key in keys):
                        place[name] = keys.setdefault(key, len(keys))
        codes = np.fromiter(map(place.__getitem__, named), dtype=np.int32, count=len(named))
        wrong |= codes == ODD
        return list(keys), codes


_NOBODY = ModelKey("", "")


def plan_has_columns(plan: ModelPlan) -> bool:
    """Whether requests of this model may travel as columns: they have classes, and a reference that types features."""
    known = plan.reference is not None and set(plan.segments) <= plan.reference.features.keys()
    return known and plan.task in _TASKS


def _with(features: FeatureColumns, strange: Any) -> FeatureColumns:
    return FeatureColumns(features.numbers, features.matrix, features.texts, strange)


def _mark(wrong: Mask, flags: Any) -> None:
    wrong |= np.fromiter(flags, dtype=bool, count=len(wrong))


def _mark_present(column: Sequence[Any], wrong: Mask) -> None:
    if column.count(None) != len(wrong):
        _mark(wrong, (value is not None for value in column))


def _first(one: Sequence[Any], other: Sequence[Any]) -> Sequence[Any]:
    """The first of two columns where it has a value, else the second."""
    missing = one.count(None)
    if not missing:
        return one
    return other if missing == len(one) else [o if v is None else v for v, o in zip(one, other, strict=True)]


def _ids(fields: Plain) -> Sequence[str | None]:
    ids = _first(fields.id, fields.request_id)
    if set(map(type, ids)) == {str}:
        return ids
    return [None if row_id is None else str(row_id) for row_id in ids]


def _times(fields: Plain, now: float, wrong: Mask) -> tuple[Floats, Mask]:
    """Event times, and which of them the lines have themselves."""
    given = _first(fields.ts, fields.timestamp)
    try:
        when = floats([given], len(given))[0]
    except struct.error:  # a text among them
        when = _mixed_times(given, wrong)
    if (when >= _MILLISECONDS).any():
        when = when.copy()
        for limit, unit in ((1e17, 1e9), (1e14, 1e6), (_MILLISECONDS, 1e3)):
            when[when >= limit] /= unit
    own = ~np.isnan(when)
    if not own.all():
        when = np.where(own, when, now)
    wrong |= when > now + FUTURE_SLACK
    return when, own


def _mixed_times(given: Sequence[Any], wrong: Mask) -> Floats:
    """Times that may be texts, NaN where there is none or it is wrong."""
    values = []
    for i, value in enumerate(given):
        try:
            values.append(nan if value is None else seconds(value))
        except Rejected:
            wrong[i] = True
            values.append(nan)
    return np.array(values, dtype=np.float64)


def _seconds_of(column: Sequence[Any], wrong: Mask) -> Floats:
    """Durations in seconds from milliseconds, at least 0."""
    if column.count(None) == len(column):
        return np.full(len(column), np.nan)
    milliseconds = floats([column], len(column))[0]
    wrong |= np.abs(milliseconds) > LARGEST
    found: Floats = np.maximum(milliseconds / 1000.0, 0.0)
    return found


def _users(users: Sequence[Any], rows: NDArray[np.intp] | None, salt: bytes, count: int) -> tuple[Users, Mask]:
    """Hashes of the users of these rows, 0 where there is none."""
    if users.count(None) == len(users):
        return np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=bool)
    return user_hashes(take_list(users, rows), salt)
