"""Features that are names, of many rows: numbers of names in a vocabulary.

Guarantee: a column means its `values`. A vocabulary only grows; whoever fills it leaves it for a new one when it is
`full`, so that neither many nor long names stay in memory. Cost: one dictionary look-up per row, when the names are
fresh from the line; after that a column is an array.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_WORDS, MOST_CHARACTERS = 8_192, 1 << 20
ABSENT = -1
"""The number of a missing name."""


class Words:
    """The number of each name; a new one gets the next. `names` are in the order of their numbers.

    >>> words = Words()
    >>> words.code("a"), words.code("b"), words.code("a"), words.code(None)
    (0, 1, 0, -1)
    """

    __slots__ = ("_characters", "_codes", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self._codes: dict[str | None, int] = {None: ABSENT}
        self._characters = 0

    @property
    def full(self) -> bool:
        """Whether it should be left for a new one."""
        return len(self.names) > MOST_WORDS or self._characters > MOST_CHARACTERS

    def code(self, name: str | None) -> int:
        """The number of a name."""
        code = self._codes.get(name)
        if code is None and name is not None:
            code = self._codes[name] = len(self.names)
            self.names.append(name)
            self._characters += len(name)
        return ABSENT if code is None else code

    def packed(self, values: Sequence[str | None]) -> bytes:
        """The numbers of names, four bytes each, to be joined: an array per few rows would cost more than they do."""
        layout = f"{len(values)}i"
        try:
            return struct.pack(layout, *map(self._codes.__getitem__, values))
        except KeyError:  # a new name
            return struct.pack(layout, *map(self.code, values))


class Texts(NamedTuple):
    """Features that are names: `codes`, shape (len(names), n), ABSENT where a row has none."""

    names: tuple[str, ...]
    codes: NDArray[np.int32]
    words: Words

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[str | None]], words: Words | None = None) -> Texts:
        """Columns over this vocabulary, or one of their own."""
        words = Words() if words is None else words
        codes = [list(map(words.code, column)) for column in columns.values()]
        return cls(tuple(columns), np.array(codes, dtype=np.int32).reshape(len(columns), -1), words)

    def take(self, rows: NDArray[np.intp]) -> Texts:
        """These rows only."""
        return Texts(self.names, self.codes.take(rows, axis=1), self.words)

    def only(self, names: Container[str]) -> Texts:
        """These features only."""
        kept = [i for i, name in enumerate(self.names) if name in names]
        return Texts(tuple(self.names[i] for i in kept), self.codes[kept], self.words)

    def column(self, name: str) -> NDArray[np.int32]:
        """The numbers of one feature."""
        found: NDArray[np.int32] = self.codes[self.names.index(name)]
        return found

    def values(self, name: str) -> list[str | None]:
        """The names of one feature, row by row."""
        words = [*self.words.names, None]  # the last one is where ABSENT points
        return [words[code] for code in self.column(name).tolist()]

    def row(self, i: int) -> dict[str, str]:
        """The names of one row, those that it has."""
        codes = zip(self.names, self.codes[:, i].tolist(), strict=True)
        return {name: self.words.names[code] for name, code in codes if code != ABSENT}

    def counts(self) -> dict[str, Counter[str | None]]:
        """By feature: rows by name, those of no name under None."""
        words = [None, *self.words.names]
        found = {}
        for name, codes in zip(self.names, self.codes, strict=True):
            counts = np.bincount(codes + 1)
            some = np.flatnonzero(counts)
            found[name] = Counter({words[i]: n for i, n in zip(some.tolist(), counts[some].tolist(), strict=True)})
        return found

    def present(self) -> dict[str, int]:
        """By feature: rows that have a name."""
        return dict(zip(self.names, np.count_nonzero(self.codes != ABSENT, axis=1).tolist(), strict=True))

    def alike(self, other: Texts) -> bool:
        """Whether both are of the same features over the same vocabulary, so that they can be joined."""
        return self.names == other.names and self.words is other.words


def joined_texts(parts: Sequence[Texts]) -> Texts:
    """The rows of all, which are alike."""
    return parts[0]._replace(codes=np.concatenate([part.codes for part in parts], axis=1))


def no_texts(rows: int) -> Texts:
    """Rows that have no such features."""
    return Texts((), np.zeros((0, rows), dtype=np.int32), Words())
