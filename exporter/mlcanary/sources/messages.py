"""One message of a broker as one line of a log.

Guarantee: a message gives exactly one line, a blank one if it has no body, so lines count messages. A line feed inside
JSON only stands between tokens; it becomes a blank.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mlcanary.formats.envelope import envelope_line

Envelope = Literal["auto", "always", "never"]
"""Whether a line holds the headers too: always, never, or for CloudEvents in the binary mode, which need them."""

_MARKS = ("ce_specversion", "ce-specversion")
_BLANKS = bytes.maketrans(b"\r\n", b"  ")


def line_of(
    body: bytes | None, headers: Mapping[str, str], key: str | None, envelope: Envelope, ts: float | None = None
) -> bytes:
    """The line of a message, with its line feed. `ts`: Unix seconds of the broker."""
    if body is None:
        return b"\n"
    if envelope == "always" or (envelope == "auto" and any(mark in headers for mark in _MARKS)):
        return envelope_line(headers, body, key, ts).rstrip(b"\n") + b"\n"
    return body.translate(_BLANKS) + b"\n"


def bytes_of(value: str | bytes) -> bytes:
    """A body, which some clients type as text."""
    return value.encode() if isinstance(value, str) else value


def text_of(value: str | bytes | None) -> str | None:
    """A header or a key; what is not UTF-8 is replaced."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
