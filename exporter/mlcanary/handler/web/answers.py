"""The shapes of the handler's JSON: what is asked and what is answered. Times are Unix seconds, 0 while not reached."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

REASON_LIMIT = 200
Text = Annotated[str, msgspec.Meta(max_length=REASON_LIMIT)]
Name = Annotated[str, msgspec.Meta(max_length=64)]
Artefact = Annotated[str, msgspec.Meta(max_length=200)]
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{0,64}$")]
OrderName = Literal["rollback", "promote", "submit", "withdraw"]
Result = Literal["healthy", "unhealthy", "inconclusive", "no_data"]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that is asked for: unknown fields are refused."""


class Told(msgspec.Struct, frozen=True):
    """A body that is answered: new fields may come."""


# --- asked


class OrderRequest(Asked, frozen=True):
    """`plan` is the hash of `GET /v1/plan`, needed for rollback and promote; `force` needs a reason instead.

    `version`: which to roll back or to submit; promote and withdraw are about the open release.
    """

    order: OrderName
    version: Name = ""
    plan: Hash = ""
    reason: Text = ""
    force: bool = False


class PlanRequest(Asked, frozen=True):
    """The plan that is approved or refused."""

    plan: Hash
    reason: Text = ""


class FreezeRequest(Asked, frozen=True):
    """`target` is a name or `all`. `promote` stops steps up, `all` every automatic action."""

    target: Name
    level: Literal["promote", "all"] = "all"
    reason: Text = ""


class UnfreezeRequest(Asked, frozen=True):
    """`target` is a name or `all`: the freeze of all targets, not the one of each."""

    target: Name
    reason: Text = ""


class ReleaseFromQuarantine(Asked, frozen=True):
    """The artefact may be a candidate again. The reason stays in the audit."""

    model: Name
    digest: Artefact
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_LIMIT)]


# --- answered


class ErrorAnswer(Told, frozen=True, omit_defaults=True):
    """What was wrong, what is allowed there, and what to do."""

    error: str
    allowed: list[str] = []
    hint: str = ""


class Share(Told, frozen=True):
    """A configured version. `share` is of the weights as last observed, null if they are not known."""

    version: str
    digest: str
    share: float | None
    status: str


class FreezeAnswer(Told, frozen=True):
    """A freeze in force. `scope` is a target, `*` for all, `file` for `freeze_file`."""

    scope: str
    level: str
    reason: str
    actor: str
    since: float


class ReleaseAnswer(Told, frozen=True):
    """A release. `steps` are percents; `step` counts them from 0, -1 while staged. `note`: the newest evidence."""

    id: str
    target: str
    model: str
    candidate: str
    digest: str
    stable: str
    state: str
    open: bool
    step: int
    steps: list[int]
    submitted: float
    since: float
    effect: float
    trials: float
    closed: float
    actor: str
    note: str


class ActionAnswer(Told, frozen=True):
    """One state that was set, or was to be set."""

    id: str
    kind: str
    state: str
    stage: int
    attempt: int
    desired: dict[str, int]
    expected: dict[str, int] | None
    planned: float
    dispatched: float
    plan: str
    actor: str
    note: str


class IncidentAnswer(Told, frozen=True):
    """An incident in short. `plan` is what a person approves while it is `awaiting_approval`, until `expires`."""

    id: str
    target: str
    model: str
    bad: str
    good: str
    measure: str
    window: str
    state: str
    open: bool
    received: float
    opened: float
    effect: float
    closed: float
    actor: str
    plan: str
    expires: float
    acknowledged: float
    acknowledged_by: str
    note: str


class TimelineEntry(Told, frozen=True):
    """What happened, when, by whom."""

    at: float
    what: str
    actor: str
    note: str


class VerificationAnswer(Told, frozen=True):
    """How far the proof from the traffic is."""

    passed: int
    windows: int
    verdict: str
    note: str


class AuditAnswer(Told, frozen=True):
    """One row of the audit; `hash` binds it to the row before."""

    id: int
    at: float
    actor: str
    kind: str
    target: str
    body: dict[str, Any]
    hash: str


