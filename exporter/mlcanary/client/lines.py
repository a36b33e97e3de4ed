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
from typing import Any
from uuid import UUID


class Unserialisable(Exception):
    """A value that has no place in JSON."""


Entry = tuple[Any, ...]
"""What waits in the queue: values in the order of `PREDICTION_KEYS` or `LABEL_KEYS`, its kind first.

A plain tuple, because callers pay for making it.
"""

PREDICTION, LABEL = "prediction", "label"
PREDICTION_KEYS = (
    "kind",
    "ts",
    "id",
    "model",
    "version",
    "features",
    "prediction",
    "score",
    "scores",
    "items",
    "user",
    "latency_ms",
    "queue_ms",
    "status",
    "label",
)
LABEL_KEYS = ("kind", "ts", "id", "model", "label", "event", "value")
_KEYS = {PREDICTION: PREDICTION_KEYS, LABEL: LABEL_KEYS}


def encode(entry: Entry) -> bytes:
    """One line with its line feed; what is None is left out. Raises Unserialisable."""
    try:
        fields = {key: value for key, value in zip(_KEYS[entry[0]], entry, strict=True) if value is not None}
        if entry[0] == PREDICTION:
            del fields["kind"]  # a line without a kind is one
        if isinstance(ts := fields.get("ts"), datetime):
            fields["ts"] = ts.timestamp()
        return encode_fields(fields)
    except Exception as error:  # values are the caller's own objects: all that they do may raise anything
        raise Unserialisable(_text(error)) from error


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """One line with its line feed. Raises whatever the values raise, TypeError for what JSON cannot hold."""
    try:
        text = _ENCODER.encode(fields)
    except ValueError:  # NaN or infinity
        text = _ENCODER.encode(_finite(fields))
    return text.encode("utf-8", "replace") + b"\n"


def _text(error: Exception) -> str:
    """What an error says, if it can say it."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


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


_ENCODER = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=_plain
)
