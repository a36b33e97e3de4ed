"""Envelopes: a message with headers as one line, and what such lines, CloudEvents and stored payloads say.

    ce-id: 5f0c | ce-type: org.kubeflow.serving.inference.request | X-Other: a      {"instances": [[41, 0]]}
    -> {"id": "5f0c", "type": "org.kubeflow...", "headers": {"x-other": "a"}, "data": {"instances": [[41, 0]]}}

Guarantee: any headers and any body give one line of JSON without a line feed, and `events_of` reads the body back; one
that is no JSON travels as `data_base64`. Names of headers and attributes are compared in lower case, `ce-` and `ce_`
are taken off. A JSON array on a line is a batch. Cost: one pass over the body to see that it is JSON.
Source: CloudEvents 1.0.2 with its JSON format, HTTP and Kafka bindings; KServe's logger and blob store.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

import msgspec

from mlcanary.formats.rows import Rejected

_PREFIXES = ("ce-", "ce_")
_STRUCTURED = ("application/cloudevents+json", "application/cloudevents-batch+json")
_STORED = {
    "reqType": "type",
    "contentType": "datacontenttype",
    "inferenceService": "inferenceservicename",
    "occurrenceTime": "time",
    "bytes": "data_base64",
}
_RAW = msgspec.json.Decoder(msgspec.Raw)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BATCH = msgspec.json.Decoder(list[msgspec.Raw])
_HEADERS = msgspec.json.Decoder(dict[str, str | list[str]])
_SCALAR = msgspec.json.Decoder(str | int | float | bool | None)
_BASE64 = msgspec.json.Decoder(str)
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6))
_LINE_ENDS = bytes.maketrans(b"\n\r", b"  ")


def envelope_line(headers: Mapping[str, str], body: bytes, key: str | None = None, ts: float | None = None) -> bytes:
    """One line, without a line feed, that says all of a message.

    `headers`: of the HTTP request or the broker's record. `key`: of the record. `ts`: Unix seconds of the record, used
    where no header `ce-time` gives the time. A body in CloudEvents' structured or batch mode is the line itself; where
    such a body is no JSON, the line is no JSON either, and its format rejects it.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    content_type = lower.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() in _STRUCTURED:
        return body.translate(_LINE_ENDS)
    attributes: dict[str, object] = {}
    others: dict[str, str] = {}
    for name, value in lower.items():
        if name.startswith(_PREFIXES):
            attributes[name[3:]] = value
        elif name != "content-type":
            others[name] = value
    for name in ("data", "data_base64", "key", "headers"):
        attributes.pop(name, None)  # what a caller may not say by a header
    if content_type:
        attributes["datacontenttype"] = content_type
    if ts is not None:
        attributes.setdefault("time", ts)
    if key is not None:
        attributes["key"] = key
    if others:
        attributes["headers"] = others
    if _is_json(body):  # a line end can only stand between its tokens
        attributes["data"] = msgspec.Raw(body.translate(_LINE_ENDS))
    else:
        attributes["data_base64"] = b64encode(body).decode()
    return msgspec.json.encode(attributes)


def events_of(line: bytes) -> list[bytes]:
    """The events of a line, each to be read by `Event.read`: itself, or the items of an array.

    Raises msgspec.MsgspecError or RecursionError.
    """
    return list(map(bytes, _BATCH.decode(line))) if line.lstrip()[:1] == b"[" else [line]


