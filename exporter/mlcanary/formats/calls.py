"""Calls: a request and its response, logged apart, as one row per row of the batch once both are there.

Guarantee: a batch of n rows gives `<id>/<row>` from 0, a single row `<id>`; request and response must agree on n, else
`Rejected("payload")`. What only one of them says (the model, its version) is taken from whichever says it. One event
that cannot be used takes no other of its line with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.formats.contract import UNUSABLE, FormatOptions, reject_of
from mlcanary.formats.envelope import events_of
from mlcanary.formats.pairing import PAIRING_REASONS, Half, Pairing, PairLimits, Side
from mlcanary.formats.payloads import PayloadPlan, answers_of, features_of
from mlcanary.formats.rows import Rejected, Row
from mlcanary.records import Reject

_NO_VERSION = ("", "None", "null")
_FACTS = ("id", "model", "model_else", "version", "version_else")
_JSON = msgspec.json.Decoder()


class CallMapping(Schema, frozen=True):
    """The `mapping` of a source whose format pairs requests with responses.

    `id`, `model`, `version`: the attribute or header that holds them; `metadata.<header>` is one that KServe logs,
    `body` the payload's own. `components`: KServe's parts whose calls are counted. The rest: see `PayloadPlan` and
    `PairLimits`.
    """

    id: str | None = None
    model: str | None = None
    version: str | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    score: str | None = None
    prediction: str | None = None
    output: Literal["auto", "score", "prediction"] = "auto"
    components: tuple[str, ...] = ("predictor",)
    pairs: PairLimits = PairLimits()

    @property
    def payload(self) -> PayloadPlan:
        """How bodies are read."""
        return PayloadPlan(self.feature_names, self.class_names, self.score, self.prediction, self.output)


def call_mapping(options: FormatOptions) -> CallMapping:
    """The checked mapping of a source. Raises ValueError with the key and what is allowed."""
    try:
        return msgspec.convert(dict(options.mapping or {}), CallMapping, dec_hook=_duration)
    except msgspec.ValidationError as error:
        allowed = ", ".join(CallMapping.__struct_fields__)
        raise ValueError(f"{error}; keys of a {options.name} mapping: {allowed}") from error


def _duration(kind: type, value: object) -> object:
    return Seconds.parse(value) if kind is Seconds else value


class Call(msgspec.Struct, frozen=True):
    """What is known of one call beside its bodies. None: the bodies may say it; the `_else` are for where they do not.

    `ts`: Unix seconds of the request.
    """

    ts: float | None
    id: str | None = None
    model: str | None = None
    model_else: str | None = None
    version: str | None = None
    version_else: str | None = None
    latency_ms: float | None = None


class PairedFormat(ABC):
    """A `RowFormat` of events that are halves of calls; `_of_event` says what an event is."""

    reasons: tuple[str, ...] = (*PAIRING_REASONS, "payload")

    def __init__(self, options: FormatOptions) -> None:
        """Raises ValueError for a mapping that cannot be used."""
        self._mapping = call_mapping(options)
        self._options = options
        self._plan = self._mapping.payload
        self._pairing = Pairing(self._mapping.pairs)
        self._dropped: list[Reject] = []
        self._source, self._model = "", options.model_of("")

    def rows(self, line: bytes, source: str, now: float) -> Iterator[Row]:
        """Those that the events of this line complete. Raises what `contract.UNUSABLE` holds."""
        if source != self._source:
            self._source, self._model = source, self._options.model_of(source)
        for event in events_of(line):
            try:
                yield from self._of_event(event, now)
            except UNUSABLE as error:
                self._dropped.append(reject_of(error, event))

    def take_dropped(self) -> list[Reject]:
        """Events that cannot be used, and halves that waited too long."""
        dropped, self._dropped = self._dropped, []
        return [*dropped, *self._pairing.take_dropped()]

    def take_times(self) -> list[float]:
        """See `contract.Waits`."""
        return self._pairing.take_times()

    def dump(self) -> Any:
        """Halves that wait."""
        return self._pairing.dump()

    def load(self, state: Any) -> None:
        """Halves that waited."""
        self._pairing.load(state)

    @abstractmethod
    def _of_event(self, line: bytes, now: float) -> Iterator[Row]:
        """The rows that one event completes. Raises what `contract.UNUSABLE` holds."""

    def _paired(self, key: str, side: Side, half: Half, now: float) -> Iterator[Row]:
        """The rows of a call that this half completes. Facts of the halves: texts of `Call`, and `exact`."""
        pair = self._pairing.put(key, side, half, now)
        if pair is None:
            return
        request, response = pair
        facts = {**response.facts, **request.facts}
        latency = None
        if (
            "exact" in request.facts
            and "exact" in response.facts
            and request.ts is not None
            and response.ts is not None
        ):
            latency = (response.ts - request.ts) * 1000.0
        call = Call(
            request.ts if request.ts is not None else response.ts,
            latency_ms=latency,
            **{name: facts[name] for name in _FACTS if name in facts},
        )
        yield from self._answered(call, request.body, response.body)

    def _answered(self, call: Call, request: bytes, response: bytes) -> Iterator[Row]:
        """One row per row of the batch. Raises Rejected, msgspec.MsgspecError, RecursionError."""
        asked, answered = _JSON.decode(request), _JSON.decode(response)
        model = call.model or said(answered, "model_name") or said(asked, "model_name") or call.model_else
        version = call.version or said(answered, "model_version") or said(asked, "model_version") or call.version_else
        call_id = call.id or said(asked, "id") or said(answered, "id")
        plan = self._plan
        features = features_of(asked, plan)
        answers = answers_of(answered, plan, task=self._options.task_of(model or self._model))
        if len(features) != len(answers):
            raise Rejected("payload", f"a request of {len(features)} rows with a response of {len(answers)}")
        for row_id, row, answer in zip(row_ids(call_id, len(answers)), features, answers, strict=True):
            yield Row(
                id=row_id,
                ts=call.ts,
                model=model,
                version=version,
                features=row,
                prediction=answer.prediction,
                score=answer.score,
                scores=answer.scores,
                items=answer.items,
                latency_ms=call.latency_ms,
            )


def facts_of(**facts: str | None) -> dict[str, str]:
    """Those that are known."""
    return {name: value for name, value in facts.items() if value is not None}


def places(ruled: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    """Where a name is looked for: where the mapping says, else in the usual places; nowhere if the body says it."""
    return () if ruled == "body" else (ruled,) if ruled else usual


def row_ids(call_id: str | None, count: int) -> list[str | None]:
    """The join keys of a batch.

    >>> row_ids("r", 1), row_ids("r", 2), row_ids(None, 1)
    (['r'], ['r/0', 'r/1'], [None])
    """
    if call_id is None or count == 1:
        return [call_id] * count
    return [f"{call_id}/{row}" for row in range(count)]


def said(body: object, key: str) -> str | None:
    """A name that a body says of itself, None if it says none; MLServer writes "None" for a model without version."""
    value = body.get(key) if isinstance(body, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or str(value) in _NO_VERSION:
        return None
    return str(value)
