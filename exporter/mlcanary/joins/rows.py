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
    no quality; `seen`: business events already counted, with their values, and `seen_at` their event times;
    `assumed`: its label never came and was assumed.
    """

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
    seen_at: dict[str, float] = {}
    assumed: bool = False

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


class Grown(NamedTuple):
    """A prediction whose wait is over, and the events that happened in it: later ones do not change this."""

    waiting: Waiting
    events: dict[str, float | None]


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

    A matured row carries its label, or None, and the events of its wait.
    """

    def __init__(self) -> None:
        self.joined: list[Joined] = []
        self.provisional: list[Joined] = []
        self.matured: list[Grown] = []
        self.events: list[Event] = []
        self.results: list[tuple[ModelKey, str]] = []
        self.unmatched: list[str] = []
