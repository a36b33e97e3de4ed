"""Several sources as one: what is furthest behind in event time is read first.

Guarantee: see `contract`; each source keeps its own position under its own key, so that adding or removing one of them
in the configuration does not touch the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mlcanary.sources.contract import Block, Source, SourceStatus
from mlcanary.sources.queue_source import QueueSource


class SourceSet:
    """The sources of one exporter, by key."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)
        self._turn = 0

    def read(self, progress: Mapping[str, float]) -> Block | None:
        """The next block of any source; None when there is nothing to read now. Equals take turns."""
        children = list(self._sources.values())
        if len(children) > 1:
            self._turn = (self._turn + 1) % len(children)
            children = sorted(
                (*children[self._turn :], *children[: self._turn]), key=lambda child: child.behind(progress)
            )
        for child in children:
            block = child.read(progress)
            if block is not None:
                return block
        return None

    @property
    def caught_up(self) -> bool:
        """True if every source is."""
        return all(child.caught_up for child in self._sources.values())

    @property
    def waiting(self) -> bool:
        """True while any source is."""
        return any(child.waiting for child in self._sources.values())

    def position(self) -> dict[str, Any]:
        """The position of each source by its key."""
        return {key: child.position() for key, child in self._sources.items()}

    def acknowledge(self) -> None:
        """The last `position()` is durable."""
        for child in self._sources.values():
            child.acknowledge()

    def status(self) -> list[SourceStatus]:
        """Health of everything that is read."""
        return [row for child in self._sources.values() for row in child.status()]

    @property
    def wants_checkpoint(self) -> bool:
        """True while a source asks for one."""
        return any(getattr(child, "wants_checkpoint", False) for child in self._sources.values())

    def call_when_ready(self, wake: Callable[[], None]) -> None:
        """Passed on to every source with a thread of its own."""
        for child in self._sources.values():
            if isinstance(child, QueueSource):
                child.call_when_ready(wake)

    @property
    def left_out(self) -> int:
        """Files that are not followed because there are too many."""
        return max((getattr(child, "left_out", 0) for child in self._sources.values()), default=0)

    def close(self) -> None:
        """Release everything."""
        for child in self._sources.values():
            child.close()
