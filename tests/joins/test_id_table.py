"""The table of ids finds what was entered, by either way, and the compiled one survives whatever it is handed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mlcanary.compiled import ID_TABLE, way_in_use
from mlcanary.joins.id_table import IdTable
from mlcanary.joins.incoming import hashes_of

WAYS = (None, ID_TABLE)
needs_core = pytest.mark.skipif(ID_TABLE is None, reason=way_in_use())
core: Any = ID_TABLE

# Few buckets and few marks, so that buckets overflow and marks meet; the high half chooses the bucket.
HASHES = st.builds(lambda high, low: (high << 44) | low, st.integers(0, 1 << 12), st.integers(1, 40))
BATCHES = st.lists(st.lists(HASHES, max_size=40), max_size=5)


class Filled:
    """A table, the hashes that its rows have, and what a dictionary would say."""

    def __init__(self, rows: int) -> None:
        self.held: NDArray[np.uint64] = np.zeros((rows, 8), dtype=np.uint64)
        self.known: dict[int, int] = {}
        self.table = IdTable(rows)

    def add(self, hashes: Sequence[int], way: Any) -> None:
        """Those that are not known yet."""
        fresh = [each for each in dict.fromkeys(hashes) if each not in self.known]
        slots = np.arange(len(self.known), len(self.known) + len(fresh))
        self.known |= dict(zip(fresh, slots.tolist(), strict=True))
        self.held[slots, 0] = fresh
        self.table._core = way
        self.table.add(np.array(fresh, dtype=np.uint64), slots)

    def find(self, hashes: Sequence[int], way: Any) -> list[int]:
        """The slots."""
        self.table._core = way
        found: list[int] = self.table.find(np.array(hashes, dtype=np.uint64), self.held.reshape(-1), 8).tolist()
        return found


@given(BATCHES, st.lists(HASHES, max_size=30), st.data())
def test_either_way_finds_what_either_way_entered(
    batches: list[list[int]], others: list[int], data: st.DataObject
) -> None:
    filled = Filled(260)
    for batch in batches:
        filled.add(batch, data.draw(st.sampled_from(WAYS)))
    asked = [*filled.known, *others]
    expected = [filled.known.get(each, -1) for each in asked]
    for way in WAYS:
        assert filled.find(asked, way) == expected
    gone = list(filled.known)[::3]
    filled.held[[filled.known[each] for each in gone], 0] = 0  # what a forgotten row leaves behind
    expected = [-1 if each in gone else filled.known.get(each, -1) for each in asked]
    for way in WAYS:
        assert filled.find(asked, way) == expected


@pytest.mark.parametrize("way", WAYS, ids=("numpy", "core"))
def test_a_whole_table_is_entered_at_once(way: Any) -> None:
    hashes = np.random.default_rng(3).integers(1, 1 << 63, 20_000, dtype=np.uint64)
    filled = Filled(len(hashes))
    filled.add(hashes.tolist(), way)
    assert filled.find(hashes.tolist(), way) == list(range(len(hashes)))


def test_hashes_are_those_of_python() -> None:
    ids = ["a", "", "ä" * 200, None, ("m", "a")]
    assert hashes_of(ids).tolist() == [hash(each) for each in ids]
    with pytest.raises(TypeError, match="unhashable"):
        hashes_of([[]])


def arrays(buckets: int) -> tuple[Any, Any]:
    """Marks and slots of an empty table."""
    return np.zeros((buckets, 16), dtype=np.uint16), np.zeros((buckets, 16), dtype=np.int32)


@needs_core
def test_a_full_table_ends_every_search_and_takes_no_more() -> None:
    marks, slots = arrays(3)
    hashes = np.arange(1, 49, dtype=np.uint64)
    core.add(marks, slots, hashes, np.arange(48))
    assert (marks != 0).all()
    found = np.frombuffer(core.find(marks, slots, np.array([48, 77], dtype=np.uint64), hashes, 1), dtype=np.int64)
    assert found.tolist() == [47, -1]
    with pytest.raises(ValueError, match="no entry is free"):
        core.add(marks, slots, np.array([99], dtype=np.uint64), np.array([1]))


@needs_core
@given(st.integers(0, 1 << 32), st.integers(1, 9))
def test_no_array_makes_it_look_outside(seed: int, stride: int) -> None:
    chance = np.random.default_rng(seed)
    marks = chance.integers(0, 3, (2, 16)).astype(np.uint16)
    slots = chance.integers(-(1 << 31), 1 << 31, (2, 16)).astype(np.int32)
    slots[chance.random(slots.shape) < 0.5] %= 7
    held = chance.integers(1, 3, 20, dtype=np.uint64)
    found = np.frombuffer(core.find(marks, slots, held, held, stride), dtype=np.int64)
    places = found[found >= 0]
    assert (held[places * stride] == held[found >= 0]).all()


@needs_core
def test_arrays_that_do_not_fit_together_are_refused() -> None:
    marks, slots = arrays(2)
    hashes, rows = np.ones(2, dtype=np.uint64), np.zeros(2, dtype=np.int64)
    for wrong in (
        (marks[:1], slots, hashes, rows),
        (marks.reshape(-1)[:8], slots.reshape(-1)[:8], hashes, rows),
        (marks[:0], slots[:0], hashes, rows),
        (marks, slots, hashes, rows[:1]),
        (marks, slots, b"12345", rows),
    ):
        with pytest.raises(ValueError, match=r"."):
            core.add(*wrong)
    marks.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        core.add(marks, slots, hashes, rows)
    for stride in (0, -1, 1 << 40):
        with pytest.raises(ValueError, match="stride"):
            core.find(marks, slots, hashes, hashes, stride)
    with pytest.raises(TypeError):
        core.find(marks, slots, [1, 2], hashes, 1)
