"""What the handler knows, in the shapes of `answers`. Reads the ledger and the gauges, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcanary.handler.core.incidents import Action, Incident
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.releases import Freeze, Order, Release, Version, VersionStatus
from mlcanary.handler.ledger.audit import AuditRow
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.web import answers
from mlcanary.handler.web.decisions import KIND, decision_of
from mlcanary.handler.web.routing import RequestError
from mlcanary.handler.web.timeline import approvals, release_timeline, timeline

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

NEWEST = 100
"""How many rows a list has at most."""


_DECISIONS_SECONDS = 7 * 86400.0
_CLOCK_SLACK = 3600.0
"""Rows are looked for from so many seconds before something began, as a clock may have gone back."""


class Views:
    """See the module. Raises RequestError for a name that is not known, StateError if the ledger cannot be read."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service

    @property
    def plans(self) -> tuple[TargetPlan, ...]:
        """Every configured target."""
        return self._service.settings.targets

    def plan(self, name: str) -> TargetPlan:
        """A configured target."""
        found = next((plan for plan in self.plans if plan.name == name), None)
        if found is None:
            raise RequestError(404, f"no target {name!r} is configured", allowed=[plan.name for plan in self.plans])
        return found

    def target(self, plan: TargetPlan) -> answers.TargetAnswer:
        """The state of a target."""
        ledger, metrics, name = self._service.ledger, self._service.metrics, plan.name
        incident, release = ledger.last_incident(name), next(iter(ledger.releases(name, 1)), None)
        actions = [] if incident is None else ledger.actions(incident.id)
        actions += [] if release is None else ledger.actions_of_release(release.id)
        newest = max(actions, key=lambda action: action.planned, default=None)
        capacity = plan.capacity
        return answers.TargetAnswer(
            name=name,
            model=plan.model,
            mode=plan.mode,
            observed=metrics.value("target_up", name) == 1.0,
            versions=self._shares(plan),
            freeze=ledger.frozen(name),
            freezes=[freeze_of(f) for f in ledger.freezes() if f.scope in (name, EVERYTHING, "file")],
            release=None if release is None else release_of(release, plan),
            evidence=self._evidence(name, release),
            incident=None if incident is None else incident_of(incident),
            action=None if newest is None else action_of(newest),
            verification=self._verification(plan, incident),
            capacity=answers.CapacityAnswer(
                capacity.requests_per_second, capacity.headroom, metrics.value("capacity_missing_ratio", name)
            ),
            decision=next(iter(self.decisions(name, 1)), None),
            approvers=self._approvers(plan, incident),
            approvals_missing=missing(incident),
        )

    def _evidence(self, name: str, release: Release | None) -> str:
        if release is None or not release.open:
            return ""
        worker = self._service.workers.get(name)
        return (worker.release_note if worker is not None else "") or release.note

    def _shares(self, plan: TargetPlan) -> list[answers.Share]:
        metrics = self._service.metrics
        status = {v.digest: str(v.status) for v in self._service.ledger.versions(plan.model)}
        found = []
        for version in plan.versions:
            series = ("target_share_ratio", plan.name, plan.model, version)
            seen = metrics.value("target_up", plan.name) == 1.0 and metrics.known(*series)
            digest = plan.digest(version)
            share = metrics.value(*series) if seen else None
            found.append(answers.Share(version, digest, share, status.get(digest, "")))
        return found

    def _verification(self, plan: TargetPlan, incident: Incident | None) -> answers.VerificationAnswer | None:
        worker = self._service.workers.get(plan.name)
        if worker is None or worker.progress is None or incident is None or not incident.open:
            return None
        progress = worker.progress
        return answers.VerificationAnswer(
            progress.passed, plan.verification.windows, str(progress.verdict), progress.note
        )

    def decisions(self, target: str, count: int = NEWEST) -> list[answers.DecisionAnswer]:
        """The newest decisions of the last week that changed nothing, of a target, or of all with an empty name."""
        plans = [self.plan(target)] if target else list(self.plans)
        since, ledger = self._service.now() - _DECISIONS_SECONDS, self._service.ledger
        rows = [row for plan in plans for row in ledger.audit_of_kind(plan.name, KIND, since, count)]
        return [decision_of(row) for row in sorted(rows, key=lambda row: -row.id)[:count]]

    def incidents(self, target: str) -> list[answers.IncidentAnswer]:
        """The newest incidents of a target, or of all with an empty name."""
        plans = [self.plan(target)] if target else self.plans
        found = [i for plan in plans for i in self._service.ledger.incidents(plan.name, NEWEST)]
        return [incident_of(i) for i in sorted(found, key=lambda i: -i.opened)[:NEWEST]]

    def releases(self, target: str) -> list[answers.ReleaseAnswer]:
        """The newest releases of a target, or of all with an empty name."""
        plans = [self.plan(target)] if target else list(self.plans)
        found = [(r, plan) for plan in plans for r in self._service.ledger.releases(plan.name, NEWEST)]
        return [release_of(r, plan) for r, plan in sorted(found, key=lambda pair: -pair[0].submitted)[:NEWEST]]

    def incident(self, name: str) -> Incident:
        """An incident by id."""
        found = self._service.ledger.incident(name)
        if found is None:
            raise RequestError(404, f"no incident {name!r}", allowed=[i.id for i in self.incidents("")[:10]])
        return found

    def incident_detail(self, name: str) -> answers.IncidentDetail:
        """All that is known of an incident."""
        incident, ledger = self.incident(name), self._service.ledger
        actions = ledger.actions(incident.id)
        names = [incident.id, *(action.id for action in actions)]
        rows = ledger.audit_about(incident.target, names, incident.received - _CLOCK_SLACK)
        plan = next((plan for plan in self.plans if plan.name == incident.target), None)
        proof = None if plan is None else self._verification(plan, incident)
        return answers.IncidentDetail(
            incident=incident_of(incident),
            evidence=_object(incident.evidence),
            actions=[action_of(action) for action in actions],
            verification=proof,
            timeline=timeline(incident, rows),
            audit=[audit_of(row) for row in rows],
            approvers=self._approvers(plan, incident),
            approvals=approvals(rows),
            approvals_missing=missing(incident),
        )

    def _approvers(self, plan: TargetPlan | None, incident: Incident | None) -> list[str]:
        if plan is None or incident is None or not missing(incident):
            return []
        return list(self._service.approvers(plan, incident.actor))

    def release_detail(self, name: str) -> answers.ReleaseDetail:
        """All that is known of a release."""
        ledger = self._service.ledger
        newest = [(r, plan) for plan in self.plans for r in ledger.releases(plan.name, NEWEST)]
        found = next((pair for pair in newest if pair[0].id == name), None)
        if found is None:
            raise RequestError(404, f"no release {name!r}", allowed=[r.id for r, _ in newest[:10]])
        release, plan = found
        actions = ledger.actions_of_release(release.id)
        names = [release.id, *(action.id for action in actions)]
        rows = ledger.audit_about(plan.name, names, release.submitted - _CLOCK_SLACK)
        return answers.ReleaseDetail(
            release=release_of(release, plan),
            actions=[action_of(action) for action in actions],
            timeline=release_timeline(rows),
            audit=[audit_of(row) for row in rows],
        )

    def versions(self, model: str) -> list[answers.VersionAnswer]:
        """The remembered artefacts of a model, or of all with an empty name."""
        models = list(dict.fromkeys(plan.model for plan in self.plans))
        if model and model not in models:
            raise RequestError(404, f"no target has model {model!r}", allowed=models)
        found = [v for m in ([model] if model else models) for v in self._service.ledger.versions(m)]
        return [version_of(v) for v in found]

    def order(self, name: str) -> answers.OrderAnswer:
        """An order by id."""
        found = self._service.ledger.order(name)
        if found is None:
            raise RequestError(404, f"no order {name!r}", hint="the id is in the answer to the order")
        return order_of(found)

    def audit(self, after: int, count: int = NEWEST) -> answers.AuditList:
        """Rows of the audit after a row."""
        rows = self._service.ledger.audit_after(after, count)
        return answers.AuditList([audit_of(row) for row in rows], rows[-1].id if rows else after)

    def quarantined(self) -> list[answers.VersionAnswer]:
        """Artefacts that may get no traffic."""
        return [v for v in self.versions("") if v.status == VersionStatus.QUARANTINED]


