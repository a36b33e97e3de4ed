"""One window of a version: the states at both of its ends, and how long figures made of them may stand.

Guarantee: figures of a window are never older than `oldest_figures` says when a page is made of them; counters are not
made here and always those of the moment. Cost of a page on which the figures still stand: next to nothing.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NamedTuple

from mlcanary.windows.merge_ring import MergeRing
from mlcanary.windows.packed import Packed
from mlcanary.windows.ring import SnapshotRing

OLDEST_SECONDS = 15.0
"""Age that no figure exceeds, however long its window is: the usual interval between scrapes."""

_OF_RESOLUTION = 1 / 4
_OF_COVERED = 1 / 20


def oldest_figures(resolution: float, covered: float) -> float:
    """Seconds for which figures of a window may be shown again before they are made anew.

    A quarter of its resolution (seconds; `mlcanary_resolution_seconds`), since its far end is no more exact than that;
    a twentieth of what it covers (seconds), so that a young one follows its traffic; and never above `OLDEST_SECONDS`.

    >>> oldest_figures(60.0, 3600.0), oldest_figures(5.0, 300.0), oldest_figures(60.0, 40.0)
    (15.0, 1.25, 2.0)
    """
    return min(OLDEST_SECONDS, _OF_RESOLUTION * resolution, _OF_COVERED * covered)


class State(NamedTuple):
    """Counters of a version at a moment, with a digest of those of each measure that tells whether they changed."""

    packed: Packed
    told: tuple[Any, ...]

    @classmethod
    def of(cls, packed: Packed) -> State:
        """Told once, for every window that compares with it."""
        return cls(packed, tuple(_told(packed, number) for number in range(len(packed.layout))))


class Held(NamedTuple):
    """What the figures of a window are made of: `slots` came in between the two states, in so many `seconds`."""

    at: float
    terms: object
    newest: State
    oldest: State
    slots: Any
    seconds: float


class Window:
    """A window of one version. `label`: its name on the page."""

    def __init__(self, label: str, seconds: float, state: Packed, empty: Any, now: float) -> None:
        """Begin at `now` (Unix seconds) with the counters at `state` and nothing in the slots."""
        self.label = label
        self.ring = SnapshotRing(seconds, state, now)
        self._slots: MergeRing[Any] = MergeRing(seconds, empty, now)
        self._oldest = State.of(state)
        self._held: Held | None = None

    def set_slots(self, slots: int) -> None:
        """Keep about this many former states."""
        self.ring.set_slots(slots)
        self._slots.set_slots(slots)

    def record(self, now: float, state: Packed, fresh: Any) -> None:
        """Take in the counters as they are at `now`, and what came into the slots since the last call."""
        self.ring.record(now, state)
        self._slots.record(now, fresh)

    def held(self, now: float, newest: State, terms: object) -> Held:
        """What its figures are made of now. `terms`: stands for all but the counters that they depend on."""
        held, seconds = self._held, self.ring.covered(now)
        if held is None or held.terms is not terms or not 0 <= now - held.at < oldest_figures(self.ring.step, seconds):
            if self._oldest.packed is not self.ring.oldest:
                self._oldest = State.of(self.ring.oldest)
            held = self._held = Held(now, terms, newest, self._oldest, self._slots.merged(), seconds)
        return held


def start_of(state: Packed, number: int) -> int:
    """Where the numbers of a measure begin."""
    return int(state.layout[number - 1][1]) if number else 0


def _told(state: Packed, number: int) -> tuple[Any, bytes]:
    """The names and a digest of the numbers of a measure: equal where those are."""
    layout, end = state.layout[number]
    numbers = state.values[start_of(state, number) : end]
    return layout, blake2b(numbers.data, digest_size=16).digest()
