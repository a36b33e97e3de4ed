"""Rows: what every format makes of its lines, and what a row must hold to become a record.

Guarantee: a row gives one record or raises `Rejected` with a reason of `REASONS`; no row can harm another. All formats
meet here, so the same traffic gives the same counts whatever wrote it. A version is taken from the row itself (its
field or header), else from the path, else it is the configured one: in that order of trust.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import compress
from typing import Any, Literal

import msgspec
import numpy as np

from mlcanary.catalog import UNKNOWN, Task
from mlcanary.columns import Mask, Users
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, ModelKey, Prediction, Record, canonical_class, canonical_relevance

REASONS = ("json", "utf8", "type", "no_id", "timestamp", "score", "label", "empty")
"""Why a line or a row cannot be used, in any format; a format may have reasons of its own."""

FUTURE_SLACK = 3600.0
_OK = 200
LARGEST = 1e15
LONGEST_NAME = 128
_LONGEST_RELEVANCE = 4096
_KEY_CACHE = 10_000
_LEAST_WEIGHT = 1.0


class Rejected(Exception):
    """A line or row that cannot be used. `reason` is a short fixed word, the message says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Row(msgspec.Struct, gc=False):
    """One prediction or label under the keys of the native format; types are checked while decoding."""

    kind: Literal["prediction", "label"] = "prediction"
    id: str | int | None = None
    request_id: str | int | None = None
    ts: str | float | None = None
    timestamp: str | float | None = None
    model: str | None = None
    version: str | int | float | None = None
    features: dict[str, Any] | None = {}
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
    weight: float | None = None


class RowReader:
    """Rows to records. `plan_of` gives the settings of a model; `model` and `version` fill gaps.

    `path`: where it matches a log's path, its groups `model` and `version` fill gaps before those do.
    """

    def __init__(
        self,
        plan_of: Callable[[str], ModelPlan],
        *,
        model: str = "default",
        version: str = UNKNOWN,
        path: re.Pattern[str] | None = None,
    ) -> None:
        self.plan_of = plan_of
        self._fixed = (model, version)
        self._path = path
        self._source: str | None = None
        self._model, self._version = model, version
        self._keys: dict[tuple[str | None, str | int | float | None], ModelKey] = {}

    def enter(self, source: str) -> None:
        """The rows from here on come from this log."""
        if self._path is None or source == self._source:
            return
        self._source = source
        found = self._path.search(source)
        groups = found.groupdict() if found is not None else {}
        names = (groups.get("model") or self._fixed[0], groups.get("version") or self._fixed[1])
        if names != (self._model, self._version):
            self._model, self._version = names
            self._keys.clear()

    def record(self, line: Row, now: float) -> Record:
        """The record of a row; raises Rejected. `now`, Unix seconds: time of arrival, and what bounds later ones."""
        raw_id = line.id if line.id is not None else line.request_id
        row_id = None if raw_id is None else str(raw_id)
        raw_ts = line.ts if line.ts is not None else line.timestamp
        ts = now if raw_ts is None else seconds(raw_ts)
        if ts > now + FUTURE_SLACK:
            raise Rejected("timestamp", f"{raw_ts!r} lies more than an hour in the future")
        weight = _weight(line.weight)
        label = _label(line.label)
        if line.kind == "label":
            if row_id is None:
                raise Rejected("no_id", "a label needs the id of its prediction")
            if label is None and line.event is None:
                raise Rejected("label", "a label line needs `label` or `event`")
            value = None if line.value is None else _addable("value", line.value)
            model = _name("model", line.model)
            if label is not None and model is not None:  # else nobody knows yet whose label it is
                _check_label(self.plan_of(model), label, line.label)
            return Label(row_id, ts, model, label, _name("event", line.event), value, weight)
        return self._prediction(line, row_id, ts, label, 1.0 if weight is None else weight)

    def _prediction(self, line: Row, row_id: str | None, ts: float, label: str | None, weight: float) -> Prediction:
        key = self.key(_name("model", line.model), line.version)
        error = None if line.status is None or str(line.status) == str(_OK) else _name("status", str(line.status))
        latency, queue = _duration("latency_ms", line.latency_ms), _duration("queue_ms", line.queue_ms)
        plan = self.plan_of(key.model)
        features = {} if line.features is None else line.features
        user = user_hash(line.user if line.user is not None else line.user_id, plan.user_salt)
        if error is not None:
            return Prediction(
                key,
                ts,
                row_id,
                features,
                None,
                None,
                latency,
                error,
                label,
                user=user,
                queue=queue,
                weight=weight,
            )
        if label is not None:
            _check_label(plan, label, line.label)
        predicted, score, items = _answer(line, plan)
        if predicted is None and items is None and not features:
            raise Rejected("empty", f"a prediction needs {_NEEDED[plan.task]}")
        return Prediction(
            key,
            ts,
            row_id,
            features,
            predicted,
            score,
            latency,
            None,
            label,
            _probabilities(line, plan),
            items,
            user,
            queue,
            weight,
        )

    def key(self, model: str | None, version: str | int | float | None) -> ModelKey:
        """One object per key, so that millions of records share it."""
        found = self._keys.get((model, version))
        if found is None:
            name = self._version if version is None else (_name("version", canonical_class(version)) or UNKNOWN)
            found = ModelKey(model or self._model, name or UNKNOWN)
            if len(self._keys) < _KEY_CACHE:
                self._keys[model, version] = found
        return found


