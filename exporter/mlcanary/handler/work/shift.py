"""Open an incident and move its traffic: at once, in stages where capacity is short, or not at all.

An incident that acts and has no action under way waits for its next stage. It is looked at every `stage_wait` seconds;
after `deadline` seconds it is stuck, the weights stay, and a person is told.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlcanary.errors import ActionError
from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind, Event, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.core.policy import DAY, LedgerView
from mlcanary.handler.core.staging import Stage, next_stage
from mlcanary.handler.evidence import capacity
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State, Unobservable
from mlcanary.handler.work.effect import Effector, Environment

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is about to be done: from `expected` (None if it cannot be read) to `desired`, as `hash`; `first` of it."""

    desired: State
    expected: State | None
    hash: str
    first: Stage


class Shift:
    """Moves the traffic of one target's incidents."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self.plan = plan
        self._effector = effector
        self._env = environment
        self._next: dict[str, float] = {}

    async def propose(self, bad: str, good: str, seen: State | Unobservable, *, force: bool = False) -> Proposal:
        """The shift away from a version. `force` asks nothing about capacity. Raises EvidenceError."""
        if isinstance(seen, State):
            desired, expected = seen.moved(bad, good), seen
        else:
            desired, expected = State.only(good, self.plan.versions), None
        first = Stage(desired, 0.0) if force else await self._stage(bad, good, expected, desired)
        name = self._effector.plan_hash(ActionKind.ROLLBACK, bad, good, desired, expected)
        return Proposal(desired, expected, name, first)

    async def _stage(self, bad: str, good: str, now: State | None, desired: State) -> Stage:
        room = await capacity.read(self._env.prometheus, self.plan)
        start = now if now is not None else State.only(bad, self.plan.versions)
        weighted = self._effector.weighted and now is not None
        return next_stage(start, desired, bad=bad, good=good, room=room, weighted=weighted)

    def _show(self, stage: Stage) -> Stage:
        """Tell what is missing of a shift that is to be made; of one that a person only asks about, nothing."""
        self._env.metrics.set("capacity_missing_ratio", stage.missing, self.plan.name)
        return stage

    async def begin(
        self,
        events: Sequence[Event],
        incident: Incident,
        proposal: Proposal,
        *,
        allowed: Callable[[LedgerView], bool],
        body: Mapping[str, object],
        force: bool = False,
    ) -> bool:
        """Open the incident and carry out what may be done of it now. False if the ledger no longer allows it."""
        now = self._env.clock()
        self._show(proposal.first)
        incident = dataclasses.replace(incident, plan=proposal.hash, note=_waiting(incident, proposal))
        action = self._first(incident, proposal, now)
        since = now - max(DAY, self.plan.cooldown)
        told = {"bad": incident.bad, "good": incident.good, "missing": round(proposal.first.missing, 4), **body}
        if not self._env.ledger.plan(events, incident, action, allowed=allowed, body=told, since=since, now=now):
            return False
        self._env.metrics.add("decisions_total", self.plan.name, "act", "")
        self._env.metrics.set("rollback_duration_seconds", now - incident.received, self.plan.name, "decision")
        await self._carry_out(incident, action, force=force)
        return True

    async def approved(self, incident: Incident, proposal: Proposal, *, actor: str, order: str) -> None:
        """Do what a person approved, if there is room for any of it. `order` is done in the same transaction."""
        now = self._env.clock()
        stage = self._show(proposal.first).state
        if stage is None:
            return
        action = self._effector.plan_rollback(incident, stage, proposal.expected, now, actor=actor)
        self._env.ledger.approve(incident, action, order=order, now=now)
        await self._carry_out(incident, action, force=incident.forced)

    async def go_on(self, incident: Incident) -> None:
        """The next stage of an incident that acts, if its time has come. Raises StateError."""
        now = self._env.clock()
        wait = self.plan.capacity.stage_wait
        if now < self._next.get(incident.id, 0.0) <= now + wait:  # later than that: the clock went back
            return
        self._next = {incident.id: now + wait}
        done = [a for a in self._env.ledger.actions(incident.id) if a.kind is ActionKind.ROLLBACK]
        try:
            seen = await self._effector.observe()
            stage = self._show(await self._further(incident, seen))
        except (ActionError, EvidenceError) as error:
            stage = Stage(None, 1.0)
            log.warning("stage postponed", extra={"incident": incident.id, "why": str(error)})
            seen = Unobservable(str(error))
        moved = [a for a in done if a.state is ActionState.CONFIRMED]
        if isinstance(seen, State) and moved and not moved[-1].desired.reached_by(seen):
            self._end(incident, IncidentState.FAILED, f"found {seen.to_json()} between two stages: another writer")
            return
        actor = done[-1].actor if done else incident.actor
        expected, at, note = seen if isinstance(seen, State) else None, self._env.clock(), "frozen"
        late = abs(at - (done[0].planned if done else incident.opened)) > self.plan.capacity.deadline
        if stage.state is None or (late and not stage.whole):
            note = f"{stage.missing:.0%} of the shift to {incident.good} has no capacity"
        else:
            action = self._effector.plan_rollback(incident, stage.state, expected, at, stage=len(done), actor=actor)
            if actor != HANDLER or not self._env.ledger.held(action):
                self._env.ledger.plan_stage(action, at)
                await self._carry_out(incident, action)
                return
        if late:
            self._end(incident, IncidentState.STUCK, f"{note}; the weights stay")

    def due(self, incident: Incident) -> float:
        """When the incident is looked at next, Unix seconds; infinite if it waits for no stage."""
        waits = incident.state is IncidentState.ACTING
        return self._next.get(incident.id, 0.0) if waits else math.inf

    # --- inside

    async def _further(self, incident: Incident, seen: State | Unobservable) -> Stage:
        found = seen if isinstance(seen, State) else None
        desired = State.only(incident.good, self.plan.versions)
        if found is not None:
            desired = found.moved(incident.bad, incident.good)
        return await self._stage(incident.bad, incident.good, found, desired)

    def _first(self, incident: Incident, proposal: Proposal, now: float) -> Action | None:
        if incident.state is not IncidentState.ACTING or proposal.first.state is None:
            return None
        return self._effector.plan_rollback(incident, proposal.first.state, proposal.expected, now)

    async def _carry_out(self, incident: Incident, action: Action | None, *, force: bool = False) -> None:
        self._next = {incident.id: self._env.clock() + self.plan.capacity.stage_wait}
        if action is not None:
            await self._effector.carry_out(action, force=force)

    def _end(self, incident: Incident, state: IncidentState, note: str) -> None:
        self._env.metrics.add("rollbacks_total", self.plan.name, self.plan.model, state)
        self._env.ledger.close_incident(incident, state, note=note, now=self._env.clock())
        log.error("incident ended", extra={"incident": incident.id, "state": state, "why": note})


def _waiting(incident: Incident, proposal: Proposal) -> str:
    short = incident.state is IncidentState.ACTING and proposal.first.state is None
    return f"waits for capacity: {proposal.first.missing:.0%} of the shift has none" if short else incident.note
