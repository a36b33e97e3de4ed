"""Remembered predictions of the common kind: 64 bytes each, in the order in which they came.

Guarantee: rows stand in the ring in the order of their sequence numbers, so that its head is the oldest live row. A
slot names a row until `room` is called again.
The ring grows with what it holds, up to `capacity` and a sixteenth more; then rows between holes are moved together.
All of that is done in place, a stretch of rows at a time: a second ring would be the most memory that is ever taken.
Cost: every operation is a few array operations per batch; growing and moving, O(rows), come at most once per sixteenth
of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mlcanary.joins.id_table import Hashes, IdTable, Slots

LIVE, DONE, MATURED, ASSUMED, HAS_USER, ODD = 1, 2, 4, 8, 16, 32
"""Flags of a row. `ODD`: it lives in the join machine, and this row only keeps its place in the order."""

ROW = np.dtype(
    [
        ("hash", np.uint64),
        ("seq", np.int64),
        ("ts", np.float64),
        ("label_ts", np.float64),
        ("score", np.float64),
        ("user", np.uint64),
        ("predicted", np.int32),
        ("label", np.int32),
        ("key", np.uint32),
        ("segments", np.uint16),
        ("flags", np.uint16),
    ]
)
"""`key`, `predicted`, `label`, `segments`: codes; `score` NaN where there is none. `seq` counts remembered rows."""

Rows = NDArray[np.void]
"""Structured arrays of dtype ROW."""

_WORDS = ROW.itemsize // 8
_BLOCK = 256
_SMALLEST = 1024
_STRETCH = 4096
"""Rows that are moved or entered at once."""


def no_rows(count: int) -> Rows:
    """Rows of zeros, to be filled."""
    return np.zeros(count, dtype=ROW)


def words(rows: Rows) -> NDArray[np.uint64]:
    """The same memory as plain numbers, shape (n, 8): arrays of structures are copied twenty times as slowly."""
    return rows.view(np.uint64).reshape(-1, _WORDS)


def pick(rows: Rows, places: NDArray[np.intp] | NDArray[np.bool_]) -> Rows:
    """A copy of some rows."""
    if places.dtype == np.bool_:
        places = np.flatnonzero(places)
    return words(rows).take(places, axis=0).view(ROW).reshape(-1)


def together(parts: Sequence[Rows]) -> Rows:
    """A copy of all rows."""
    return np.concatenate([words(part) for part in parts]).view(ROW).reshape(-1)


class RowRing:
    """Rows of dtype ROW, the table that finds them, and the earliest due time of each block of them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.live = 0
        self.next_seq = 0
        self._largest = _blocks(capacity + capacity // 16 + 1)
        self._head = self._tail = 0
        self._table = IdTable(_SMALLEST)
        self.rows: Rows
        self._due: NDArray[np.float64]
        self._renew(min(_SMALLEST, self._largest), no_rows(0), np.zeros(0))

    @property
    def nbytes(self) -> int:
        """Memory of rows and table."""
        return self.rows.nbytes + self._due.nbytes + self._table.nbytes

    @property
    def first_seq(self) -> int:
        """The number of the oldest live row; of the next row if there is none."""
        return int(self.rows["seq"][self._head % len(self.rows)]) if self.live else self.next_seq

    def find(self, hashes: Hashes) -> Slots:
        """Slot of each hash, -1 where it is not remembered."""
        return self._table.find(hashes, self._words.reshape(-1), _WORDS)  # the hash is the first word

    def read(self, slots: Slots) -> Rows:
        """A copy of these rows."""
        return self._words.take(slots, axis=0).view(ROW).reshape(-1)

    def write(self, slots: Slots, rows: Rows) -> None:
        """Put changed copies back."""
        self._words[slots] = words(rows)

    def append(self, rows: Rows, due: NDArray[np.float64]) -> Slots:
        """Remember rows that `find` does not know, in this order; gives them their sequence numbers.

        `due`: when something next happens to each. The caller keeps `live` within `capacity`.
        """
        n = len(rows)
        self._room(n)
        slots = (self._tail + np.arange(n)) % len(self.rows)
        rows["seq"] = self.next_seq + np.arange(n)
        self.write(slots, rows)
        np.minimum.at(self._due, slots // _BLOCK, due)
        self._table.add(rows["hash"], slots)
        self._tail += n
        self.next_seq += n
        self.live += n
        return slots

    def take_over(self, rows: Rows, due: NDArray[np.float64], next_seq: int) -> None:
        """Hold these rows, with the sequence numbers that they have, and no others."""
        self.live = len(rows)
        self.next_seq = next_seq
        size = min(max(_SMALLEST, _blocks(len(rows) + len(rows) // 2)), max(self._largest, _blocks(len(rows) + 1)))
        self._renew(size, rows, due)

    def remove(self, slots: Slots) -> None:
        """Forget these live rows, each once."""
        self.rows["flags"][slots] = 0
        self.rows["hash"][slots] = 0
        self.live -= len(slots)
        flags = self.rows["flags"]
        while self._head < self._tail:
            n = min(_SMALLEST, self._tail - self._head)
            alive = np.flatnonzero(flags[(self._head + np.arange(n)) % len(flags)])
            if len(alive):
                self._head += int(alive[0])
                return
            self._head += n

    def oldest(self, count: int) -> Slots:
        """Slots of the oldest `count` live rows."""
        flags, n = self.rows["flags"], 2 * count
        while True:
            slots = (self._head + np.arange(min(n, self._tail - self._head))) % len(flags)
            alive = slots[flags[slots] != 0]
            if len(alive) >= count or len(slots) < n:
                found: Slots = alive[:count]
                return found
            n *= 2

    def ordered(self) -> Slots:
        """Slots of all live rows, oldest first."""
        slots = (self._head + np.arange(self._tail - self._head)) % len(self.rows)
        found: Slots = slots[self.rows["flags"][slots] != 0]
        return found

    def numbered(self, ranges: NDArray[np.int64], width: int) -> Slots:
        """Slots of live rows, oldest first, among them all with a number in `width` from one of these, given ascending.

        `width`: at most a block. Rows stand in the order of their numbers, so only blocks around those are looked at.
        """
        if self._head == self._tail:
            return np.zeros(0, dtype=np.int64)
        blocks = np.arange(self._head // _BLOCK, (self._tail - 1) // _BLOCK + 1)
        firsts = self.rows["seq"][np.maximum(blocks * _BLOCK, self._head) % len(self.rows)]
        begins = np.maximum(np.searchsorted(firsts, ranges, side="right") - 1, 0)
        ends = np.searchsorted(firsts, ranges + width, side="left")
        covered = np.zeros(len(blocks) + 1, dtype=np.int64)
        np.add.at(covered, begins, 1)
        np.add.at(covered, ends, -1)
        wanted = blocks[np.cumsum(covered)[:-1] > 0]
        places = (wanted[:, None] * _BLOCK + np.arange(_BLOCK)).reshape(-1)
        slots = places[(places >= self._head) & (places < self._tail)] % len(self.rows)
        found: Slots = slots[self.rows["flags"][slots] != 0]
        return found

    def due_blocks(self, now: float) -> tuple[NDArray[np.intp], Slots]:
        """Blocks in which something may be due at `now`, and the slots of their live rows."""
        blocks = np.flatnonzero(self._due <= now)
        slots = (blocks[:, None] * _BLOCK + np.arange(_BLOCK)).reshape(-1)
        return blocks, slots[self.rows["flags"][slots] != 0]

    def set_due(self, blocks: NDArray[np.intp], slots: Slots, due: NDArray[np.float64]) -> None:
        """When something is next due in these blocks, from the `due` of all their live rows."""
        self._due[blocks] = np.inf
        np.minimum.at(self._due, slots // _BLOCK, due)

    def all_blocks(self) -> NDArray[np.intp]:
        """Every block, for `set_due`."""
        return np.arange(len(self._due))

    def _room(self, more: int) -> None:
        """Make place for rows: grow, or move the live ones together."""
        size = len(self.rows)
        if self._tail - self._head + more <= size:
            if self._table.full(more):
                self._index()
            return
        if self.live + more > size - size // 16:
            self._grow(max(_blocks(self.live + more), min(self._largest, _blocks(size + size // 2 + more))))
        if self._tail - self._head + more > len(self.rows):
            self._close_up()
        self._index()

    def _grow(self, size: int) -> None:
        """Have `size` rows; those from the head to the former end move up to the new one if others follow them."""
        before = len(self.rows)
        up = size - before
        if up <= 0:
            return
        self._head, self._tail = self._head % before, self._tail - self._head + self._head % before
        self._lengthen(size)
        due = np.full(size // _BLOCK, np.inf)
        due[: len(self._due)] = self._due
        if self._tail > before:
            head = self._head
            for start in reversed(range(head, before, _STRETCH)):
                stretch = self._words[start : min(start + _STRETCH, before)].copy()
                self._words[start + up : start + up + len(stretch)] = stretch
            self._words[head : head + up] = 0
            # The head's block may hold the newest rows as well, so its time stays in both places: early is safe.
            first, by = head // _BLOCK, up // _BLOCK
            due[first + by :] = self._due[first:]
            due[first + 1 : first + by] = np.inf
            self._head, self._tail = head + up, self._tail + up
        self._due = due

    def _lengthen(self, size: int) -> None:
        """Rows of zeros at the end of the array, without a second one where nobody else looks at it."""
        self._words = words(no_rows(0))  # a view could not be moved with the rows
        try:
            self.rows.resize(size)
        except ValueError:
            rows = no_rows(size)
            words(rows)[: len(self.rows)] = words(self.rows)
            self.rows = rows
        self._words = words(self.rows)

    def _close_up(self) -> None:
        """Move the live rows together, towards the oldest one."""
        size, to = len(self.rows), self._head
        due = np.full(len(self._due), np.inf)
        for slots in self._stretches():
            alive = slots[self.rows["flags"][slots] != 0]
            places = (to + np.arange(len(alive))) % size
            # The due time of a former block is no later than that of each of its rows: early is safe, late is not.
            np.minimum.at(due, places // _BLOCK, self._due[alive // _BLOCK])
            held = self._words.take(alive, axis=0)
            self._words[slots] = 0
            self._words[places] = held
            to += len(alive)
        self._tail, self._due = to, due

    def _stretches(self) -> Iterator[Slots]:
        """All slots from the head to the tail."""
        for start in range(self._head, self._tail, _STRETCH):
            yield np.arange(start, min(start + _STRETCH, self._tail)) % len(self.rows)

    def _renew(self, size: int, rows: Rows, due: NDArray[np.float64]) -> None:
        size = _blocks(size)
        self.rows = no_rows(size)
        self._words = words(self.rows)
        self._words[: len(rows)] = words(rows)
        self._due = np.full(size // _BLOCK, np.inf)
        np.minimum.at(self._due, np.arange(len(rows)) // _BLOCK, due)
        self._head, self._tail = 0, len(rows)
        self._index()

    def _index(self) -> None:
        self._table.renew(len(self.rows))
        for slots in self._stretches():
            alive = slots[self.rows["flags"][slots] != 0]
            self._table.add(self.rows["hash"][alive], alive)


def _blocks(rows: int) -> int:
    return -(-rows // _BLOCK) * _BLOCK
