"""The window is what the counters gained in it: against a model that keeps every moment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.windows.packed import Packed
from mlcanary.windows.ring import SnapshotRing


def counters(total: float) -> Packed:
    """Counters after `total` events."""
    return Packed(("events",), np.array([total]))


def since(ring: SnapshotRing, total: float) -> float:
    """What was counted in the window, up to `total`."""
    return total - float(ring.oldest.values[0])


@pytest.mark.parametrize("tick", [5.0, 10.0, 15.0, 60.0])
def test_the_window_is_exact_when_the_ticks_meet_its_edge(tick: float) -> None:
    ring = SnapshotRing(300.0, counters(0.0), 0.0)
    for i in range(1, 200):
        now = i * tick
        ring.record(now, counters(float(i * i)))
        behind = max(0, i - round(300.0 / tick))
        assert since(ring, float(i * i)) == i * i - behind * behind
        assert ring.covered(now) == min(now, 300.0)


def test_a_young_ring_covers_less_and_says_so() -> None:
    ring = SnapshotRing(300.0, counters(7.0), 1000.0)
    ring.record(1010.0, counters(9.0))
    assert ring.covered(1010.0) == 10.0
    assert since(ring, 9.0) == 2.0


def test_what_comes_after_the_last_tick_counts_at_once() -> None:
    ring = SnapshotRing(300.0, counters(0.0), 0.0)
    ring.record(30.0, counters(4.0))
    assert since(ring, 6.0) == 6.0


@given(st.lists(st.lists(st.floats(allow_nan=True), min_size=1, max_size=4), min_size=1, max_size=90))
def test_states_come_back_bit_for_bit_also_after_new_counters_were_learnt(states: list[list[float]]) -> None:
    ring, history = SnapshotRing(10.0, Packed(0, np.zeros(0)), 0.0, slots=10), [(0.0, np.zeros(0))]
    for now, values in enumerate(states, 1):
        ring.record(float(now), Packed(len(values), np.array(values)))
        history.append((float(now), np.array(values)))
        _, expected = [state for state in history if state[0] <= max(0.0, now - 10.0)][-1]
        assert ring.oldest.values.tobytes() == expected.tobytes()
        assert ring.oldest.layout == len(expected)


def test_states_in_which_nothing_moved_cost_nothing() -> None:
    ring = SnapshotRing(60.0, Packed("x", np.arange(1000.0)), 0.0)
    for now in range(1, 60):
        ring.record(float(now), Packed("x", np.arange(1000.0)))
    assert (len(ring), ring.nbytes) == (60, 2 * 8000)


def test_counts_that_moved_cost_a_part_of_their_bytes() -> None:
    ring, random, counts = (
        SnapshotRing(60.0, Packed("x", np.zeros(1000)), 0.0),
        np.random.default_rng(1),
        np.zeros(1000),
    )
    for now in range(1, 61):
        counts = counts + random.poisson(20.0, 1000)
        ring.record(float(now), Packed("x", counts))
    assert ring.nbytes < 0.3 * 60 * counts.nbytes


def test_a_long_pause_leaves_one_state_and_no_more_is_claimed_than_was_seen() -> None:
    ring = SnapshotRing(60.0, counters(0.0), 0.0)
    ring.record(30.0, counters(3.0))
    ring.record(10_000.0, counters(8.0))
    assert since(ring, 8.0) == 5.0
    assert ring.covered(10_000.0) == 9970.0


@given(
    st.floats(10, 1000),
    st.integers(1, 60),
    st.lists(st.tuples(st.floats(0.01, 200), st.integers(0, 50)), min_size=1, max_size=60),
)
def test_any_schedule_gives_the_gain_since_a_moment_late_by_at_most_a_slot_or_a_pause(
    window: float, slots: int, schedule: list[tuple[float, int]]
) -> None:
    ring = SnapshotRing(window, counters(0.0), 0.0, slots=slots)
    now, total = 0.0, 0
    history = [(0.0, 0)]
    recorded = [0.0]
    for pause, gained in schedule:
        now += pause
        total += gained
        history.append((now, total))
        ring.record(now, counters(float(total)))
        if now - recorded[-1] >= window / slots:
            recorded.append(now)
        start = now - ring.covered(now)
        assert since(ring, float(total)) == total - dict(history)[recorded_at(recorded, start)]
        older = [moment for moment in recorded if moment <= now - window]
        assert recorded_at(recorded, start) == (older[-1] if older else 0.0)


def recorded_at(recorded: list[float], start: float) -> float:
    """The recorded moment that `start` is, but for rounding."""
    return min(recorded, key=lambda moment: abs(moment - start))


@given(st.lists(st.floats(0.01, 5), max_size=300))
def test_memory_stays_bounded_by_the_slots(pauses: list[float]) -> None:
    ring, now = SnapshotRing(10.0, counters(0.0), 0.0, slots=5), 0.0
    for pause in pauses:
        now += pause
        ring.record(now, counters(now))
        assert len(ring) <= 5 + 2
