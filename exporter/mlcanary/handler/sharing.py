"""Readings that many may ask for at once, made once.

Guarantee: per key at most one reading is in flight, all who ask meanwhile get its result, and a result is given again
until it is `KEPT_SECONDS` old by the caller's clock. A reading that raises is given to those who wait and is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Read = TypeVar("Read")
KEPT_SECONDS = 1.0


class Shared(Generic[Read]):
    """See the module. `clock` gives Unix seconds; one that goes back ends what is kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Read]] = {}
        self._flying: dict[Hashable, asyncio.Future[Read]] = {}

    async def get(self, key: Hashable, read: Callable[[], Awaitable[Read]]) -> Read:
        """What was read for the key within `KEPT_SECONDS`, or a new reading. Raises what `read` raises."""
        now = self._clock()
        self._kept = {name: found for name, found in self._kept.items() if 0.0 <= now - found[0] < KEPT_SECONDS}
        if key in self._kept:
            return self._kept[key][1]
        if key not in self._flying:
            flight = self._flying[key] = asyncio.ensure_future(self._fly(key, read))
            flight.add_done_callback(lambda _flight: self._flying.pop(key))
        return await asyncio.shield(self._flying[key])  # one who no longer waits takes it from nobody else

    async def _fly(self, key: Hashable, read: Callable[[], Awaitable[Read]]) -> Read:
        found = await read()
        self._kept[key] = (self._clock(), found)
        return found
