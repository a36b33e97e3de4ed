"""CloudEvents: structured, batch, and binary as `envelope_line` writes it; profiles of KServe and Seldon Core 1.

    {"specversion": "1.0", "id": "5f0c", "type": "org.kubeflow.serving.inference.request", "source": "...",
     "time": "2026-11-01T10:00:00.120Z", "inferenceservicename": "churn", "endpoint": "canary", "data": {...}}

Guarantee: request and response meet in any order (`pairing`), a broken event of a batch takes no other with it. An
event is what its `type` says: a half of a call, a feedback with labels, or else a record of the native format as its
data, whose `id` and `ts` the envelope fills.
KServe: paired by `id`, version from `endpoint` where the body has no `model_version`; also the objects of its blob
store. Seldon Core 1: paired by `requestid`, since every event has an `id` of its own; version from `endpoint`. Latency
is the difference of both times where they are those of the call and not of the sending: `recordedtime` is there (KServe
0.18), or the object comes from the blob store.
Source: CloudEvents 1.0.2; KServe pkg/logger; Seldon Core executor/logger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from mlcanary.formats.calls import PairedFormat, facts_of, places, row_ids, said
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.envelope import Event
from mlcanary.formats.pairing import Half, Side
from mlcanary.formats.payloads import truths_of
from mlcanary.formats.rows import Rejected, Row

_JSON = msgspec.json.Decoder()
_NATIVE = msgspec.json.Decoder(Row)


@dataclass(frozen=True)
class Profile:
    """How one writer names things. `kinds`: types of requests and responses; `key`: what both halves share."""

    kinds: dict[str, Side]
    key: tuple[str, ...]
    model: tuple[str, ...]
    feedback: str = ""
    exact_times: bool = False
    parts: tuple[str, ...] = ()
    """What tells halves of one call apart that went through several parts of a graph."""


KSERVE = Profile(
    kinds={
        "org.kubeflow.serving.inference.request": Side.REQUEST,
        "org.kubeflow.serving.inference.response": Side.RESPONSE,
    },
    key=("id",),
    model=("inferenceservicename",),
    exact_times=True,
    parts=("component", "inferenceservicename", "endpoint"),
)
SELDON = Profile(
    kinds={
        "io.seldon.serving.inference.request": Side.REQUEST,
        "io.seldon.serving.inference.response": Side.RESPONSE,
    },
    key=("requestid",),
    model=("modelid", "inferenceservicename"),
    feedback="io.seldon.serving.feedback",
    parts=("modelid", "endpoint"),
)
PROFILES = {"cloudevents": (KSERVE, SELDON), "kserve": (KSERVE,), "seldon1": (SELDON,)}


class CloudEventsFormat(PairedFormat):
    """Events to rows; the name of the format says which profiles are known."""

    def __init__(self, options: FormatOptions) -> None:
        """Raises ValueError for a mapping that cannot be used."""
        super().__init__(options)
        self._native = options.name == "cloudevents"
        self._profiles = {
            kind: profile for profile in PROFILES[options.name] for kind in (*profile.kinds, profile.feedback) if kind
        }

    def _of_event(self, line: bytes, now: float) -> Iterator[Row]:
        event = Event.read(line)
        kind = event.text("type")
        profile = self._profiles.get(kind or "")
        if profile is None or kind is None:
            if not self._native:
                raise Rejected("payload", f"type {kind!r:.80}; known: {', '.join(self._profiles)}")
            yield _native(event)
        elif kind == profile.feedback:
            yield from self._feedback(event)
        elif self._counts(event):
            yield from self._half(event, profile, profile.kinds[kind], now)

    def _counts(self, event: Event) -> bool:
        """KServe's transformer and explainer log the same call once more."""
        component = event.text("component")
        return component is None or component in self._mapping.components

    def _half(self, event: Event, profile: Profile, side: Side, now: float) -> Iterator[Row]:
        key = event.first(profile.key)
        if key is None:
            raise Rejected("no_id", f"an event without {profile.key[0]}, by which its other half is found")
        exact = profile.exact_times and (event.stored or "recordedtime" in event.names)
        mapping = self._mapping
        facts = facts_of(
            id=key if mapping.id is None else event.first(places(mapping.id, ())),
            model=event.first(places(mapping.model, profile.model)),
            version=None if mapping.version is None else event.first(places(mapping.version, ())),
            version_else=None if mapping.version else event.text("endpoint"),
            exact="1" if exact else None,
        )
        parts = [event.text(name) or "" for name in profile.parts]
        half = Half(event.body(), event.seconds(), facts)
        yield from self._paired("\n".join((key, *parts)), side, half, now)

    def _feedback(self, event: Event) -> Iterator[Row]:
        """Labels of a truth, and the reward as an event with a value. Raises Rejected."""
        body = _JSON.decode(event.body())
        if not isinstance(body, Mapping):
            raise Rejected("payload", "a feedback that is no object")
        response = body.get("response")
        key = said(response.get("meta"), "puid") if isinstance(response, Mapping) else None
        key = key or event.text("requestid")
        model, ts = event.first(places(self._mapping.model, SELDON.model)), event.seconds()
        truth, reward = body.get("truth"), body.get("reward")
        truths = [] if truth is None else truths_of(truth, self._mapping.class_names)
        ids = row_ids(key, max(1, len(truths)))
        for row_id, label in zip(ids, truths, strict=False):
            yield Row(kind="label", id=row_id, ts=ts, model=model, label=label)
        if isinstance(reward, int | float) and not (truths and reward == 0):
            yield Row(kind="label", id=ids[0], ts=ts, model=model, event="reward", value=float(reward))
        elif not truths:
            raise Rejected("label", "a feedback without truth or reward")


def _native(event: Event) -> Row:
    """A record of the native format as an event's data."""
    row = _NATIVE.decode(event.body())
    if row.kind == "prediction" and row.id is None and row.request_id is None:
        row.id = event.text("id")
    if row.ts is None and row.timestamp is None:
        row.ts = event.seconds()
    return row
