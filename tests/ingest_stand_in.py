"""A stand-in for the ingest thread: takes blocks from one source and makes the position durable when told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from mlcanary.sources.contract import Source


class IngestStandIn:
    """What was read, and the position that a restart would find. `saving`: whether checkpoints succeed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.lines: list[bytes] = []
        self.saved: Any = None
        self.saving = True

    def step(self) -> bool:
        """Read a block; save when a hand-over asks for it. False if there was none."""
        block = self.source.read({})
        if block is not None:
            assert block.data.endswith(b"\n")
            self.lines.extend(block.data.splitlines())
        if getattr(self.source, "wants_checkpoint", False):
            self.save()
        return block is not None

    def save(self) -> None:
        """A checkpoint, which the source learns of only if it succeeded."""
        position = msgspec.msgpack.decode(msgspec.msgpack.encode(self.source.position()))
        if self.saving:
            self.saved = position
            self.source.acknowledge()

    def run_until(self, done: Callable[[], bool], seconds: float = 20.0) -> None:
        """Step until a condition holds; AssertionError with the source's status if it does not in time."""
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, (len(self.lines), self.source.status())
            if not self.step():
                time.sleep(0.005)

    def run_until_read(self, lines: int) -> None:
        """Step until that many lines are there and the source says that it has no more."""
        self.run_until(lambda: len(self.lines) >= lines and self.source.caught_up)
