"""Traffic that another controller moves: nothing is ever written here. For mode judge, in which others ask.

`versions` are those that the other controller may serve.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from mlcanary.documents import Schema
from mlcanary.handler.targets.contract import Guard, RefusedError, State, Unobservable

Versions = Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]


class ExternalSettings(Schema, frozen=True, tag_field="type", tag="external"):
    """See the module."""

    versions: Versions


class ExternalTarget:
    """See `contract.Target`."""

    weighted = False

    def __init__(self, settings: ExternalSettings) -> None:
        self._settings = settings

    async def observe(self) -> State | Unobservable:
        """Nothing: who moves the traffic knows."""
        return Unobservable("another controller moves the traffic")

    async def apply(self, desired: State, guard: Guard) -> None:
        """Never."""
        raise RefusedError("another controller moves the traffic", hint="use mode judge and let it ask")

    async def complete(self, desired: State, guard: Guard) -> None:
        """There is nothing to complete."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Would be refused."""
        await self.apply(desired, guard)

    async def owner(self) -> str:
        """Whoever it is."""
        return "another controller"
