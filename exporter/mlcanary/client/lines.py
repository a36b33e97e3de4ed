"""Native JSON lines of what was recorded. Runs in the client's thread, never in a caller's.

Guarantee: `encode` returns one complete line or raises Unserialisable. NaN and infinity, which JSON does not have,
become null; numbers and texts of numpy, pandas and torch become plain ones without importing any of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID


class Unserialisable(Exception):
    """A value that has no place in JSON."""


class PredictionEntry(NamedTuple):
    """A prediction as it waits in the queue. Names are those of the native format; None is left out."""

    ts: float | datetime
    id: str
    model: str | None
    version: str | None
    features: Mapping[str, Any] | None
    prediction: Any = None
    score: Any = None
    scores: Mapping[str, Any] | None = None
    items: list[Any] | None = None
    user: Any = None
    latency_ms: float | None = None
    queue_ms: float | None = None
    status: Any = None
    label: Any = None


class LabelEntry(NamedTuple):
    """A label or an event as it waits in the queue."""

    ts: float | datetime
    id: str
    model: str | None
    label: Any = None
    event: str | None = None
    value: Any = None


Entry = PredictionEntry | LabelEntry


def encode(entry: Entry) -> bytes:
    """One line with its line feed. Raises Unserialisable."""
    fields: dict[str, Any] = {"kind": "label"} if type(entry) is LabelEntry else {}
    for name, value in zip(entry._fields, entry, strict=True):
        if value is not None:
            fields[name] = value
    if isinstance(entry.ts, datetime):
        try:
            fields["ts"] = entry.ts.timestamp()
        except (ValueError, OverflowError, OSError) as error:
            raise Unserialisable(f"ts: {error}") from error
    return encode_fields(fields)


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """One line with its line feed. Raises Unserialisable."""
    try:
        try:
            text = _ENCODER.encode(fields)
        except ValueError:  # NaN, infinity, or something that contains itself
            text = _ENCODER.encode(_finite(fields))
    except Exception as error:  # values are the caller's own objects: their methods may raise anything
        raise Unserialisable(f"{type(error).__name__}: {error}") from error
    return text.encode("utf-8", "replace") + b"\n"


def _finite(value: object) -> object:
    """The same without NaN and infinity."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return _finite(_plain(value))


def _plain(value: object) -> object:
    """A plain value for one that JSON does not know. Raises TypeError."""
    if callable(item := getattr(value, "item", None)):  # a scalar of numpy or torch, or an array that holds one
        return item()
    if isinstance(value, Decimal | Fraction):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