class Event:
    """One envelope: attributes by name, and the body."""

    __slots__ = ("_fields", "_headers", "stored")

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        """`fields`: the members of its JSON object."""
        self.stored = "reqType" in fields and "bytes" in fields
        """Whether this is an object of KServe's blob store."""
        if self.stored:
            fields = {_STORED.get(name, name): value for name, value in fields.items()}
        elif "type" not in fields and any(name.lower().startswith(_PREFIXES) for name in fields):
            fields = {_plain(name): value for name, value in fields.items()}
        self._fields = fields
        self._headers: dict[str, str] | None = None

    @classmethod
    def read(cls, event: bytes) -> Event:
        """The envelope of a JSON object. Raises msgspec.MsgspecError or RecursionError."""
        return cls(_OBJECT.decode(event))

    @property
    def names(self) -> Collection[str]:
        """Names of the members."""
        return self._fields.keys()

    def text(self, name: str) -> str | None:
        """An attribute, else the header of this name; None if neither says anything. Raises msgspec.MsgspecError.

        `metadata.<header>` looks into what KServe was told to log of the request's headers.
        """
        raw = self._fields.get(name)
        if raw is not None:
            value = _SCALAR.decode(raw)
            if value is not None and value != "":
                return value if isinstance(value, str) else str(value)
        if name.startswith("metadata."):
            return self._metadata(name[9:])
        return self._header(name) if "headers" in self._fields else None

    def first(self, names: Iterable[str]) -> str | None:
        """The first of these that says anything; None if none does."""
        for name in names:
            if (found := self.text(name)) is not None:
                return found
        return None

    def seconds(self, *names: str) -> float | None:
        """Unix seconds of the first of these attributes that is there, `time` without any. Raises Rejected."""
        for name in names or ("time",):
            raw = self._fields.get(name)
            value = None if raw is None else _SCALAR.decode(raw)
            if value is not None:
                return event_seconds(value)
        return None

    def member(self, name: str) -> bytes:
        """A member as JSON. Raises Rejected if it is not there."""
        raw = self._fields.get(name)
        if raw is None:
            raise Rejected("payload", f"no {name}")
        return bytes(raw)

    def body(self) -> bytes:
        """The payload; empty if there is none. Raises Rejected, msgspec.MsgspecError."""
        raw = self._fields.get("data")
        if raw is not None:
            return bytes(raw)
        raw = self._fields.get("data_base64")
        if raw is None:
            return b""
        try:
            return b64decode(_BASE64.decode(raw), validate=True)
        except (binascii.Error, ValueError) as error:
            raise Rejected("payload", f"a payload that is no base64: {error}") from error

    def _header(self, name: str) -> str | None:
        if self._headers is None:
            raw = self._fields.get("headers")
            found = {} if raw is None else _HEADERS.decode(raw)
            self._headers = {_plain(key): _first(value) for key, value in found.items()}
        return self._headers.get(name) or None

    def _metadata(self, header: str) -> str | None:
        """KServe writes the logged headers as a JSON text: {"X-Request-Id": ["r-1"]}."""
        raw = self._fields.get("metadata")
        if raw is None:
            return None
        text = _SCALAR.decode(raw) if bytes(raw)[:1] == b'"' else None
        found = _HEADERS.decode(raw if text is None else str(text))
        return next((_first(value) or None for name, value in found.items() if name.lower() == header.lower()), None)


def event_seconds(value: str | float) -> float:
    """Unix seconds of a time in RFC 3339 (UTC without a zone), or in seconds, ms, us or ns by size. Raises Rejected.

    >>> event_seconds("1970-01-01T00:01:00.5Z"), event_seconds(60), event_seconds(1793527200123)
    (60.5, 60.0, 1793527200.123)
    """
    if not isinstance(value, str):
        return next((value / unit for limit, unit in _UNITS if value < limit), value / 1e9)
    try:
        when = datetime.fromisoformat(value)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise Rejected("timestamp", f"{value[:80]!r} is no RFC 3339 time") from error


def _plain(name: str) -> str:
    lower = name.lower()
    return lower[3:] if lower.startswith(_PREFIXES) else lower


def _first(value: str | list[str]) -> str:
    return value if isinstance(value, str) else (value[0] if value else "")


def _is_json(body: bytes) -> bool:
    try:
        _RAW.decode(body)
        body.decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return False
    return True
