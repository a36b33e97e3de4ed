"""Plain native lines decoded by msgspec into objects of a type that is made for them, and these into arrays.

Guarantee: a line that does not fit the type is told, nothing else is. Cost: about half of the decoding itself.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import compress
from math import nan
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple

from mlcanary.columns import Floats, Mask
from mlcanary.formats.gathered import HOT_BYTES, Gathered
from mlcanary.formats.layout import floats
from mlcanary.formats.lines import Lines
from mlcanary.formats.native_columns import MILLISECONDS, ColumnMaker, Columns
from mlcanary.formats.plain_rows import ClassCodes, ListedUsers, Named, PlainLabels, PlainPredictions
from mlcanary.formats.plain_type import KIND, Plain, PlainType
from mlcanary.formats.rows import Rejected, seconds

_OK = 200


class TypedDecoder:
    """Lines of the models of one layout to columns."""

    def __init__(self, maker: ColumnMaker, keys: Collection[str]) -> None:
        """`keys`: those that lines of this log have."""
        self._maker = maker
        self._whole, self._raw = PlainType(maker.layout.type, keys), PlainType(msgspec.Raw, keys)

    @property
    def takes_all(self) -> bool:
        """Whether the features of every line are looked at."""
        return self._maker.choice.takes_all

    def columns(self, lines: Lines, now: float) -> Columns:
        """Columns of the lines that are plain, with the numbers of the others. `now`: Unix seconds, time of arrival."""
        predictions, labels, odd = self._gather(lines)
        found = self._maker.columns(
            self._predictions(predictions) if len(predictions) else None,
            self._labels(labels) if len(labels) else None,
            now,
        )
        return found._replace(odd=sorted(odd + found.odd))

    def _gather(self, lines: Lines) -> tuple[Gathered, Gathered, list[int]]:
        """Lines of predictions, lines of labels, and the numbers of lines that fit neither."""
        type_ = self._whole if self.takes_all else self._raw
        predictions = Gathered(type_, None if type_ is self._raw else self._maker.layout)
        labels = Gathered(type_, None)
        odd: list[int] = []
        for stretch in lines.stretches(HOT_BYTES):
            objects = self._decode(type_, lines, stretch)
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

    def _decode(self, type_: PlainType, lines: Lines, stretch: range) -> list[Any]:
        """One object per line, None where a line does not fit."""
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            found: list[Any] = type_.decoder.decode_lines(lines.between(stretch))
            if len(found) == len(stretch):
                return found
        return [_one(type_, lines[i]) for i in stretch]

    def _labels(self, gathered: Gathered) -> PlainLabels:
        fields, wrong = gathered.fields(), np.zeros(len(gathered), dtype=bool)
        for column in (fields.event, fields.value, fields.weight):
            _mark_present(column, wrong)
        ids = _ids(fields)
        if None in ids:
            _mark(wrong, (row_id is None for row_id in ids))
        return PlainLabels(
            gathered.lines,
            wrong,
            _times(fields, wrong),
            [row_id or "" for row_id in ids],
            Named.of(fields.model),
            self._codes.of(fields.label),
        )

    def _predictions(self, gathered: Gathered) -> PlainPredictions:
        fields, wrong = gathered.fields(), np.zeros(len(gathered), dtype=bool)
        for column in (fields.scores, fields.items, fields.weight):
            _mark_present(column, wrong)
        if fields.status.count(None) != len(wrong):
            _mark(wrong, (status is not None and str(status) != str(_OK) for status in fields.status))
        return PlainPredictions(
            gathered.lines,
            wrong,
            _times(fields, wrong),
            _ids(fields),
            _keys(fields),
            self._codes.of(fields.prediction),
            None if fields.label.count(None) == len(wrong) else self._codes.of(fields.label),
            _numbers(fields.score),
            _numbers(fields.latency_ms),
            _numbers(fields.queue_ms),
            ListedUsers(_first(fields.user, fields.user_id)),
            fields.features if gathered.features is None else gathered.features.laid_out(),
        )

    @property
    def _codes(self) -> ClassCodes:
        return self._maker.codes


def _one(type_: PlainType, line: bytes) -> Any:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return type_.decoder.decode(line)
    return None


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


def _keys(fields: Plain) -> Named:
    """Model and version of the rows."""
    model = fields.model[0]
    if fields.model.count(model) == len(fields.model):
        versions = Named.of(fields.version)
        return Named([(model, version) for version in versions.values], versions.place)
    return Named.of(list(zip(fields.model, fields.version, strict=True)))


def _numbers(column: Sequence[Any]) -> Floats:
    if column.count(None) == len(column):
        return np.full(len(column), np.nan)
    found: Floats = floats([column], len(column))[0]
    return found


def _times(fields: Plain, wrong: Mask) -> Floats:
    """Event times as the lines have them, NaN where there is none or it is wrong."""
    given = _first(fields.ts, fields.timestamp)
    try:
        return _numbers(given)
    except struct.error:  # a text among them
        pass
    values = []
    for i, value in enumerate(given):
        try:
            values.append(nan if value is None else seconds(value))
        except Rejected:
            wrong[i] = True
            values.append(nan)
        if values[-1] >= MILLISECONDS:  # a text, thousands of years ahead
            wrong[i] = True
    return np.array(values, dtype=np.float64)
