"""A sliding window as the difference between now and a former state of the same counters.

Guarantee: `since(now)` is what the counters gained in the last `window` seconds, late by at most one slot
(window / slots); it is what PromQL's `increase` over the same window sees, without extrapolation. It covers
less only while the process is younger than the window, and `covered` says how much.
Cost: at most slots + 1 copies of the counters.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, Self, TypeVar


class Subtractable(Protocol):
    """Counters that can be copied and subtracted."""

    def copy(self) -> Self:
        """An independent state."""

    def minus(self, earlier: Self) -> Self:
        """What was added since `earlier`."""


C = TypeVar("C", bound=Subtractable)


class SnapshotRing(Generic[C]):
    """Former states of one set of counters, oldest first."""

    def __init__(self, window: float, start: C, now: float, *, slots: int = 60) -> None:
        """Begin at `now` (Unix seconds) with the counters at `start`; `window` in seconds."""
        self.window = window
        self.step = window / slots
        self._states: deque[tuple[float, C]] = deque([(now, start.copy())])

    def set_slots(self, slots: int) -> None:
        """Keep about this many states from now on; what is kept already goes as it ages."""
        self.step = self.window / slots

    def record(self, now: float, counters: C) -> None:
        """Remember the counters as they are at `now`, at most once per slot. Time may not go back."""
        if now - self._states[-1][0] >= self.step:
            self._states.append((now, counters.copy()))
        # One state at or before the window's left edge must stay: it is the one to subtract.
        while len(self._states) > 1 and self._states[1][0] <= now - self.window:
            self._states.popleft()

    def since(self, counters: C) -> C:
        """What `counters` gained since the oldest state."""
        return counters.minus(self._states[0][1])

    def covered(self, now: float) -> float:
        """Seconds between the oldest state and `now`."""
        return now - self._states[0][0]
