"""How far a table has been read: the newest watermark, and which rows of the overlap before it are known.

Guarantee: `knows` is True for every row that was moved past and lies within `overlap` of the newest watermark, and for
no other row but with a chance of 2^-64 per pair. Bounded: at `SEEN_ROWS` the older part counts as known.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec

SEEN_ROWS = 100_000
_ROW = struct.Struct("<8sd")

Watermark = str | int | float
Token = tuple[Watermark, Sequence[tuple[bytes, float | None]]]


class _Saved(msgspec.Struct, array_like=True):
    watermark: Watermark | None
    rows: bytes
    floor: float | None


class WatermarkPlace:
    """A position in a table that grows at the end of one column, or near it."""

    def __init__(self, overlap: float, saved: Any = None, seen_rows: int = SEEN_ROWS) -> None:
        self.watermark: Watermark | None = None
        self._overlap = overlap
        self._limit = seen_rows
        self._floor: float | None = None
        self._order: deque[tuple[bytes, float]] = deque()
        self._seen: set[bytes] = set()
        if saved is not None:
            state = msgspec.convert(saved, _Saved)
            self.watermark, self._floor = state.watermark, state.floor
            for digest, number in _ROW.iter_unpack(state.rows):
                self._remember(digest, number)

    def knows(self, digest: bytes, number: float | None) -> bool:
        """Whether this row was moved past. `number`: its watermark by `axis`."""
        return digest in self._seen or (number is not None and self._floor is not None and number < self._floor)

    def move(self, token: Token) -> None:
        """Past these rows, which lie in the order of their watermarks; the first value is that of the last row."""
        watermark, rows = token
        newest, before = axis(watermark), self.watermark
        if newest is None and watermark != before:  # a text that has no distances: only equals can overlap
            self._order.clear()
            self._seen.clear()
        old = None if before is None else axis(before)
        if old is None or newest is None or newest >= old:
            self.watermark = watermark
        for digest, number in rows:
            self._remember(digest, 0.0 if number is None else number)
        end = axis(self.watermark) if self.watermark is not None else None
        while self._order and end is not None and self._order[0][1] < end - self._overlap:
            self._seen.discard(self._order.popleft()[0])

    def _remember(self, digest: bytes, number: float) -> None:
        self._order.append((digest, number))
        self._seen.add(digest)
        if len(self._order) > self._limit:
            gone, self._floor = self._order.popleft()
            self._seen.discard(gone)

    def dump(self) -> Any:
        """Values that msgpack can carry."""
        rows = b"".join(_ROW.pack(digest, number) for digest, number in self._order)
        return [self.watermark, rows, self._floor]


def storable(value: Any) -> Watermark:
    """A watermark as it is kept and given back to the query: numbers as they are, all else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value.isoformat() if isinstance(value, date) else str(value)
    return value


def axis(value: Watermark) -> float | None:
    """A watermark as a number: seconds of a time, UTC where it names no zone; None for other texts.

    >>> axis(5), axis("1970-01-01 00:01"), axis("1970-01-01T00:00:00.5+00:00"), axis("b7"), axis("12.5")
    (5.0, 60.0, 0.5, None, 12.5)
    """
    if not isinstance(value, str):
        return float(value)
    when = _time(value)
    if when is not None:
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def earlier(value: Watermark, seconds: float) -> Watermark:
    """A watermark moved back, in its own spelling; a text that is no time and no number stays.

    >>> earlier(100, 60.0), earlier("2026-01-01 00:00:30", 60.0), earlier("2026-01-01T00:00:30Z", 60.0)
    (40, '2025-12-31 23:59:30', '2025-12-31T23:59:30Z')
    """
    if isinstance(value, int):
        return value - int(seconds) if seconds == int(seconds) else value - seconds
    if isinstance(value, float):
        return value - seconds
    when = _time(value)
    if when is not None:
        separator = value[10] if len(value) > 10 else "T"
        if len(value) == 10:  # a date: whole days
            return (when - timedelta(days=-(-seconds // 86400))).date().isoformat()
        text = (when - timedelta(seconds=seconds)).isoformat(separator)
        return text.removesuffix("+00:00") + "Z" if value.endswith("Z") else text
    return value if axis(value) is None else str(Decimal(value) - Decimal(str(seconds)))


def _time(text: str) -> datetime | None:
    """A time in ISO 8601 that begins with a date written with hyphens: `20260101` may be a number."""
    if len(text) < 10 or text[4] != "-":
        return None
    try:
        if len(text) == 10:
            return datetime.combine(date.fromisoformat(text), time())
        return datetime.fromisoformat(text)
    except ValueError:
        return None
