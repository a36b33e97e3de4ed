"""Finds rows by the hash of their id, many at a time.

Guarantee: `find` gives the live row of a hash, or -1; two ids are taken for one only if their 64-bit hashes are equal.
With n rows remembered that happens to a look-up of another id with probability n / 2**64: with 200,000 rows, once in
9e13 look-ups; then one prediction is taken for a duplicate, or one label meets the wrong row. The hashes are keyed per
process (SipHash of Python's str), so nobody can choose ids that meet.
Open addressing over buckets of sixteen entries: a look-up reads one bucket, seldom two. A row that is gone leaves its
entry behind, which fits no live row since the owner clears its hash; the owner builds the table anew once it is `full`.
Cost: 6 bytes per entry, about 11 bytes per row; some 25 array operations per batch, whatever its size, or one call of
the compiled core.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcanary.compiled import ID_TABLE

Hashes = NDArray[np.uint64]
Slots = NDArray[np.int64]
Marks = NDArray[np.uint16]

_WIDTH = 16
_ENTRIES_PER_ROW = 1.8
_FULL = 0.75
_MANY = 4096


class IdTable:
    """Entries of (16 bits of the hash, slot of the row), for about `rows` rows."""

    def __init__(self, rows: int, core: Any = ID_TABLE) -> None:
        """`rows`: how many live rows it is made for. `core`: the compiled loops, None for those of numpy."""
        self._core = core
        self._make(rows)

    def _make(self, rows: int) -> None:
        self._rows = rows
        self._buckets = max(2, int(rows * _ENTRIES_PER_ROW / _WIDTH) + 1)
        self._marks = np.zeros((self._buckets, _WIDTH), dtype=np.uint16)
        self._slots = np.zeros((self._buckets, _WIDTH), dtype=np.int32)
        self._flat_marks, self._flat_slots = self._marks.reshape(-1), self._slots.reshape(-1)
        self._used = 0

    def renew(self, rows: int) -> None:
        """Hold nothing, and be made for so many rows; in the same memory where their number stays."""
        if rows == self._rows:
            self._flat_marks[:] = 0
            self._used = 0
        else:
            self._make(0)  # the former memory goes before the next comes
            self._make(rows)

    @property
    def nbytes(self) -> int:
        """Memory of all entries."""
        return self._marks.nbytes + self._slots.nbytes

    def full(self, more: int) -> bool:
        """Whether `more` entries would make it slow."""
        return self._used + more > _FULL * self._flat_marks.size

    def find(self, hashes: Hashes, held: Hashes, stride: int) -> Slots:
        """Slot of each hash, none of which is 0; -1 where there is none.

        `held`: the hash of every slot, 0 where no row lives, in every `stride`-th place.
        """
        if self._core is not None:
            wanted = np.ascontiguousarray(hashes)
            return np.frombuffer(self._core.find(self._marks, self._slots, wanted, held, stride), dtype=np.int64)
        result = np.full(len(hashes), -1, dtype=np.int64)
        left = np.arange(len(hashes))
        bucket, mark = self._place(hashes)
        while len(left):
            entries = self._marks.take(bucket, axis=0)
            place = (entries == mark[:, None]).reshape(-1).nonzero()[0]
            if len(place):
                at = place // _WIDTH
                slots = self._flat_slots.take(bucket.take(at) * _WIDTH + place % _WIDTH).astype(np.int64)
                at = left.take(at)
                fits = held.take(slots * stride) == hashes.take(at)
                result[at[fits]] = slots[fits]
            further = (entries[:, -1] != 0).nonzero()[0]
            if not len(further):
                break
            further = further[result.take(left.take(further)) < 0]
            left, mark = left.take(further), mark.take(further)
            bucket = (bucket.take(further) + 1) % self._buckets
        return result

    def add(self, hashes: Hashes, slots: Slots) -> None:
        """Enter rows that `find` does not know. The caller asked `full` before."""
        self._used += len(hashes)
        if self._core is not None:
            self._core.add(self._marks, self._slots, np.ascontiguousarray(hashes), slots)
            return
        bucket, mark = self._place(hashes)
        if len(slots) > _MANY and not self._flat_marks.any():
            bucket, mark, slots = self._fill(bucket, mark, slots)
        while len(slots):
            free = (self._marks.take(bucket, axis=0) == 0).argmax(axis=1)
            place = bucket * _WIDTH + free
            room = self._flat_marks[place] == 0
            # Two rows may want one place: the last to write has it, the others try again.
            self._flat_slots[place[room]] = slots[room]
            won = room & (self._flat_slots[place] == slots)
            self._flat_marks[place[won]] = mark[won]
            lost = ~won
            bucket, mark, slots = (bucket + ~room)[lost] % self._buckets, mark[lost], slots[lost]

    def _fill(self, bucket: Slots, mark: Marks, slots: Slots) -> tuple[Slots, Marks, Slots]:
        """Enter many rows into an empty table, bucket by bucket; returns those for which their bucket has no room."""
        order = np.argsort(bucket)
        bucket, mark, slots = bucket[order], mark[order], slots[order]
        starts = np.searchsorted(bucket, np.arange(self._buckets))
        rank = np.arange(len(bucket)) - starts[bucket]
        room = rank < _WIDTH
        place = (bucket * _WIDTH + rank)[room]
        self._flat_marks[place], self._flat_slots[place] = mark[room], slots[room]
        return bucket[~room], mark[~room], slots[~room]

    def _place(self, hashes: Hashes) -> tuple[Slots, Marks]:
        bucket = ((hashes >> np.uint64(32)) * np.uint64(self._buckets)) >> np.uint64(32)
        return bucket.astype(np.int64), np.maximum(hashes & np.uint64(0xFFFF), 1).astype(np.uint16)
