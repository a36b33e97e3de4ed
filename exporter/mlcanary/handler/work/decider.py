"""From waiting alerts to a decision, and from the decision to a planned action."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence

import msgspec

from mlcanary.errors import ActionError
from mlcanary.handler.core.incidents import HANDLER, Event, Incident
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.policy import (
    DAY,
    EXPIRING,
    FINAL,
    Act,
    Attach,
    Evidence,
    LedgerView,
    Question,
    Reason,
    Suppress,
    decide,
    decide_early,
)
from mlcanary.handler.evidence import gather as evidence_of
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.intake.payload import Measure, Window
from mlcanary.handler.ledger.events import CALLED
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State, Unobservable
from mlcanary.handler.work.effect import Effector, Environment
from mlcanary.handler.work.shift import Proposal, Shift

log = logging.getLogger(__name__)

_HELPLESS = frozenset({Reason.NO_GOOD_VERSION, Reason.QUARANTINED})
"""Reasons that leave the bad version its traffic until a person does something."""

_RESTING = frozenset({Reason.COOLDOWN, Reason.BUDGET})
"""Reasons that leave a version that is bad now its traffic until time has gone by."""


class Decider:
    """Decides on the waiting alerts of one target."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment, shift: Shift) -> None:
        self.plan = plan
        self._shift = shift
        self._effector = effector
        self._env = environment

    async def decide_pending(self) -> None:
        """Every pending event once, those that ask the same together."""
        groups: dict[tuple[str, str, str], list[Event]] = {}
        recheck = self.plan.evidence.recheck
        for event in self._env.ledger.pending(self.plan.name, self._env.clock(), recheck=recheck):
            groups.setdefault((event.version, event.measure, event.window), []).append(event)
        for events in groups.values():
            await self._decide(events)

    async def _decide(self, events: Sequence[Event]) -> None:
        question = question_of(self.plan, events[0].version)
        view = self.view()
        found: Evidence | None = None
        proposal: Proposal | None = None
        note: dict[str, object] = {}
        decision = decide_early(question, view)
        if decision is None:
            try:
                observed = await self._effector.observe()
                found = await self._silenced(
                    events[0], await self.gather(events[0].version, events[0].measure, events[0].window, observed)
                )
                decision = decide(question, view, found, self._env.clock())
                if isinstance(decision, Act):
                    proposal = await self._shift.propose(events[0].version, decision.destination, observed)
                elif isinstance(decision, Suppress) and decision.reason is Reason.DRY_RUN:
                    note = await self._rehearsed(events[0].version, decision, observed)
            except (ActionError, EvidenceError) as error:
                note = {"note": str(error)}
                decision = decide(question, view, None, self._env.clock())
        match decision:
            case Act() if proposal is not None:
                await self._act(events, decision, question, found, proposal)
            case Attach():
                self._env.metrics.add("decisions_total", self.plan.name, "attach", "")
                body = {"version": events[0].version, "measure": events[0].measure}
                self._env.ledger.decided(events, "attach", "", body=body, now=self._env.clock())
            case Suppress():
                self._suppress(events, decision, found, note)

    async def _rehearsed(self, bad: str, decision: Suppress, observed: State | Unobservable) -> dict[str, object]:
        """What would be done, and why the target would refuse it; nothing is written."""
        if decision.destination is None:
            return {}
        proposal = await self._shift.propose(bad, decision.destination, observed)
        refused = await self._effector.rehearse(proposal.desired, proposal.expected)
        told = {"plan": proposal.hash, "good": decision.destination, "missing": proposal.first.missing}
        return {**told, "desired": dict(proposal.desired.weights), "note": refused or "the target would accept it"}

    async def gather(self, version: str, measure: str, window: str, observed: State | Unobservable) -> Evidence:
        """The evidence on a version, as of now. Raises EvidenceError."""
        case = evidence_of.Case(version, Measure(measure), Window(window))
        weight = observed.weight(version) if isinstance(observed, State) else None
        return await evidence_of.gather(self._env.prometheus, self.plan, case, weight)

    async def _silenced(self, event: Event, found: Evidence) -> Evidence:
        """The evidence with what holds the alert in Alertmanager. Raises EvidenceError if no answer means: hold.

        Else the handler acts on what it has found: an Alertmanager that is down wakes nobody, and a bad version stays.
        """
        asked = self._env.alertmanager
        if asked is None:
            return found
        try:
            by = await asked.held_by(self.plan, event.version, event.measure, event.window)
        except EvidenceError as error:
            if asked.holds_unanswered:
                raise
            log.warning("silences cannot be read", extra={"target": self.plan.name, "why": str(error)})
            return dataclasses.replace(found, values=(*found.values, ("silences_unread", 1.0)))
        return dataclasses.replace(found, silenced=by)

    def view(self) -> LedgerView:
        """What the ledger knows of the target now. Raises StateError."""
        since = self._env.clock() - max(DAY, self.plan.cooldown)
        return self._env.ledger.view(self.plan.name, self.plan.model, since)

    async def _act(
        self, events: Sequence[Event], decision: Act, question: Question, found: Evidence | None, proposal: Proposal
    ) -> None:
        now, first, approval = self._env.clock(), events[0], self.plan.approval
        incident = new_incident(
            self.plan,
            name=self._env.new_id(),
            bad=first.version,
            good=decision.destination,
            measure=first.measure,
            window=first.window,
            received=min(event.since for event in events),
            now=now,
            evidence=facts(found),
        )
        if approval.required:
            waits = IncidentState.AWAITING_APPROVAL
            incident = dataclasses.replace(incident, state=waits, expires=now + approval.expires)

        def allowed(view: LedgerView) -> bool:
            return decide(question, view, found, now) == decision

        await self._shift.begin(events, incident, proposal, allowed=allowed, body={"evidence": facts(found)})

    def _suppress(
        self, events: Sequence[Event], decision: Suppress, found: Evidence | None, note: Mapping[str, object]
    ) -> None:
        now, reason, name = self._env.clock(), decision.reason, self.plan.name
        waited = now - min(event.since for event in events)
        over = reason in FINAL or (reason in EXPIRING and waited >= self.plan.evidence.deadline)
        body = {
            "version": events[0].version,
            "measure": events[0].measure,
            "evidence": facts(found),
            "note": "",
            **note,
        }
        if any(event.reason != reason for event in events):
            self._env.metrics.add("decisions_total", name, "suppress", reason)
            if reason in _HELPLESS and self.plan.acts:
                self._call_a_person(events[0], f"nowhere to go: {reason}")
        called = any(event.decision == CALLED for event in events)
        if not called and self._left_alone(reason, waited):
            called = True
            self._call_a_person(events[0], f"the version keeps its traffic: {reason}")
        if not over:
            next_try = now + self.plan.evidence.recheck
            self._env.ledger.postponed(events, reason, body=body, now=now, next_try=next_try, called=called)
            return
        self._env.ledger.decided(events, "suppress", reason, body=body, now=now)
        if reason is Reason.DRY_RUN:
            self._env.metrics.add("rollbacks_total", name, self.plan.model, "dry_run")
        if reason is Reason.NO_EVIDENCE:
            self._call_a_person(events[0], f"no evidence to be had: {body['note']}")

    def _left_alone(self, reason: Reason, waited: float) -> bool:
        """Whether a person must know that a rollback is held back. A short wait may be for another incident's proof."""
        if reason not in _RESTING or not self.plan.acts:
            return False
        return reason is Reason.BUDGET or waited >= self.plan.evidence.deadline

    def _call_a_person(self, event: Event, why: str) -> None:
        """Page: a version stays under traffic and nothing was done."""
        name, model = self.plan.name, self.plan.model
        self._env.metrics.add("rollbacks_total", name, model, "failed")
        log.error("nothing can be done, a person must look", extra={"target": name, "why": why})
        self._env.tell(
            "failed", name, {"model": model, "version": event.version, "measure": event.measure, "note": why}
        )


