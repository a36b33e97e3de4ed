"""Plain native lines straight to columns; what is not plain is left to `native`, line by line.

Guarantee: the columns mean exactly the records that `RowReader` would make of the same lines. Plain is a line that
decodes under the layout of its model's reference and holds nothing unusual: no failure, no ranking, no class
probabilities, no business event, no value that would be rejected. Cost: about half of the decoding itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from operator import itemgetter
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
from mlcanary.formats.layout import Layout, floats
from mlcanary.formats.plain_type import Plain, PlainType
from mlcanary.formats.rows import FUTURE_SLACK, LARGEST, LONGEST_NAME, Rejected, RowReader, seconds, user_hash
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey, canonical_class
from mlcanary.stats.row_choice import Unnamed

_KIND = itemgetter(0)

ODD = -2
"""Code of a value that a column cannot hold."""

_CACHE = 10_000
_MOST_KEYS = 64
"""Of one block in columns: each costs as much as some ten rows on their own, and no release has so many versions."""
_TASKS = frozenset({Task.BINARY, Task.MULTICLASS})
_OK = 200


class _ClassCodes(dict[Any, int]):
    """Codes of classes by their value in JSON: 1, 1.0 and true are one class."""

    def __init__(self, classes: Classes) -> None:
        super().__init__()
        self._classes = classes

    def __missing__(self, value: Any) -> int:
        if value is None:
            return NONE
        name = canonical_class(value)
        code = None if name is None or len(name) > LONGEST_NAME else self._classes.code(name)
        found = ODD if code is None else code
        if len(self) < _CACHE:
            self[value] = found
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

    def decode(self, block: bytes, lines: Sequence[bytes]) -> list[Any]:
        """One object per line of the block, None where a line does not fit."""
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found: list[Any] = self._type.decoder.decode_lines(block)
            if len(found) == len(lines):
                return found
        return [self._one(line) for line in lines]

    def _one(self, line: bytes) -> Any:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self._type.decoder.decode(line)
        return None

    def columns(self, objects: Sequence[Any], now: float) -> Columns:
        """Columns of decoded lines. `now`: Unix seconds, time of arrival."""
        odd = [i for i, each in enumerate(objects) if each is None] if None in objects else []
        rows = list(map(astuple, filter(None, objects) if odd else objects))
        fit = [i for i, each in enumerate(objects) if each is not None] if odd else range(len(objects))
        is_label = np.fromiter(map("label".__eq__, map(_KIND, rows)), dtype=bool, count=len(rows))
        predictions: list[PredictionColumns] = []
        labels: list[LabelColumns] = []
        times = [np.zeros(0)]
        for label in (False, True):
            at = np.flatnonzero(is_label == label)
            if not len(at):
                continue
            fields = self._type.columns(take_list(rows, at if len(at) < len(rows) else None))
            wrong = np.zeros(len(at), dtype=bool)
            when, own = _times(fields, now, wrong)
            if label:
                labels = self._labels(fields, when, wrong)
            else:
                predictions = self._predictions(fields, when, wrong)
            times.append(when[own & ~wrong])
            odd += [fit[i] for i in at[wrong].tolist()]
        return Columns(predictions, labels, sorted(odd), np.concatenate(times))

    def _labels(self, fields: Plain, when: Floats, wrong: Mask) -> list[LabelColumns]:
        for column in (fields.event, fields.value, fields.weight):
            _mark_present(column, wrong)
        codes = self._class_codes(fields.label)
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

    def _predictions(self, fields: Plain, when: Floats, wrong: Mask) -> list[PredictionColumns]:
        for column in (fields.scores, fields.items, fields.weight):
            _mark_present(column, wrong)
        if fields.status.count(None) != len(wrong):
            _mark(wrong, (status is not None and str(status) != str(_OK) for status in fields.status))
        keys, place = self._keys(fields, wrong)
        score = floats([fields.score], len(wrong))[0]
        predicted = self._class_codes(fields.prediction)
        wrong |= (score < 0) | (score > 1) | (predicted == ODD) | ((predicted == NONE) & np.isnan(score))
        label = None
        if fields.label.count(None) != len(wrong):
            label = self._class_codes(fields.label)
            wrong |= label == ODD
        latency, queue = _seconds_of(fields.latency_ms, wrong), _seconds_of(fields.queue_ms, wrong)
        users = _first(fields.user, fields.user_id)
        ids = _ids(fields)
        objects, features, sampled = fields.features, None, None
        if self._type is self._raw:
            objects, features, sampled = self.choice.look(fields.features, ids, keys, place, wrong)
        if features is None:
            features = self.layout.columns(objects)
        whole = PredictionColumns(
            _NOBODY, when, ids, predicted, score, latency, queue,
            np.zeros(len(wrong), dtype=np.uint64), np.zeros(len(wrong), dtype=bool), self._classes, features, label,
            sampled=sampled,
        )  # fmt: skip
        found = []
        plain = ~wrong
        for i, key in enumerate(keys):
            mine = np.flatnonzero(plain & (place == i)) if len(keys) > 1 or wrong.any() else None
            if mine is None or len(mine):
                found.append(self._batch(key, whole, objects, users, mine))
        return found

    def _batch(
        self,
        key: ModelKey,
        whole: PredictionColumns,
        objects: Sequence[Any],
        users: Sequence[Any],
        rows: NDArray[np.intp] | None,
    ) -> PredictionColumns:
        """The rows of one key: what depends on its plan is filled in."""
        plan = self._reader.plan_of(key.model)
        batch = whole if rows is None else whole.take(rows)
        strange = whole.features.strange
        if rows is not None and strange:
            some = [objects[i] for i in rows.tolist()]
            strange = self.layout.columns(some).strange
        features = self.layout.of(key.model, _with(batch.features, strange))
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
        names = [canonical_class(value) or NO_PREDICTION for value in features.column(name)]
        codes = {each: self._segment_values.code(each) for each in set(names)}
        other = self._segment_values.own(OTHER)
        return np.array([codes[each] if codes[each] is not None else other for each in names], dtype=np.int32)

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

    def _class_codes(self, column: Sequence[Any]) -> Codes:
        return np.fromiter(map(self._codes.__getitem__, column), dtype=np.int32, count=len(column))


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
    if str in set(map(type, given)):
        values = []
        for i, value in enumerate(given):
            try:
                values.append(None if value is None else seconds(value))
            except Rejected:
                wrong[i] = True
                values.append(None)
        when = np.array(values, dtype=np.float64)
    else:
        when = floats([given], len(given))[0].copy()
        for limit, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3)):
            large = when >= limit
            if large.any():
                when[large] /= unit
    own = ~np.isnan(when)
    when[~own] = now
    wrong |= when > now + FUTURE_SLACK
    return when, own


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
    mine = users if rows is None else [users[i] for i in rows.tolist()]
    hashes = [user_hash(user, salt) for user in mine]
    has_user = np.fromiter((h is not None for h in hashes), dtype=bool, count=count)
    return np.fromiter((h or 0 for h in hashes), dtype=np.uint64, count=count), has_user
