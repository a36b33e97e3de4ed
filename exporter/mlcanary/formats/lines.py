"""A block of lines, cut only where a single line is asked for.

Guarantee: the same lines as `block.split(b"\\n")` without the empty one after a last line feed. Cost: finding the line
feeds, a third of what cutting them apart takes; lines that are decoded all at once are never copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

_LINE_FEED, _RETURN, _OPENING, _CLOSING = b"\n\r{}"


class Lines(Sequence[bytes]):
    """The lines of a block."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._bytes = np.frombuffer(block, dtype=np.uint8)
        ends = np.flatnonzero(self._bytes == _LINE_FEED)
        if block and not block.endswith(b"\n"):
            ends = np.append(ends, len(block))
        self._ends = ends
        self._starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return self._block[self._starts[at] : self._ends[at]]

    def __iter__(self) -> Iterator[bytes]:
        for start, end in zip(self._starts.tolist(), self._ends.tolist(), strict=True):
            yield self._block[start:end]

    def between(self, lines: range) -> memoryview:
        """The bytes of consecutive lines, with what stands between them."""
        return memoryview(self._block)[self._starts[lines[0]] : self._ends[lines[-1]]]

    def stretches(self, most: int) -> Iterator[range]:
        """Consecutive lines, each stretch of about `most` bytes or one longer line."""
        first = 0
        while first < len(self):
            after = int(np.searchsorted(self._ends, self._starts[first] + most, side="right"))
            yield range(first, first := max(after, first + 1))

    @property
    def one_object_each(self) -> bool:
        """Whether every line begins with `{` and ends with `}`, which decoding many lines at once does not demand.

        An object that ends inside its line cannot go on in the next one: there would have to stand `,` or `}`.
        """
        if not len(self) or (self._starts == self._ends).any():
            return False
        last = self._bytes[self._ends - 1]
        whole = (last == _CLOSING) | (last == _RETURN)
        return bool((self._bytes[self._starts] == _OPENING).all() and whole.all())
