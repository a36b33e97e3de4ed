"""The rules of the join for rows in columns: the same as `JoinMachine` has, for the kind of row that columns hold.

Guarantee: `offer` and `advance` decide of each plain row what the machine would; odd rows are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import NONE, Codes, Mask, take_list
from mlcanary.joins.decisions import Decisions
from mlcanary.joins.id_table import Slots
from mlcanary.joins.names import Names
from mlcanary.joins.pages import PageNotes
from mlcanary.joins.row_ring import ASSUMED, DONE, HAS_USER, MATURED, ODD, RowRing, Rows, pick
from mlcanary.joins.rows import Waiting
from mlcanary.joins.waits import Waits

Times = NDArray[np.float64]


class ColumnRows:
    """Plain rows in the ring. `undecided`: how many of each version wait."""

    def __init__(self, names: Names, waits: Waits, capacity: int, stored: bool) -> None:
        self.names = names
        self.waits = waits
        self.ring = RowRing(capacity)
        self.notes = PageNotes(stored)
        self.out = Decisions(names)
        self.undecided: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def learn(self) -> None:
        """Know the versions that were named since."""
        self.waits.learn()
        missing = len(self.names.keys) - len(self.undecided)
        if missing:
            self.undecided = np.concatenate([self.undecided, np.zeros(missing, dtype=np.int64)])

    def append(self, rows: Rows, ids: Sequence[str | None], odd: Mask) -> Slots:
        """Remember rows; of odd ones only their place."""
        rows["flags"][odd] |= ODD
        slots = self.ring.append(rows, self.waits.due(rows))
        if odd.any():
            plain = np.flatnonzero(~odd)
            self._hold(rows["key"][plain], 1)
            self.notes.add(rows["seq"][plain], take_list(ids, plain), self.ring.first_seq)
        else:
            self._hold(rows["key"], 1)
            self.notes.add(rows["seq"], ids, self.ring.first_seq)
        return slots

    def offer(self, slots: Slots, ts: Times, label: Codes) -> None:
        """Labels for plain rows, in their order: count each, hold it until maturity, or say why not."""
        while len(slots):
            if all_differ(slots):
                self._offer(slots, ts, label)
                return
            _, firsts = np.unique(slots, return_index=True)
            firsts.sort()
            self._offer(slots[firsts], ts[firsts], label[firsts])
            rest = np.ones(len(slots), dtype=np.bool_)
            rest[firsts] = False
            slots, ts, label = slots[rest], ts[rest], label[rest]

    def _offer(self, slots: Slots, ts: Times, label: Codes) -> None:
        """One label for each of these rows."""
        rows = self.ring.read(slots)
        key, born = rows["key"], rows["ts"]
        over = ts > born + self.waits.wait[key]
        closed = over | ((rows["flags"] & DONE) != 0)
        held = self.waits.held[key]
        if closed.any():
            beyond = ts > born + self.waits.memory[key]
            late = over | (rows["label"] == NONE) | ((rows["flags"] & ASSUMED) != 0)
            self.out.count_unmatched(key[beyond])
            self.out.count("late", key[closed & late & ~beyond])
            self.out.count("duplicate", key[closed & ~late & ~beyond])
        now = ~closed & ~held
        first = ~closed & held & (rows["label"] == NONE)
        again = ~closed & held & ~first
        taken = now | first
        if again.any():
            self.out.count("duplicate", key[again])
            # The final outcome is the newest one; equal times are settled by name, so that order cannot matter.
            taken |= again & (ts > rows["label_ts"])
            for i in np.flatnonzero(again & (ts == rows["label_ts"])).tolist():
                names = self.names.classes.names
                taken[i] = names[label[i]] > names[rows["label"][i]]
        if not taken.all():
            rows = pick(rows, taken)
            slots, ts, label, now, first = (x[taken] for x in (slots, ts, label, now, first))
        rows["label"], rows["label_ts"] = label, ts
        rows["flags"][now] |= DONE
        self.ring.write(slots, rows)
        self.notes.touch(rows["seq"])
        if now.any():
            decided = rows if now.all() else pick(rows, now)
            self._hold(decided["key"], -1)
            self.matched(decided)
        if first.any():
            self.out.provisional.append(pick(rows, first))

    def matched(self, rows: Rows) -> None:
        """These rows have their final label."""
        if len(rows):
            self.out.joined.append(rows)
            self.out.count("matched", rows["key"])

    def advance(self, now: float) -> None:
        """Decide every plain row whose time has come at event time `now`."""
        blocks, slots = self.ring.due_blocks(now)
        if not len(blocks):
            return
        rows = self.ring.read(slots)
        due = (self.waits.due(rows) <= now) & (
            (rows["flags"] & ODD) == 0
        )  # an odd one is not due even at the end of time
        if due.any():
            self._settle(slots[due], now)
        left = slots[self.ring.rows["flags"][slots] != 0]
        self.ring.set_due(blocks, left, self.waits.due(self.ring.read(left)))

    def _settle(self, slots: Slots, now: float) -> None:
        rows = self.ring.read(slots)
        key = rows["key"]
        ended = rows["ts"] + self.waits.wait[key] <= now
        decided = ended & ((rows["flags"] & DONE) == 0)
        if decided.any():
            rows["flags"][decided] |= DONE
            self._hold(key[decided], -1)
            assumed = decided & (rows["label"] == NONE) & (self.waits.assumed[key] != NONE)
            rows["label"][assumed] = self.waits.assumed[key[assumed]]
            rows["label_ts"][assumed] = (rows["ts"] + self.waits.wait[key])[assumed]
            rows["flags"][assumed] |= ASSUMED
            self.matched(pick(rows, decided & ~assumed & (rows["label"] != NONE)))
            if assumed.any():
                self.out.joined.append(pick(rows, assumed))
                self.out.count("assumed", key[assumed])
            self.out.count("expired", key[decided & (rows["label"] == NONE)])
        young = ended & ((rows["flags"] & MATURED) == 0)
        if young.any():
            rows["flags"][young] |= MATURED
            self.out.matured.append(pick(rows, young))
        self.ring.write(slots, rows)
        gone = rows["ts"] + self.waits.memory[key] <= now
        self.notes.touch(rows["seq"][~gone])
        self.notes.remove(rows["seq"][gone])
        self.ring.remove(slots[gone])

    def evict(self, slots: Slots) -> Slots:
        """Forget these rows to make room; returns the sequence numbers of the odd ones."""
        rows = self.ring.read(slots)
        plain = (rows["flags"] & ODD) == 0
        undecided = plain & ((rows["flags"] & DONE) == 0)
        self._hold(rows["key"][undecided], -1)
        self.out.count("evicted", rows["key"][undecided])
        self.notes.remove(rows["seq"][plain])
        self.ring.remove(slots)
        odd: Slots = rows["seq"][~plain]
        return odd

    def promote(self, slot: int) -> Waiting | None:
        """A plain row as a record, to live elsewhere from now on; None for an odd one, which does."""
        row = self.ring.rows[slot]
        flags = int(row["flags"])
        if flags & ODD:
            return None
        if not flags & DONE:
            self.undecided[row["key"]] -= 1
        self.notes.remove(self.ring.rows["seq"][[slot]])
        row["flags"] |= ODD
        return Waiting(
            self.names.keys[row["key"]],
            float(row["ts"]),
            self.names.classes.name(int(row["predicted"])),
            None if np.isnan(row["score"]) else float(row["score"]),
            self.names.classes.name(int(row["label"])),
            float(row["label_ts"]),
            done=bool(flags & DONE),
            user=int(row["user"]) if flags & HAS_USER else None,
            segments=self.names.segments[row["segments"]],
            matured=bool(flags & MATURED),
            assumed=bool(flags & ASSUMED),
        )

    def take_over(self, rows: Rows, next_seq: int) -> None:
        """Hold these rows of a former process, oldest first; `next_seq`: the number of the next row."""
        self.learn()
        self.undecided[:] = 0
        self._hold(rows["key"][(rows["flags"] & (ODD | DONE)) == 0], 1)
        self.ring.take_over(rows, self.waits.due(rows), next_seq)

    def reschedule(self) -> None:
        """Other waiting times hold from now on."""
        slots = self.ring.ordered()
        self.ring.set_due(self.ring.all_blocks(), slots, self.waits.due(self.ring.read(slots)))

    def _hold(self, codes: NDArray[np.uint32], by: int) -> None:
        counts = np.bincount(codes, minlength=len(self.undecided))
        self.undecided += counts * by


def all_differ(numbers: NDArray[Any]) -> bool:
    """Whether no number stands twice; `np.unique` is far slower."""
    ordered = np.sort(numbers)
    return bool((ordered[1:] != ordered[:-1]).all())
