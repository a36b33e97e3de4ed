"""A feature that is a name, of many rows: numbers of names in a vocabulary.

Guarantee: a column means its `values()`. A vocabulary only grows; whoever fills it leaves it for a new one when it is
`full`, so that neither many nor long names stay in memory. Cost: one dictionary look-up per row, when the names are
fresh from the line; after that a column is an array.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_WORDS, MOST_CHARACTERS = 4_096, 1 << 20
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


class TextColumn(NamedTuple):
    """One name per row, ABSENT where a row has none."""

    codes: NDArray[np.int32]
    words: Words

    @classmethod
    def of(cls, values: Iterable[str | None], words: Words | None = None) -> TextColumn:
        """A column over this vocabulary, or one of its own."""
        words = Words() if words is None else words
        return cls(np.array(list(map(words.code, values)), dtype=np.int32), words)

    def take(self, rows: NDArray[np.intp]) -> TextColumn:
        """These rows only."""
        return TextColumn(self.codes[rows], self.words)

    def values(self) -> list[str | None]:
        """The names, row by row."""
        names = [*self.words.names, None]  # the last one is where ABSENT points
        return [names[code] for code in self.codes.tolist()]

    def counts(self) -> Counter[str | None]:
        """Rows by name, those of no name under None."""
        counts = np.bincount(self.codes + 1)
        names = [None, *self.words.names]
        return Counter({names[i]: count for i, count in enumerate(counts.tolist()) if count})

    @property
    def present(self) -> int:
        """Rows that have a name."""
        return int(np.count_nonzero(self.codes != ABSENT))


def joined_texts(columns: Sequence[TextColumn]) -> TextColumn:
    """One column of several over the same vocabulary."""
    return TextColumn(np.concatenate([column.codes for column in columns]), columns[0].words)
