"""From waiting alerts to a decision, and from the decision to a planned action."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from mlcanary.errors import ActionError
from mlcanary.handler.core.incidents import Event, Incident
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
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State, Unobservable
from mlcanary.handler.work.effect import Effector, Environment

log = logging.getLogger(__name__)


class Decider:
    """Decides on the waiting alerts of one target."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self.plan = plan
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
        question = self._question(events[0].version)
        view = self._view()
        found: Evidence | None = None
        observed: State | Unobservable | None = None
        note = ""
        decision = decide_early(question, view)
        if decision is None:
            try:
                observed = await self._effector.observe()
                found = await self._gather(events[0], observed)
            except (ActionError, EvidenceError) as error:
                note = str(error)
            decision = decide(question, view, found, self._env.clock())
        match decision:
            case Act():
                await self._act(events, decision, question, found, observed)
            case Attach():
                self._env.metrics.add("decisions_total", self.plan.name, "attach", "")
                body = {"version": events[0].version, "measure": events[0].measure}
                self._env.ledger.decided(events, "attach", "", body=body, now=self._env.clock())
            case Suppress():
                self._suppress(events, decision, found, note)

    async def _gather(self, event: Event, observed: State | Unobservable) -> Evidence:
        case = evidence_of.Case(event.version, Measure(event.measure), Window(event.window))
        weight = observed.weight(event.version) if isinstance(observed, State) else None
        return await evidence_of.gather(self._env.prometheus, self.plan, case, weight)

    def _question(self, version: str) -> Question:
        plan = self.plan
        return Question(
            version=version if version in plan.versions else None,
            firing=True,
            reacts=plan.acts,
            versions=plan.versions,
            destination=plan.destination,
            cooldown=plan.cooldown,
            budget=plan.budget,
        )

    def _view(self) -> LedgerView:
        since = self._env.clock() - max(DAY, self.plan.cooldown)
        return self._env.ledger.view(self.plan.name, since)

    async def _act(
        self,
        events: Sequence[Event],
        decision: Act,
        question: Question,
        found: Evidence | None,
        observed: State | Unobservable | None,
    ) -> None:
        now, first, name = self._env.clock(), events[0], self.plan.name
        incident = Incident(
            id=self._env.new_id(),
            target=name,
            model=self.plan.model,
            bad=first.version,
            good=decision.destination,
            measure=first.measure,
            window=first.window,
            state=IncidentState.ACTING,
            received=min(event.since for event in events),
            opened=now,
            effect=0.0,
            closed=0.0,
            evidence=msgspec.json.encode(facts(found)).decode(),
            note="",
        )
        if isinstance(observed, State):
            desired, expected = observed.moved(first.version, decision.destination), observed
        else:
            desired, expected = State.only(decision.destination, self.plan.versions), None
        action = self._effector.plan_rollback(incident, desired, expected, now)

        def allowed(view: LedgerView) -> bool:
            return isinstance(decide(question, view, found, now), Act)

        body = {"bad": incident.bad, "good": incident.good, "evidence": facts(found)}
        since = now - max(DAY, self.plan.cooldown)
        if not self._env.ledger.plan(events, incident, action, allowed=allowed, body=body, since=since, now=now):
            return
        self._env.metrics.add("decisions_total", name, "act", "")
        self._env.metrics.set("rollback_duration_seconds", now - incident.received, name, "decision")
        await self._effector.carry_out(action)

    def _suppress(self, events: Sequence[Event], decision: Suppress, found: Evidence | None, note: str) -> None:
        now, reason, name = self._env.clock(), decision.reason, self.plan.name
        waited = now - min(event.since for event in events)
        over = reason in FINAL or (reason in EXPIRING and waited >= self.plan.evidence.deadline)
        body = {"version": events[0].version, "measure": events[0].measure, "note": note, "evidence": facts(found)}
        if any(event.reason != reason for event in events):
            self._env.metrics.add("decisions_total", name, "suppress", reason)
        if not over:
            next_try = now + self.plan.evidence.recheck
            self._env.ledger.postponed(events, reason, body=body, now=now, next_try=next_try)
            return
        self._env.ledger.decided(events, "suppress", reason, body=body, now=now)
        if reason is Reason.DRY_RUN:
            self._env.metrics.add("rollbacks_total", name, self.plan.model, "dry_run")
        if reason is Reason.NO_EVIDENCE:
            self._env.metrics.add("rollbacks_total", name, self.plan.model, "failed")
            log.error("no evidence to be had, a person must look", extra={"target": name, "why": note})


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
        **dict(found.values),
    }
