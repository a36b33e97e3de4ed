"""Files that were read to their end and closed until they grow: trees of hourly files have thousands of them.

Guarantee: a file that is known here is read again only if it changed, and then from where it was left: what is kept is
a `Mark`, which recognises content and not names. One entry takes about 250 bytes of memory and 56 in the checkpoint,
where a path is a hash: the path itself is found on the disk.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b

from mlcanary.sources.contract import Mark, SourceStatus, TailPosition

MOST = 100_000
"""Files that can be known; above, finished files stay open and new ones wait for room."""

_ENTRY = struct.Struct(">8sQQQQ8s8s")
_NOTHING = bytes(8)


class Finished:
    """Closed files by a hash of their absolute path. `saved` is a former `dump()`; what does not fit is ignored."""

    def __init__(self, saved: bytes = b"") -> None:
        self._entries: dict[bytes, bytes] = {}
        self._by_inode: dict[int, bytes] = {}
        self._dumped: bytes | None = None
        for at in range(0, len(saved) - len(saved) % _ENTRY.size, _ENTRY.size):
            entry = saved[at : at + _ENTRY.size]
            self._put(entry[:8], entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, path: str) -> bool:
        return _key(path) in self._entries

    @property
    def full(self) -> bool:
        """True if no more files can be known."""
        return len(self._entries) >= MOST

    def put(self, path: str, mark: Mark | None, info: os.stat_result) -> None:
        """`path` was read up to the end of `mark` (None: it is empty) when `info` was its state."""
        key = _key(path)
        head, tail = (bytes.fromhex(mark.head), bytes.fromhex(mark.tail)) if mark is not None else (_NOTHING, _NOTHING)
        offset = mark.offset if mark is not None else 0
        state = (info.st_ino, offset, info.st_mtime_ns, info.st_size)
        self._put(key, _ENTRY.pack(key, *state, head, tail))

    def unchanged(self, path: str, info: os.stat_result) -> bool:
        """True if `path` is known and still is as it was."""
        entry = self._entries.get(_key(path))
        if entry is None:
            return False
        _, inode, _, mtime_ns, size, _, _ = _ENTRY.unpack(entry)
        return (inode, mtime_ns, size) == (info.st_ino, info.st_mtime_ns, info.st_size)

    def take(self, path: str) -> TailPosition | None:
        """How far `path` was read, and forget it: it is followed again. None if it is not known."""
        entry = self._entries.pop(_key(path), None)
        if entry is None:
            return None
        self._dumped = None
        mark = _mark(entry)
        if self._by_inode.get(mark.inode) == entry[:8]:
            del self._by_inode[mark.inode]
        return TailPosition(current=mark if mark.offset else None, writer=mark.inode)

    def under(self, inode: int) -> Mark | None:
        """The mark of the file that had this inode: it may have been renamed."""
        key = self._by_inode.get(inode)
        mark = None if key is None else _mark(self._entries[key])
        return mark if mark is not None and mark.offset else None

    def dump(self) -> bytes:
        """Everything, for a later process. Cost: none as long as nothing changed."""
        if self._dumped is None:
            self._dumped = b"".join(self._entries.values())
        return self._dumped

    def _put(self, key: bytes, entry: bytes) -> None:
        self._entries[key] = entry
        self._by_inode[_mark(entry).inode] = key
        self._dumped = None


@dataclass
class Totals:
    """What a pattern's files came to that are not followed any more, as one row in their place."""

    lines: int = 0
    bytes_read: int = 0
    oversized: int = 0
    rotations: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, row: SourceStatus) -> None:
        """Take over the counts of a file that is left."""
        self.lines += row.lines
        self.bytes_read += row.bytes_read
        self.oversized += row.oversized_lines
        self.rotations.update(row.rotations)
        self.lost.update(row.lost)

    def row(self, source: str, *, found: bool, lag: int) -> SourceStatus:
        """The row of the pattern `source`. `found`: files match it; `lag`: bytes of files that wait for their turn."""
        error = "" if found else "no file matches"
        counts = (self.lines, self.bytes_read, self.oversized, dict(self.rotations), dict(self.lost))
        return SourceStatus(source, found, error, lag, *counts)


@dataclass(frozen=True, order=True)
class Pending:
    """A file that waits for its turn; the one written first goes first."""

    written_ns: int
    path: str
    spelling: str = field(compare=False)
    size: int = field(compare=False)
    first: bool = field(compare=False)


def looked_at(path: str) -> os.stat_result | None:
    """The state of a file; None if there is none."""
    try:
        return os.stat(path)
    except OSError:
        return None


def _key(path: str) -> bytes:
    return blake2b(os.fsencode(path), digest_size=8).digest()


def _mark(entry: bytes) -> Mark:
    _, inode, offset, _, _, head, tail = _ENTRY.unpack(entry)
    return Mark(inode, offset, head.hex(), tail.hex())
