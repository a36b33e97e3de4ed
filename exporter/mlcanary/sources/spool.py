"""A directory of segments that pushed lines are appended to, and removed from once they count for good.

Guarantee: after `append` returns, all of its lines are in the segment, in order, and a reader of this process sees all
of them or, if `append` raised, none. A kill of the process at any instant loses none of them; one in the middle of
`append` may leave some whole lines of it. With `fsync`, a power cut loses none either. The directory never holds more
than `max_bytes`. Segments are plain JSON lines: `000000000007.jsonl`.
Threads append one after the other, while another one reads and forgets.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from mlcanary.durable import sync_directory
from mlcanary.errors import StateError

SEGMENT_BYTES = 16 << 20
_NAME = re.compile(r"(\d{12})\.jsonl")
_TAIL = 1 << 16


class SpoolFullError(Exception):
    """What is stored and not counted for good yet has reached its limit."""


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """`max_bytes`: of all segments; `segment_bytes`: a new one is begun above it; `fsync`: after each append."""

    max_bytes: int = 256 << 20
    segment_bytes: int = SEGMENT_BYTES
    fsync: bool = False


class Spool:
    """The segments of one directory; held by one process, as its state file is.

    `transient`: lines are forgotten once they are read, for there is no state that they could be missing in.
    `limits` may be replaced at any time. `error` tells why the last append failed, "" if it did not; `too_long`
    counts lines that were not stored for their length.
    """

    def __init__(self, directory: Path, limits: SpoolLimits, *, transient: bool = False) -> None:
        """Open or create the directory, and cut what a kill left of a line. Raises StateError."""
        self.directory = directory
        self.limits = limits
        self.transient = transient
        self.error = ""
        self.too_long = 0
        self._writing = threading.Lock()
        self._lock = threading.Lock()
        self._sizes: dict[int, int] = {}
        self._descriptor: int | None = None
        self._last = self._left = 0
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = sorted(int(name[1]) for entry in os.listdir(directory) if (name := _NAME.fullmatch(entry)))
            for number in found:
                self._sizes[number] = os.stat(self.path(number)).st_size
            if found:
                self._last = found[-1]
                self._sizes[self._last] = _cut_torn_line(self.path(self._last))
        except OSError as error:
            hint = "choose a --state.path in a directory that this user may write"
            raise StateError(f"{directory}: {error.strerror}", hint=hint) from error

    def path(self, number: int) -> Path:
        """Where a segment lies."""
        return self.directory / f"{number:012d}.jsonl"

    @property
    def kept(self) -> int:
        """Bytes of all segments."""
        with self._lock:
            return sum(self._sizes.values())

    def append(self, data: bytes, elsewhere: int = 0) -> None:
        """Store whole lines. `elsewhere`: bytes in other spools of the same allowance.

        Raises SpoolFullError, and OSError where the disk takes no more; then nothing is stored.
        """
        with self._writing:
            kept = self.kept + elsewhere
            if kept + len(data) > self.limits.max_bytes:
                self.error = f"{kept} bytes wait to be counted; at most {self.limits.max_bytes} may"
                raise SpoolFullError(self.error)
            try:
                descriptor = self._open_segment()
                self._write(descriptor, data)
            except OSError as error:
                self.error = error.strerror or str(error)
                raise
            self.error = ""
            with self._lock:
                self._sizes[self._last] += len(data)

    def start_after(self, number: int) -> None:
        """Never again use `number` or one below it for new lines: a stored position speaks of it."""
        if number > self._last:
            self._roll()
            self._last = number

    def size(self, number: int) -> int | None:
        """Bytes of a segment that may be read; None if there is no such segment."""
        with self._lock:
            return self._sizes.get(number)

    def following(self, number: int) -> int | None:
        """The first segment after `number`."""
        with self._lock:
            return min((n for n in self._sizes if n > number), default=None)

    def bytes_after(self, number: int, offset: int) -> int:
        """Bytes stored after a place in a segment."""
        with self._lock:
            return sum(size - (offset if n == number else 0) for n, size in self._sizes.items() if n >= number)

    def forget_before(self, number: int) -> None:
        """Remove the segments before `number`: their lines count for good."""
        with self._lock:
            gone = [n for n in self._sizes if n < number]
        for n in gone:
            try:
                self.path(n).unlink(missing_ok=True)
            except OSError:  # a read-only disk; it still takes its place
                continue
            with self._lock:
                del self._sizes[n]
            self.error = ""

    def leave(self, number: int) -> None:
        """Append nothing more to a segment: somebody has removed its file."""
        self._left = number

    def close(self) -> None:
        """Release the descriptor. Appending later begins a new segment."""
        self._roll()

    def _open_segment(self) -> int:
        if self._left == self._last or self._sizes.get(self._last, 0) >= self.limits.segment_bytes:
            self._roll()
        if self._descriptor is None:
            number = self._last + 1
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_EXCL
            self._descriptor = os.open(self.path(number), flags, 0o600)
            self._last = number
            with self._lock:
                self._sizes[number] = 0
            if self.limits.fsync:
                sync_directory(self.directory)
        return self._descriptor

    def _write(self, descriptor: int, data: bytes) -> None:
        """All of it or nothing."""
        before = self._sizes[self._last]
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(descriptor, left) :]
            if self.limits.fsync:
                os.fsync(descriptor)
        except OSError:
            try:
                os.ftruncate(descriptor, before)
            except OSError:  # the rest lies behind what may be read; nothing more goes into this segment
                self._roll()
            raise

    def _roll(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _cut_torn_line(path: Path) -> int:
    """Cut the file after its last line feed; its size then."""
    with path.open("r+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        size = end
        while end > 0:
            start = max(0, end - _TAIL)
            found = os.pread(file.fileno(), end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
        return end
