"""Connections that say nothing: closed before they cost a file descriptor that work needs.

Guarantee: a connection that has not sent the whole head of a first request `head_seconds` after it opened, or
of a further one `idle_seconds` after the last answer, is aborted. While more than `most` are open, so are
those without a first request, then those idle for longest. A request under way is never cut. Times are the
event loop's; the check runs every quarter of the shorter limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web


class Connection(Protocol):
    """What is needed of aiohttp's protocol of one connection."""

    transport: asyncio.Transport | None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may say nothing, seconds, and how many may be open."""

    head_seconds: float = 10.0
    idle_seconds: float = 75.0
    most: int = 256


DEFAULT_PATIENCE = Patience()


class Connections:
    """What each open connection does. `clock` gives seconds that never go back."""

    def __init__(self, patience: Patience, clock: Callable[[], float]) -> None:
        self.patience = patience
        self._clock = clock
        self._opened: dict[Connection, float] = {}
        self._answered: dict[Connection, float] = {}
        self._busy: set[Connection] = set()
        self.cut = 0
        """How many were aborted."""

    def begun(self, connection: Connection) -> None:
        """A request has come, with its whole head."""
        self._busy.add(connection)

    def ended(self, connection: Connection) -> None:
        """Its answer is on the way."""
        self._busy.discard(connection)
        self._answered[connection] = self._clock()

    def check(self, open_now: Sequence[Connection]) -> None:
        """Abort what waited too long, and what is too many."""
        now, alive = self._clock(), set(open_now)
        self._opened = {c: self._opened.get(c, now) for c in open_now}
        self._answered = {c: at for c, at in self._answered.items() if c in alive}
        self._busy &= alive
        idle = sorted(
            (c in self._answered, self._answered.get(c, self._opened[c]), i)
            for i, c in enumerate(open_now)
            if c not in self._busy
        )
        too_many = len(open_now) - self.patience.most
        for rank, (known, since, i) in enumerate(idle):
            limit = self.patience.idle_seconds if known else self.patience.head_seconds
            transport = open_now[i].transport
            if transport is not None and (now - since >= limit or rank < too_many):
                transport.abort()
                self.cut += 1


CONNECTIONS = web.AppKey("connections", Connections)


async def watch(connections: Connections, open_now: Callable[[], Sequence[Connection]]) -> None:
    """Check for ever."""
    pause = min(connections.patience.head_seconds, connections.patience.idle_seconds) / 4
    while True:
        await asyncio.sleep(pause)
        connections.check(open_now())
