"""Request and response that are logged apart, brought together by their key, in any order.

Guarantee: a pair comes out once both halves are in, whichever was first; a half whose other one does not come is given
up and told by `take_dropped`, never silently. Memory is bounded by `PairLimits`: count, bytes, and age in event time.
Event time is the median of the last halves' own times, so one clock that runs ahead gives up nobody else's half.
"""

from __future__ import annotations

import math
from collections import deque
from enum import IntEnum
from typing import Annotated, Any

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.records import Reject

PAIRING_REASONS = ("unpaired", "duplicate")
"""Why a half is given up: its other half never came; it is the second of its kind."""

_MEDIAN_OF = 9
_OVERHEAD = 500
_EXCERPT = 160


class Side(IntEnum):
    """Which half of a call."""

    REQUEST = 0
    RESPONSE = 1


class Half(msgspec.Struct, array_like=True, gc=False):
    """What is kept of one half: its body, its own time in Unix seconds if it tells one, and what its envelope says."""

    body: bytes
    ts: float | None = None
    facts: dict[str, str] = {}


class PairLimits(Schema, frozen=True):
    """Bounds of the halves that wait; the oldest is given up first. `age`: seconds of event time."""

    count: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 * 1024 * 1024
    age: Seconds = Seconds(300)


class _Waiting(msgspec.Struct, array_like=True, gc=False):
    """A half that waits since `since`, event time of its arrival or its own if that is later."""

    side: Side
    since: float
    half: Half
    size: int
    again: bool


class Pairing:
    """Halves that wait for their other half. Cost: a dictionary look-up and a median of nine per half."""

    def __init__(self, limits: PairLimits | None = None) -> None:
        self._limits = limits or PairLimits()
        self._waiting: dict[str, _Waiting] = {}
        self._bytes = 0
        self._times: deque[float] = deque(maxlen=_MEDIAN_OF)
        self._clock = 0.0
        self._paired: dict[int, float] = {}
        self._dropped: list[Reject] = []
        self._taken: list[float] = []

    def __len__(self) -> int:
        """Halves that wait."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Memory of the halves that wait, an estimate."""
        return self._bytes

    def put(self, key: str, side: Side, half: Half, now: float = math.inf) -> tuple[Half, Half] | None:
        """Request and response, if this half completes them; else it waits.

        `now`: Unix seconds of its arrival; bounds its own time, and stands in for one that it does not tell.
        """
        since = self._clock if math.isinf(now) else max(self._clock, now)
        if half.ts is not None:
            since = self._tick(min(half.ts, now))
            self._taken.append(half.ts)
        other = self._waiting.get(key)
        if other is not None and other.side is not side:
            del self._waiting[key]
            self._bytes -= other.size
            self._remember(hash(key))
            return (half, other.half) if side is Side.REQUEST else (other.half, half)
        if other is not None:
            self._drop("duplicate", key, f"a second {side.name.lower()}", half)
            return None
        size = len(half.body) + len(key) + _OVERHEAD + sum(len(k) + len(v) for k, v in half.facts.items())
        self._waiting[key] = _Waiting(side, since, half, size, hash(key) in self._paired)
        self._bytes += size
        self._evict()
        return None

    def take_dropped(self) -> list[Reject]:
        """What was given up since the last call."""
        self._evict()
        dropped, self._dropped = self._dropped, []
        return dropped

    def take_times(self) -> list[float]:
        """Times of the halves since the last call, see `contract.Waits`."""
        taken, self._taken = self._taken, []
        return taken

    def dump(self) -> Any:
        """Plain values for `load`, None if nothing waits."""
        if not self._waiting:
            return None
        return [
            self._clock,
            [[key, msgspec.to_builtins(each, builtin_types=(bytes,))] for key, each in self._waiting.items()],
        ]

    def load(self, state: Any) -> None:
        """Take over what `dump` gave; what does not fit is dropped."""
        try:
            clock, waiting = msgspec.convert(state, tuple[float, list[tuple[str, _Waiting]]])
        except msgspec.ValidationError:
            return
        self._clock = clock
        self._waiting = dict(waiting)
        self._bytes = sum(each.size for each in self._waiting.values())
        self._evict()

    def _tick(self, ts: float) -> float:
        """Move the clock; returns from when on this half waits: after a quiet hour the clock still stands before it."""
        self._times.append(ts)
        ordered = sorted(self._times)
        self._clock = max(self._clock, ordered[(len(ordered) - 1) // 2])
        return max(self._clock, ts)

    def _remember(self, key: int) -> None:
        """A half that comes again alone is then told as a duplicate, not as one that was never answered."""
        self._paired.pop(key, None)
        self._paired[key] = self._clock
        while self._paired:
            oldest = next(iter(self._paired))
            if len(self._paired) <= self._limits.count and self._paired[oldest] >= self._clock - self._limits.age:
                break
            del self._paired[oldest]

    def _evict(self) -> None:
        limits = self._limits
        while self._waiting:
            key = next(iter(self._waiting))
            oldest = self._waiting[key]
            if oldest.since < self._clock - limits.age:
                why = f"{limits.age:g} s of event time"
            elif len(self._waiting) > limits.count:
                why = f"{limits.count} others"
            elif self._bytes > limits.bytes:
                why = f"{limits.bytes} bytes of others"
            else:
                return
            del self._waiting[key]
            self._bytes -= oldest.size
            side = oldest.side.name.lower()
            if oldest.again:
                self._drop("duplicate", key, f"a second {side}", oldest.half)
            else:
                other = "response" if oldest.side is Side.REQUEST else "request"
                self._drop("unpaired", key, f"a {side} whose {other} did not come within {why}", oldest.half)

    def _drop(self, reason: str, key: str, what: str, half: Half) -> None:
        excerpt = half.body[:_EXCERPT].decode("utf-8", "replace")
        self._dropped.append(Reject(reason, f"{key[:_EXCERPT]!r}: {what}", excerpt))
