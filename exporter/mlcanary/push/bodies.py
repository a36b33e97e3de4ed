"""Bodies of pushes to lines, without decoding a record: that is the work of the ingest thread.

Guarantee: pure; no body makes it raise anything but `BodyError`. A body that holds one line that looks like a record is
taken whole, and what is wrong with its other lines is counted by whoever reads them. Memory is a few times the body's:
lines and elements are counted before they become objects.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from mlcanary.formats.envelope import envelope_line

_LINE_FEED = ord("\n")
GZIP = 31
"""Window bits that make zlib expect gzip."""

_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_VALUE = msgspec.json.Decoder(msgspec.Raw)
_UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_LABEL = b'{"kind":"label",'
_SHOWN = 60
MOST_RECORDS = 100_000
"""Of one body."""

MOST_ARRAY_BYTES = 2 << 20
"""An array is taken apart before its elements can be counted, and the least element has two bytes."""

_MEMBERS = 100
"""Each costs a copy of what follows it."""
_CARRIED = frozenset({"content-type", "traceparent", "x-request-id"})
"""Headers beside `ce-...` that go into the spool: credentials never do."""


class BodyError(Exception):
    """A body that cannot be taken. `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Lines(NamedTuple):
    """What is to be stored: `records` whole lines in `data`. `too_long` lines were left out."""

    data: bytes
    records: int
    too_long: int


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding. Raises BodyError, before more than `limit` bytes are made."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in {"gzip", "x-gzip"}:
        raise BodyError(415, f"Content-Encoding: found {encoding[:_SHOWN]!r}; allowed: gzip, identity")
    parts: list[bytes] = []
    left, room = body, limit
    while left:
        if len(parts) == _MEMBERS:
            raise BodyError(400, f"the body has more than {_MEMBERS} gzip members")
        member = zlib.decompressobj(GZIP)
        try:
            part = member.decompress(left, room + 1)
        except zlib.error as error:
            raise BodyError(400, f"the body is no gzip: {error}") from error
        if len(part) > room:
            raise BodyError(413, f"the body is larger than {limit} bytes when unpacked")
        if not member.eof:
            raise BodyError(400, "the gzip body ends too early")
        parts.append(part)
        room -= len(part)
        left = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def record_lines(body: bytes, longest: int, *, labels: bool = False, text: bool = False) -> Lines:
    """Lines of JSON objects, one object over several lines, or an array of them; `MOST_RECORDS` at most.

    `labels`: each object is a label, whether or not it says so. `text`: any line may be a record. `longest`: bytes of
    a line. Raises BodyError for a body without anything that looks like a record.
    Cost: some 1 ns per byte of plain lines.
    """
    body = body.strip()
    if not body:
        return Lines(b"", 0, 0)
    if body.startswith(b"[") and not text:
        return _kept(_labelled(_elements(body), labels=labels), longest)
    count = body.count(b"\n") + 1
    if count > MOST_RECORDS:
        raise BodyError(413, f"{count} lines; allowed: {MOST_RECORDS} in one request")
    if text:
        return _kept(body.split(b"\n"), longest)
    if not _one_object_per_line(body, count):
        return _kept(_labelled(_uneven(body), labels=labels), longest)
    if labels:
        body = _LABEL + body[1:].replace(b"\n{", b"\n" + _LABEL)
    if len(body) <= longest or _longest_line(body) <= longest:
        return Lines(body + b"\n", count, 0)
    return _kept(body.split(b"\n"), longest)


def event_lines(body: bytes, headers: Mapping[str, str], longest: int) -> Lines:
    """A CloudEvent in binary mode, one or many in structured or batch mode, or lines of any other format.

    `headers`: names in lower case. Raises BodyError.
    """
    if "ce-specversion" in headers or "ce-id" in headers:
        carried = {name: value for name, value in headers.items() if name.startswith("ce-") or name in _CARRIED}
        try:
            return _kept([envelope_line(carried, body)], longest)
        except (ValueError, RecursionError) as error:
            raise BodyError(400, f"no CloudEvent in binary mode: {error}") from error
    return record_lines(body, longest, text=headers.get("content-type", "").lower().startswith("text/"))


def _longest_line(body: bytes) -> int:
    ends = np.flatnonzero(np.frombuffer(body, np.uint8) == _LINE_FEED)
    return int(np.diff(ends, prepend=-1, append=len(body)).max()) - 1


def _uneven(body: bytes) -> list[bytes]:
    """Lines of which some are no objects, or the one object that they are together. Raises BodyError."""
    if (whole := _whole_object(body)) is not None:
        return [whole]
    lines = [line.strip() for line in body.split(b"\n")]
    if not any(_is_object(line) for line in lines):
        shown = next(line for line in lines if line)[:_SHOWN].decode("utf-8", "replace")
        raise BodyError(400, f"found {shown!r}; allowed: one JSON object per line, or a JSON array of objects")
    return lines


def _elements(body: bytes) -> list[bytes]:
    if len(body) > MOST_ARRAY_BYTES:
        raise BodyError(413, f"an array of {len(body)} bytes; allowed: {MOST_ARRAY_BYTES}, or one object per line")
    try:
        elements = _ARRAY.decode(body)
    except _UNREADABLE as error:
        raise BodyError(400, f"no JSON array: {error}") from error
    if len(elements) > MOST_RECORDS:
        raise BodyError(413, f"{len(elements)} elements; allowed: {MOST_RECORDS} in one request")
    return [_on_one_line(bytes(element)) for element in elements]


def _whole_object(body: bytes) -> bytes | None:
    if not _is_object(body):
        return None
    try:
        return _on_one_line(bytes(_VALUE.decode(body)))
    except _UNREADABLE:
        return None


def _on_one_line(value: bytes) -> bytes:
    """Line feeds stand between the tokens of valid JSON only."""
    return value.replace(b"\n", b" ").replace(b"\r", b" ").strip()


def _labelled(lines: Sequence[bytes], *, labels: bool) -> Sequence[bytes]:
    return [_LABEL + line[1:] if line.startswith(b"{") else line for line in lines] if labels else lines


def _kept(lines: Sequence[bytes], longest: int) -> Lines:
    filled = [line for line in lines if line.strip()]
    kept = [line for line in filled if len(line) <= longest]
    return Lines(b"".join(line + b"\n" for line in kept), len(kept), len(filled) - len(kept))


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and line.endswith(b"}")


def _one_object_per_line(body: bytes, count: int) -> bool:
    ends = body.count(b"}\n") + body.count(b"}\r\n") + body.endswith(b"}")
    return body.startswith(b"{") and body.count(b"\n{") == count - 1 and ends == count
