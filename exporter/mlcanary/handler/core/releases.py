"""The rows about releases, versions, freezes and orders that the handler remembers. Their moves: `machines`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlcanary.handler.core.machines import OPEN_RELEASES, ReleaseState


@dataclass(frozen=True, slots=True)
class Release:
    """One candidate on its way to all of a target's traffic.

    `step` counts the configured steps from 0, -1 while staged. `since`: when the state was entered; `effect`: when the
    traffic of the step was confirmed, 0 while it is not. `trials`: what the judge had judged of the candidate then.
    `resume`: the state that a hold interrupted; `told`: when a person was told that it waits for too long. Times are
    Unix seconds, 0 while not reached.
    """

    id: str
    target: str
    model: str
    candidate: str
    digest: str
    stable: str
    state: ReleaseState
    step: int
    submitted: float
    since: float
    effect: float
    trials: float
    resume: str
    closed: float
    actor: str
    note: str
    told: float = 0.0

    @property
    def open(self) -> bool:
        """Whether the release still runs."""
        return self.state in OPEN_RELEASES


class VersionStatus(StrEnum):
    """What is known of an artefact. Only a person takes `quarantined` back."""

    CANDIDATE = "candidate"
    PROVEN = "proven"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Version:
    """An artefact of a model, by digest; `name` is the version that carried it last."""

    model: str
    digest: str
    name: str
    status: VersionStatus
    reason: str
    actor: str
    since: float


class FreezeLevel(StrEnum):
    """`promote` stops steps up and promotions; `all` stops every automatic action. A person's order passes neither."""

    NONE = "none"
    PROMOTE = "promote"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze of a target, or of all (`scope` is `*`), by one actor; another one's stands beside it."""

    scope: str
    level: FreezeLevel
    reason: str
    actor: str
    since: float


class OrderKind(StrEnum):
    """What a person may order."""

    ROLLBACK = "rollback"
    PROMOTE = "promote"
    SUBMIT = "submit"
    WITHDRAW = "withdraw"
    APPROVE = "approve"
    REFUSE = "refuse"


class OrderState(StrEnum):
    """`refused` says why in the order's note."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asked of a target; the target's worker carries it out.

    `version` is the one that the order is about. `plan` is the hash that the person has seen: an order whose plan is
    another one by then is refused. `force` (with a reason) passes the checks of quarantine and capacity.
    """

    id: str
    target: str
    kind: OrderKind
    version: str
    plan: str
    reason: str
    force: bool
    actor: str
    received: float
    state: OrderState
    note: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that waits to be sent to a receiver. `kind`: which event it tells of; `body` is JSON."""

    id: int
    receiver: str
    at: float
    kind: str
    target: str
    body: str
    attempts: int
    next_try: float
