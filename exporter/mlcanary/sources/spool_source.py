"""Pushed lines, read from their spool as a log is read.

Guarantee: see `contract`. What `position` was stored for is removed by `acknowledge`, and nothing else is.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from mlcanary.sources.contract import Block, SourceStatus
from mlcanary.sources.line_feeds import line_feeds
from mlcanary.sources.spool import Spool


class SpoolPosition(msgspec.Struct, frozen=True):
    """Everything in the segments before `segment`, and its first `offset` bytes, has been read."""

    segment: int = 0
    offset: int = 0


class SpoolSource:
    """Reads one spool. `name` is its source in metrics, and its origin. `saved`: a former `position()`."""

    def __init__(self, name: str, spool: Spool, saved: Any = None, *, block_bytes: int = 1 << 19) -> None:
        self._name, self._spool, self._block_bytes = name, spool, block_bytes
        self._descriptor: int | None = None
        self._error = ""
        self._lines = self._bytes = 0
        self._lost = {"vanished": 0, "truncated": 0}
        position = SpoolPosition() if saved is None else msgspec.convert(saved, SpoolPosition)
        self._segment, self._offset = position.segment, position.offset
        self._stored = SpoolPosition()
        spool.start_after(self._segment)
        size = spool.size(self._segment)
        if size is None:
            self._lost["vanished"] += self._offset > 0
            self._offset = 0
        elif size < self._offset:
            self._lost["truncated"] += 1
            self._offset = size

    def read(self, progress: Mapping[str, float] | None = None) -> Block | None:
        """The next block of stored lines; None when all are read."""
        try:
            data = self._next_lines()
            self._error = ""
        except FileNotFoundError:
            self._lost["vanished"] += 1
            self._offset = self._spool.size(self._segment) or 0
            self._spool.leave(self._segment)
            return self.read(progress)
        except OSError as error:
            self._error = error.strerror or str(error)
            return None
        if not data:
            return None
        self._offset += len(data)
        self._bytes += len(data)
        self._lines += line_feeds(data)
        return Block(self._name, data, self._name)

    def behind(self, progress: Mapping[str, float]) -> float:
        """The event time reached, while lines are left; else inf."""
        return math.inf if self.caught_up else progress.get(self._name, -math.inf)

    @property
    def caught_up(self) -> bool:
        """True if everything stored has been read. A spool that cannot be read, which is not up, is not waited for."""
        return bool(self._error) or not self._spool.bytes_after(self._segment, self._offset)

    @property
    def waiting(self) -> bool:
        """Never: lines that are stored can be read."""
        return False

    def position(self) -> dict[str, int]:
        """After the last block returned."""
        self._stored = SpoolPosition(self._segment, self._offset)
        return msgspec.structs.asdict(self._stored)

    def acknowledge(self) -> None:
        """Remove the segments that the last position lies behind."""
        self._spool.forget_before(self._stored.segment)

    def status(self) -> list[SourceStatus]:
        """Its health; down as well while lines cannot be stored."""
        error = self._error or self._spool.error
        lag = self._spool.bytes_after(self._segment, self._offset)
        return [
            SourceStatus(
                self._name, not error, error, lag, self._lines, self._bytes, self._spool.too_long, {}, dict(self._lost)
            )
        ]

    def close(self) -> None:
        """Release the descriptor; the spool stays open."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _next_lines(self) -> bytes:
        """Complete lines after the offset, of this segment or the next one. Raises OSError."""
        while (size := self._spool.size(self._segment) or 0) <= self._offset:
            if not self._step_over():
                return b""
        if self._descriptor is None:
            self._descriptor = os.open(self._spool.path(self._segment), os.O_RDONLY | os.O_CLOEXEC)
        wanted = self._block_bytes
        while True:
            data = os.pread(self._descriptor, min(wanted, size - self._offset), self._offset)
            end = data.rfind(b"\n") + 1
            if end:
                return data[:end]
            if len(data) < wanted:  # shorter than what was stored: somebody has cut it
                self._lost["truncated"] += 1
                self._offset = size
                return self._next_lines()
            wanted *= 2

    def _step_over(self) -> bool:
        """Go to the next segment; False if there is none."""
        following = self._spool.following(self._segment)
        if following is None:
            return False
        self.close()
        self._segment, self._offset = following, 0
        if self._spool.transient:
            self._spool.forget_before(following)
        return True
