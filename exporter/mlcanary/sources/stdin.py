"""Lines that are piped in.

Guarantee: every complete line is returned once, in order, as long as the process lives; an unfinished one counts as a
line at the end of the input. A pipe cannot be read twice: what was read and not counted for good when the process was
killed is gone. Whoever writes is held back while `_MOST_BYTES` wait to be read, so memory is bounded.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from mlcanary.sources.contract import Block, SourceStatus
from mlcanary.sources.line_feeds import line_feeds

_MOST_BYTES = 1 << 21
_BLOCK_BYTES = 1 << 18
_PAUSE_SECONDS = 1.0
"""For so long a pipe must be empty before time is taken to go by without its writer."""


class Pipe:
    """Reads a descriptor in a thread of its own. Outlives reloads; `status` counts from its start.

    `clock`: seconds that never go back. `wake` is called, in that thread, whenever a block or more can be taken.
    """

    def __init__(
        self, name: str, descriptor: int, *, max_line_bytes: int = 1 << 20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self._descriptor, self._limit, self._clock = name, descriptor, max_line_bytes, clock
        self.wake: Callable[[], None] = lambda: None
        self._ready = bytearray()
        self._changed = threading.Condition()
        self._ended = False
        self._error = ""
        self._quiet_since = clock()
        self._lines = self._bytes = self._oversized = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to read, if that has not begun."""
        if self._thread.ident is None:
            self._thread.start()

    def take(self) -> bytes | None:
        """Whole lines, None if there are none now."""
        with self._changed:
            if not self._ready:
                return None
            end = self._ready.rfind(b"\n", 0, _BLOCK_BYTES) + 1 or self._ready.index(b"\n") + 1
            data = bytes(memoryview(self._ready)[:end])
            del self._ready[:end]
            self._changed.notify()
        self._quiet_since = self._clock()
        self._bytes += len(data)
        self._lines += line_feeds(data)
        return data

    @property
    def quiet(self) -> bool:
        """True once the input has ended and was taken, or nothing has come for a second."""
        ended = self._ended  # asked first: the last block may come between the two questions
        if self._ready:
            return False
        return ended or self._clock() - self._quiet_since >= _PAUSE_SECONDS

    @property
    def empty(self) -> bool:
        """True if nothing waits to be taken."""
        return not self._ready

    def status(self) -> SourceStatus:
        """Its health."""
        lag = len(self._ready)
        return SourceStatus(
            self.name, not self._error, self._error, lag, self._lines, self._bytes, self._oversized, {}, {}
        )

    def _run(self) -> None:
        """Until the end of the input. `rest` is the start of a line, None while the rest of a long one is skipped."""
        rest: bytes | None = b""
        block = min(_BLOCK_BYTES, self._limit)  # so that only the first line of a block may be too long
        try:
            while chunk := os.read(self._descriptor, block):
                rest = self._split(rest, chunk)
        except OSError as error:
            self._error = error.strerror or str(error)
        if rest:
            self._give(rest + b"\n")
        self._ended = True

    def _split(self, rest: bytes | None, chunk: bytes) -> bytes | None:
        """Give the complete lines of `rest + chunk`; what is left."""
        if rest is None:
            _, found, chunk = chunk.partition(b"\n")
            if not found:
                return None
            rest = b""
        end = chunk.rfind(b"\n") + 1
        if end:
            first = chunk.find(b"\n")
            if len(rest) + first > self._limit:
                self._oversized += 1
                self._give(chunk[first + 1 : end])
            else:
                self._give(rest + chunk[:end])
            rest = b""
        rest += chunk[end:]
        if len(rest) > self._limit:
            self._oversized += 1
            return None
        return rest

    def _give(self, data: bytes) -> None:
        """Whole lines, once there is room for them."""
        with self._changed:
            while len(self._ready) >= _MOST_BYTES:
                self._changed.wait()
            self._ready += data
            many = len(self._ready) >= _BLOCK_BYTES
        if many:
            self.wake()


class PipeSource:
    """A `Source` over a pipe. Its position is nothing: what was read is gone from the pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        pipe.start()

    def read(self, progress: Mapping[str, float] | None = None) -> Block | None:
        """The next lines that have come."""
        data = self._pipe.take()
        return None if data is None else Block(self._pipe.name, data, self._pipe.name)

    def behind(self, progress: Mapping[str, float]) -> float:
        """The event time reached, while lines wait; else inf."""
        return math.inf if self._pipe.empty else progress.get(self._pipe.name, -math.inf)

    @property
    def caught_up(self) -> bool:
        """True at the end of the input, and while nothing has come for a second: a slow writer is no end."""
        return self._pipe.quiet

    @property
    def waiting(self) -> bool:
        """True while more is expected at once."""
        return self._pipe.empty and not self._pipe.quiet

    def position(self) -> Any:
        """Nothing."""
        return None

    def acknowledge(self) -> None:
        """Nothing to do."""

    def status(self) -> list[SourceStatus]:
        """Its health."""
        return [self._pipe.status()]

    def close(self) -> None:
        """Nothing to do: the pipe outlives the settings."""
