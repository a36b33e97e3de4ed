"""What every source of log lines promises, and the values it exchanges with its caller.

Guarantee: a caller that stores `Source.position()` together with what it made of the blocks read so far, and
that builds the source again from that position after being killed at any point, gets every line exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec


class Block(NamedTuple):
    """One or more complete lines of one log, in its order; `data` always ends in a line feed.

    `source` names the log; `origin` the entry of the configuration that it is read for, "" for the only one.
    """

    source: str
    data: bytes
    origin: str = ""


class Mark(msgspec.Struct, frozen=True):
    """A prefix of some content that has been delivered: recognises the content wherever it moved.

    `offset` is the length of the prefix in bytes, `head` and `tail` are digests of its first and last 1,024
    bytes (of all of it where it is shorter). `inode` says where it was last seen; it is never trusted alone.
    """

    inode: int
    offset: int
    head: str
    tail: str


class TailPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far one path has been followed.

    `current` is the generation being read, `consumed` the earlier ones that still lie beside the path.
    `writer` is the inode that the path had when we last read from it, 0 for none. `fragment` is the start of a
    line that copytruncate cut in two; `skipping` says that the rest of an oversized line is still to be skipped.
    """

    current: Mark | None = None
    consumed: tuple[Mark, ...] = ()
    writer: int = 0
    fragment: bytes = b""
    skipping: bool = False


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source has been read: exactly the blocks returned so far.

    Paths and patterns are absolute; older states may hold other spellings. `patterns` maps each pattern to the
    Unix nanoseconds of its first start, `files` each followed path to its position. `dropped` holds files that
    are not followed any more, because no pattern names them or because they are gone, oldest first: whoever
    comes back goes on where it was left. `finished` are files closed until they grow, see `finished.Finished`.
    """

    patterns: dict[str, int] = {}
    files: dict[str, TailPosition] = {}
    dropped: dict[str, TailPosition] = {}
    finished: bytes = b""


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Health of one followed file, or of a pattern that no file matches. Counts start at 0 with the process.

    `up` is False while the path cannot be read, with the reason in `error`. `rotations` counts by kind: rename,
    truncate. `lost` counts generations whose end could not be read, by reason: vanished (neither the path nor a
    rotated name holds it), truncated (cut without a copy), compressed (only a compressed copy is left).
    """

    source: str
    up: bool
    error: str
    lag_bytes: int
    lines: int
    bytes_read: int
    oversized_lines: int
    rotations: Mapping[str, int]
    lost: Mapping[str, int]


class Source(Protocol):
    """One origin of log lines, read by one thread."""

    def read(self, progress: Mapping[str, float] | None = None) -> Block | None:
        """The next block of complete lines, or None when there is nothing to read right now. Never waits.

        `progress`: event time reached by source, where the caller wants what is furthest behind first.
        """

    def behind(self, progress: Mapping[str, float]) -> float:
        """Event time of what `read` would give next, as far as it can be told; inf if there is nothing."""

    @property
    def caught_up(self) -> bool:
        """True if nothing that lies there is still to be read, as far as the last `read` could see.

        `read` also returns None while it waits before it reads on: a renamed file settles, or the file that was
        being read is looked for under other names. Then this is False, and time must not be taken to have come
        as far as the clock: older lines follow. Neither an unfinished line at the end of a log nor a
        log without permission to read, which is not `up`, is waited for. At the end of finished logs this is True.
        """

    @property
    def waiting(self) -> bool:
        """True while a file with lines left cannot be read yet, although `read` may give blocks of other files.

        Until it is False again, the order in which files are read says nothing about what may still arrive.
        """

    def position(self) -> Any:
        """What to store so that a source built from it goes on after the last block returned; msgpack can carry it."""

    def acknowledge(self) -> None:
        """The last `position()` is durable, with all that was made of the blocks before it: they may be forgotten."""

    def status(self) -> list[SourceStatus]:
        """Health of every followed file and of every pattern without any, in a stable order."""

    def close(self) -> None:
        """Release every descriptor. The object cannot be used afterwards."""
