"""Real targets for the fault matrix: each can be reset, broken in named ways, changed by others, and started again.

A rig tells the truth about its part, read at the part itself: the shares of the traffic, and `effects`, how often the
part has come to serve without the bad version. What the handler is told may be something else: that is the fault.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import ClassVar

from handler_world import BAD, GOOD

Shares = dict[str, float]
SHARED: Shares = {GOOD: 0.9, BAD: 0.1}
"""The split before an incident, where a target can split."""

OBEY, REFUSE, HANG, LIE, PARTLY, DIE = "obey", "refuse", "hang", "lie", "partly", "die"
"""Modes: how a part treats an order. `die`: it does what it shall and never answers."""


class Rig(ABC):
    """One real part. Use: `with rig.running():`, then for each cell `reset`, `async with reached(mode)`."""

    name: ClassVar[str]

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.deaf = False
        """Whether the traffic stays where it is, whatever the part is told (old connections, servers not reloaded)."""

    @abstractmethod
    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The part for the length of the block."""

    @abstractmethod
    def reset(self) -> None:
        """Bad version under traffic, nothing counted yet, no fault."""

    @abstractmethod
    @contextlib.asynccontextmanager
    def reached(self, mode: str = OBEY) -> AsyncIterator[str]:
        """The target's section in the handler's configuration; the part treats orders as `mode` says."""

    @abstractmethod
    def truth(self) -> Shares:
        """Shares of the versions, at the part."""

    @abstractmethod
    def effects(self) -> int:
        """How often it has come to serve without the bad version since the reset."""

    @abstractmethod
    def revert(self) -> None:
        """Set the state before, as another writer does."""

    @abstractmethod
    def restart(self) -> None:
        """End the part hard and start it again; returns once it answers."""

    def shares(self) -> Shares:
        """Shares of the traffic, with a trickle that keeps the good version known."""
        found = SHARED if self.deaf else self.truth()
        return {GOOD: max(found[GOOD], 0.01), BAD: found[BAD]}

    @property
    def rolled_back(self) -> bool:
        """Whether the bad version gets nothing, at the part and in the traffic."""
        return self.truth()[BAD] == 0.0 and self.shares()[BAD] == 0.0
