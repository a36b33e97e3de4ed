"""Frozen values that travel between the floors. Nothing here knows how it was read or where it goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec


class ModelKey(NamedTuple):
    """What every exported series belongs to."""

    model: str
    version: str


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """One answered (or failed) request.

    `ts` is event time in Unix seconds, `latency` and `queue` (the part of it spent waiting) seconds, `score`
    P(positive) in [0, 1], `scores` the probability of each class of a multiclass model, `items` what a ranking model
    put in which order, `error` the reason of a failure or None. `predicted` and `label` are canonical class names
    (see `canonical_class`), numbers in canonical spelling for a regression model; `label` of a ranking model is
    its relevance (see `canonical_relevance`). `user` is a salted hash, 64 bits: the id itself stays in the decoder.
    `weight`: how many requests it stands for, where its log is a sample. `sampled`: whether its features are counted.
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
    scores: Mapping[str, float] | None = None
    items: tuple[str, ...] | None = None
    user: int | None = None
    queue: float | None = None
    weight: float = 1.0
    sampled: bool = True


class Label(msgspec.Struct, frozen=True, gc=False):
    """An outcome that arrived later: the true class, or a business event, with an optional amount.

    `weight` is that of its prediction, None where the line does not tell.
    """

    id: str
    ts: float
    model: str | None = None
    label: str | None = None
    event: str | None = None
    value: float | None = None
    weight: float | None = None


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


class Run(NamedTuple):
    """Samples of one name and suffix that come one after the other: at least one, as many `labels` as `values`."""

    name: str
    suffix: str
    labels: Sequence[tuple[str, ...]]
    values: Sequence[float]


Shown = Sample | Run
"""What is to stand on a page: one sample, or many that arrays made at once."""


def one_by_one(shown: Iterable[Shown]) -> Iterator[Sample]:
    """The samples, those of runs one after the other.

    >>> [s.value for s in one_by_one([Sample("a", "", (), 1.0), Run("b", "", [("x",), ("y",)], [2.0, 3.0])])]
    [1.0, 2.0, 3.0]
    """
    for each in shown:
        if isinstance(each, Sample):
            yield each
        else:
            name, suffix, labels, values = each
            yield from (Sample(name, suffix, own, value) for own, value in zip(labels, values, strict=True))


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


def canonical_relevance(value: object) -> str | None:
    """One spelling of which items were right for a ranking request: JSON of item to grade, in order of item.

    A list of items means grade 1 for each; an object gives grades, of which only those above 0 say anything.

    >>> canonical_relevance(["b", "a"]), canonical_relevance({"b": 2, "c": 0})
    ('{"a":1.0,"b":1.0}', '{"b":2.0}')

    Returns None for anything else, and for a grade that is negative or not finite.
    """
    if isinstance(value, list | tuple):
        value = dict.fromkeys(value, 1.0) if all(isinstance(item, str | int) for item in value) else None
    if not isinstance(value, Mapping):
        return None
    grades: dict[str, float] = {}
    for item, grade in value.items():
        name = canonical_class(item)
        if name is None or not isinstance(grade, int | float) or not 0 <= grade < float("inf"):
            return None
        if grade > 0:
            grades[name] = float(grade)
    return msgspec.json.encode(dict(sorted(grades.items()))).decode()
