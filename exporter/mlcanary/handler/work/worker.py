"""The life of one target: orders and alerts, then what is under way, then whether it stays so.

One task per target runs `step` again and again; that task is the lock of the target. Everything that matters
is in the ledger, so stopping a worker and starting another one is the same as a restart of the process.
"""

from __future__ import annotations

import asyncio
import logging

from mlcanary.errors import ActionError, StateError
from mlcanary.handler.core.machines import OPEN_INCIDENTS, IncidentState
from mlcanary.handler.core.policy import Reason
from mlcanary.handler.core.releases import FreezeLevel, VersionStatus
from mlcanary.handler.core.verification import Progress
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import Target
from mlcanary.handler.work.decider import Decider
from mlcanary.handler.work.driver import Driver
from mlcanary.handler.work.effect import Effector, Environment
from mlcanary.handler.work.keeper import Keeper
from mlcanary.handler.work.orders import Orders
from mlcanary.handler.work.proposals import Proposals
from mlcanary.handler.work.shift import Shift
from mlcanary.handler.work.verifier import Verifier

log = logging.getLogger(__name__)

_LOOKS_PER_WINDOW = 4
_RETRY_STORE = 5.0
_RETRY_TARGET = 1.0
_SHORTEST_DELAY = 0.02


class TargetWorker:
    """See the module. `run` until `stop`; `wake` after new events."""

    def __init__(self, plan: TargetPlan, target: Target, environment: Environment) -> None:
        self.plan = plan
        self.ready = False
        self._env = environment
        self._effector = Effector(plan, target, environment)
        self._shift = Shift(plan, self._effector, environment)
        self._decider = Decider(plan, self._effector, environment, self._shift)
        self._verifier = Verifier(plan, self._effector, environment)
        self._keeper = Keeper(plan, self._effector, environment, self._shift)
        self._orders = Orders(plan, self._effector, environment, self._shift, self._decider)
        self._driver = Driver(plan, self._effector, environment)
        self.proposals = Proposals(plan, self._effector, environment, self._orders)
        self._woken = asyncio.Event()
        self._stopping = False

    @property
    def progress(self) -> Progress | None:
        """How far the running verification is, for people."""
        return self._verifier.progress

    @property
    def release_note(self) -> str:
        """What the open release waits for, for people."""
        return self._driver.note

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
        self._show_ledger()
        floor = _SHORTEST_DELAY
        try:
            for action in ledger.unfinished(name):
                await self._effector.resume(action)
            self.ready = True
            await self._orders.carry_out_pending()
            await self._decider.decide_pending()
        except ActionError as error:
            log.warning("target cannot be read", extra={"target": name, "error": str(error)})
            floor = _RETRY_TARGET
        incident = ledger.open_incident(name)
        if incident is not None and incident.state is IncidentState.VERIFYING:
            await self._verifier.verify(incident)
        elif incident is not None and incident.state is IncidentState.ACTING and not ledger.unfinished(name):
            await self._shift.go_on(incident)
        released = await self._driver.step()
        await self._keeper.look()
        return max(floor, min(released, self._delay()))

    def _show_ledger(self) -> None:
        name, model, ledger = self.plan.name, self.plan.model, self._env.ledger
        level = ledger.frozen(name)
        self._env.metrics.set("frozen", float(level is FreezeLevel.ALL), name)
        self._env.metrics.set("promotions_frozen", float(level is not FreezeLevel.NONE), name)
        quarantined = [v for v in ledger.versions(model) if v.status is VersionStatus.QUARANTINED]
        self._env.metrics.set("quarantined_versions", float(len(quarantined)), model)

    def _delay(self) -> float:
        now, name, ledger = self._env.clock(), self.plan.name, self._env.ledger
        incident = ledger.open_incident(name)
        for state in OPEN_INCIDENTS:
            count = float(incident is not None and incident.state is state)
            self._env.metrics.set("incident_open", count, name, state)
        if incident is None or incident.state is not IncidentState.ACTING:  # nobody waits for capacity
            self._env.metrics.set("capacity_missing_ratio", 0.0, name)
        due = [min(self._keeper.next_look, now + self.plan.reconcile)]
        if incident is not None and incident.state is IncidentState.VERIFYING:
            due.append(now + self.plan.verification.window / _LOOKS_PER_WINDOW)
        elif incident is not None and incident.state is IncidentState.AWAITING_APPROVAL:
            due.append(incident.expires)
        elif incident is not None:
            due.append(self._shift.due(incident))
        waiting = ledger.next_try(name)
        if waiting is not None:
            due.append(min(waiting, now + self.plan.evidence.recheck))
        return min(due) - now
