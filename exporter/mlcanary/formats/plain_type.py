"""The type of a plain native line: the keys that a log was seen to have, so that a new one is noticed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple

import msgspec


class Plain(NamedTuple):
    """Fields of a line in the order of the type that is built for them."""

    kind: Any
    id: Any
    request_id: Any
    ts: Any
    timestamp: Any
    model: Any
    version: Any
    features: Any
    prediction: Any
    score: Any
    scores: Any
    items: Any
    user: Any
    user_id: Any
    latency_ms: Any
    queue_ms: Any
    status: Any
    label: Any
    event: Any
    value: Any
    weight: Any


_NOTICED: Any = msgspec.Raw  # that it is there is enough; a union with null would refuse everything but null
_KINDS: dict[str, Any] = {
    "kind": Literal["prediction", "label"],
    "id": str | int | None,
    "request_id": str | int | None,
    "ts": str | float | None,
    "timestamp": str | float | None,
    "model": str | None,
    "version": str | int | float | None,
    "prediction": str | float | bool | None,
    "score": float | None,
    "scores": _NOTICED,
    "items": _NOTICED,
    "user": str | int | None,
    "user_id": str | int | None,
    "latency_ms": float | None,
    "queue_ms": float | None,
    "status": str | int | None,
    "label": str | float | bool | None,
    "event": str | None,
    "value": float | None,
    "weight": _NOTICED,
}
"""Types of the keys that mean something, but for `features`."""


KEYS = frozenset({*_KINDS, "features"})
"""Keys that mean something."""

KIND, FEATURES = 0, 1
"""Places of these keys in every type of a line."""


class PlainType:
    """The type of a line: the keys that the log was seen to have, and no others, so that a new one is noticed."""

    def __init__(self, features: Any, keys: Collection[str]) -> None:
        known = ["kind", "features", *(name for name in _KINDS if name in keys and name != "kind")]
        ignored = [name for name in keys if name not in _KINDS and name != "features"]
        kinds = {**_KINDS, "features": features}
        fields: list[Any] = [(name, kinds[name], "prediction" if name == "kind" else None) for name in known]
        fields += [(f"ignored_{i}", msgspec.Raw, None) for i in range(len(ignored))]
        names = {f"ignored_{i}": name for i, name in enumerate(ignored)}
        made = msgspec.defstruct("Plain", fields, rename=names, forbid_unknown_fields=True, gc=False)
        self.decoder = msgspec.json.Decoder(made)
        self._width = len(fields)
        self._places = [known.index(name) if name in known else None for name in Plain._fields]

    @property
    def width(self) -> int:
        """How many fields a line has."""
        return self._width

    def fields(self, columns: Sequence[Sequence[Any]], rows: int) -> Plain:
        """Columns of tuples of this type by the name of the field; all None for a key that no line has."""
        nothing = (None,) * rows
        return Plain(*(nothing if place is None else columns[place] for place in self._places))
