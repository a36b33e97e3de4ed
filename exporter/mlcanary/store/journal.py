"""Rows that wait for their segment, in a file that only grows: Arrow batches, one after the other.

Guarantee: what `append` was given before `length` was read is in the first `length` bytes, whole; `sync` makes these
outlive a power cut. An `append` that fails leaves the file as it was. Each frame says whose rows it holds, so that a
reader takes only those that it wants: memory is that of one frame.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import pyarrow as pa

_MAGIC = b"MLC1"
_HEADER = struct.Struct("<4sIQQ")  # magic, bytes of the group, bytes of the batch, rows

Group = tuple[str, str | None]
"""Data set and model."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a batch lies, and whose rows it holds."""

    group: Group
    start: int
    nbytes: int
    rows: int


class Journal:
    """One file, appended to."""

    def __init__(self, path: Path, length: int = 0) -> None:
        """Open or create it, cut to `length`. Raises OSError."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.length = min(length, os.fstat(self._descriptor).st_size)
        os.ftruncate(self._descriptor, self.length)

    def append(self, group: Group, batch: pa.RecordBatch) -> None:
        """Add the rows. Raises OSError, with nothing added."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        body = sink.getvalue()
        name = msgspec.json.encode(group)
        parts: list[bytes | memoryview] = [
            _HEADER.pack(_MAGIC, len(name), body.size, batch.num_rows) + name,
            memoryview(body),
        ]
        size, at = len(parts[0]) + body.size, self.length
        try:
            for part in parts:
                view = memoryview(part)
                while view:
                    written = os.pwrite(self._descriptor, view, at)
                    view, at = view[written:], at + written
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.length)
            raise
        self.length += size

    def sync(self) -> None:
        """Make it outlive a power cut. Raises OSError."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._descriptor)


def frames(handle: IO[bytes], length: int | None = None) -> Iterator[Frame]:
    """The frames of the first `length` bytes, or all whole ones. What follows a broken one is not found."""
    end = handle.seek(0, os.SEEK_END)
    end = end if length is None else min(end, length)
    at = 0
    while at + _HEADER.size <= end:
        handle.seek(at)
        magic, name_bytes, nbytes, rows = _HEADER.unpack(handle.read(_HEADER.size))
        start = at + _HEADER.size + name_bytes
        if magic != _MAGIC or start + nbytes > end:
            return
        try:
            group = msgspec.json.decode(handle.read(name_bytes), type=Group)
        except msgspec.MsgspecError:
            return
        yield Frame(group, start, nbytes, rows)
        at = start + nbytes


def read(handle: IO[bytes], frame: Frame) -> pa.RecordBatch:
    """The rows of a frame. Raises pa.ArrowInvalid for one that is damaged."""
    handle.seek(frame.start)
    with pa.ipc.open_stream(handle.read(frame.nbytes)) as reader:
        return reader.read_next_batch()
