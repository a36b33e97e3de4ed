"""What people may do, checked and handed on: an order waits in the ledger for the target's worker, which alone writes.

Checks here answer at once what can be seen without the target; the worker decides again when it carries the order out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcanary.handler.core.incidents import Incident
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.plans import Plan
from mlcanary.handler.core.releases import FreezeLevel, Order, OrderKind, OrderState, Version, VersionStatus
from mlcanary.handler.ledger.book import FREEZE_FILE
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State
from mlcanary.handler.web import answers
from mlcanary.handler.web.routing import RequestError
from mlcanary.handler.web.views import Views, order_of, version_of
from mlcanary.handler.work.proposals import ProposalError
from mlcanary.webserver.principals import TOKEN_NAME

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

ALL = "all"
_HASHED = (OrderKind.ROLLBACK, OrderKind.PROMOTE)
_PLANNED = (OrderKind.ROLLBACK, OrderKind.PROMOTE, OrderKind.SUBMIT)


class Deeds:
    """See the module. Raises RequestError and StateError; `actor` is the proven name of the sender."""

    def __init__(self, service: HandlerService, views: Views) -> None:
        self._service = service
        self._views = views

    async def plan(self, target: str, order: str, version: str) -> answers.PlanAnswer:
        """What an order would do now."""
        plan, kind = self._views.plan(target), _kind(order, _PLANNED)
        self._check(plan, kind, version)
        worker = self._service.workers.get(target)
        if worker is None:
            raise RequestError(409, f"the worker of {target} is being restarted", hint="ask again in a moment")
        try:
            found = await worker.proposals.propose(kind, version)
        except ProposalError as error:
            raise RequestError(409, str(error), hint=error.hint) from error
        return _plan_of(found, kind)

    def order(self, target: str, asked: answers.OrderRequest, actor: str, *, name: str = "") -> answers.OrderAnswer:
        """Give an order. `name` is its id, if the sender has one: the same order twice is given once."""
        plan, kind = self._views.plan(target), _kind(asked.order, tuple(OrderKind))
        if asked.force and not asked.reason.strip():
            raise RequestError(400, "force needs a reason", hint="it stays in the audit")
        if kind in _HASHED and not asked.plan and not asked.force:
            hint = f"GET /v1/plan?target={target}&order={kind} shows the plan and its hash"
            raise RequestError(400, f"{kind} needs the hash of the plan that was seen, or force", hint=hint)
        self._check(plan, kind, asked.version)
        version = asked.version or self._candidate(plan)
        return self._give(plan, kind, version, asked.plan, asked.reason, actor, force=asked.force, name=name)

    def judge_incident(
        self, incident: str, asked: answers.PlanRequest, actor: str, kind: OrderKind
    ) -> answers.OrderAnswer:
        """Approve or refuse the plan of an incident that waits for a person."""
        found = self._views.incident(incident)
        plan = self._views.plan(found.target)
        if found.state is not IncidentState.AWAITING_APPROVAL:
            raise RequestError(409, f"incident {found.id} is {found.state}: it waits for nobody")
        if asked.plan != found.plan:
            raise RequestError(409, f"the plan of incident {found.id} is another one", allowed=[found.plan])
        if kind is OrderKind.APPROVE:
            self._check_approval(plan, found, actor)
        return self._give(plan, kind, found.bad, asked.plan, asked.reason, actor)

    def acknowledge(self, incident: str, actor: str) -> answers.IncidentAnswer:
        """Note that a person has seen an incident. Again is no error."""
        found = self._views.incident(incident)
        self._service.ledger.acknowledge(found.id, actor=actor, now=self._service.now())
        self._wake(found.target)
        return self._views.incident_detail(incident).incident

    def freeze(self, asked: answers.FreezeRequest, actor: str) -> list[answers.FreezeAnswer]:
        """Freeze a target or all; gives what is in force there then."""
        scope, now = self._scope(asked.target), self._service.now()
        level = FreezeLevel(asked.level)
        self._service.ledger.freeze(scope, reason=asked.reason, actor=actor, now=now, level=level)
        return self._in_force(scope)

    def unfreeze(self, asked: answers.UnfreezeRequest, actor: str) -> list[answers.FreezeAnswer]:
        """Lift a freeze of a target or of all; gives what is still in force there."""
        scope = self._scope(asked.target)
        in_force = {freeze.scope for freeze in self._service.ledger.freezes()}
        if scope not in in_force:
            others = sorted(ALL if found == EVERYTHING else found for found in in_force)
            hint = "remove the file of freeze_file" if FREEZE_FILE in in_force else ""
            raise RequestError(409, f"{asked.target} itself is not frozen", allowed=others, hint=hint)
        self._service.ledger.unfreeze(scope, actor=actor, now=self._service.now())
        return self._in_force(scope)

    def release_from_quarantine(self, asked: answers.ReleaseFromQuarantine, actor: str) -> answers.VersionAnswer:
        """Let an artefact be a candidate again."""
        known = [v for v in self._service.ledger.versions(asked.model) if v.status is VersionStatus.QUARANTINED]
        found = next((v for v in known if v.digest == asked.digest), None)
        if found is None:
            text = f"no artefact {asked.digest!r} of model {asked.model!r} is quarantined"
            raise RequestError(404, text, allowed=[v.digest for v in known])
        free = Version(
            found.model, found.digest, found.name, VersionStatus.CANDIDATE, asked.reason, actor, self._service.now()
        )
        self._service.ledger.set_version(free, target=EVERYTHING)
        self._wake(EVERYTHING)
        return version_of(free)

    # --- checks

    def _check(self, plan: TargetPlan, kind: OrderKind, version: str) -> None:
        """Raise RequestError for an order that cannot be carried out, as far as can be told without the target."""
        if version and version not in plan.versions:
            raise RequestError(404, f"no version {version!r} on target {plan.name}", allowed=plan.versions)
        if not plan.acts:
            hint = "set mode: react or drive in --config.file"
            raise RequestError(409, f"target {plan.name} is in mode {plan.mode}: nothing is written to it", hint=hint)
        release = self._service.ledger.open_release(plan.name)
        if kind in (OrderKind.PROMOTE, OrderKind.SUBMIT, OrderKind.WITHDRAW) and plan.mode != "drive":
            raise RequestError(409, f"target {plan.name} is in mode {plan.mode}: only drive has releases")
        if kind is OrderKind.SUBMIT and not version:
            raise RequestError(400, "submit needs a version", allowed=plan.versions)
        if kind is OrderKind.SUBMIT and release is not None:
            raise RequestError(409, f"the release of {release.candidate} is open: {release.state}")
        if kind in (OrderKind.PROMOTE, OrderKind.WITHDRAW):
            if release is None:
                raise RequestError(409, f"no release is open on target {plan.name}", hint="submit a version first")
            if version and version != release.candidate:
                raise RequestError(409, f"the open release is of {release.candidate}", allowed=[release.candidate])
        if kind is OrderKind.ROLLBACK and not version and release is None:
            raise RequestError(400, "no release is open: name the version to roll back", allowed=plan.versions)

    def _check_approval(self, plan: TargetPlan, incident: Incident, actor: str) -> None:
        if incident.expires and self._service.now() >= incident.expires:
            raise RequestError(409, f"the approval of incident {incident.id} has expired", hint="order a rollback")
        if plan.approval.four_eyes and incident.actor == actor:
            raise RequestError(403, f"{actor} ordered it: another person must approve", hint="approval.four_eyes is on")
        if plan.approval.four_eyes and actor == TOKEN_NAME:
            error = "several people may share the token of the top-level bearer_token_file: it cannot approve"
            raise RequestError(403, error, hint="approval.four_eyes is on: name people as principals in the web config")

    def _candidate(self, plan: TargetPlan) -> str:
        release = self._service.ledger.open_release(plan.name)
        return release.candidate if release is not None else ""

    def _scope(self, target: str) -> str:
        if target in (ALL, EVERYTHING):
            return EVERYTHING
        names = [plan.name for plan in self._views.plans]
        if target not in names:
            raise RequestError(404, f"no target {target!r} is configured", allowed=[ALL, *names])
        return target

    # --- inside

    def _give(
        self,
        plan: TargetPlan,
        kind: OrderKind,
        version: str,
        plan_hash: str,
        reason: str,
        actor: str,
        *,
        force: bool = False,
        name: str = "",
    ) -> answers.OrderAnswer:
        if name and (known := self._service.ledger.order(name)) is not None:
            return order_of(known)
        order = Order(
            id=name or self._service.new_id(),
            target=plan.name,
            kind=kind,
            version=version,
            plan=plan_hash,
            reason=reason,
            force=force,
            actor=actor,
            received=self._service.now(),
            state=OrderState.PENDING,
            note="",
        )
        self._service.ledger.give_order(order)
        self._wake(plan.name)
        return order_of(order)

    def _wake(self, scope: str) -> None:
        for name, worker in self._service.workers.items():
            if scope in (EVERYTHING, name):
                worker.wake()

    def _in_force(self, scope: str) -> list[answers.FreezeAnswer]:
        self._wake(scope)
        freezes = self._service.ledger.freezes()
        return [answers.FreezeAnswer(f.scope, str(f.level), f.reason, f.actor, f.since) for f in freezes]


def _kind(order: str, allowed: tuple[OrderKind, ...]) -> OrderKind:
    try:
        found = OrderKind(order)
    except ValueError:
        found = None
    if found is None or found not in allowed:
        raise RequestError(400, f"no order {order!r} here", allowed=allowed)
    return found


def _plan_of(found: Plan, kind: OrderKind) -> answers.PlanAnswer:
    before, after = found.expected, found.desired
    moved = ", ".join(_move(version, before, after) for version, _ in after.weights)
    verb = {OrderKind.ROLLBACK: "roll back", OrderKind.PROMOTE: "promote", OrderKind.SUBMIT: "release"}[kind]
    return answers.PlanAnswer(
        target=found.target,
        order=str(kind),
        version=found.version,
        destination=found.destination,
        plan=found.hash,
        expected=None if before is None else dict(before.weights),
        desired=dict(after.weights),
        text=f"{verb} {found.version} on {found.target}: {moved}",
    )


def _move(version: str, before: State | None, after: State) -> str:
    was = "?" if before is None else f"{before.share(version):.0%}"
    return f"{version} {was} → {after.share(version):.0%}"
