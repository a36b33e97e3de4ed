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
from itertools import chain
from math import nan
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from mlcanary.columns import FeatureColumns, Floats, Mask
from mlcanary.measures.reference import NumericReference, Reference
from mlcanary.words import ABSENT, Texts, Words

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
        self.empty = self.type()
        self._words = Words()

    def columns(self, features: Sequence[msgspec.Struct | None]) -> FeatureRows:
        """The decoded features of n rows, None for a row without any."""
        rows = FeatureRows(self)
        rows.add(features)
        return rows

    def words(self) -> Words:
        """The vocabulary of all features that are names, for a batch that begins."""
        if self._words.full:
            self._words = Words()
        return self._words

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
        for name, count in found.texts.present().items():
            if name not in own and count:
                strange[name] = count
        kept = [i for i, name in enumerate(found.numbers) if name in own]
        numbers = tuple(found.numbers[i] for i in kept)
        return FeatureColumns(numbers, found.matrix[kept], found.texts.only(own), strange)


def floats(columns: Sequence[Sequence[float | None]], rows: int) -> Floats:
    """Columns of numbers as one array, shape (columns, rows), NaN for None.

    Packing a whole column is the cheapest way from Python's floats to an array: half of what numpy takes.
    """
    packed = [packed_floats(column) for column in columns]
    found: Floats = np.frombuffer(b"".join(packed)).reshape(len(columns), rows)
    return found


def packed_floats(values: Sequence[float | None]) -> bytes:
    """Eight bytes each, NaN for None. Raises struct.error for what is no number."""
    layout = f"{len(values)}d"
    try:
        return struct.pack(layout, *values)
    except struct.error:  # a null
        return struct.pack(layout, *[nan if value is None else value for value in values])


class FeatureRows:
    """Features of rows in the order in which they are added.

    The values of a row lie beside each other in memory: packed row by row they cost half of what columns cost.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._words = layout.words()
        self._numbers: list[bytes] = []
        self._texts: list[bytes] = []
        self._strange: list[tuple[Any, ...]] = []
        self._count = 0

    def add(self, features: Sequence[msgspec.Struct | None]) -> None:
        """Decoded features, None for a row without any."""
        empty, width = self._layout.empty, len(self._layout.numbers)
        rows = [astuple(empty if each is None else each) for each in features]
        after = width + len(self._layout.texts)
        self._count += len(rows)
        numbers = list(chain.from_iterable([row[:width] for row in rows]))
        self._numbers.append(packed_floats(numbers))
        if after > width:
            self._texts.append(self._words.packed(list(chain.from_iterable([row[width:after] for row in rows]))))
        if self._layout.strange:
            self._strange += [row[after:] for row in rows]

    def matrix(self) -> Floats:
        """The numbers, shape (features, rows), NaN where missing."""
        found = np.frombuffer(b"".join(self._numbers)).reshape(self._count, len(self._layout.numbers))
        return np.ascontiguousarray(found.T)

    def texts(self) -> Texts:
        """The features that are names."""
        names = self._layout.texts
        found = np.frombuffer(b"".join(self._texts), dtype=np.int32).reshape(self._count, len(names))
        return Texts(names, np.ascontiguousarray(found.T), self._words)

    def strange(self) -> dict[str, Mask]:
        """Which rows have the names beside the layout's features, by name, without those that no row has."""
        found = {}
        for name, column in zip(self._layout.strange, zip(*self._strange, strict=True), strict=False):
            if column.count(None) < self._count:
                found[name] = np.fromiter((value is not None for value in column), dtype=np.bool_, count=self._count)
        return found

    def spread(self, rows: NDArray[np.intp], count: int) -> LaidOut:
        """Of `count` rows, of which these are `rows` and the others have nothing."""
        matrix = np.full((len(self._layout.numbers), count), nan)
        matrix[:, rows] = self.matrix()
        few = self.texts()
        texts = few._replace(codes=np.full((len(few.names), count), ABSENT, dtype=np.int32))
        texts.codes[:, rows] = few.codes
        strange = {}
        for name, flags in self.strange().items():
            strange[name] = np.zeros(count, dtype=np.bool_)
            strange[name][rows] = flags
        return LaidOut(FeatureColumns(self._layout.numbers, matrix, texts), strange)

    def laid_out(self) -> LaidOut:
        """All of them."""
        return LaidOut(FeatureColumns(self._layout.numbers, self.matrix(), self.texts()), self.strange())


class LaidOut(NamedTuple):
    """Features of rows in columns, and which rows have the names beside these."""

    features: FeatureColumns
    strange: Mapping[str, Mask]

    def strange_of(self, rows: NDArray[np.intp] | None) -> Counter[str]:
        """How many of these rows have the names beside the columns."""
        counts = {n: int(np.count_nonzero(f if rows is None else f[rows])) for n, f in self.strange.items()}
        return Counter({name: count for name, count in counts.items() if count})


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
                features.texts.column(name)[row] = features.texts.words.code(value)
