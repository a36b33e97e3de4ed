"""Native JSON lines: one object per line, predictions and labels mixed in any order.

    {"id": "r-1", "ts": "2026-11-01T10:00:00Z", "model": "churn", "version": "v2", "features": {"age": 41},
     "score": 0.7, "prediction": 1, "latency_ms": 12.5}
    {"kind": "label", "id": "r-1", "ts": 1793527260, "label": 1}
    {"kind": "label", "id": "r-1", "event": "purchase", "value": 59.9}
    {"id": "r-2", "ts": 1793527200, "model": "feed", "version": "v1", "user": "u-7", "items": ["a", "b", "c"]}
    {"kind": "label", "id": "r-2", "model": "feed", "label": {"b": 2, "c": 1}}
    {"kind": "client", "ts": 1793527200, "dropped": {"queue_full": 12}}

Guarantee: every line gives one record or one reject with a reason of `REASONS`; blank lines give nothing;
no line can harm another. Unknown keys are ignored. `request_id` and `timestamp` are read as `id` and `ts`.
`ts`: RFC 3339, or a number of seconds, milliseconds, microseconds or nanoseconds told apart by size; without
a zone it is UTC; without `ts` it is the time of arrival. `status` other than 200 makes the request an error.
What a prediction must hold depends on the task of its model: a class or a score, class probabilities in `scores`, a
number, or a ranking in `items`, whose label are the right items or their grades. `user` is hashed right here.
A `client` line gives no record: it says how many records `mlcanary.client` dropped since its last one, by reason.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median_low
from typing import Annotated, Any, Literal

import msgspec

from mlcanary.catalog import CLIENT_DROP_REASONS, OTHER, UNKNOWN, Task
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, ModelKey, Prediction, Record, Reject, canonical_class, canonical_relevance

REASONS = ("json", "utf8", "type", "no_id", "timestamp", "score", "label", "empty")
_FUTURE_SLACK = 3600.0
_EXCERPT = 160
_OK = 200
_LARGEST = 1e15
_LONGEST_NAME = 128
_LONGEST_RELEVANCE = 4096
_MOST_DROPPED = 10**12


class _Line(msgspec.Struct, gc=False):
    """The keys that mean something; types are checked while decoding."""

    kind: Literal["prediction", "label", "client"] = "prediction"
    id: str | int | None = None
    request_id: str | int | None = None
    ts: str | float | None = None
    timestamp: str | float | None = None
    model: str | None = None
    version: str | int | float | None = None
    features: dict[str, Any] = {}
    prediction: str | float | bool | None = None
    score: float | None = None
    scores: dict[str, float] | None = None
    items: list[str | int] | None = None
    user: str | int | None = None
    user_id: str | int | None = None
    latency_ms: float | None = None
    queue_ms: float | None = None
    status: str | int | None = None
    label: str | float | bool | list[str | int] | dict[str, float] | None = None
    event: str | None = None
    value: float | None = None
    dropped: dict[str, Annotated[int, msgspec.Meta(ge=0, le=_MOST_DROPPED)]] = {}


_DECODER = msgspec.json.Decoder(_Line)


@dataclass
class Decoded:
    """What a block of lines gave. `lines` counts every line, blank and broken ones included."""

    records: list[Record] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    lines: int = 0
    times: list[float] = field(default_factory=list)
    client_dropped: Counter[str] = field(default_factory=Counter)

    def reached(self, now: float) -> float:
        """How far in event time these lines are, -inf if they do not tell: the median of their own times.

        Not the newest: one clock that runs ahead, or one line without a time, must not end the wait of all others.
        """
        return min(now, median_low(self.times)) if self.times else -math.inf


class NativeFormat:
    """Decoder of native lines. `plan_of` gives the settings of a model; `model` and `version` fill gaps."""

    def __init__(self, plan_of: Callable[[str], ModelPlan], *, model: str = "default", version: str = UNKNOWN) -> None:
        self._plan_of = plan_of
        self._model = model
        self._version = version
        self._keys: dict[tuple[str | None, str | int | float | None], ModelKey] = {}

    def decode_block(self, block: bytes, now: float) -> Decoded:
        """Decode complete lines. `now`, Unix seconds: arrival time, and what bounds a time in the future."""
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        out = Decoded(lines=len(lines))
        decoded_lines: Sequence[_Line | None] = [None] * len(lines)
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
                if fields.kind == "client":
                    out.client_dropped.update(client_drops(fields.dropped))
                    continue
                record = self._record(fields, now)
                out.records.append(record)
                if fields.ts is not None or fields.timestamp is not None:
                    out.times.append(record.ts)
            except _Rejected as error:
                out.rejects.append(Reject(error.reason, str(error), _excerpt(line)))
            except msgspec.ValidationError as error:
                out.rejects.append(Reject("type", str(error), _excerpt(line)))
            except (msgspec.DecodeError, RecursionError) as error:
                out.rejects.append(Reject("json", str(error), _excerpt(line)))
            except UnicodeDecodeError as error:
                out.rejects.append(Reject("utf8", str(error.reason), _excerpt(line)))
        return out

    def _record(self, line: _Line, now: float) -> Record:
        raw_id = line.id if line.id is not None else line.request_id
        row_id = None if raw_id is None else str(raw_id)
        raw_ts = line.ts if line.ts is not None else line.timestamp
        ts = now if raw_ts is None else _seconds(raw_ts)
        if ts > now + _FUTURE_SLACK:
            raise _Rejected("timestamp", f"{raw_ts!r} lies more than an hour in the future")
        label = _label(line.label)
        if line.kind == "label":
            if row_id is None:
                raise _Rejected("no_id", "a label needs the id of its prediction")
            if label is None and line.event is None:
                raise _Rejected("label", "a label line needs `label` or `event`")
            value = None if line.value is None else _addable("value", line.value)
            model = _name("model", line.model)
            if label is not None and model is not None:  # else nobody knows yet whose label it is
                _check_label(self._plan_of(model), label, line.label)
            return Label(row_id, ts, model, label, _name("event", line.event), value)
        return self._prediction(line, row_id, ts, label)

    def _prediction(self, line: _Line, row_id: str | None, ts: float, label: str | None) -> Prediction:
        key = self._key(_name("model", line.model), line.version)
        error = None if line.status is None or str(line.status) == str(_OK) else _name("status", str(line.status))
        latency, queue = _duration("latency_ms", line.latency_ms), _duration("queue_ms", line.queue_ms)
        plan = self._plan_of(key.model)
        user = _user(line.user if line.user is not None else line.user_id, plan.user_salt)
        if error is not None:
            return Prediction(key, ts, row_id, line.features, None, None, latency, error, label, user=user, queue=queue)
        if label is not None:
            _check_label(plan, label, line.label)
        predicted, score, items = _answer(line, plan)
        if predicted is None and items is None and not line.features:
            raise _Rejected("empty", f"a prediction needs {_NEEDED[plan.task]}")
        return Prediction(
            key,
            ts,
            row_id,
            line.features,
            predicted,
            score,
            latency,
            None,
            label,
            _probabilities(line, plan),
            items,
            user,
            queue,
        )

    def _key(self, model: str | None, version: str | int | float | None) -> ModelKey:
        """One object per key, so that millions of records share it."""
        found = self._keys.get((model, version))
        if found is None:
            name = self._version if version is None else (_name("version", canonical_class(version)) or UNKNOWN)
            found = ModelKey(model or self._model, name or UNKNOWN)
            if len(self._keys) < _KEY_CACHE:
                self._keys[model, version] = found
        return found


_KEY_CACHE = 10_000


def client_drops(dropped: Mapping[str, int]) -> Counter[str]:
    """What a client dropped, under the reasons of the catalogue: any other one is `other`."""
    found: Counter[str] = Counter()
    for reason, count in dropped.items():
        found[reason if reason in CLIENT_DROP_REASONS else OTHER] += count
    return found


def _one_object_per_line(block: bytes, lines: int) -> bool:
    """Whether every line begins with `{` and ends with `}`, which decoding many lines at once does not demand.

    An object that ends inside its line cannot go on in the next one: there would have to stand `,` or `}`.
    """
    ends = block.count(b"}\n") + block.count(b"}\r\n") + block.endswith(b"}")
    return block.startswith(b"{") and block.count(b"\n{") == lines - 1 and ends == lines


_NEEDED = {
    Task.BINARY: "`prediction`, `score` or `features`",
    Task.MULTICLASS: "`prediction`, `scores` or `features`",
    Task.REGRESSION: "`prediction` or `features`",
    Task.RANKING: "`items` or `features`",
}


def _answer(line: _Line, plan: ModelPlan) -> tuple[str | None, float | None, tuple[str, ...] | None]:
    """The class or number, the score, and the ranking of an answered request. Raises _Rejected."""
    if plan.task is Task.RANKING:
        return None, None, None if line.items is None else _ranking(line.items[: plan.kept_items])
    predicted = _name("prediction", canonical_class(line.prediction))
    if plan.task is Task.REGRESSION:
        if predicted is not None:
            _number("prediction", line.prediction)
        return predicted, None, None
    score = line.score
    if plan.task is Task.MULTICLASS:
        if predicted is None and line.scores:
            predicted = _name("prediction", max(line.scores, key=lambda name: line.scores[name]))  # type: ignore[index]
    else:
        if score is None and line.scores:
            score = next((p for name, p in line.scores.items() if plan.is_positive(name)), None)
        if predicted is None and score is not None:
            predicted = plan.class_of_score(score)
    if score is not None and not 0.0 <= score <= 1.0:
        raise _Rejected("score", f"score {score} lies outside 0..1")
    return predicted, score, None


def _ranking(items: Sequence[str | int]) -> tuple[str, ...]:
    """Items in the spelling that labels use. Raises _Rejected: the join holds them until the label comes."""
    names = tuple(map(str, items))
    if names and max(map(len, names)) > _LONGEST_NAME:
        raise _Rejected("type", f"an item is longer than {_LONGEST_NAME} characters")
    return names


def _probabilities(line: _Line, plan: ModelPlan) -> dict[str, float] | None:
    """Class probabilities of a multiclass model. Raises _Rejected."""
    if plan.task is not Task.MULTICLASS or not line.scores:
        return None
    for name, p in line.scores.items():
        if not 0.0 <= p <= 1.0:
            raise _Rejected("score", f"score {p} of class {name[:_LONGEST_NAME]!r} lies outside 0..1")
        _name("a class in scores", name)
    return line.scores


def _label(value: object) -> str | None:
    """A class as it becomes a label value, or the relevance of a ranking. Raises _Rejected."""
    if isinstance(value, list | dict):
        relevance = canonical_relevance(value)
        if relevance is None or len(relevance) > _LONGEST_RELEVANCE:
            raise _Rejected("label", f"right items: a list, or grades of 0 and more, {_LONGEST_RELEVANCE} characters")
        return relevance
    return _name("label", canonical_class(value))


def _check_label(plan: ModelPlan, label: str, raw: object) -> None:
    """A label that its task cannot use is broken input, not a wrong prediction. Raises _Rejected."""
    if plan.task is Task.RANKING and not isinstance(raw, list | dict):
        raise _Rejected("label", f"{label!r}: a ranking needs a list of the right items, or an object of their grades")
    if plan.task is not Task.RANKING and isinstance(raw, list | dict):
        raise _Rejected("label", f"a list or an object is no label of a {plan.task} model")
    if plan.task is Task.REGRESSION:
        _number("label", raw)


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Rejected("type", f"{name} {value!r} is no number, and the task is regression")
    _addable(name, value)


def _duration(name: str, milliseconds: float | None) -> float | None:
    """Seconds, at least 0: clocks step back; a sum of latencies must not."""
    return None if milliseconds is None else max(0.0, _addable(name, milliseconds) / 1000.0)


def _user(user: str | int | None, salt: bytes) -> int | None:
    """64 bits that stand for a user and cannot be turned back without the salt; none for an empty name."""
    if user is None or user == "":
        return None
    return int.from_bytes(hashlib.blake2b(str(user).encode(), digest_size=8, key=salt[:64]).digest(), "little")


class _Rejected(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _seconds(value: str | float) -> float:
    """Unix seconds of an event time.

    >>> _seconds("1970-01-01T00:01:00Z"), _seconds("1970-01-01T00:01:00"), _seconds(1793527200123)
    (60.0, 60.0, 1793527200.123)
    """
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value)
        except ValueError as error:
            raise _Rejected("timestamp", f"{value!r} is no RFC 3339 time") from error
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)):
        if value < limit:
            return value / unit
    return value / 1e9


def _name(field_name: str, text: str | None) -> str | None:
    """A text that becomes a label value: a long one is a payload in the wrong key, and every page would carry it."""
    if text is not None and len(text) > _LONGEST_NAME:
        raise _Rejected("type", f"{field_name} is longer than {_LONGEST_NAME} characters")
    return text


def _addable(name: str, number: float) -> float:
    """A number that goes into a sum: one absurd one would drown all others until the next restart."""
    if abs(number) > _LARGEST:
        raise _Rejected("type", f"{name} {number} lies outside ±{_LARGEST:g}")
    return number


def _excerpt(line: bytes) -> str:
    return line[:_EXCERPT].decode("utf-8", "replace")
