"""Open Inference Protocol 2 bodies: as they are, in an envelope, or as MLServer's Kafka records.

    {"id": "r-1", "inputs": [{"name": "age", "shape": [1], "datatype": "FP64", "data": [41]}]}
    {"id": "r-1", "model_name": "churn", "model_version": "v2", "outputs": [{"name": "predict_proba", ...}]}
    {"key": "r-1", "time": 1793527200.1, "headers": {"mlserver-version": "v2"}, "data": {...}}
    {"ts": 1793527200.1, "latency_ms": 12, "request": {...}, "response": {...}}

Guarantee: request and response meet in any order (`pairing`); what holds `inputs` is a request, though
it may ask for certain `outputs`. The key of a record
wins over the header `requestid` and the body's `id`. A line may also hold both halves, under `request` and `response`,
with `id`, `ts`, `model`, `version` and `latency_ms` beside them.
Source: Open Inference Protocol 2; MLServer mlserver/kafka.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mlcanary.formats.calls import Call, PairedFormat, facts_of, places
from mlcanary.formats.envelope import Event
from mlcanary.formats.pairing import Half, Side
from mlcanary.formats.rows import Rejected, Row

_IDS = ("key", "requestid", "id", "x-request-id")
_MODELS = ("mlserver-model", "modelid", "model")
_VERSIONS = ("mlserver-version", "modelversion", "version")
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ID = msgspec.json.Decoder(str | int | None)


class InferenceProtocolFormat(PairedFormat):
    """Bodies of the protocol to rows."""

    def _of_event(self, line: bytes, now: float) -> Iterator[Row]:
        event = Event.read(line)
        names = set(event.names)
        if {"request", "response"} <= names:
            yield from self._both(event)
            return
        body = event.body() if {"data", "data_base64"} & names else line
        fields = _KEYS.decode(body)
        if not {"inputs", "outputs"} & fields.keys():
            raise Rejected("payload", "neither inputs nor outputs")
        key = event.first(_IDS) or _body_id(fields)
        if key is None:
            raise Rejected("no_id", "a record without key and id, by which its other half is found")
        half = Half(body, event.seconds(), self._facts(event, key))
        yield from self._paired(key, Side.REQUEST if "inputs" in fields else Side.RESPONSE, half, now)

    def _both(self, event: Event) -> Iterator[Row]:
        """A line that somebody's own logging wrote."""
        latency = event.text("latency_ms")
        try:
            latency_ms = None if latency is None else float(latency)
        except ValueError as error:
            raise Rejected("type", f"latency_ms {latency!r:.80} is no number") from error
        call = Call(event.seconds("ts", "time"), latency_ms=latency_ms, **self._facts(event, event.first(_IDS)))
        yield from self._answered(call, event.member("request"), event.member("response"))

    def _facts(self, event: Event, key: str | None) -> dict[str, str]:
        mapping = self._mapping
        return facts_of(
            id=key if mapping.id is None else event.first(places(mapping.id, ())),
            model=event.first(places(mapping.model, ())),
            version=event.first(places(mapping.version, ())),
            model_else=None if mapping.model else event.first(_MODELS),
            version_else=None if mapping.version else event.first(_VERSIONS),
        )


def _body_id(fields: dict[str, msgspec.Raw]) -> str | None:
    found = _ID.decode(fields["id"]) if "id" in fields else None
    return None if found is None or found == "" else str(found)
