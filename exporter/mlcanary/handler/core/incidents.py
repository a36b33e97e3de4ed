"""The rows about incidents that the handler remembers. Their states and moves: `machines`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlcanary.handler.core.machines import OPEN_INCIDENTS, ActionState, IncidentState
from mlcanary.handler.targets.contract import State

HANDLER = "handler"
"""The actor of what the handler decides by itself; a person's name stands for an order."""


class ActionKind(StrEnum):
    """What an action is for.

    rollback   the effect of an incident; several, numbered by `stage`, where capacity asks for stages
    reassert   the same state set again after another writer undid it
    step       the split of a step of a release, numbered by `stage`
    """

    ROLLBACK = "rollback"
    REASSERT = "reassert"
    STEP = "step"


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
    """One bad version on one target, with the one effect against it.

    `evidence` is JSON of the figures at the decision. `digest` names the artefact of the bad version: its digest where
    it is configured, else its name. `actor`: who asked for it. `plan` is the hash of what will be done; with
    `expires` it is what a person approves. `forced`: a person ordered it by force. Times are Unix seconds, 0 while not
    reached.
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
    digest: str = ""
    actor: str = HANDLER
    plan: str = ""
    expires: float = 0.0
    acknowledged: float = 0.0
    acknowledged_by: str = ""
    forced: bool = False

    @property
    def open(self) -> bool:
        """Whether the incident still runs."""
        return self.state in OPEN_INCIDENTS


@dataclass(frozen=True, slots=True)
class Action:
    """One state to be set. `expected` is the state seen before, None where the target cannot be observed.

    `incident` or `release` is what it belongs to, the other one is empty. `plan` is the hash that was decided on or
    approved.
    """

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
    release: str = ""
    stage: int = 0
    plan: str = ""
    actor: str = HANDLER
