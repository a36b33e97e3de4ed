"""A sliding window as the difference between now and a former state of the same counters.

Guarantee: `oldest` is the state to subtract from that of `now`, so that the difference is what the counters gained in
the last `window` seconds, late by at most one slot (window / slots), bit for bit; it is what PromQL's `increase` over
the same window sees, without extrapolation. It covers less only while the process is younger than the window, and
`covered` says how much.
Cost: the oldest and the newest state, and at most slots + 1 packed steps between them; names that are learnt late cost
a whole state.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from mlcanary.windows.packed import Packed, advanced, difference


class _Step(NamedTuple):
    """How the counters were at a moment: packed from the state before, or as they were where the layout changed."""

    at: float
    state: Packed | bytes


class SnapshotRing:
    """Former states of one set of counters, oldest first."""

    def __init__(self, window: float, start: Packed, now: float, *, slots: int = 60) -> None:
        """Begin at `now` (Unix seconds) with the counters at `start`; `window` in seconds.

        States that are handed over must not be changed any more.
        """
        self.window = window
        self.step = window / slots
        self.oldest = self._newest = start
        self._oldest_at = self._newest_at = now
        self._steps: deque[_Step] = deque()

    def __len__(self) -> int:
        """States that are kept."""
        return len(self._steps) + 1

    @property
    def nbytes(self) -> int:
        """Memory of the counters in it."""
        whole = [self.oldest, self._newest, *(step.state for step in self._steps if isinstance(step.state, Packed))]
        plain = {id(state.values): state.values.nbytes for state in whole}
        return sum(plain.values()) + sum(len(step.state) for step in self._steps if isinstance(step.state, bytes))

    def set_slots(self, slots: int) -> None:
        """Keep about this many states from now on; what is kept already goes as it ages."""
        self.step = self.window / slots

    def record(self, now: float, state: Packed) -> None:
        """Remember the counters as they are at `now`, at most once per slot. Time may not go back."""
        if now - self._newest_at >= self.step:
            self._append(now, state)
        # One state at or before the window's left edge must stay: it is the one to subtract.
        while self._steps and self._steps[0].at <= now - self.window:
            self._advance()

    def covered(self, now: float) -> float:
        """Seconds between the oldest state and `now`."""
        return now - self._oldest_at

    def _append(self, now: float, state: Packed) -> None:
        before = self._newest
        if state.layout == before.layout:
            self._steps.append(_Step(now, difference(before.values, state.values)))
            self._newest = Packed(before.layout, state.values)  # one layout for all states
        else:
            self._steps.append(_Step(now, state))
            self._newest = state
        self._newest_at = now

    def _advance(self) -> None:
        self._oldest_at, state = self._steps.popleft()
        if isinstance(state, bytes):
            state = Packed(self.oldest.layout, advanced(self.oldest.values, state))
        self.oldest = state
