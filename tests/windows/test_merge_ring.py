"""What is merged over a window: exactly the records that the counters of the same window hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.stats.extremes import Extremes
from mlcanary.windows.merge_ring import MergeRing
from mlcanary.windows.packed import Packed
from mlcanary.windows.ring import SnapshotRing


def one(number: float) -> Extremes:
    """Extremes of one number."""
    return Extremes({"x": (number, number)})


@pytest.mark.parametrize("tick", [5.0, 10.0, 15.0, 60.0])
def test_the_window_forgets_what_lies_before_its_edge(tick: float) -> None:
    ring = MergeRing(300.0, Extremes(), 0.0)
    for i in range(1, 200):
        ring.record(i * tick, one(float(i)))
        behind = max(0, i - round(300.0 / tick))
        assert ring.merged().of == {"x": (behind + 1.0, float(i))}


def test_an_empty_window_has_no_extremes() -> None:
    ring = MergeRing(60.0, Extremes(), 0.0)
    assert ring.merged().of == {}
    ring.record(10.0, one(3.0))
    ring.record(1000.0, Extremes())
    ring.record(2000.0, Extremes())
    assert ring.merged().of == {}


@given(
    st.floats(10, 1000),
    st.integers(1, 60),
    st.lists(st.tuples(st.floats(0.01, 200), st.integers(0, 5)), min_size=1, max_size=60),
)
def test_any_schedule_covers_the_records_of_the_counters_beside_it(
    window: float, slots: int, schedule: list[tuple[float, int]]
) -> None:
    counted = SnapshotRing(window, Packed("count", np.zeros(1)), 0.0, slots=slots)
    merged = MergeRing(window, Extremes(), 0.0, slots=slots)
    now, total = 0.0, 0
    for pause, gained in schedule:
        now += pause
        fresh = Extremes()
        for _ in range(gained):
            fresh.update("x", float(total), float(total))
            total += 1
        counted.record(now, Packed("count", np.array([float(total)])))
        merged.record(now, fresh)
        first = float(counted.oldest.values[0])
        assert merged.merged().of == ({"x": (first, total - 1.0)} if total > first else {})
