"""Names as the small numbers that rows in columns hold: versions, classes, values of segments.

Guarantee: a code means the same name as long as the process lives, and after `load(dump())`. What finds no room, or is
very long, has no code: such a row travels as a record. Cost: a dictionary look-up per name, none per row of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import NONE, Classes, Codes
from mlcanary.joins.id_table import Hashes
from mlcanary.records import ModelKey

NO_ROOM = -2
"""Code of a name that has none."""

_CLASSES, _SEGMENTS = 4_096, 65_000
_LONGEST = 200
_KNOWN_VOCABULARIES = 16
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Names:
    """Codes of one join: at most 4,096 classes and 65,000 combinations of segments; the caller bounds the versions."""

    def __init__(self) -> None:
        self.keys: list[ModelKey] = []
        self.models: list[str] = []
        self.model_of: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.classes = Classes(_CLASSES)
        self.segments: list[tuple[str, ...]] = []
        self.segment_values = Classes(_SEGMENTS)
        self._keys: dict[ModelKey, int] = {}
        self._models: dict[str, int] = {}
        self._salts: list[np.uint64] = []
        self._segments: dict[tuple[str, ...], int] = {}
        self._segment_codes: list[tuple[int, ...]] = []
        self._maps: list[tuple[Classes, int, Codes]] = []
        self.segments_code(())

    def key_code(self, key: ModelKey) -> int:
        """The number of a version."""
        code = self._keys.get(key)
        if code is not None:
            return code
        code = self._keys[key] = len(self.keys)
        self.keys.append(ModelKey(*key))
        model = self._models.setdefault(key.model, len(self.models))
        if model == len(self.models):
            self.models.append(key.model)
            # Not the hash of the name itself: a row whose id is the name of its model would have the hash 0.
            self._salts.append(np.uint64(hash((key.model, "model")) & 0xFFFFFFFFFFFFFFFF))
        self.model_of = np.append(self.model_of, model)
        return code

    def model_code(self, model: str) -> int | None:
        """The number of a model of which a version is known."""
        return self._models.get(model)

    def hashes(self, ids: NDArray[np.int64], model: int) -> Hashes:
        """The hash of (model, id), never 0, from Python's `hash` of each id."""
        mixed = (ids.view(np.uint64) ^ self._salts[model]) * _SPREAD
        mixed ^= mixed >> np.uint64(32)
        found: Hashes = np.maximum(mixed, 1)
        return found

    def class_code(self, name: str | None) -> int:
        """The number of a class, NONE for None, NO_ROOM."""
        if name is None:
            return NONE
        code = self.classes.code(name) if len(name) <= _LONGEST else None
        return NO_ROOM if code is None else code

    def class_map(self, classes: Classes) -> Codes:
        """The number of each class of another vocabulary, NONE last."""
        for known, size, found in self._maps:
            if known is classes and size == len(classes.names):
                return found
        found = np.array([*map(self.class_code, classes.names), NONE], dtype=np.int32)
        self._maps = [(k, s, f) for k, s, f in self._maps if k is not classes][1 - _KNOWN_VOCABULARIES :]
        self._maps.append((classes, len(classes.names), found))
        return found

    def segments_code(self, values: tuple[str, ...]) -> int:
        """The number of a combination of segment values, NO_ROOM."""
        code = self._segments.get(values)
        if code is not None:
            return code
        codes = [self.segment_values.code(value) if len(value) <= _LONGEST else None for value in values]
        known = tuple(value for value in codes if value is not None)
        if len(self.segments) >= _SEGMENTS or len(known) < len(values):
            return NO_ROOM
        code = self._segments[values] = len(self.segments)
        self.segments.append(values)
        self._segment_codes.append(known)
        return code

    def combined(self, columns: Sequence[Codes], values: Classes, rows: int) -> NDArray[np.int64]:
        """The numbers of the combinations that these columns hold, NO_ROOM where there is none."""
        if not columns:
            return np.zeros(rows, dtype=np.int64)
        names = values.names
        code: dict[tuple[int, ...], int] = {}
        found = list(zip(*(column.tolist() for column in columns), strict=True))
        for combination in set(found):
            code[combination] = self.segments_code(tuple(names[value] for value in combination))
        return np.fromiter(map(code.__getitem__, found), dtype=np.int64, count=rows)

    def apart(self, codes: NDArray[np.uint16]) -> list[tuple[NDArray[np.intp], tuple[Codes, ...]]]:
        """The columns of segment values behind combinations: (rows, columns) for each number of columns."""
        known, place = np.unique(codes, return_inverse=True)
        combinations = [self._segment_codes[code] for code in known.tolist()]
        widths = np.array([len(values) for values in combinations])
        found = []
        for width in np.unique(widths).tolist():
            rows = np.flatnonzero(widths[place] == width)
            table = np.array([(*values[:width], *[NONE] * (width - len(values))) for values in combinations])
            columns = tuple(table.astype(np.int32).reshape(len(known), width)[place[rows]].T)
            found.append((rows, columns))
        return found

    def dump(self) -> Any:
        """All names in the order of their codes, in plain values."""
        return {"keys": [list(key) for key in self.keys], "classes": self.classes.names, "segments": self.segments}

    def load(self, state: Any) -> None:
        """Take over dumped names, into an object that has none. Raises ValueError on another layout."""
        try:
            keys = [self.key_code(ModelKey(model, version)) for model, version in state["keys"]]
            classes = [self.class_code(name) for name in state["classes"]]
            segments = [self.segments_code(tuple(values)) for values in state["segments"]]
        except (TypeError, KeyError) as error:
            raise ValueError("names of the join in another layout") from error
        if not all(codes == list(range(len(codes))) for codes in (keys, classes, segments)):
            raise ValueError("names of the join that stand twice")