_NEEDED = {
    Task.BINARY: "`prediction`, `score` or `features`",
    Task.MULTICLASS: "`prediction`, `scores` or `features`",
    Task.REGRESSION: "`prediction` or `features`",
    Task.RANKING: "`items` or `features`",
}


def _answer(line: Row, plan: ModelPlan) -> tuple[str | None, float | None, tuple[str, ...] | None]:
    """The class or number, the score, and the ranking of an answered request. Raises Rejected."""
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
        raise Rejected("score", f"score {score} lies outside 0..1")
    return predicted, score, None


def _ranking(items: Sequence[str | int]) -> tuple[str, ...]:
    """Items in the spelling that labels use. Raises Rejected: the join holds them until the label comes."""
    names = tuple(map(str, items))
    if names and max(map(len, names)) > LONGEST_NAME:
        raise Rejected("type", f"an item is longer than {LONGEST_NAME} characters")
    return names


def _probabilities(line: Row, plan: ModelPlan) -> dict[str, float] | None:
    """Class probabilities of a multiclass model. Raises Rejected."""
    if plan.task is not Task.MULTICLASS or not line.scores:
        return None
    for name, p in line.scores.items():
        if not 0.0 <= p <= 1.0:
            raise Rejected("score", f"score {p} of class {name[:LONGEST_NAME]!r} lies outside 0..1")
        _name("a class in scores", name)
    return line.scores


def _label(value: object) -> str | None:
    """A class as it becomes a label value, or the relevance of a ranking. Raises Rejected."""
    if isinstance(value, list | dict):
        relevance = canonical_relevance(value)
        if relevance is None or len(relevance) > _LONGEST_RELEVANCE:
            raise Rejected("label", f"right items: a list, or grades of 0 and more, {_LONGEST_RELEVANCE} characters")
        return relevance
    return _name("label", canonical_class(value))


def _check_label(plan: ModelPlan, label: str, raw: object) -> None:
    """A label that its task cannot use is broken input, not a wrong prediction. Raises Rejected."""
    if plan.task is Task.RANKING and not isinstance(raw, list | dict):
        raise Rejected("label", f"{label!r}: a ranking needs a list of the right items, or an object of their grades")
    if plan.task is not Task.RANKING and isinstance(raw, list | dict):
        raise Rejected("label", f"a list or an object is no label of a {plan.task} model")
    if plan.task is Task.REGRESSION:
        _number("label", raw)


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected("type", f"{name} {value!r} is no number, and the task is regression")
    _addable(name, value)


def _weight(weight: float | None) -> float | None:
    """Requests that a row stands for: the inverse of the share that its log keeps. Raises Rejected."""
    if weight is not None and not _LEAST_WEIGHT <= weight <= LARGEST:
        raise Rejected("type", f"weight {weight} lies outside {_LEAST_WEIGHT:g}..{LARGEST:g}")
    return weight


def _duration(name: str, milliseconds: float | None) -> float | None:
    """Seconds, at least 0: clocks step back; a sum of latencies must not."""
    return None if milliseconds is None else max(0.0, _addable(name, milliseconds) / 1000.0)


def user_hash(user: str | int | None, salt: bytes) -> int | None:
    """64 bits that stand for a user and cannot be turned back without the salt; none for an empty name."""
    hashes, has_user = user_hashes([user], salt)
    return int(hashes[0]) if has_user[0] else None


def user_hashes(users: Sequence[str | int | None], salt: bytes) -> tuple[Users, Mask]:
    """The same of many: hashes, 0 where there is none, and which there are."""
    key, hashed = salt[:64], hashlib.blake2b
    has_user = np.fromiter((user is not None and user != "" for user in users), dtype=np.bool_, count=len(users))
    found = np.zeros(len(users), dtype=np.uint64)
    named = users if has_user.all() else list(compress(users, has_user.tolist()))
    digests = b"".join([hashed(str(user).encode(), digest_size=8, key=key).digest() for user in named])
    found[has_user] = np.frombuffer(digests, dtype="<u8")
    return found, has_user


def seconds(value: str | float) -> float:
    """Unix seconds of an event time.

    >>> seconds("1970-01-01T00:01:00Z"), seconds("1970-01-01T00:01:00"), seconds(1793527200123)
    (60.0, 60.0, 1793527200.123)
    """
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value)
        except ValueError as error:
            raise Rejected("timestamp", f"{value!r} is no RFC 3339 time") from error
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)):
        if value < limit:
            return value / unit
    return value / 1e9


def _name(field_name: str, text: str | None) -> str | None:
    """A text that becomes a label value: a long one is a payload in the wrong key, and every page would carry it."""
    if text is not None and len(text) > LONGEST_NAME:
        raise Rejected("type", f"{field_name} is longer than {LONGEST_NAME} characters")
    return text


def _addable(name: str, number: float) -> float:
    """A number that goes into a sum: one absurd one would drown all others until the next restart."""
    if abs(number) > LARGEST:
        raise Rejected("type", f"{name} {number} lies outside ±{LARGEST:g}")
    return number