def question_of(plan: TargetPlan, version: str) -> Question:
    """What is asked about a version of a target."""
    return Question(
        version=version if version in plan.versions else None,
        firing=True,
        reacts=plan.acts,
        versions=plan.versions,
        destination=plan.destination,
        cooldown=plan.cooldown,
        budget=plan.budget,
        digests=plan.digests,
    )


def new_incident(
    plan: TargetPlan,
    *,
    name: str,
    bad: str,
    good: str,
    measure: str,
    window: str,
    received: float,
    now: float,
    evidence: Mapping[str, object],
    actor: str = HANDLER,
    forced: bool = False,
) -> Incident:
    """An incident that acts at once, not yet stored."""
    return Incident(
        id=name,
        target=plan.name,
        model=plan.model,
        bad=bad,
        good=good,
        measure=measure,
        window=window,
        state=IncidentState.ACTING,
        received=received,
        opened=now,
        effect=0.0,
        closed=0.0,
        evidence=msgspec.json.encode(evidence).decode(),
        note="",
        digest=plan.digest(bad),
        actor=actor,
        forced=forced,
    )


def facts(found: Evidence | None) -> dict[str, object]:
    """Evidence for the ledger and the audit."""
    if found is None:
        return {}
    return {
        "roles": dict(found.roles),
        "serving": sorted(found.serving),
        "bad_weight": found.bad_weight,
        "firing": found.firing,
        "violated": found.violated,
        **({"recovery": found.recovery} if found.recovery else {}),
        **({"silenced": found.silenced} if found.silenced else {}),
        **dict(found.values),
    }
