"""A log file that any number of processes append to and rotate together.

Guarantee: whoever is killed, and whenever, the file holds whole lines only once the next batch is written, no
batch lies inside another one, and no rotation loses a line: one lock, on the file itself, covers the check, the
rotation and the write. The kernel gives it back when its holder dies. Nobody else may write to the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from mlcanary.client.sinks import Unsent

_LONGEST_LINE = 1 << 20


class RotatingFile:
    """Appends to `path`; from `max_bytes` on it becomes `path.1`, and so on up to `path.<keep>`."""

    def __init__(self, path: str, *, max_bytes: int, keep: int) -> None:
        self._path = os.path.abspath(path)
        self._max_bytes = max_bytes
        self._keep = keep
        self._descriptor = -1

    def send(self, kind: str, lines: bytes) -> None:
        """Append whole lines of either kind. Raises Unsent with those that did not fit on the disk."""
        try:
            size = self._locked(len(lines))
            try:
                written = self._append(lines, size)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as error:
            self.close()
            raise Unsent(f"{self._path}: {error.strerror or error}", lines) from error
        if written < len(lines):
            raise Unsent(f"{self._path}: the disk took only a part", lines[written:])

    def forget(self) -> None:
        """Close the inherited descriptor: it shares its lock with the parent, who keeps the lock."""
        self.close()

    def close(self) -> None:
        """Release the descriptor."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _locked(self, room: int) -> int:
        """Lock the file that has the path now, rotated if `room` bytes do not fit; its size, without a torn line."""
        while True:
            if self._descriptor < 0:
                self._open()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            mine = os.fstat(self._descriptor)
            if not self._has_path(mine):
                self._let_go()
                continue
            size = self._without_torn_line(mine.st_size)  # before a rotation: nobody writes to a rotated file
            if not size or size + room <= self._max_bytes:
                return size
            self._rotate()
            self._let_go()

    def _let_go(self) -> None:
        """Give the lock back before closing: a process that was forked just now may still hold the same open file."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.close()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, 0o644)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._descriptor = os.open(self._path, flags, 0o644)

    def _has_path(self, mine: os.stat_result) -> bool:
        """False if somebody rotated or removed the file since it was opened."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def _rotate(self) -> None:
        """Make room for a new file. Killed half-way it leaves a gap in the numbers, which the next one closes."""
        names = [self._path, *(f"{self._path}.{n}" for n in range(1, self._keep + 1))]
        last = next((i for i, name in enumerate(names[1:], 1) if not os.path.lexists(name)), self._keep)
        for i in range(last, 0, -1):
            os.replace(names[i - 1], names[i])

    def _append(self, lines: bytes, size: int) -> int:
        """Write; the number of bytes of whole lines that are in the file now."""
        written = os.write(self._descriptor, lines)
        if written == len(lines):
            return written
        whole = lines.rfind(b"\n", 0, written) + 1
        # Only the torn end goes: whole lines may have been read already.
        os.ftruncate(self._descriptor, size + whole)
        return whole

    def _without_torn_line(self, size: int) -> int:
        """Cut off a last line that was left unfinished by somebody who was killed; the size after that.

        Readers take complete lines only, so nobody has seen it.
        """
        if not size or os.pread(self._descriptor, 1, size - 1) == b"\n":
            return size
        start = max(0, size - _LONGEST_LINE - 1)
        end = os.pread(self._descriptor, size - start, start).rfind(b"\n")
        if end < 0 and start:  # none of our lines is so long: leave it alone and end it
            return size + os.write(self._descriptor, b"\n")
        os.ftruncate(self._descriptor, start + end + 1)
        return start + end + 1
