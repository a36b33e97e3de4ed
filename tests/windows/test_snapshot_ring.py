"""The window is what the counters gained in it: against a model that keeps every moment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.stats.accumulator import Tally
from mlcanary.windows.ring import SnapshotRing

_NAME = ("events",)


def counters(total: float) -> Tally:
    """Counters after `total` events."""
    return Tally({_NAME: total})


@pytest.mark.parametrize("tick", [5.0, 10.0, 15.0, 60.0])
def test_the_window_is_exact_when_the_ticks_meet_its_edge(tick: float) -> None:
    ring = SnapshotRing(300.0, counters(0.0), 0.0)
    for i in range(1, 200):
        now = i * tick
        ring.record(now, counters(float(i * i)))
        behind = max(0, i - round(300.0 / tick))
        assert ring.since(counters(float(i * i))).total() == i * i - behind * behind
        assert ring.covered(now) == min(now, 300.0)


def test_a_young_ring_covers_less_and_says_so() -> None:
    ring = SnapshotRing(300.0, counters(7.0), 1000.0)
    ring.record(1010.0, counters(9.0))
    assert ring.covered(1010.0) == 10.0
    assert ring.since(counters(9.0)).total() == 2.0


def test_what_comes_after_the_last_tick_counts_at_once() -> None:
    ring = SnapshotRing(300.0, counters(0.0), 0.0)
    ring.record(30.0, counters(4.0))
    assert ring.since(counters(6.0)).total() == 6.0


def test_the_first_state_is_a_copy_that_later_counting_does_not_move() -> None:
    live = counters(1.0)
    ring = SnapshotRing(60.0, live, 0.0)
    live.add(_NAME, 5.0)
    assert ring.since(live).total() == 5.0


def test_a_long_pause_leaves_one_state_and_no_more_is_claimed_than_was_seen() -> None:
    ring = SnapshotRing(60.0, counters(0.0), 0.0)
    ring.record(30.0, counters(3.0))
    ring.record(10_000.0, counters(8.0))
    assert ring.since(counters(8.0)).total() == 5.0
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
        assert ring.since(counters(float(total))).total() == total - dict(history)[recorded_at(recorded, start)]
        older = [moment for moment in recorded if moment <= now - window]
        assert recorded_at(recorded, start) == (older[-1] if older else 0.0)


def recorded_at(recorded: list[float], start: float) -> float:
    """The recorded moment that `start` is, but for rounding."""
    return min(recorded, key=lambda moment: abs(moment - start))


@given(st.lists(st.floats(0.01, 5), max_size=300))
def test_memory_stays_bounded_by_the_slots(pauses: list[float]) -> None:
    kept: list[Tally] = []

    class Watched(Tally):
        def copy(self) -> Watched:
            kept.append(self)
            return Watched(dict(self.counts))

    ring = SnapshotRing(10.0, Watched(), 0.0, slots=5)
    now = 0.0
    for pause in pauses:
        now += pause
        ring.record(now, Watched())
    assert len(kept) <= now / 2.0 + 1
