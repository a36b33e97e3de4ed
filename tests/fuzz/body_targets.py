"""Bodies of pushes, and what the formats make of the lines that are stored."""

from __future__ import annotations

import gzip
import json

from formats.same_traffic import MODEL, NOW
from fuzz.contract import Target, demand
from fuzz.line_targets import MONITORED, READINGS, check_decoded
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import make_format
from mlcanary.push.bodies import BodyError, Lines, event_lines, record_lines, unpacked
from mlcanary.push.settings import EVENT_FORMAT

LONGEST_LINE = 4096
MOST_BYTES = 1 << 18
"""Of a body, unpacked too."""

_STATUSES = {400, 413, 415}
_RECORDS, _LABELS, _EVENTS, _GZIP, _HEADERS = range(5)


def attempt_body(data: bytes) -> None:
    """A body at the endpoint that the first byte chooses; events have header lines before it."""
    kind, body = (data[0] if data else 0) % 5, data[1:]
    try:
        lines = _lines(kind, body)
    except BodyError as error:
        demand(error.status in _STATUSES, f"status {error.status}")
        demand(0 < len(str(error)) < 500, f"a message of {len(str(error))} characters")
        str(error).encode()
        return
    stored = lines.data.split(b"\n")
    demand(stored.pop() == b"", "what is stored does not end with a line")
    demand(len(stored) == lines.records, f"{len(stored)} lines are stored, {lines.records} are told")
    demand(all(line.strip() for line in stored), "a blank line is stored")
    demand(max(map(len, stored), default=0) <= LONGEST_LINE + len(b'"kind":"label",'), "a line that is too long")
    demand(len(lines.data) <= 20 * len(body) + MOST_BYTES, f"{len(body)} bytes became {len(lines.data)}")
    events = kind in (_EVENTS, _HEADERS)
    decoder = make_format(FormatOptions(EVENT_FORMAT if events else "native", model=MODEL), MONITORED.model)
    check_decoded(decoder, decoder.decode_block(lines.data, NOW), lines.data)


def _lines(kind: int, body: bytes) -> Lines:
    if kind == _GZIP:
        return record_lines(unpacked(body, "gzip", MOST_BYTES), LONGEST_LINE)
    if kind in (_EVENTS, _HEADERS):
        head, _, rest = body.partition(b"\n\n") if kind == _HEADERS else (b"", b"", body)
        pairs = (line.partition(":") for line in head.decode("utf-8", "surrogateescape").split("\n"))
        return event_lines(rest, {name.lower().strip(): value.strip() for name, _, value in pairs}, LONGEST_LINE)
    return record_lines(body, LONGEST_LINE, labels=kind == _LABELS)


def _seeds() -> list[bytes]:
    native = list(READINGS[0].lines[:6])
    lines = b"\n".join(native)
    rows = [json.loads(line) for line in native]
    array, pretty = json.dumps(rows).encode(), json.dumps(rows[0], indent=1).encode()
    labels = b'{"id": "call-1", "label": 1}\n{"id": "call-2", "event": "purchase", "value": 3}'
    binary = b"ce-specversion: 1.0\nce-id: 1\nce-type: org.kubeflow.serving.inference.request\ntraceparent: a\n\n"
    binary += b'{"instances": [[1]]}'
    packed = gzip.compress(lines, mtime=0)
    found = [(_RECORDS, lines), (_RECORDS, array), (_RECORDS, pretty), (_LABELS, labels), (_LABELS, lines)]
    found += [(_GZIP, packed), (_GZIP, packed + packed), (_GZIP, gzip.compress(bytes(1 << 20), mtime=0))]
    found += [(_HEADERS, binary), (_HEADERS, b"content-type: text/plain\n\n" + lines)]
    events = [line for reading in READINGS if reading.name == "kserve" for line in reading.lines[:2]]
    found += [
        (_EVENTS, b"\n".join(events)),
        (_EVENTS, b"[" + b",".join(events) + b"]"),
        (_HEADERS, b"\n\n" + events[0]),
    ]
    return [bytes([kind]) + body for kind, body in found]


BODIES = Target("bodies", attempt_body, _seeds(), head=1, words=[b"ce-id: ", b"content-type: ", b"\x1f\x8b\x08"])
