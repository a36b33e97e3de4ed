"""Whether things stay as they were set: another writer, a restart, a lost webhook."""

from __future__ import annotations

import logging

from mlcanary.errors import ActionError
from mlcanary.handler.core.incidents import ActionKind, Incident
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State, Unobservable
from mlcanary.handler.work.effect import Effector, Environment

log = logging.getLogger(__name__)

MAX_REASSERTS = 2
_SETTLED_STATES = (IncidentState.VERIFYING, IncidentState.RESOLVED, IncidentState.INEFFECTIVE)


class Keeper:
    """Looks after one target, every `reconcile` seconds."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self.plan = plan
        self.next_look = 0.0
        self._effector = effector
        self._env = environment

    async def look(self) -> None:
        """Look if it is time to. Raises StateError."""
        now = self._env.clock()
        if not now < self.next_look <= now + self.plan.reconcile:  # later than that: the clock went back
            self.next_look = now + self.plan.reconcile
            await self._reconcile()

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
