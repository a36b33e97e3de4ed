"""A sliding window over what cannot be subtracted, such as a minimum: slots of time that are merged.

Guarantee: fed at the same moments, it covers to the second what `SnapshotRing` covers, so that a minimum and a count
of one window are of the same records. Cost: at most slots + 1 values, and as many merges per reading.
"""

from __future__ import annotations

from collections import deque
from functools import reduce
from typing import Generic, Protocol, Self, TypeVar


class Mergeable(Protocol):
    """A state that combines with another one."""

    def merge(self, other: Self) -> Self:
        """The state that would have seen both inputs."""


M = TypeVar("M", bound=Mergeable)


class MergeRing(Generic[M]):
    """What came in during each slot of the window, oldest first."""

    def __init__(self, window: float, empty: M, now: float, *, slots: int = 60) -> None:
        """Begin at `now` (Unix seconds) with nothing; `window` in seconds."""
        self.window = window
        self._empty = empty
        self.step = window / slots
        self._slots: deque[tuple[float, M]] = deque([(now, empty)])

    def set_slots(self, slots: int) -> None:
        """Begin slots of this many to the window from now on."""
        self.step = self.window / slots

    def record(self, now: float, fresh: M) -> None:
        """Take in what came since the last call. Time may not go back."""
        begun, held = self._slots[-1]
        self._slots[-1] = (begun, held.merge(fresh))
        if now - begun >= self.step:
            self._slots.append((now, self._empty))
        # The slot that holds the window's left edge must stay: what came after the edge is in it.
        while len(self._slots) > 1 and self._slots[1][0] <= now - self.window:
            self._slots.popleft()

    def merged(self) -> M:
        """Everything since the oldest slot began."""
        return reduce(lambda one, other: one.merge(other), (held for _, held in self._slots))
