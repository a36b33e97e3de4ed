"""Orders of people, carried out by the target's own worker: there is one writer.

A person's "roll back now" skips freeze, cooldown, budget and the evidence of a violation. It skips neither the lock nor
the checks of the destination and its capacity, unless forced with a reason. An approval names the hash of the plan that
the person has seen; everything is checked again on fresh evidence, and a plan that is another one by then is not done.
Orders about releases are the driver's.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

from mlcanary.errors import ActionError, MLCanaryError
from mlcanary.handler.core.incidents import Incident
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.policy import (
    Act,
    Decision,
    Evidence,
    LedgerView,
    Question,
    Reason,
    Suppress,
    decide,
    decide_early,
)
from mlcanary.handler.core.releases import FreezeLevel, Order, OrderKind, OrderState
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.intake.payload import Measure, Window
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State, Unobservable
from mlcanary.handler.work.decider import Decider, facts, new_incident, question_of
from mlcanary.handler.work.effect import Effector, Environment
from mlcanary.handler.work.shift import Proposal, Shift
from mlcanary.webserver.principals import TOKEN_NAME

log = logging.getLogger(__name__)

ORDERED = "order"
"""Measure of an incident that a person asked for."""

_EXPLAINED = {
    Reason.UNKNOWN_TARGET: "the target has no such version",
    Reason.NO_EVIDENCE: "Prometheus does not answer, and the version to go back to is neither proven nor configured",
    Reason.NOT_SERVING: "the target gives the version no traffic",
    Reason.QUARANTINED: "the version to go back to is quarantined",
    Reason.NO_GOOD_VERSION: "no version is known to be good and ready to serve; `destination:` of the target names one",
    Reason.COOLDOWN: "an incident about another version is open",
    Reason.DRY_RUN: "the target's mode writes nothing; allowed: react, drive",
}


class OrderRefusedError(MLCanaryError):
    """Why an order is not carried out."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A rollback that could be ordered: what was asked, found and decided, and what it would do."""

    question: Question
    found: Evidence | None
    decision: Act
    proposal: Proposal