def missing(incident: Incident | None) -> int:
    """How many people have still to approve the plan of an incident: one of those who may is enough."""
    return int(incident is not None and incident.state is IncidentState.AWAITING_APPROVAL)


def freeze_of(found: Freeze) -> answers.FreezeAnswer:
    """A freeze as it is told."""
    return answers.FreezeAnswer(found.scope, str(found.level), found.reason, found.actor, found.since)


def release_of(found: Release, plan: TargetPlan) -> answers.ReleaseAnswer:
    """A release as it is told."""
    return answers.ReleaseAnswer(
        id=found.id,
        target=found.target,
        model=found.model,
        candidate=found.candidate,
        digest=found.digest,
        stable=found.stable,
        state=str(found.state),
        open=found.open,
        step=found.step,
        steps=list(plan.release.steps),
        submitted=found.submitted,
        since=found.since,
        effect=found.effect,
        trials=found.trials,
        closed=found.closed,
        actor=found.actor,
        note=found.note,
    )


def incident_of(found: Incident) -> answers.IncidentAnswer:
    """An incident as it is told."""
    return answers.IncidentAnswer(
        id=found.id,
        target=found.target,
        model=found.model,
        bad=found.bad,
        good=found.good,
        measure=found.measure,
        window=found.window,
        state=str(found.state),
        open=found.open,
        received=found.received,
        opened=found.opened,
        effect=found.effect,
        closed=found.closed,
        actor=found.actor,
        plan=found.plan,
        expires=found.expires,
        acknowledged=found.acknowledged,
        acknowledged_by=found.acknowledged_by,
        note=found.note,
    )


def action_of(found: Action) -> answers.ActionAnswer:
    """An action as it is told."""
    return answers.ActionAnswer(
        id=found.id,
        kind=str(found.kind),
        state=str(found.state),
        stage=found.stage,
        attempt=found.attempt,
        desired=dict(found.desired.weights),
        expected=None if found.expected is None else dict(found.expected.weights),
        planned=found.planned,
        dispatched=found.dispatched,
        plan=found.plan,
        actor=found.actor,
        note=found.note,
    )


def order_of(found: Order) -> answers.OrderAnswer:
    """An order as it is told."""
    return answers.OrderAnswer(
        id=found.id,
        target=found.target,
        order=str(found.kind),
        version=found.version,
        plan=found.plan,
        reason=found.reason,
        force=found.force,
        actor=found.actor,
        received=found.received,
        state=str(found.state),
        note=found.note,
    )


def version_of(found: Version) -> answers.VersionAnswer:
    """An artefact as it is told."""
    return answers.VersionAnswer(
        found.model, found.digest, found.name, str(found.status), found.reason, found.actor, found.since
    )


def audit_of(row: AuditRow) -> answers.AuditAnswer:
    """A row of the audit as it is told."""
    return answers.AuditAnswer(row.id, row.at, row.actor, row.kind, row.target, _object(row.body), row.hash)


def _object(text: str) -> dict[str, object]:
    return msgspec.json.decode(text, type=dict[str, object])
