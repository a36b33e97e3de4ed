"""Frozen values that travel between the floors. Nothing here knows how it was read or where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec


class ModelKey(NamedTuple):
    """What every exported series belongs to."""

    model: str
    version: str


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """One answered (or failed) request.

    `ts` is event time in Unix seconds, `latency` seconds, `score` P(positive) in [0, 1], `error` the reason
    of a failure or None. `predicted` and `label` are canonical class names (see `canonical_class`).
    """

    key: ModelKey
    ts: float
    id: str | None = None
    features: Mapping[str, object] = {}
    predicted: str | None = None
    score: float | None = None
    latency: float | None = None
    error: str | None = None
    label: str | None = None


class Label(msgspec.Struct, frozen=True, gc=False):
    """An outcome that arrived later: the true class, or a business event, with an optional amount."""

    id: str
    ts: float
    model: str | None = None
    label: str | None = None
    event: str | None = None
    value: float | None = None


class Reject(NamedTuple):
    """A line that could not be used: a reason from a small fixed set, what was wrong, and how it began."""

    reason: str
    detail: str
    excerpt: str


Record = Prediction | Label


class Sample(NamedTuple):
    """One exported number. `labels` are values in the catalogue's wire order, `le` last for buckets."""

    name: str
    suffix: str
    labels: tuple[str, ...]
    value: float


def canonical_class(value: object) -> str | None:
    """One spelling per class, so that a label `true`, `1` and `1.0` meet a prediction `"1"`.

    >>> canonical_class(True), canonical_class(1.0), canonical_class("yes"), canonical_class(2.5)
    ('1', '1', 'yes', '2.5')

    Returns None for what cannot be a class (objects, lists, None).
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return None
