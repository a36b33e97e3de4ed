"""A log file as a service and logrotate treat it, step by step, with the truth about its lines."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path

from mlcanary.sources.contract import Position
from mlcanary.sources.files import FileSource

MAX_LINE_BYTES = 200


class Clock:
    """Unix seconds that pass only when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class RotatedLog:
    """Writes to `path` and rotates it; `lines` is what a reader must deliver, in order.

    With `same_time` every modification time is equal, so that only names can tell the age of rotated files.
    """

    def __init__(self, path: Path, *, header: bytes = b"", same_time: bool = False) -> None:
        self.path = path
        self.lines: list[bytes] = []
        self._numbers = count(1)
        self._header = header
        self.unfinished = b""
        self._ticks = count(1_800_000_000_000_000_000, 0 if same_time else 10_000_000_000)

    def write_line(self, width: int = 0) -> None:
        """Append one whole line, after what is left of an unfinished one."""
        self._append(b"%06d:%s\n" % (next(self._numbers), b"x" * width))

    def write_part(self) -> None:
        """Append the beginning of a line."""
        self._append(b"%06d-part" % next(self._numbers))

    def rename(self, *, create: bool) -> None:
        """logrotate with `create` or without: the writer opens a new file and gives up its unfinished line."""
        if not self.path.exists():
            return
        self._shift()
        self.path.rename(self.rotated(1))
        if self.unfinished:
            self.lines.append(self.unfinished + b"\n")
            self.unfinished = b""
        if create:
            self.path.touch()
            self._stamp(self.path)

    def copytruncate(self) -> None:
        """logrotate with `copytruncate`: the writer goes on in the same file, perhaps within a line."""
        if not self.path.exists():
            return
        self._shift()
        shutil.copyfile(self.path, self.rotated(1))
        self._stamp(self.rotated(1))
        os.truncate(self.path, 0)
        self._stamp(self.path)

    def copy(self) -> None:
        """The first half of copytruncate, or a careful operator."""
        if self.path.exists():
            shutil.copyfile(self.path, self.path.with_name(self.path.name + ".bak"))

    def rotated(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")

    def _shift(self) -> None:
        numbers = [n for n in range(1, 100) if self.rotated(n).exists()]
        for number in reversed(numbers):
            self.rotated(number).rename(self.rotated(number + 1))

    def _append(self, data: bytes) -> None:
        if self._header and (not self.path.exists() or not self.path.stat().st_size) and not self.unfinished:
            data = self._header + data
        with self.path.open("ab", buffering=0) as file:
            file.write(data)
        self._stamp(self.path)
        *whole, self.unfinished = (self.unfinished + data).split(b"\n")
        self.lines += [line + b"\n" for line in whole]

    def _stamp(self, path: Path) -> None:
        tick = next(self._ticks)
        os.utime(path, ns=(tick, tick))


def drain(source: FileSource, clock: Clock, rounds: int = 12) -> list[bytes]:
    """Every line that the source gives while the clock runs on over its settling times."""
    lines: list[bytes] = []
    for _ in range(rounds):
        while (block := source.read()) is not None:
            lines += block.data.splitlines(keepends=True)
        clock.now += 1.0
    return lines


def restart(pattern: str, position: Position | None, clock: Clock) -> FileSource:
    """A source as the next process builds it, with small buffers so that every boundary is met."""
    return FileSource([pattern], position, block_bytes=64, max_line_bytes=MAX_LINE_BYTES, clock=clock)
