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
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from mlcanary.columns import FeatureColumns, Floats, Mask
from mlcanary.measures.reference import NumericReference, Reference
from mlcanary.words import ABSENT, TextColumn, Words

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
        self._words = {name: Words() for name in self.texts}

    def columns(self, features: Sequence[msgspec.Struct | None]) -> FeatureRows:
        """The decoded features of n rows, None for a row without any."""
        rows = FeatureRows(self)
        rows.add(features)
        return rows

    def words(self) -> list[Words]:
        """Vocabularies of the features that are names, in their order, for a batch that begins."""
        for name, words in self._words.items():
            if words.full:
                self._words[name] = Words()
        return list(self._words.values())

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
            if name not in own and (count := column.present):
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


class FeatureRows:
    """Features of rows in the order in which they are added.

    The numbers of a row lie beside each other in memory: packed row by row they cost half of what columns cost.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._packer = struct.Struct(f"{len(layout.numbers)}d")
        self._numbers: list[bytes] = []
        self._words = layout.words()
        self._texts: list[list[bytes]] = [[] for _ in layout.texts]
        self._strange: list[list[Any]] = [[] for _ in layout.strange]
        self._count = 0

    def add(self, features: Sequence[msgspec.Struct | None]) -> None:
        """Decoded features, None for a row without any."""
        if not features:
            return
        empty = self._layout.empty
        rows = [astuple(empty if each is None else each) for each in features]
        width, pack = len(self._layout.numbers), self._packer.pack
        try:
            self._numbers += [pack(*row[:width]) for row in rows]
        except struct.error:  # a null
            self._numbers += [pack(*(nan if value is None else value for value in row[:width])) for row in rows]
        self._count += len(rows)
        if not (self._words or self._strange):
            return
        beside = iter(zip(*(row[width:] for row in rows), strict=True))
        for parts, words, values in zip(self._texts, self._words, beside, strict=False):
            parts.append(words.packed(values))
        for column, values in zip(self._strange, beside, strict=True):
            column.extend(values)

    def matrix(self) -> Floats:
        """The numbers, shape (features, rows), NaN where missing."""
        found = np.frombuffer(b"".join(self._numbers)).reshape(self._count, len(self._layout.numbers))
        return np.ascontiguousarray(found.T)

    def texts(self) -> dict[str, TextColumn]:
        """One column per feature that is a name."""
        columns = zip(self._layout.texts, self._texts, self._words, strict=True)
        return {n: TextColumn(np.frombuffer(b"".join(parts), dtype=np.int32), words) for n, parts, words in columns}

    def strange(self) -> dict[str, Mask]:
        """Which rows have the names beside the layout's features, by name, without those that no row has."""
        return {
            name: np.fromiter((value is not None for value in column), dtype=np.bool_, count=self._count)
            for name, column in zip(self._layout.strange, self._strange, strict=True)
            if column.count(None) < self._count
        }

    def spread(self, rows: NDArray[np.intp], count: int) -> LaidOut:
        """Of `count` rows, of which these are `rows` and the others have nothing."""
        matrix = np.full((len(self._layout.numbers), count), nan)
        matrix[:, rows] = self.matrix()
        texts = {}
        for name, column in self.texts().items():
            codes = np.full(count, ABSENT, dtype=np.int32)
            codes[rows] = column.codes
            texts[name] = TextColumn(codes, column.words)
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
                column = features.texts[name]
                column.codes[row] = column.words.code(value)
