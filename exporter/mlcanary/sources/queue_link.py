"""What lies between the thread that fetches and the thread that counts: a bounded queue, and how far both have come.

Guarantee: the position is that of what was taken, not of what was fetched; `settle` returns True only when everything
fetched was taken and made durable. Bounded in bytes, one batch above the limit at most.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


class FetchError(Exception):
    """The other side cannot be read now; its text is shown on the landing page and must hold no secret."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Lines that end in a line feed, and what moves the position past them."""

    data: bytes
    lines: int
    token: Any


class Place(Protocol):
    """A position: the sum of the tokens so far."""

    def move(self, token: Any) -> None:
        """Go past what came with this token."""

    def dump(self) -> Any:
        """A value of its own that msgpack can carry."""


@dataclass
class Health:
    """What the fetching thread knows. `remaining`: messages that are there and not fetched yet, None if unknown.

    `several`: they come in several orders (partitions), so while some remain older ones may follow newer ones.
    """

    up: bool = False
    error: str = "not connected yet"
    remaining: int | None = None
    several: bool = False
    oversized: int = 0
    rotations: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


class Fetcher(Protocol):
    """One connection, used by one thread. Anything in `errors` means: close, wait, open again."""

    errors: tuple[type[Exception], ...]
    """What the driver raises when the other side is gone or refuses, beside FetchError and OSError."""

    def open(self, link: Link, position: Any) -> None:
        """Connect; what is fetched next follows `position`."""

    def fetch(self) -> Fetched | None:
        """The next messages, or None after at most a second without any. Keeps `link.health` true."""

    def idle(self) -> None:
        """Called instead of `fetch` while the queue is full; returns within a second."""

    def commit(self, position: Any) -> None:
        """All before this position is durable here and may be forgotten there."""

    def close(self) -> None:
        """Disconnect; called after `open`, failed ones too."""


class Link:
    """What lies between the two threads. Every method may be called from either."""

    def __init__(self, place: Place, queue_bytes: int) -> None:
        self.health = Health()
        self.stopping = threading.Event()
        self.wake: Callable[[], None] = lambda: None
        self._place = place
        self._limit = queue_bytes
        self._queue: deque[Fetched] = deque()
        self._bytes = 0
        self._moves = self._dumped = self._acknowledged = self._committed = 0
        self._dump: Any = None
        self._durable: Any = None
        self._settling = False
        self._changed = threading.Condition()

    # ---- the ingest thread
    def take(self) -> Fetched | None:
        """The oldest fetched lines; the position moves past them."""
        with self._changed:
            if not self._queue:
                return None
            item = self._queue.popleft()
            self._bytes -= len(item.data)
            self._place.move(item.token)
            self._moves += 1
            self._changed.notify_all()
            return item

    def dump(self) -> Any:
        """The position after what was taken."""
        with self._changed:
            self._dumped, self._dump = self._moves, self._place.dump()
            return self._dump

    def acknowledge(self) -> None:
        """The last dump is durable."""
        with self._changed:
            self._acknowledged, self._durable = self._dumped, self._dump
            self._changed.notify_all()

    @property
    def empty(self) -> bool:
        """Nothing lies in the queue."""
        return not self._queue

    @property
    def queued_bytes(self) -> int:
        """Bytes in the queue."""
        return self._bytes

    @property
    def settling(self) -> bool:
        """The fetching thread waits until the queue is empty and what came out of it durable."""
        return self._settling

    @property
    def wants_checkpoint(self) -> bool:
        """The queue is empty, and only a dump and its acknowledgement are missing. True once per attempt."""
        return self._settling and not self._queue and self._dumped != self._moves

    # ---- the fetching thread
    @property
    def full(self) -> bool:
        """There is no room for another batch."""
        return self._bytes >= self._limit

    def put(self, item: Fetched) -> None:
        """Append a batch."""
        with self._changed:
            self._queue.append(item)
            self._bytes += len(item.data)
        if 2 * self._bytes >= self._limit:
            self.wake()

    def wait_for_room(self, seconds: float) -> None:
        """Wait until the queue is no longer full, for a while."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopping.is_set() or not self.full, seconds)

    def restart(self) -> Any:
        """Drop what was not taken; the position from which to fetch it again."""
        with self._changed:
            self._queue.clear()
            self._bytes = 0
            return self._place.dump()

    def position(self) -> Any:
        """The position after what was taken, durable or not."""
        with self._changed:
            return self._place.dump()

    def durable(self) -> Any:
        """The last position that is durable, None if there is none yet."""
        with self._changed:
            return self._durable

    def uncommitted(self) -> bool:
        """There is a durable position that the other side has not been told."""
        with self._changed:
            return self._acknowledged != self._committed

    def committed(self) -> None:
        """The other side knows the durable position."""
        with self._changed:
            self._committed = self._acknowledged

    def settle(self, seconds: float) -> bool:
        """Have everything that was fetched taken and made durable; False if that did not happen in time."""
        with self._changed:
            self._settling = True
        self.wake()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self.stopping.is_set() or self._settled(), seconds)
                return self._settled()
        finally:
            self._settling = False

    def _settled(self) -> bool:
        return not self._queue and self._acknowledged == self._moves

    def stop(self) -> None:
        """End every wait."""
        with self._changed:
            self.stopping.set()
            self._changed.notify_all()