class ApprovalAnswer(Told, frozen=True):
    """Who approved which plan, and when."""

    actor: str
    at: float
    plan: str


class IncidentDetail(Told, frozen=True):
    """All that is known of an incident.

    `approvals`: who approved its plan. While it waits for that, `approvals_missing` is how many more people have to
    (one is enough), and `approvers` are the names of those who may; else 0 and none.
    """

    incident: IncidentAnswer
    evidence: dict[str, Any]
    actions: list[ActionAnswer]
    verification: VerificationAnswer | None
    timeline: list[TimelineEntry]
    audit: list[AuditAnswer]
    approvers: list[str] = []
    approvals: list[ApprovalAnswer] = []
    approvals_missing: int = 0


class ReleaseDetail(Told, frozen=True):
    """All that is known of a release."""

    release: ReleaseAnswer
    actions: list[ActionAnswer]
    timeline: list[TimelineEntry]
    audit: list[AuditAnswer]


class CapacityAnswer(Told, frozen=True):
    """What one server of a version can take, and which part of the wanted shift does not fit now."""

    requests_per_second: float | None
    headroom: float
    missing_ratio: float


class OrderAnswer(Told, frozen=True):
    """An order of a person. `pending` until the target's worker has carried it out; `note` says why it was refused."""

    id: str
    target: str
    order: str
    version: str
    plan: str
    reason: str
    force: bool
    actor: str
    received: float
    state: str
    note: str


class DecisionAnswer(Told, frozen=True):
    """A decision on an alert that changed nothing. `dry_run`: only because of the mode observe.

    `destination`, `desired` (weights) and `plan` are what would be done, where it was rehearsed; `note`: what the
    target said of that. `text` is for people.
    """

    at: float
    target: str
    version: str
    measure: str
    decision: str
    reason: str
    destination: str
    desired: dict[str, int] | None
    plan: str
    dry_run: bool
    note: str
    text: str


class TargetAnswer(Told, frozen=True):
    """The state of a target. `observed`: whether its weights could be read last time.

    `evidence`: what the judge says of the open release, and what it waits for. `decision`: the newest one of the last
    week that changed nothing. `approvers` and `approvals_missing` are those of its incident: see `IncidentDetail`.
    """

    name: str
    model: str
    mode: str
    observed: bool
    versions: list[Share]
    freeze: str
    freezes: list[FreezeAnswer]
    release: ReleaseAnswer | None
    evidence: str
    incident: IncidentAnswer | None
    action: ActionAnswer | None
    verification: VerificationAnswer | None
    capacity: CapacityAnswer
    decision: DecisionAnswer | None = None
    approvers: list[str] = []
    approvals_missing: int = 0


class TargetList(Told, frozen=True):
    """Every configured target."""

    targets: list[TargetAnswer]


class DecisionList(Told, frozen=True):
    """Newest first."""

    decisions: list[DecisionAnswer]


class IncidentList(Told, frozen=True):
    """Newest first."""

    incidents: list[IncidentAnswer]


class ReleaseList(Told, frozen=True):
    """Newest first."""

    releases: list[ReleaseAnswer]


class VersionAnswer(Told, frozen=True):
    """An artefact that is remembered."""

    model: str
    digest: str
    name: str
    status: str
    reason: str
    actor: str
    since: float


class VersionList(Told, frozen=True):
    """Oldest first."""

    versions: list[VersionAnswer]


class AuditList(Told, frozen=True):
    """Oldest first; `next` is what to ask for `after` to read on."""

    rows: list[AuditAnswer]
    next: int


class PlanAnswer(Told, frozen=True):
    """What an order would do now. `plan` is its hash; null states are not known. `text` is for people."""

    target: str
    order: str
    version: str
    destination: str
    plan: str
    expected: dict[str, int] | None
    desired: dict[str, int] | None
    text: str


class VerdictAnswer(Told, frozen=True):
    """What a pipeline asks: `result` and why."""

    model: str
    version: str
    target: str
    result: Result
    reason: str
