"""Native JSON lines: one object per line, predictions and labels mixed in any order.

    {"id": "r-1", "ts": "2026-11-01T10:00:00Z", "model": "churn", "version": "v2", "features": {"age": 41},
     "score": 0.7, "prediction": 1, "latency_ms": 12.5}
    {"kind": "label", "id": "r-1", "ts": 1793527260, "label": 1}
    {"kind": "label", "id": "r-1", "event": "purchase", "value": 59.9}
    {"id": "r-2", "ts": 1793527200, "model": "feed", "version": "v1", "user": "u-7", "items": ["a", "b", "c"]}
    {"kind": "label", "id": "r-2", "model": "feed", "label": {"b": 2, "c": 1}}

Guarantee: every line gives one record or one reject with a reason of `REASONS`; blank lines give nothing;
no line can harm another. Unknown keys are ignored. `request_id` and `timestamp` are read as `id` and `ts`.
`ts`: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds told apart by size; without
a zone it is UTC; without `ts` it is the time of arrival. `status` other than 200 makes the request an error.
What a prediction must hold depends on the task of its model: a class or a score, class probabilities in `scores`, a
number, or a ranking in `items`, whose label are the right items or their grades. `user` is hashed right here.
Lines in which a client says what it dropped (`client_lines`) give no record.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from mlcanary.formats.client_lines import without_client_lines
from mlcanary.formats.contract import UNUSABLE, Decoded, reject_of
from mlcanary.formats.rows import Row, RowReader

_DECODER = msgspec.json.Decoder(Row)


class NativeFormat:
    """Decoder of native lines."""

    reasons: tuple[str, ...] = ()

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader

    def decode_block(self, block: bytes, now: float, source: str = "") -> Decoded:
        """Decode complete lines of one log. `now`, Unix seconds: arrival time, and what bounds a time in the future."""
        self._reader.enter(source)
        block, of_clients, dropped = without_client_lines(block)
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        out = Decoded(lines=len(lines) + of_clients, client_dropped=dropped)
        decoded_lines: Sequence[Row | None] = [None] * len(lines)
        if _one_object_per_line(block, len(lines)):
            # A broken line somewhere: leave it to the loop, which takes them one by one.
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                objects = _DECODER.decode_lines(block)
                decoded_lines = objects if len(objects) == len(lines) else decoded_lines
        for line, decoded in zip(lines, decoded_lines, strict=True):
            try:
                if decoded is None and not line.strip():
                    continue
                fields = _DECODER.decode(line) if decoded is None else decoded
                record = self._reader.record(fields, now)
                out.records.append(record)
                if fields.ts is not None or fields.timestamp is not None:
                    out.times.append(record.ts)
            except UNUSABLE as error:
                out.rejects.append(reject_of(error, line))
        return out

    def dump(self) -> Any:
        """Nothing waits: a line is a record."""
        return None

    def load(self, state: Any) -> None:
        """Take over what `dump` gave."""


def _one_object_per_line(block: bytes, lines: int) -> bool:
    """Whether every line begins with `{` and ends with `}`, which decoding many lines at once does not demand.

    An object that ends inside its line cannot go on in the next one: there would have to stand `,` or `}`.
    """
    ends = block.count(b"}\n") + block.count(b"}\r\n") + block.endswith(b"}")
    return block.startswith(b"{") and block.count(b"\n{") == lines - 1 and ends == lines
