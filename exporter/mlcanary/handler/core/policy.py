"""Whether to act on an alert: pure, total, and the same answer for the same input.

Precedence, first match decides:

     1  unknown_target   no configured target has this model, version and labels
     2  resolved         the alert says that it is over; nothing is ever promoted on that
     3  attach           an incident about this target and version is open: the alert joins it
     4  frozen           a person stopped automatic action
     5  no_evidence      Prometheus or the target did not answer, or an answer is missing or ambiguous
     6  judged           a judge judges the version, and this is an alert of a windowed rule: the verdict acts
     7  silenced         every such alert is silenced or inhibited in Alertmanager, where the handler may ask it
     8  source_broken    a log of this model cannot be read, or its exporter is far behind: the figures prove nothing
     9  role_conflict    not exactly one role per version, more than one baseline, or this is no canary
    10  stale_evidence   the alert is not firing, or the figures are old, or nothing is violated now
    11  not_serving      the version gets no traffic, or the target gives it none
    12  shared_cause     the baseline fell too: going back to it would not help
    13  quarantined      the version to go back to was itself taken back once, by the digest of its artefact
    14  no_good_version  no configured version is known to be good and ready to serve
    15  cooldown         the target was changed a short time ago, or is being changed for another version
    16  budget           too many automatic actions in 24 hours
    17  dry_run          all of the above passed, and the target's mode is observe

`duplicate` is decided earlier, by the unique delivery key of the ledger.

The version to go back to is the configured one, else the stable one of the release under way, else the baseline, else
the only proven one. It has traffic, or it is proven (or that stable one) and its sidecar is up.

The order of a person skips rows 4, 6 to 10, 12, 16 and the times of 15. Without evidence it may go to a proven or
configured version only. With `force` rows 13 and 14 let any other configured version pass.
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
    SILENCED = "silenced"
    SOURCE_BROKEN = "source_broken"
    ROLE_CONFLICT = "role_conflict"
    STALE_EVIDENCE = "stale_evidence"
    NOT_SERVING = "not_serving"
    SHARED_CAUSE = "shared_cause"
    QUARANTINED = "quarantined"
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
    """What is asked: a configured target and a version of it. `version` is None if nothing matched.

    `digests` names the artefacts of versions; without one the version's name does. `ordered`: a person asks, by
    `force` without the checks of the destination.
    """

    version: str | None
    firing: bool
    reacts: bool
    versions: tuple[str, ...]
    destination: str | None
    cooldown: float
    budget: int
    digests: tuple[tuple[str, str], ...] = ()
    ordered: bool = False
    force: bool = False

    def digest(self, version: str) -> str:
        """The artefact of a version."""
        return dict(self.digests).get(version, version)


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the ledger knows of the target, in one transaction.

    `open_version` is the bad version of the open incident; `changed` are the times of automatic rollbacks, newest last.
    `proven` and `quarantined` are digests. `candidate` and `stable` are the versions of the open release, empty without
    one.
    """

    level: FreezeLevel
    open_version: str | None
    changed: tuple[float, ...]
    proven: frozenset[str] = frozenset()
    quarantined: frozenset[str] = frozenset()
    candidate: str = ""
    stable: str = ""

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

    `serving`: versions with traffic; `warm`: versions whose sidecars are up. `judged`: a judge judges the version, and
    the alert is none of its own. `silenced`: what holds the alert in Alertmanager, empty if nothing does.
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
    silenced: str = ""
    warm: frozenset[str] = frozenset()
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
    if view.frozen and not question.ordered:
        return Suppress(Reason.FROZEN)
    return None


def decide(question: Question, view: LedgerView, evidence: Evidence | None, now: float) -> Decision:
    """The decision. Input: `evidence` is None when it could not be had; `now` in Unix seconds."""
    early = decide_early(question, view)
    if early is not None or question.version is None:
        return early or Suppress(Reason.UNKNOWN_TARGET)
    if evidence is None and not question.ordered:
        return Suppress(Reason.NO_EVIDENCE)
    against = _against(question.version, evidence, ordered=question.ordered) if evidence is not None else None
    if against is not None:
        return Suppress(against)
    destination = _chosen(question, view, evidence)
    against = _unfit(destination, question, view, evidence) or _limits(question, view, now)
    if against is not None or destination is None:
        return Suppress(against or Reason.NO_GOOD_VERSION)
    return Act(destination) if question.reacts else Suppress(Reason.DRY_RUN, destination)


def _limits(question: Question, view: LedgerView, now: float) -> Reason | None:
    """Rows 15 and 16. A clock that went back makes an action look recent: that holds, which is safe."""
    if view.open_version is not None:
        return Reason.COOLDOWN
    if question.ordered:
        return None
    if any(now - at < question.cooldown for at in view.changed):
        return Reason.COOLDOWN
    if sum(now - at < DAY for at in view.changed) >= question.budget:
        return Reason.BUDGET
    return None


def _against(version: str, evidence: Evidence, *, ordered: bool) -> Reason | None:
    """Rows 6 to 12."""
    unserved = evidence.bad_weight == 0 or (version not in evidence.serving and not ordered)
    doubted = None if ordered else _doubted(version, evidence)
    if doubted is not None or unserved:
        return doubted or Reason.NOT_SERVING
    return Reason.SHARED_CAUSE if evidence.shared_cause and not ordered else None


def _doubted(version: str, evidence: Evidence) -> Reason | None:
    """Rows 6 to 10."""
    if evidence.judged:
        return Reason.JUDGED
    if evidence.silenced:
        return Reason.SILENCED
    if not evidence.sources_up:
        return Reason.SOURCE_BROKEN
    if _conflict(version, evidence.roles):
        return Reason.ROLE_CONFLICT
    if not (evidence.firing and evidence.violated and evidence.fresh):
        return Reason.STALE_EVIDENCE
    return None


def _conflict(version: str, roles: tuple[tuple[str, str], ...]) -> bool:
    names = [name for name, _ in roles]
    baselines = [name for name, role in roles if role == "baseline"]
    return len(set(names)) != len(names) or len(baselines) > 1 or (version, "canary") not in roles


def _chosen(question: Question, view: LedgerView, evidence: Evidence | None) -> str | None:
    """Which version takes the traffic, if it can."""
    stable = view.stable if view.candidate == question.version else ""
    if question.destination or stable:
        return question.destination or stable
    baselines = [name for name, role in evidence.roles if role == "baseline"] if evidence is not None else []
    if len(baselines) == 1:
        return baselines[0]
    proven = [v for v in question.versions if question.digest(v) in view.proven and v != question.version]
    return proven[0] if len(proven) == 1 else None


def _unfit(chosen: str | None, question: Question, view: LedgerView, evidence: Evidence | None) -> Reason | None:
    """Rows 13 and 14: why the chosen version may not take the traffic."""
    if chosen is None or chosen == question.version or chosen not in question.versions:
        return Reason.NO_GOOD_VERSION
    if question.force:
        return None
    if question.digest(chosen) in view.quarantined:
        return Reason.QUARANTINED
    proven = question.digest(chosen) in view.proven
    if evidence is None:
        return None if proven or chosen == question.destination else Reason.NO_EVIDENCE
    kept = proven or (view.candidate == question.version and view.stable == chosen)
    ready = chosen in evidence.serving or (kept and chosen in evidence.warm)
    return None if ready else Reason.NO_GOOD_VERSION
