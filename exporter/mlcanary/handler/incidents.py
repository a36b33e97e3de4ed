"""The rows that the handler remembers, and their states.

incident   acting -> verifying -> resolved | ineffective | stuck
           acting -> failed | stuck | abandoned
action     planned -> dispatched -> confirmed | conflict | failed | unknown
           planned -> failed                                   (frozen, or cut off before the dispatch)
event      pending -> decided -> pending ...                   (a repeat asks again)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlcanary.handler.targets.contract import State


class IncidentState(StrEnum):
    """Where an incident stands."""

    ACTING = "acting"
    VERIFYING = "verifying"
    RESOLVED = "resolved"
    INEFFECTIVE = "ineffective"
    STUCK = "stuck"
    FAILED = "failed"
    ABANDONED = "abandoned"


OPEN_STATES = (IncidentState.ACTING, IncidentState.VERIFYING)


class ActionState(StrEnum):
    """Where an action stands. `unknown`: it may or may not have happened, and cannot be looked up."""

    PLANNED = "planned"
    DISPATCHED = "dispatched"
    CONFIRMED = "confirmed"
    CONFLICT = "conflict"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ActionKind(StrEnum):
    """The effect of an incident, or the same state set again after another writer undid it."""

    ROLLBACK = "rollback"
    REASSERT = "reassert"


@dataclass(frozen=True, slots=True)
class Event:
    """An alert that waits for a decision, or had one. `since` is when it last began to wait."""

    id: int
    target: str
    version: str
    measure: str
    window: str
    received: float
    since: float
    state: str
    decision: str
    reason: str


@dataclass(frozen=True, slots=True)
class Incident:
    """One bad version on one target, with the one action against it.

    `evidence` is JSON of the figures at the decision. Times are Unix seconds, 0 while not reached.
    """

    id: str
    target: str
    model: str
    bad: str
    good: str
    measure: str
    window: str
    state: IncidentState
    received: float
    opened: float
    effect: float
    closed: float
    evidence: str
    note: str

    @property
    def open(self) -> bool:
        """Whether the incident still runs."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Action:
    """One state to be set. `expected` is the state seen before, None where the target cannot be observed."""

    id: str
    incident: str
    target: str
    kind: ActionKind
    desired: State
    expected: State | None
    state: ActionState
    attempt: int
    planned: float
    dispatched: float
    note: str