class Orders:
    """Carries out the waiting orders of one target."""

    def __init__(
        self, plan: TargetPlan, effector: Effector, environment: Environment, shift: Shift, decider: Decider
    ) -> None:
        self.plan = plan
        self._effector = effector
        self._env = environment
        self._shift = shift
        self._decider = decider

    async def carry_out_pending(self) -> None:
        """Every waiting order about incidents, oldest first; drop an approval that came too late. Raises StateError."""
        for order in self._env.ledger.pending_orders(self.plan.name):
            if order.kind in (OrderKind.ROLLBACK, OrderKind.APPROVE, OrderKind.REFUSE):
                self._end(order, await self._refused(order))
        incident = self._waiting()
        if incident is not None and self._expired(incident):
            self._expire(incident)

    async def _refused(self, order: Order) -> str:
        """Carry out one order; why it is refused, empty if it is done."""
        try:
            if order.kind is OrderKind.ROLLBACK:
                await self._rollback(order)
            elif order.kind is OrderKind.APPROVE:
                await self._approve(order)
            else:
                self._refuse(order)
        except (OrderRefusedError, ActionError, EvidenceError) as error:
            return str(error)
        return ""

    def _end(self, order: Order, refused: str) -> None:
        state = OrderState.REFUSED if refused else OrderState.DONE
        kept = self._env.ledger.order(order.id)
        if kept is None or kept.state is OrderState.PENDING:
            incident = self._env.ledger.incident(order.id)
            note = refused or (f"incident {incident.id}: {incident.state}" if incident is not None else "")
            self._env.ledger.end_order(order, state, note=note, now=self._env.clock())
        self._env.metrics.add("orders_total", self.plan.name, order.kind, state)
        log.info("order ended", extra={"order": order.id, "state": state, "why": refused})

    # --- roll back now

    async def _rollback(self, order: Order) -> None:
        """Open an incident with the order's id. Raises ActionError and EvidenceError, too."""
        if self._env.ledger.incident(order.id) is not None:  # a crash came in between
            self._check_done(order)
            return
        if order.force and not order.reason:
            raise OrderRefusedError("force needs a reason")
        wanted = await self.consider(order.version, force=order.force)
        question, found, decision, proposal = wanted.question, wanted.found, wanted.decision, wanted.proposal
        if order.plan and order.plan != proposal.hash:
            raise _another(proposal.hash)
        incident = self._ordered(order, decision.destination, found)
        told = {"evidence": facts(found), "order": order.id, "reason": order.reason, "force": order.force}

        def allowed(latest: LedgerView) -> bool:
            return decide(question, latest, found, incident.opened) == decision

        waiting = self._env.ledger.pending(self.plan.name, incident.opened, recheck=self.plan.evidence.recheck)
        events = [event for event in waiting if event.version == order.version]
        if not await self._shift.begin(events, incident, proposal, allowed=allowed, body=told, force=order.force):
            raise OrderRefusedError("the target was changed at the same moment; order it again")
        self._check_done(order)

    async def consider(self, version: str, *, force: bool = False) -> Considered:
        """What a rollback of a version would do now; nothing is written.

        Raises OrderRefusedError if it cannot be ordered, ActionError and EvidenceError if that cannot be told.
        """
        question = dataclasses.replace(question_of(self.plan, version), ordered=True, force=force)
        self._check(decide_early(question, self._decider.view()))
        seen = await self._effector.observe()
        found = await self._found(version, seen)
        decision = self._check(decide(question, self._decider.view(), found, self._env.clock()))
        proposal = await self._shift.propose(version, decision.destination, seen, force=force)
        return Considered(question, found, decision, proposal)

    async def _found(self, version: str, seen: State | Unobservable) -> Evidence | None:
        try:
            return await self._decider.gather(version, Measure.VERDICT, Window.JUDGE, seen)
        except EvidenceError as error:
            log.warning("an order is carried out without evidence", extra={"why": str(error)})
            return None

    def _ordered(self, order: Order, good: str, found: Evidence | None) -> Incident:
        now, approval = self._env.clock(), self.plan.approval
        incident = new_incident(
            self.plan,
            name=order.id,
            bad=order.version,
            good=good,
            measure=ORDERED,
            window="",
            received=order.received,
            now=now,
            evidence=facts(found),
            actor=order.actor,
            forced=order.force,
        )
        if not (approval.required and approval.four_eyes):
            return incident
        waits = IncidentState.AWAITING_APPROVAL
        return dataclasses.replace(incident, state=waits, expires=now + approval.expires)

    def _check_done(self, order: Order) -> None:
        incident = self._env.ledger.incident(order.id)
        if incident is not None and incident.state is IncidentState.ABANDONED:
            raise OrderRefusedError(f"nothing was done: {incident.note}; order it again")

    def _check(self, decision: Decision | None) -> Act:
        """The decision to act; any other one refuses the order. None stands for one that is not made yet."""
        if decision is None:
            return Act("")
        if isinstance(decision, Act):
            return decision
        if isinstance(decision, Suppress):
            raise OrderRefusedError(f"{decision.reason}: {_EXPLAINED.get(decision.reason, 'see the alert')}")
        incident = self._env.ledger.open_incident(self.plan.name)
        about = f"incident {incident.id}, {incident.state}, plan {incident.plan}" if incident is not None else ""
        raise OrderRefusedError(f"it is under way already: {about}")

    # --- approvals

    async def _approve(self, order: Order) -> None:
        """Carry out what waits. Raises ActionError and EvidenceError, too; then it waits on."""
        incident = self._approvable(order)
        seen = await self._effector.observe()
        found = await self._again(incident, seen)
        try:
            decision = self._check(decide(self._asked(incident), self._free(), found, self._env.clock()))
            proposal = await self._shift.propose(incident.bad, decision.destination, seen, force=incident.forced)
            if proposal.hash != incident.plan:
                raise _another(proposal.hash)
        except OrderRefusedError as refusal:
            note = f"was overtaken: {refusal}"
            self._env.ledger.abandon(incident, note=note, reopen=True, now=self._env.clock())
            raise
        if proposal.first.state is None:
            raise OrderRefusedError(f"{incident.good} has no capacity for any of it now")
        await self._shift.approved(incident, proposal, actor=order.actor, order=order.id)

    def _expired(self, incident: Incident) -> bool:
        """Whether the time to approve is over; a clock that went back at most doubles it."""
        left = incident.expires - self._env.clock()
        return not 0 < left <= 2 * self.plan.approval.expires

    def _approvable(self, order: Order) -> Incident:
        incident = self._waiting()
        if incident is None:
            raise OrderRefusedError("no incident waits for approval")
        if order.plan != incident.plan:
            raise _another(incident.plan)
        if self._expired(incident):
            self._expire(incident)
            raise OrderRefusedError("the approval came too late")
        if self.plan.approval.four_eyes and order.actor == incident.actor:
            raise OrderRefusedError("whoever ordered it cannot approve it")
        if self.plan.approval.four_eyes and order.actor == TOKEN_NAME:
            raise OrderRefusedError(
                "it was approved with a token that several people may share; four_eyes needs principals"
            )
        return incident

    async def _again(self, incident: Incident, seen: State | Unobservable) -> Evidence | None:
        if incident.measure == ORDERED:
            return await self._found(incident.bad, seen)
        return await self._decider.gather(incident.bad, incident.measure, incident.window, seen)

    def _asked(self, incident: Incident) -> Question:
        ordered = incident.measure == ORDERED
        return dataclasses.replace(question_of(self.plan, incident.bad), ordered=ordered, force=incident.forced)

    def _free(self) -> LedgerView:
        """The ledger without what a person passes, and without the incident itself."""
        return dataclasses.replace(self._decider.view(), level=FreezeLevel.NONE, open_version=None, changed=())

    def _refuse(self, order: Order) -> None:
        incident = self._waiting()
        if incident is None:
            raise OrderRefusedError("no incident waits for approval")
        if order.plan and order.plan != incident.plan:
            raise _another(incident.plan)
        note = f"was refused by {order.actor}" + (f": {order.reason}" if order.reason else "")
        self._env.ledger.abandon(incident, note=note, reopen=False, now=self._env.clock(), actor=order.actor)

    def _expire(self, incident: Incident) -> None:
        note = f"was not approved within {self.plan.approval.expires:g} s"
        self._env.ledger.abandon(incident, note=note, reopen=False, now=self._env.clock())
        log.error("approval expired", extra={"incident": incident.id})

    def _waiting(self) -> Incident | None:
        incident = self._env.ledger.open_incident(self.plan.name)
        return incident if incident is not None and incident.state is IncidentState.AWAITING_APPROVAL else None


def _another(name: str) -> OrderRefusedError:
    return OrderRefusedError(f"the plan is another one now: {name}")
