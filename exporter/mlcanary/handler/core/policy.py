"""Whether to act on an alert: pure, total, and the same answer for the same input.

Precedence, first match decides:

     1  unknown_target   no configured target has this model, version and labels
     2  resolved         the alert says that it is over; nothing is ever promoted on that
     3  attach           an incident about this target and version is open: the alert joins it
     4  frozen           a person stopped automatic action
     5  no_evidence      Prometheus or the target did not answer, or an answer is missing or ambiguous
     6  judged           a judge judges the version, and this is an alert of a windowed rule: the verdict acts
     7  source_broken    a log source of this model cannot be read: the figures prove nothing
     8  role_conflict    not exactly one role per version, more than one baseline, or this is no canary
     9  stale_evidence   the alert is not firing, or the figures are old, or nothing is violated now
    10  not_serving      the version gets no traffic, or the target gives it none
    11  shared_cause     the baseline fell too: going back to it would not help
    12  no_good_version  no configured version is known to be good and serving
    13  cooldown         the target was changed a short time ago, or is being changed for another version
    14  budget           too many automatic actions in 24 hours
    15  dry_run          all of the above passed, and the target's mode is observe

`duplicate` is decided earlier, by the unique delivery key of the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlcanary.handler.core.releases import FreezeLevel

DAY = 86400.0


class Reason(StrEnum):
    """Why nothing is done. Values of the label `reason`."""

    UNKNOWN_TARGET = "unknown_target"
    RESOLVED = "resolved"
    DUPLICATE = "duplicate"
    FROZEN = "frozen"
    NO_EVIDENCE = "no_evidence"
    JUDGED = "judged"
    SOURCE_BROKEN = "source_broken"
    ROLE_CONFLICT = "role_conflict"
    STALE_EVIDENCE = "stale_evidence"
    NOT_SERVING = "not_serving"
    SHARED_CAUSE = "shared_cause"
    NO_GOOD_VERSION = "no_good_version"
    COOLDOWN = "cooldown"
    BUDGET = "budget"
    DRY_RUN = "dry_run"


FINAL = frozenset({Reason.UNKNOWN_TARGET, Reason.RESOLVED, Reason.DUPLICATE, Reason.DRY_RUN})
"""Reasons that waiting cannot change."""

EXPIRING = frozenset({Reason.NO_EVIDENCE, Reason.STALE_EVIDENCE})
"""Reasons that are asked again until the evidence deadline; the others as long as the alert fires."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a configured target and a version of it. `version` is None if nothing matched."""

    version: str | None
    firing: bool
    reacts: bool
    versions: tuple[str, ...]
    destination: str | None
    cooldown: float
    budget: int


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the ledger knows of the target, in one transaction.

    `open_version` is the bad version of the open incident; `changed` are the times of automatic rollbacks, newest last,
    and `others` those of every other target's newest. `proven` and `quarantined` are digests.
    """

    level: FreezeLevel
    open_version: str | None
    changed: tuple[float, ...]
    others: tuple[float, ...] = ()
    proven: frozenset[str] = frozenset()
    quarantined: frozenset[str] = frozenset()

    @property
    def frozen(self) -> bool:
        """Whether every automatic action is stopped."""
        return self.level is FreezeLevel.ALL


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether the accusation stands now. `values`: the figures behind it. `recovery`: the measure that tells later
    whether quality is back, where it is not the alert's own; their figures include the baseline's `reference`.
    """

    violated: bool
    fresh: bool
    shared_cause: bool
    values: tuple[tuple[str, float], ...] = ()
    recovery: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the handler found by itself. `values` and `recovery` as in `Finding`, for the audit and the verification.

    `judged`: a judge judges the version, and the alert is none of its own.
    """

    sources_up: bool
    roles: tuple[tuple[str, str], ...]
    firing: bool
    violated: bool
    fresh: bool
    serving: frozenset[str]
    bad_weight: int | None
    shared_cause: bool
    judged: bool = False
    values: tuple[tuple[str, float], ...] = ()
    recovery: str = ""


@dataclass(frozen=True, slots=True)
class Act:
    """Take the traffic of the version to `destination`."""

    destination: str


@dataclass(frozen=True, slots=True)
class Attach:
    """The open incident covers it."""


@dataclass(frozen=True, slots=True)
class Suppress:
    """Do nothing, for this reason."""

    reason: Reason
    destination: str | None = None


Decision = Act | Attach | Suppress


def decide_early(question: Question, view: LedgerView) -> Decision | None:
    """Rows 1 to 4: what needs no evidence. None means: gather evidence."""
    if question.version is None:
        return Suppress(Reason.UNKNOWN_TARGET)
    if not question.firing:
        return Suppress(Reason.RESOLVED)
    if view.open_version == question.version:
        return Attach()
    if view.frozen:
        return Suppress(Reason.FROZEN)
    return None


def decide(question: Question, view: LedgerView, evidence: Evidence | None, now: float) -> Decision:
    """The decision. Input: `evidence` is None when it could not be had; `now` in Unix seconds."""
    early = decide_early(question, view)
    if early is not None or question.version is None:
        return early or Suppress(Reason.UNKNOWN_TARGET)
    if evidence is None:
        return Suppress(Reason.NO_EVIDENCE)
    destination = _destination(question, evidence)
    against = _against(question.version, evidence)
    if against is None:
        against = _limits(question, view, now) if destination is not None else Reason.NO_GOOD_VERSION
    if against is not None or destination is None:
        return Suppress(against or Reason.NO_GOOD_VERSION)
    return Act(destination) if question.reacts else Suppress(Reason.DRY_RUN, destination)


def _limits(question: Question, view: LedgerView, now: float) -> Reason | None:
    """Rows 13 and 14. A clock that went back makes an action look recent: that holds, which is safe."""
    if view.open_version is not None or any(now - at < question.cooldown for at in view.changed):
        return Reason.COOLDOWN
    if sum(now - at < DAY for at in view.changed) >= question.budget:
        return Reason.BUDGET
    return None


def _against(version: str, evidence: Evidence) -> Reason | None:
    """Rows 6 to 11."""
    if evidence.judged:
        return Reason.JUDGED
    if not evidence.sources_up:
        return Reason.SOURCE_BROKEN
    if _conflict(version, evidence.roles):
        return Reason.ROLE_CONFLICT
    if not (evidence.firing and evidence.violated and evidence.fresh):
        return Reason.STALE_EVIDENCE
    if version not in evidence.serving or evidence.bad_weight == 0:
        return Reason.NOT_SERVING
    return Reason.SHARED_CAUSE if evidence.shared_cause else None


def _conflict(version: str, roles: tuple[tuple[str, str], ...]) -> bool:
    names = [name for name, _ in roles]
    baselines = [name for name, role in roles if role == "baseline"]
    return len(set(names)) != len(names) or len(baselines) > 1 or (version, "canary") not in roles


def _destination(question: Question, evidence: Evidence) -> str | None:
    """The configured version, else the baseline; it must be serving and another one than the bad one."""
    baseline = next((name for name, role in evidence.roles if role == "baseline"), None)
    chosen = question.destination or baseline
    if chosen is None or chosen == question.version or chosen not in question.versions:
        return None
    return chosen if chosen in evidence.serving else None
