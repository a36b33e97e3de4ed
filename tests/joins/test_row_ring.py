"""The ring of rows against a plain list, through growing, wrapping around and moving together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.joins.id_table import IdTable, Slots
from mlcanary.joins.row_ring import LIVE, RowRing, no_rows

CAPACITY, PAGE, SPREAD = 3000, 256, np.uint64(0x9E3779B97F4A7C15)

steps = st.lists(
    st.tuples(st.sampled_from(["append", "oldest", "some"]), st.integers(1, 700), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=25,
)


class Model:
    """A ring, and what it must hold: hash and due time by sequence number."""

    def __init__(self) -> None:
        self.ring = RowRing(CAPACITY)
        self.held: dict[int, tuple[int, float]] = {}

    def append(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        if (over := len(self.held) + count - CAPACITY) > 0:
            self.remove(self.ring.oldest(over))
        rows = no_rows(count)
        first = self.ring.next_seq + 1
        rows["hash"] = np.arange(first, first + count, dtype=np.uint64) * SPREAD
        rows["flags"] = LIVE
        due = rng.integers(0, 1000, count).astype(np.float64)
        self.ring.append(rows, due)
        for seq, hashed, at in zip(rows["seq"].tolist(), rows["hash"].tolist(), due.tolist(), strict=True):
            self.held[seq] = hashed, at

    def remove(self, slots: Slots) -> None:
        for seq in self.ring.rows["seq"][slots].tolist():
            del self.held[seq]
        self.ring.remove(slots)

    def remove_some(self, share: int, seed: int) -> None:
        slots = self.ring.ordered()
        self.remove(slots[np.random.default_rng(seed).random(len(slots)) < share / 700])

    def check(self) -> None:
        ring, seqs = self.ring, sorted(self.held)
        assert ring.live == len(seqs)
        assert ring.rows["seq"][ring.ordered()].tolist() == seqs
        hashes = np.array([self.held[seq][0] for seq in seqs], dtype=np.uint64)
        assert ring.rows["seq"][ring.find(hashes)].tolist() == seqs
        for now in (0.0, 500.0):
            _, slots = ring.due_blocks(now)
            due = {seq for seq, (_, at) in self.held.items() if at <= now}
            assert due <= set(ring.rows["seq"][slots].tolist())


@settings(max_examples=25, deadline=None)
@given(steps, st.lists(st.integers(0, 60), max_size=6))
def test_it_holds_what_a_list_would(steps: list[tuple[str, int, int]], pages: list[int]) -> None:
    model = Model()
    for what, count, seed in steps:
        if what == "append":
            model.append(count, seed)
        elif what == "oldest":
            model.remove(model.ring.oldest(min(count, len(model.held))))
        else:
            model.remove_some(count, seed)
        model.check()
    wanted = np.array(sorted(pages), dtype=np.int64)
    found = model.ring.rows["seq"][model.ring.numbered(wanted * PAGE, PAGE)].tolist()
    assert [seq for seq in found if seq // PAGE in pages] == [seq for seq in sorted(model.held) if seq // PAGE in pages]
    assert found == sorted(found)


def test_rows_of_few_pages_are_found_without_a_look_at_the_others() -> None:
    model = Model()
    for seed in range(9):
        model.append(500, seed)
    assert len(model.ring.numbered(np.array([3072]), PAGE)) <= 3 * PAGE


@pytest.mark.parametrize("wrapped", [False, True])
def test_it_grows_where_it_lies(wrapped: bool) -> None:
    model = Model()
    model.append(700, 1)
    if wrapped:
        model.remove(model.ring.oldest(500))
        model.append(700, 2)
    array, size = model.ring.rows, len(model.ring.rows)
    held = id(array)
    del array
    model.append(700, 3)
    assert (id(model.ring.rows), len(model.ring.rows) > size) == (held, True)
    model.check()


def test_rows_that_somebody_looks_at_are_copied_instead() -> None:
    model = Model()
    model.append(700, 1)
    looked_at = model.ring.rows["hash"]
    before = looked_at.copy()
    model.append(700, 2)
    assert (looked_at == before).all()
    model.check()


def test_a_table_is_made_anew_in_its_own_memory() -> None:
    table = IdTable(1000)
    held = np.arange(1, 501, dtype=np.uint64) << np.uint64(32)
    table.add(held, np.arange(500))
    size = table.nbytes
    table.renew(1000)
    assert table.nbytes == size
    assert (table.find(held, held, 1) == -1).all()
    table.add(held[:10], np.arange(10))
    assert table.find(held[:20], held, 1).tolist() == [*range(10), *([-1] * 10)]
    table.renew(10_000)
    assert table.nbytes > 5 * size
    assert (table.find(held, held, 1) == -1).all()
