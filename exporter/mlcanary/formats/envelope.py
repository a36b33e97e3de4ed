"""A message with headers as one line of JSON, shaped like a structured CloudEvent.

Guarantee: one line without line feeds, whatever the headers and the body hold.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

_BLANKS = bytes.maketrans(b"\r\n", b"  ")


def envelope_line(headers: Mapping[str, str], body: bytes, key: str | None = None, ts: float | None = None) -> bytes:
    """Attributes (`ce-`, `ce_`) at the top, `data` or `data_base64`, and the other headers under `headers`."""
    found: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(("ce-", "ce_")):
            found[lower[3:]] = value
        else:
            others[lower] = value
    try:
        msgspec.json.decode(body)
        found["data"] = msgspec.Raw(body.translate(_BLANKS))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        found["data_base64"] = base64.b64encode(body).decode()
    if others:
        found["headers"] = others
    if key is not None:
        found["key"] = key
    if ts is not None:
        found["ts"] = ts
    return msgspec.json.encode(found)
