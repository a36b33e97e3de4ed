"""A source whose messages a thread of its own fetches from a broker or a database; the ingest thread never waits.

Guarantee: the position stored with the counters is that of the last block handed out, never of what merely lies in
the queue; the broker is told about a position only after it is durable. Whatever dies, what was counted is not fetched
again and what was not counted is. While the other side cannot be reached the source is not `up`, and for
`GRACE_SECONDS` the clock of all joins stands still, since what it holds back may be the labels of predictions that
wait; after that the others go on, and what arrives later is counted as late.
Cost: the queue is bounded in bytes; a fetcher adds one batch to it at most.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from mlcanary.sources.contract import Block, SourceStatus
from mlcanary.sources.queue_link import Fetcher, FetchError, Link, Place

log = logging.getLogger(__name__)

GRACE_SECONDS = 60.0
"""How long an unreachable source holds the clock: longer than a broker's restart, shorter than an alert takes."""

QUEUE_BYTES = 4 << 20
_FIRST_DELAY, _LAST_DELAY = 0.5, 30.0
_CLOSE_SECONDS = 10.0
_ERROR_LENGTH = 300


class QueueSection(Protocol):
    """An entry of `sources` that is read through a queue: its settings, and how to open it."""

    @property
    def name(self) -> str:
        """The source in metrics, such as `kafka:predictions`."""

    @property
    def needs(self) -> tuple[str, str]:
        """The module that must be there, and the extra that brings it; two empty texts if none."""

    def problem(self) -> tuple[tuple[str, ...], str, str] | None:
        """Key, what was found and what is allowed, if a rule is broken that the schema cannot tell."""

    def anchored(self, base: Path) -> Self:
        """The same with files relative to `base`."""

    def files(self) -> dict[tuple[str, ...], str]:
        """The files it names, by key."""

    def open(self, saved: Any) -> QueueSource:
        """The source, going on after the position `saved`, None at the first start."""


class QueueSource:
    """A `Source` over a `Fetcher`. Its thread starts with the first `read`."""

    def __init__(
        self,
        name: str,
        fetcher: Fetcher,
        place: Place,
        *,
        clock: Callable[[], float] = time.monotonic,
        queue_bytes: int = QUEUE_BYTES,
        first_delay: float = _FIRST_DELAY,
    ) -> None:
        """`place` holds the position from which to go on; `name` is the source and the origin of its blocks."""
        self._name = name
        self._fetcher = fetcher
        self._link = Link(place, queue_bytes)
        self._clock = clock
        self._first_delay = first_delay
        self._heard: float | None = None
        self._lines = self._bytes = 0
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def call_when_ready(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from another thread, when much lies in the queue or a checkpoint is wanted soon."""
        self._link.wake = wake

    @property
    def wants_checkpoint(self) -> bool:
        """A partition is about to be handed over: what was read of it should become durable now."""
        return self._link.wants_checkpoint

    def read(self, progress: Mapping[str, float] | None = None) -> Block | None:
        """See `contract`. Raises what the fetching thread died of, if that is no matter of the connection."""
        if self._thread is None:
            self._heard = self._clock()
            self._thread = threading.Thread(target=self._run, name=f"fetch {self._name}", daemon=True)
            self._thread.start()
        if self._failure is not None:
            raise self._failure
        if self._link.health.up:
            self._heard = self._clock()
        item = self._link.take()
        if item is None:
            return None
        self._lines += item.lines
        self._bytes += len(item.data)
        return Block(self._name, item.data, self._name)

    def behind(self, progress: Mapping[str, float]) -> float:
        """See `contract`."""
        if self._link.empty:
            return math.inf
        return -math.inf if self._link.settling else progress.get(self._name, -math.inf)

    @property
    def caught_up(self) -> bool:
        """Nothing lies there, or the other side has been out of reach for so long that nobody waits for it."""
        if not self._link.empty:
            return False
        return self._link.health.remaining == 0 if self._link.health.up else self._given_up

    @property
    def waiting(self) -> bool:
        """More is known to lie there, or may, and what `read` gives next may be newer than that."""
        health = self._link.health
        if not health.up:
            return not self._given_up
        return health.remaining != 0 and (health.several or self._link.empty)

    @property
    def _given_up(self) -> bool:
        return self._heard is not None and self._clock() - self._heard > GRACE_SECONDS

    def position(self) -> Any:
        """See `contract`."""
        return self._link.dump()

    def acknowledge(self) -> None:
        """See `contract`."""
        self._link.acknowledge()

    def status(self) -> list[SourceStatus]:
        """One row. The lag is what lies in the queue, and what is left there at the mean size of a message so far."""
        health = self._link.health
        mean = self._bytes / self._lines if self._lines else 0.0
        lag = self._link.queued_bytes + int((health.remaining or 0) * mean)
        return [
            SourceStatus(
                self._name,
                health.up,
                "" if health.up else health.error,
                lag,
                self._lines,
                self._bytes,
                health.oversized,
                dict(health.rotations),
                dict(health.lost),
            )
        ]

    def close(self) -> None:
        """Tell the other side what is durable, and disconnect; give up after some seconds."""
        self._link.stop()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            delay = self._first_delay
            while not self._link.stopping.is_set():
                delay = self._first_delay if self._session() else min(2 * delay, _LAST_DELAY)
                self._link.stopping.wait(delay)
        except BaseException as error:  # raised again by `read`, in the thread that ends the process
            log.exception("%s: the fetching thread died", self._name)
            self._failure = error

    def _session(self) -> bool:
        """Connect and fetch until something fails; whether anything worked before that."""
        fetcher, link, worked = self._fetcher, self._link, False
        try:
            try:
                fetcher.open(link, link.restart())
                while not link.stopping.is_set():
                    self._step()
                    worked = worked or link.health.up
                self._commit()
            finally:
                fetcher.close()
        except Exception as error:
            if not isinstance(error, (FetchError, OSError, *fetcher.errors)):
                raise
            self._note(error)
        return worked

    def _step(self) -> None:
        self._commit()
        if self._link.full:
            self._fetcher.idle()
            return
        item = self._fetcher.fetch()
        if item is not None:
            self._link.put(item)

    def _commit(self) -> None:
        if self._link.uncommitted():
            self._fetcher.commit(self._link.durable())
            self._link.committed()

    def _note(self, error: Exception) -> None:
        health, text = self._link.health, (str(error) or type(error).__name__).strip()[:_ERROR_LENGTH]
        if health.up or health.error != text:
            log.warning("%s: %s", self._name, text)
        health.up, health.error, health.remaining = False, text, None
