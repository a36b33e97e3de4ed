"""Lines in which `mlcanary.client` says what it dropped, among the native lines of a log.

    {"kind": "client", "ts": 1793527200, "dropped": {"queue_full": 12}}

Guarantee: such a line is counted once and gives no record. Counts are what was dropped since the client's last such
line, under the reasons of the catalogue, any other one as `other`.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import msgspec

from mlcanary.catalog import CLIENT_DROP_REASONS, OTHER

_MOST = 10**12


class _ClientLine(msgspec.Struct, gc=False):
    """The whole of it; other keys are ignored, as in every native line."""

    kind: Literal["client"]
    dropped: dict[str, Annotated[int, msgspec.Meta(ge=0, le=_MOST)]]


_DECODER = msgspec.json.Decoder(_ClientLine)


def client_drops(line: bytes) -> Counter[str] | None:
    """What a line says was dropped, by reason; None for any other line.

    Asked of lines that are no rows, so that all others cost nothing.
    """
    try:
        found = _DECODER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    dropped: Counter[str] = Counter()
    for reason, count in found.dropped.items():
        dropped[reason if reason in CLIENT_DROP_REASONS else OTHER] += count
    return dropped
