"""One generation of a log: content that only grows, under whatever name, until a rotation ends it.

Guarantee: bytes taken through `fill` and confirmed by `holds` afterwards belong to the generation that was
read before, even if the file was truncated, rewritten or replaced in between: content is recognised by the
digests of what was consumed (`Mark`), never by name or inode, which file systems reuse at once.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from mlcanary.sources.contract import Mark

SPAN = 1024
"""Bytes at each end of a consumed prefix that identify it: a few log records, with their ids and times."""

Identity = tuple[int, int]
"""Device and inode."""


class ReadBuffer:
    """The memory that all files of a source are read into, one after the other.

    Reading more than a block happens only for a line that does not fit into one. A full view without a line
    feed at `max_line_bytes + 1` is therefore an oversized line, and no complete line can be longer.
    """

    def __init__(self, block_bytes: int, max_line_bytes: int) -> None:
        self.limit = max_line_bytes
        self._block = bytearray(min(block_bytes, max_line_bytes + 1))
        self._whole: bytearray | None = None

    def block(self) -> bytearray:
        """Memory of the usual size."""
        return self._block

    def whole(self) -> bytearray:
        """Memory for the longest line allowed."""
        if self._whole is None:
            self._whole = bytearray(self.limit + 1)
        return self._whole


class Generation:
    """An open file and how far it has been consumed. Raises OSError from every method that touches the file."""

    def __init__(self, path: str) -> None:
        """Open `path` at offset 0. Raises OSError, also for what is not a regular file (a pipe would block)."""
        self.path = path
        self.offset = 0
        self._head = self._tail = b""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        info = os.fstat(self._descriptor)
        if not stat.S_ISREG(info.st_mode):
            self.close()
            raise OSError(f"{path}: not a regular file")
        self.identity: Identity = (info.st_dev, info.st_ino)

    def close(self) -> None:
        """Release the descriptor. Closing twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._descriptor).st_size

    def fill(self, memory: bytearray) -> int:
        """Read what follows the consumed prefix into `memory`; the number of bytes read, 0 at the end."""
        return os.preadv(self._descriptor, [memory], self.offset)

    def holds(self) -> bool:
        """True while the file still begins with what was consumed. False after truncation or rewriting."""
        if self._slice(self.offset - len(self._tail), self.offset) != self._tail:
            return False
        return self.offset <= SPAN or self._slice(0, len(self._head)) == self._head

    def consume(self, data: bytes) -> None:
        """Move the offset over `data`, the bytes that followed the prefix."""
        self.offset += len(data)
        if len(self._head) < SPAN:
            self._head += data[: SPAN - len(self._head)]
        self._tail = data[-SPAN:] if len(data) >= SPAN else (self._tail + data)[-SPAN:]

    def mark(self) -> Mark:
        """What recognises the consumed prefix later."""
        return Mark(self.identity[1], self.offset, digest(self._head), digest(self._tail))

    def advance_to(self, offset: int) -> None:
        """Take everything before `offset` as consumed without reading it all."""
        self.offset = offset
        self._head = self._slice(0, min(SPAN, offset))
        self._tail = self._slice(max(0, offset - SPAN), offset)

    def longest(self, marks: Iterable[Mark]) -> Mark | None:
        """The mark with the greatest offset whose prefix this file begins with."""
        size, first, best = self.size(), self._slice(0, SPAN), None
        heads: dict[int, str] = {}
        for mark in marks:
            if mark.offset > size or (best is not None and mark.offset <= best.offset):
                continue
            length = min(SPAN, mark.offset)
            if length not in heads:
                heads[length] = digest(first[:length])
            if heads[length] != mark.head:
                continue
            if digest(self._slice(max(0, mark.offset - SPAN), mark.offset)) == mark.tail:
                best = mark
        return best

    def is_cut_from(self, marks: Iterable[Mark]) -> bool:
        """True if a longer consumed prefix has this file's head: an old, shorter copy of what was consumed."""
        size, first = self.size(), self._slice(0, SPAN)
        if len(first) < SPAN or not first.strip(b"\0"):
            return False
        head = digest(first)
        return any(mark.offset > size and mark.head == head for mark in marks)

    def skip_hole(self) -> bool:
        """Move over the NULs at the start, which a writer that does not append leaves after copytruncate.

        True if the offset moved.
        """
        try:
            start = os.lseek(self._descriptor, 0, os.SEEK_DATA)
        except OSError:  # nothing but a hole
            return False
        chunk = os.pread(self._descriptor, 1 << 16, start)
        target = start + len(chunk) - len(chunk.lstrip(b"\0"))
        self.advance_to(target)
        return target > 0

    def is_copied_in(self, other: Generation) -> bool:
        """True if all of this file is how `other` begins, by both ends: it is a copy, perhaps an unfinished one."""
        size = self.size()
        if other.size() < size or self._slice(0, min(SPAN, size)) != other._slice(0, min(SPAN, size)):
            return False
        start = max(0, size - SPAN)
        return self._slice(start, size) == other._slice(start, size)

    def _slice(self, start: int, end: int) -> bytes:
        return os.pread(self._descriptor, end - start, start)


def digest(data: bytes) -> str:
    """Short digest of content, for `Mark`."""
    return blake2b(data, digest_size=8).hexdigest()


def begins_compressed(path: str, mark: Mark) -> bool:
    """True if the gzip file at `path` begins with the content of `mark`."""
    try:
        with gzip.open(path) as file:
            return digest(file.read(min(SPAN, mark.offset))) == mark.head
    except (OSError, EOFError, zlib.error):
        return False


def by_inode(marks: Iterable[Mark]) -> dict[int, list[Mark]]:
    """Marks by where they were last seen."""
    known: dict[int, list[Mark]] = {}
    for mark in marks:
        known.setdefault(mark.inode, []).append(mark)
    return known


def longest_at(path: str, known: Mapping[int, list[Mark]]) -> Mark | None:
    """The longest known prefix that the file at `path` begins with, None if it cannot be told."""
    try:
        marks = known.get(os.stat(path).st_ino)
        if not marks:
            return None
        file = Generation(path)
    except OSError:
        return None
    try:
        return file.longest(marks)
    finally:
        file.close()
