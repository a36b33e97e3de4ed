"""Which features a line may hold, as a type that decodes them without a dictionary.

Guarantee: a line that fits is decoded to the values that a dictionary would give; one that does not fit (a text where
the reference has numbers, a name that is not known yet) raises, and is then decoded as a dictionary.
Cost: two thirds of decoding to dictionaries, and a tenth of making columns of those.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from mlcanary.columns import FeatureColumns, Floats
from mlcanary.measures.reference import NumericReference, Reference

MOST_NAMES = 400
"""Features above which lines are decoded as dictionaries: a type so wide gains nothing."""


_NO_FIELD = re.compile(r'["\\\x00-\x1f]')


def can_be_field(name: str) -> bool:
    """Whether a type may have a field of this name; lines with any other one are decoded as dictionaries.

    >>> can_be_field("a b"), can_be_field('a"b'), can_be_field("a\\n")
    (True, False, False)
    """
    return _NO_FIELD.search(name) is None


class Layout:
    """The features of the references of some models, and names beside them that were met."""

    def __init__(self, references: Mapping[str, Reference], strange: Sequence[str] = ()) -> None:
        """`references` by model. Raises ValueError where they cannot be one type, as there are too many names."""
        numeric: dict[str, bool] = {}
        for reference in references.values():
            for name, feature in reference.features.items():
                is_number = isinstance(feature, NumericReference)
                if numeric.setdefault(name, is_number) != is_number:
                    raise ValueError(f"{name} is a number for one model and a name for another")
        self.numbers = tuple(name for name, is_number in numeric.items() if is_number)
        self.texts = tuple(name for name, is_number in numeric.items() if not is_number)
        self.strange = tuple(name for name in strange if name not in numeric)
        self.models = frozenset(references)
        self._own = {model: frozenset(reference.features) for model, reference in references.items()}
        names = (*self.numbers, *self.texts, *self.strange)
        self.names = frozenset(names)
        if len(names) > MOST_NAMES:
            raise ValueError(f"{len(names)} features")
        kinds: list[tuple[Any, float | None]] = [(float | None, nan)] * len(self.numbers)
        kinds += [(str | None, None)] * len(self.texts)
        kinds += [(msgspec.Raw, None)] * len(self.strange)
        fields = [(f"f{i}", kind, default) for i, (kind, default) in enumerate(kinds)]
        self.type = msgspec.defstruct(
            "Features",
            fields,
            rename={f"f{i}": name for i, name in enumerate(names)},
            forbid_unknown_fields=True,
            gc=False,
        )
        self.decoder = msgspec.json.Decoder(self.type)
        self._empty = self.type()

    def columns(self, features: Sequence[msgspec.Struct | None]) -> FeatureColumns:
        """Columns of the decoded features of n rows, None for a row without any."""
        rows = map(astuple, (each or self._empty for each in features))
        found = list(zip(*rows, strict=True))
        width = len(self.numbers)
        rest = found[width:]
        strange = {
            name: len(features) - column.count(None)
            for name, column in zip(self.strange, rest[len(self.texts) :], strict=True)
        }
        return FeatureColumns(
            self.numbers,
            floats(found[:width], len(features)),
            dict(zip(self.texts, rest, strict=False)),
            Counter({name: count for name, count in strange.items() if count}),
        )

    def spread(self, objects: Sequence[msgspec.Struct | None], rows: NDArray[np.intp], count: int) -> FeatureColumns:
        """Columns of `count` rows, of which only `rows` have these decoded features; the others have none."""
        found = self.columns(objects or [None])  # none at all would have no columns
        matrix = np.full((len(self.numbers), count), nan)
        matrix[:, rows] = found.matrix[:, : len(rows)]
        places = rows.tolist()
        texts: dict[str, Sequence[str | None]] = {}
        for name, column in found.texts.items():
            whole: list[str | None] = [None] * count
            for place, value in zip(places, column, strict=False):
                whole[place] = value
            texts[name] = whole
        return FeatureColumns(self.numbers, matrix, texts, found.strange)

    def part(self, model: str, names: Sequence[str]) -> FeaturePart | None:
        """Decodes these features of one model alone, as far as its reference has them; None if it has none."""
        own = [name for name in names if name in self._own[model]]
        return FeaturePart({name: name in self.numbers for name in own}) if own else None

    def of(self, model: str, found: FeatureColumns) -> FeatureColumns:
        """What the rows of one model are to it: another model's features are strange."""
        own = self._own[model]
        if len(own) == len(self.numbers) + len(self.texts):
            return found
        strange = Counter(found.strange)
        for name, row in zip(found.numbers, found.matrix, strict=True):
            if name not in own and (count := int(np.count_nonzero(~np.isnan(row)))):
                strange[name] = count
        for name, column in found.texts.items():
            if name not in own and (count := len(column) - column.count(None)):
                strange[name] = count
        kept = [i for i, name in enumerate(found.numbers) if name in own]
        texts = {name: column for name, column in found.texts.items() if name in own}
        return FeatureColumns(tuple(found.numbers[i] for i in kept), found.matrix[kept], texts, strange)


def floats(columns: Sequence[Sequence[float | None]], rows: int) -> Floats:
    """Columns of numbers as one array, shape (columns, rows), NaN for None.

    Packing a whole column is the cheapest way from Python's floats to an array: half of what numpy takes.
    """
    pack = struct.Struct(f"{rows}d").pack
    packed = []
    for column in columns:
        try:
            packed.append(pack(*column))
        except struct.error:  # a null
            packed.append(pack(*(nan if value is None else value for value in column)))
    found: Floats = np.frombuffer(b"".join(packed)).reshape(len(columns), rows)
    return found


class FeaturePart:
    """A few features of rows whose others are not looked at: those that split the figures."""

    def __init__(self, is_number: Mapping[str, bool]) -> None:
        self._is_number = dict(is_number)
        kinds = [float | None if each else str | None for each in self._is_number.values()]
        made = msgspec.defstruct(
            "Part",
            [(f"f{i}", kind, None) for i, kind in enumerate(kinds)],
            rename={f"f{i}": name for i, name in enumerate(self._is_number)},
            gc=False,
        )
        self._decoder = msgspec.json.Decoder(made)

    def fill(self, features: FeatureColumns, row: int, raw: msgspec.Raw) -> None:
        """Write them into one row of columns that are being made. Raises what decoding raises."""
        values = astuple(self._decoder.decode(raw))
        for (name, is_number), value in zip(self._is_number.items(), values, strict=True):
            if value is None:
                continue
            if is_number:
                features.matrix[features.numbers.index(name), row] = value
            else:
                features.texts[name][row] = value  # type: ignore[index]  # a list, see `Layout.spread`
