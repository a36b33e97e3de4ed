"""What the join remembers of a prediction, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from mlcanary.records import ModelKey, Prediction

Key = tuple[str, str]
"""(model, id): one request, which several versions may have answered (shadow traffic)."""


class Waiting(msgspec.Struct):
    """A remembered prediction. `done`: its outcome is decided; `failed`: the request was an error, which has
    no quality; `seen`: business events already counted,
    with their values."""

    key: ModelKey
    ts: float
    predicted: str | None
    score: float | None
    label: str | None = None
    label_ts: float = 0.0
    done: bool = False
    failed: bool = False
    seen: dict[str, float | None] = {}
    scores: Mapping[str, float] | None = None
    items: tuple[str, ...] | None = None
    user: int | None = None
    segments: tuple[str, ...] = ()
    matured: bool = False

    @classmethod
    def of(cls, p: Prediction, segments: tuple[str, ...]) -> Waiting:
        """What has to be remembered of a prediction; `segments` are its values of the configured features."""
        failed = p.error is not None
        return cls(
            p.key,
            p.ts,
            p.predicted,
            p.score,
            done=failed,
            failed=failed,
            scores=p.scores,
            items=p.items,
            user=p.user,
            segments=segments,
        )


class Joined(NamedTuple):
    """A prediction with its final label: what quality is computed from."""

    waiting: Waiting
    label: str
    label_ts: float


class Event(NamedTuple):
    """A business outcome joined to its prediction."""

    waiting: Waiting
    event: str
    value: float | None


class Changes(NamedTuple):
    """Rows to store: (key, encoded row), None for a row that is gone. `whole`: these are all rows there are."""

    whole: bool
    rows: list[tuple[Key, bytes | None]]


class Outcomes:
    """What one step of the machine decided. `results` are (ModelKey, name of catalog.JOIN_RESULTS).

    A matured row carries its label, or None, and its events.
    """

    def __init__(self) -> None:
        self.joined: list[Joined] = []
        self.provisional: list[Joined] = []
        self.matured: list[Waiting] = []
        self.events: list[Event] = []
        self.results: list[tuple[ModelKey, str]] = []
        self.unmatched: list[str] = []
