"""What the handler's audit tells of releases, and what the traffic says about it. Pure.

Guarantee: a record holds what the audit says and nothing else; a step that was planned and not confirmed has no effect
time. `spans` counts predictions by their event time, between the moment at which the split of a step was read back and
the moment at which the next change was decided: whoever was answered then was answered under that split.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mlcanary.handler.core.machines import ReleaseState
from mlcanary.handler.ledger.audit import AuditRow


@dataclass(frozen=True, slots=True)
class Said:
    """What the judge had said when something was decided. `trials`: requests of the candidate judged so far."""

    word: str
    may_expand: bool
    trials: float
    judged: float

    @classmethod
    def of(cls, evidence: Mapping[str, Any]) -> Said | None:
        """The judge's part of the evidence in an audit row, None if there is none."""
        if "word" not in evidence:
            return None
        return cls(
            str(evidence["word"]), bool(evidence["may_expand"]), float(evidence["trials"]), float(evidence["judged"])
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was decided: its number from 0, when, why, and when its split was read back (None: never)."""

    number: int
    action: str
    decided: float
    note: str
    said: Said | None
    effect: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Where a release went, beside its steps."""

    at: float
    state: str
    note: str


@dataclass(frozen=True, slots=True)
class Record:
    """One release, from its submission on. `last`: what the judge had said when it became proven."""

    id: str
    candidate: str
    stable: str
    actor: str
    submitted: float
    steps: tuple[Taken, ...] = ()
    moves: tuple[Move, ...] = ()
    last: Said | None = None

    @property
    def state(self) -> str:
        """Where it stands."""
        return self.moves[-1].state if self.moves else ReleaseState.STAGED

    @property
    def confirmed(self) -> tuple[Taken, ...]:
        """Steps whose split was read back."""
        return tuple(step for step in self.steps if step.effect is not None)


@dataclass(frozen=True, slots=True)
class Span:
    """Predictions of the candidate, and of everybody, while one step's split was in force."""

    step: Taken
    end: float
    candidate: int
    everybody: int

    @property
    def share(self) -> float:
        """The candidate's share of the traffic, in [0, 1]."""
        return self.candidate / self.everybody if self.everybody else 0.0


def records(rows: Sequence[AuditRow]) -> list[Record]:
    """The releases of an audit, oldest first. Input: rows oldest first."""
    found: dict[str, Record] = {}
    for row in rows:
        body = msgspec.json.decode(row.body)
        name = body.get("release", "")
        if row.kind == "submit":
            found[name] = Record(name, body["candidate"], body["stable"], row.actor, row.at)
        elif name in found:
            found[name] = _told(found[name], row, body)
    return list(found.values())


def _told(record: Record, row: AuditRow, body: Mapping[str, Any]) -> Record:
    if row.kind == "step":
        said = Said.of(body.get("evidence", {}))
        step = Taken(body["step"], body["action"], row.at, body["note"], said)
        return replace(record, steps=(*record.steps, step))
    if row.kind == "effect" and body["state"] == "confirmed":
        steps = tuple(replace(s, effect=row.at) if s.action == body["action"] else s for s in record.steps)
        return replace(record, steps=steps)
    if row.kind == "release":
        return replace(record, moves=(*record.moves, Move(row.at, body["state"], body["note"])))
    if row.kind == "proven":
        return replace(record, last=Said.of(body.get("evidence", {})))
    return record


def spans(record: Record, times: Mapping[str, Sequence[float]], until: float) -> list[Span]:
    """What the traffic says of every confirmed step.

    Input: `times` are event times of predictions by version, sorted; `until`: when the last split ended, Unix seconds.
    """
    found = []
    for step in record.confirmed:
        start = step.effect if step.effect is not None else until
        later = [s.decided for s in record.steps if s.decided > start]
        later += [move.at for move in record.moves if move.at > start and move.state == ReleaseState.ROLLING_BACK]
        end = min([*later, until])
        counts = {version: _between(ts, start, end) for version, ts in times.items()}
        found.append(Span(step, end, counts.get(record.candidate, 0), sum(counts.values())))
    return found


def _between(times: Sequence[float], start: float, end: float) -> int:
    return max(0, bisect_left(times, end) - bisect_right(times, start))
