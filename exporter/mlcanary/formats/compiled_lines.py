"""Plain native lines through the compiled core: from bytes to arrays, without an object per value.

Guarantee: see `plain_rows`; a line that the core leaves is told with its place. Memory: arrays for some lines at a
time, and names that lines were the first to use, for which there is a bound. Cost: a third of decoding by msgspec.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from mlcanary.columns import Codes, FeatureColumns, Floats, Mask, Users
from mlcanary.formats.contract import Decoded
from mlcanary.formats.feature_choice import UNFIT
from mlcanary.formats.layout import LaidOut
from mlcanary.formats.native_columns import ColumnMaker
from mlcanary.formats.plain_rows import ODD, Named, Places, PlainLabels, PlainPredictions
from mlcanary.formats.plain_type import KEYS
from mlcanary.words import ABSENT, Texts, Words

if TYPE_CHECKING:
    from mlcanary.compiled import _plain_lines

_MOST_NAMES, _MOST_BYTES = 16_384, 4 << 20
"""Spellings of words and tokens above which they are forgotten: one word may be spelt in many ways."""
_UNKNOWN = -3
LONGEST_BLOCK, _LONGEST_KEY = 1 << 30, 500
"""Bytes that the core can do with."""
_MOST_CELLS = 1 << 21
"""Values that there is room for at once: 16 MB, some 80,000 lines of 25 features."""
_CLASS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str | float | bool | None)
_VERSION: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str | int | float | None)
_TEXT = msgspec.json.Decoder(str)
_MODEL: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str | None)
_START, _END, _MODEL_AT, _LABEL, _VERSION_AT, _PREDICTION, _USER, _USER_LENGTH = range(8)
_FIELDS, _LABEL_FIELDS = 8, 4


class CutUsers(NamedTuple):
    """Users as they stand in the block."""

    core: Any
    block: bytes
    starts: Codes
    lengths: Codes

    def hashes(self, rows: Places | None, salt: bytes) -> tuple[Users, Mask]:
        """See `plain_rows.UserColumn`."""
        starts, lengths = (self.starts, self.lengths) if rows is None else (self.starts[rows], self.lengths[rows])
        has_user = lengths > 0
        if not has_user.any():
            return np.zeros(len(lengths), dtype=np.uint64), has_user
        return np.frombuffer(self.core.hash_users(self.block, starts, lengths, salt[:64]), dtype=np.uint64), has_user


class Left(NamedTuple):
    """Lines of a block that are left to others, and how many others were taken."""

    block: bytes
    taken: int


class CompiledDecoder:
    """Lines of the models of one layout to columns. Raises ValueError for keys that are too much alike for the core."""

    def __init__(self, core: Any, maker: ColumnMaker, keys: Collection[str]) -> None:
        """`core`: the module; `keys`: those that lines of this log have, of which it ignores what means nothing."""
        self._core, self._maker = core, maker
        layout = maker.layout
        names = (layout.numbers, layout.texts, layout.strange, tuple(key for key in keys if key not in KEYS))
        self._names = tuple(tuple(map(_key, group)) for group in names)
        self._most_lines = max(64, _MOST_CELLS // (12 + len(layout.names)))
        self._start_anew(layout.words())

    def _start_anew(self, words: Words) -> None:
        """Forget the names that lines had."""
        self._plan: _plain_lines.Plan = self._core.Plan(*self._names)
        self._words = words
        self._word_codes: Codes = np.array([ABSENT], dtype=np.int32)
        self._odd_words = False
        self._kept = 0
        self._tokens: list[bytes] = []
        self._class_codes: Codes = np.array([ABSENT], dtype=np.int32)

    @property
    def _is_full(self) -> bool:
        return len(self._tokens) + len(self._word_codes) > _MOST_NAMES or self._kept > _MOST_BYTES

    def take(self, block: bytes, now: float, out: Decoded) -> Left:
        """Add what the plain lines of a block give to `out`; the other lines, in their order."""
        spans: list[tuple[int, int]] = []
        lines = start = 0
        while start < len(block):
            words = self._maker.layout.words()
            if words is not self._words or self._is_full:
                self._start_anew(words)
            found = self._parse(block, start)
            start = found[4]
            lines += found[0]
            spans += self._take(block, now, found, out)
        if len(spans) == lines:
            return Left(block, 0)
        return Left(b"".join([block[first:end] + b"\n" for first, end in sorted(spans)]), lines - len(spans))

    def _parse(self, block: bytes, start: int) -> Any:
        return self._plan.parse(block, start, self._most_lines)

    def _take(self, block: bytes, now: float, found: Any, out: Decoded) -> list[tuple[int, int]]:
        """Columns of what the core found; the places of lines that are left."""
        _, predictions, labels, left, _, room, arrays, ids, label_ids, words, tokens = found
        if words:
            codes = [self._word_code(word) for word in words]
            self._word_codes = np.concatenate([self._word_codes[:-1], np.array([*codes, ABSENT], dtype=np.int32)])
            self._kept += sum(map(len, words))
        if tokens:
            self._tokens += tokens
            self._kept += sum(map(len, tokens))
            more = np.full(len(self._tokens) + 1, _UNKNOWN, dtype=np.int32)
            more[: len(self._class_codes) - 1] = self._class_codes[:-1]
            more[-1] = ABSENT
            self._class_codes = more
        fields = np.frombuffer(arrays[1], dtype=np.int32).reshape(_FIELDS, room)[:, :predictions]
        label_fields = np.frombuffer(arrays[6], dtype=np.int32).reshape(_LABEL_FIELDS, room)[:, :labels]
        columns = self._maker.columns(
            self._predictions(block, arrays, fields, ids, room) if predictions else None,
            self._labels(arrays, label_fields, label_ids) if labels else None,
            now,
        )
        out.predictions += columns.predictions
        out.labels += columns.labels
        out.times.frombytes(columns.times.tobytes())
        spans = np.frombuffer(arrays[7], dtype=np.int32).reshape(2, room)[:, :left].T.tolist()
        if columns.odd:
            ends = {start: end for part in (fields, label_fields) for start, end in part[:2].T.tolist()}
            spans += [(first, ends[first]) for first in columns.odd]
        return [(first, end) for first, end in spans]

    def _predictions(
        self, block: bytes, arrays: Sequence[bytearray], fields: Codes, ids: list[str | None], room: int
    ) -> PlainPredictions:
        rows = fields.shape[1]
        when, score, latency, queue = _numbers(arrays[0], 4, rows)
        features, wrong, label = self._features(arrays, rows, room), np.zeros(rows, dtype=bool), None
        if self._odd_words:
            wrong |= (features.features.texts.codes == ODD).any(axis=0)
        if (fields[_LABEL] >= 0).any():
            label = self._classes(fields[_LABEL])
        return PlainPredictions(
            fields[_START].astype(np.intp),
            wrong,
            when,
            ids,
            self._keys(fields[_MODEL_AT], fields[_VERSION_AT]),
            self._classes(fields[_PREDICTION]),
            label,
            score,
            latency,
            queue,
            CutUsers(
                self._core, block, np.ascontiguousarray(fields[_USER]), np.ascontiguousarray(fields[_USER_LENGTH])
            ),
            features,
        )

    def _labels(self, arrays: Sequence[bytearray], fields: Codes, ids: list[str]) -> PlainLabels:
        return PlainLabels(
            fields[_START].astype(np.intp),
            np.zeros(len(ids), dtype=bool),
            _numbers(arrays[5], 1, len(ids))[0],
            ids,
            self._values(fields[_MODEL_AT], _MODEL),
            self._classes(fields[_LABEL]),
        )

    def _word_code(self, word: bytes) -> int:
        """The code of a new word of a feature, as it stands between its quotes."""
        if b"\\" not in word:
            return self._words.code(word.decode())
        with suppress(*UNFIT):
            return self._words.code(_TEXT.decode(b'"' + word + b'"'))
        self._odd_words = True
        return ODD

    def _features(self, arrays: Sequence[bytearray], rows: int, room: int) -> LaidOut:
        layout = self._maker.layout
        codes = np.frombuffer(arrays[3], dtype=np.int32).reshape(len(layout.texts), room)[:, :rows]
        texts = Texts(layout.texts, self._word_codes.take(codes), self._words)
        flags = np.frombuffer(arrays[4], dtype=np.bool_).reshape(len(layout.strange), room)[:, :rows]
        strange = {name: row for name, row in zip(layout.strange, flags, strict=True) if row.any()}
        return LaidOut(FeatureColumns(layout.numbers, _numbers(arrays[2], len(layout.numbers), rows), texts), strange)

    def _classes(self, tokens: Codes) -> Codes:
        """Codes of the classes that these tokens name."""
        codes = self._class_codes[tokens]
        if (codes == _UNKNOWN).any():
            for token in np.unique(tokens[codes == _UNKNOWN]).tolist():
                self._class_codes[token] = ODD
                with suppress(*UNFIT):
                    self._class_codes[token] = self._maker.codes.code(_CLASS.decode(self._tokens[token]))
            codes = self._class_codes[tokens]
        return codes

    def _keys(self, models: Codes, versions: Codes) -> Named:
        """Model and version of the rows."""
        some, of_model = _few(models)
        others, of_version = _few(versions)
        pairs = [(self._value(m, _MODEL), self._value(v, _VERSION)) for m in some for v in others]
        return Named(pairs, of_model * len(others) + of_version if len(some) > 1 else of_version)

    def _values(self, tokens: Codes, decoder: msgspec.json.Decoder[Any]) -> Named:
        some, place = _few(tokens)
        return Named([self._value(token, decoder) for token in some], place)

    def _value(self, token: int, decoder: msgspec.json.Decoder[Any]) -> Any:
        return None if token < 0 else decoder.decode(self._tokens[token])


def _key(name: str) -> bytes:
    """A key as the core knows it; one that it cannot have as something that no key is, so that its lines are left."""
    try:
        found = name.encode()
    except UnicodeEncodeError:
        found = b""
    return found if found and len(found) <= _LONGEST_KEY else b'"' + hashlib.sha256(repr(name).encode()).digest()


def _few(codes: Codes) -> tuple[list[int], Places]:
    """The codes that occur, and the place of each row's among them; codes are small, and from ABSENT on."""
    counts = np.bincount(codes + 1)
    some = np.flatnonzero(counts)
    if len(some) == 1:
        return [int(some[0]) - 1], np.zeros(len(codes), dtype=np.intp)
    place = np.zeros(len(counts), dtype=np.intp)
    place[some] = np.arange(len(some))
    return (some - 1).tolist(), place[codes + 1]


def _numbers(array: bytearray, columns: int, rows: int) -> Floats:
    """Columns of an array that has room for more rows."""
    if not columns:
        return np.zeros((0, rows))
    found: Floats = np.frombuffer(array, dtype=np.float64).reshape(columns, -1)[:, :rows]
    return np.ascontiguousarray(found)
