"""A sliding window over what cannot be subtracted, such as a minimum: slots of time that are merged.

Guarantee: fed at the same moments, it covers to the second what `SnapshotRing` covers, so that a minimum and a count
of one window are of the same records. Cost: at most slots + 1 values; one merge per reading and about three per slot.
Source: a queue of two stacks, the older one of merged suffixes (Tangwongsan, Hirzel & Schneider 2017).
"""

from __future__ import annotations

from collections import deque
from math import inf
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
        self._older: deque[tuple[float, M]] = deque()  # each with all that came from it up to the newer ones
        self._newer: deque[tuple[float, M]] = deque([(now, empty)])
        self._all_newer = empty

    def set_slots(self, slots: int) -> None:
        """Begin slots of this many to the window from now on."""
        self.step = self.window / slots

    def record(self, now: float, fresh: M) -> None:
        """Take in what came since the last call. Time may not go back."""
        begun, held = self._newer[-1]
        self._newer[-1] = (begun, held.merge(fresh))
        self._all_newer = self._all_newer.merge(fresh)
        if now - begun >= self.step:
            self._newer.append((now, self._empty))
        # The slot that holds the window's left edge must stay: what came after the edge is in it.
        while self._second_begun() <= now - self.window:
            if not self._older:
                self._grow_old()
            self._older.popleft()

    def merged(self) -> M:
        """Everything since the oldest slot began."""
        return self._older[0][1].merge(self._all_newer) if self._older else self._all_newer

    def _second_begun(self) -> float:
        """When the slot after the oldest one began; never while there is only one."""
        if self._older:
            return self._older[1][0] if len(self._older) > 1 else self._newer[0][0]
        return self._newer[1][0] if len(self._newer) > 1 else inf

    def _grow_old(self) -> None:
        """Let all slots but the newest be the older ones."""
        newest = self._newer.pop()
        since = self._empty
        for begun, held in reversed(self._newer):
            since = held.merge(since)
            self._older.appendleft((begun, since))
        self._newer, self._all_newer = deque([newest]), newest[1]
