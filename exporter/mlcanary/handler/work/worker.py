"""The life of one target: decide on what came in, act, verify, and look whether it stays so.

One task per target runs `step` again and again; that task is the lock of the target. Everything that matters
is in the ledger, so stopping a worker and starting another one is the same as a restart of the process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence

import msgspec

from mlcanary.errors import ActionError, StateError
from mlcanary.handler.core.incidents import ActionKind, Event, Incident
from mlcanary.handler.core.machines import OPEN_INCIDENTS, IncidentState
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
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.core.verification import Progress, Reference, Verdict, advance
from mlcanary.handler.evidence import gather as evidence_of
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.evidence.readings import read
from mlcanary.handler.intake.payload import Measure, Window
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State, Target, Unobservable
from mlcanary.handler.work.driver import Driver
from mlcanary.handler.work.effect import Effector, Environment
from mlcanary.handler.work.proposals import Proposals

log = logging.getLogger(__name__)

MAX_REASSERTS = 2
_LOOKS_PER_WINDOW = 4
_RETRY_STORE = 5.0
_RETRY_TARGET = 1.0
_SHORTEST_DELAY = 0.02
_SETTLED_STATES = (IncidentState.VERIFYING, IncidentState.RESOLVED, IncidentState.INEFFECTIVE)


class TargetWorker:
    """See the module. `run` until `stop`; `wake` after new events."""

    def __init__(self, plan: TargetPlan, target: Target, environment: Environment) -> None:
        self.plan = plan
        self.ready = False
        self._env = environment
        self._effector = Effector(plan, target, environment)
        self._driver = Driver(plan, self._effector, environment)
        self.proposals = Proposals(plan, self._effector, environment)
        self._woken = asyncio.Event()
        self._stopping = False
        self._progress: Progress | None = None
        self._next_look = 0.0

    @property
    def progress(self) -> Progress | None:
        """How far the running verification is, for people."""
        return self._progress

    def wake(self) -> None:
        """Look at the events now."""
        self._woken.set()

    def stop(self) -> None:
        """End after the step under way."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Step until stopped. A ledger that fails means: nothing is done, and it is tried again."""
        while not self._stopping:
            self._woken.clear()
            try:
                delay = await self.step()
            except StateError as error:
                log.exception("ledger failed, target is frozen", extra={"target": self.plan.name})
                self._env.metrics.set("frozen", 1.0, self.plan.name)
                self._env.metrics.add("decisions_total", self.plan.name, "suppress", Reason.FROZEN)
                log.debug(error.hint)
                delay = _RETRY_STORE
            try:
                async with asyncio.timeout(delay):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def step(self) -> float:
        """Do what is due; gives the seconds until something else may be. Raises StateError."""
        name, ledger = self.plan.name, self._env.ledger
        self._env.metrics.set("frozen", float(ledger.frozen(name) is FreezeLevel.ALL), name)
        floor = _SHORTEST_DELAY
        try:
            for action in ledger.unfinished(name):
                await self._effector.resume(action)
            self.ready = True
            await self._decide_pending()
        except ActionError as error:
            log.warning("target cannot be read", extra={"target": name, "error": str(error)})
            floor = _RETRY_TARGET
        incident = ledger.open_incident(name)
        if incident is not None and incident.state is IncidentState.VERIFYING:
            await self._verify(incident)
        released = await self._driver.step()
        now = self._env.clock()
        if not now < self._next_look <= now + self.plan.reconcile:  # later than that: the clock went back
            self._next_look = now + self.plan.reconcile
            await self._reconcile()
        return max(floor, min(released, self._delay()))

    # --- deciding

    async def _decide_pending(self) -> None:
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
            evidence=msgspec.json.encode(_facts(found)).decode(),
            note="",
        )
        if isinstance(observed, State):
            desired, expected = observed.moved(first.version, decision.destination), observed
        else:
            desired, expected = State.only(decision.destination, self.plan.versions), None
        action = self._effector.plan_rollback(incident, desired, expected, now)

        def allowed(view: LedgerView) -> bool:
            return isinstance(decide(question, view, found, now), Act)

        body = {"bad": incident.bad, "good": incident.good, "evidence": _facts(found)}
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
        body = {"version": events[0].version, "measure": events[0].measure, "note": note, "evidence": _facts(found)}
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

    # --- verifying

    async def _verify(self, incident: Incident) -> None:
        progress = self._progress
        if progress is None or progress.effect != incident.effect:
            progress = Progress(effect=incident.effect)
            seconds = incident.effect - incident.received
            self._env.metrics.set("rollback_duration_seconds", seconds, self.plan.name, "effect")
        now = self._env.clock()
        try:
            reading = await read(self._env.prometheus, self.plan, incident.bad, now)
            progress = advance(
                progress,
                reading,
                self.plan.verification,
                bad=incident.bad,
                measure=_recovery(incident),
                reference=_reference(incident),
            )
        except EvidenceError as error:
            progress = dataclasses.replace(progress, note=str(error))  # as if nobody had looked
        self._progress = progress
        if progress.verdict is Verdict.PROVEN and await self._holds(incident):
            self._close(incident, IncidentState.RESOLVED, progress.note)
        elif now - incident.effect > self.plan.verification.deadline:
            moved = progress.verdict in (Verdict.MOVED, Verdict.PROVEN)
            self._close(incident, IncidentState.INEFFECTIVE if moved else IncidentState.STUCK, progress.note)

    async def _holds(self, incident: Incident) -> bool:
        """Whether the target, where it can be read, still keeps the bad version out."""
        try:
            seen = await self._effector.observe()
        except ActionError:
            return False
        return isinstance(seen, Unobservable) or seen.weight(incident.bad) == 0

    def _close(self, incident: Incident, state: IncidentState, note: str) -> None:
        now = self._env.clock()
        self._env.ledger.close_incident(incident, state, note=note, now=now)
        self._env.metrics.add("rollbacks_total", self.plan.name, self.plan.model, state)
        self._env.metrics.set("rollback_duration_seconds", now - incident.received, self.plan.name, "verified")
        level = logging.INFO if state is IncidentState.RESOLVED else logging.ERROR
        log.log(level, "incident ended", extra={"incident": incident.id, "state": state, "why": note})

    # --- staying

    async def _reconcile(self) -> None:
        """Look at the target; set the state of a recent incident again if another writer undid it."""
        try:
            seen = await self._effector.observe()
        except ActionError as error:
            log.warning("target cannot be read", extra={"target": self.plan.name, "error": str(error)})
            return
        incident = self._env.ledger.last_incident(self.plan.name)
        recent = incident is not None and (
            incident.open or self._env.clock() - incident.closed < self.plan.reconcile_for
        )
        if incident is None or not recent or incident.state not in _SETTLED_STATES:
            return
        if isinstance(seen, Unobservable) or seen.weight(incident.bad) == 0:
            return
        await self._reassert(incident, seen)

    async def _reassert(self, incident: Incident, seen: State) -> None:
        now, ledger, name = self._env.clock(), self._env.ledger, self.plan.name
        if ledger.frozen(name) is FreezeLevel.ALL or not self.plan.acts:
            return
        done = [a for a in ledger.actions(incident.id) if a.kind is ActionKind.REASSERT]
        if len(done) >= MAX_REASSERTS:
            reason = f"another writer gives {incident.bad} traffic again and again"
            ledger.freeze(name, reason=reason, actor="handler", now=now)
            self._env.metrics.set("frozen", 1.0, name)
            self._env.metrics.add("rollbacks_total", name, self.plan.model, "failed")
            log.error("reverted by another writer, target is frozen", extra={"target": name})
            return
        desired = seen.moved(incident.bad, incident.good)
        action = self._effector.plan_reassert(incident, desired, seen, now)
        ledger.plan_reassert(action, now)
        await self._effector.carry_out(action)

    def _delay(self) -> float:
        now, name, ledger = self._env.clock(), self.plan.name, self._env.ledger
        incident = ledger.open_incident(name)
        for state in OPEN_INCIDENTS:
            count = float(incident is not None and incident.state is state)
            self._env.metrics.set("incident_open", count, name, state)
        due = [min(self._next_look, now + self.plan.reconcile)]
        if incident is not None:
            due.append(now + self.plan.verification.window / _LOOKS_PER_WINDOW)
        waiting = ledger.next_try(name)
        if waiting is not None:
            due.append(min(waiting, now + self.plan.evidence.recheck))
        return min(due) - now


def _facts(found: Evidence | None) -> dict[str, object]:
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


def _recovery(incident: Incident) -> Measure:
    """The measure that tells whether quality is back: the alert's own, unless the evidence names one."""
    return Measure(msgspec.json.decode(incident.evidence).get("recovery", incident.measure))


def _reference(incident: Incident) -> Reference | None:
    facts = msgspec.json.decode(incident.evidence)
    if "reference" not in facts or "reference_stderr" not in facts:
        return None
    return Reference(float(facts["reference"]), float(facts["reference_stderr"]))
