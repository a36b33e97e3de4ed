"""Whether things stay as they were set: another writer, a restart, a lost webhook."""

from __future__ import annotations

import logging

from mlcanary.errors import ActionError
from mlcanary.handler.core.incidents import ActionKind, Incident
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.policy import DAY
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.evidence.missed import firing
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.intake.payload import Alert
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State, Unobservable
from mlcanary.handler.work.effect import Effector, Environment
from mlcanary.handler.work.shift import Shift

log = logging.getLogger(__name__)

MAX_REASSERTS = 2
_SKEW = 60.0
_PATIENCE = 4
"""So many looks long an alert may fire before its webhook counts as lost: senders group and wait."""
_SETTLED_STATES = (IncidentState.VERIFYING, IncidentState.RESOLVED, IncidentState.INEFFECTIVE)


class Keeper:
    """Looks after one target, every `reconcile` seconds."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment, shift: Shift) -> None:
        self.plan = plan
        self._shift = shift
        self.next_look = 0.0
        self._unheard: dict[tuple[str, str, str], float] = {}
        self._held: set[tuple[str, str, str]] = set()
        self._effector = effector
        self._env = environment

    async def look(self) -> None:
        """Look if it is time to. Raises StateError."""
        now = self._env.clock()
        if not now < self.next_look <= now + self.plan.reconcile:  # later than that: the clock went back
            self.next_look = now + self.plan.reconcile
            await self._listen(now)
            await self._reconcile()

    async def _listen(self, now: float) -> None:
        """Take in the alerts that have fired for a while and did not come in by webhook."""
        try:
            found = await firing(self._env.prometheus, self.plan)
        except EvidenceError as error:
            log.warning("firing alerts cannot be read", extra={"target": self.plan.name, "why": str(error)})
            return
        keys = {one.alert.delivery_key for one in found}
        self._unheard = {key: at for key, at in self._unheard.items() if key in keys}
        self._held &= keys
        for one in found:
            patience = _PATIENCE * self.plan.reconcile
            first = min(self._unheard.setdefault(one.alert.delivery_key, now), now)
            since = (one.since or first - DAY) - _SKEW
            if now - first < patience:
                continue
            if self._env.ledger.heard(self.plan.name, one.alert, since):
                self._take_up(one.alert, since, now)
                continue
            if await self._silenced(one.alert):
                self._held.add(one.alert.delivery_key)
                continue
            if self._env.ledger.receive([(one.alert, self.plan.name)], now) == [True]:
                self._tell(one.alert)

    def _tell(self, alert: Alert) -> None:
        """Tell that an alert came without a webhook: lost, unless none was to come until now."""
        about = {"target": self.plan.name, "alert": alert.name}
        if alert.delivery_key in self._held:
            log.warning("a silence has ended, and the alert still fires", extra=about)
            return
        self._env.metrics.add("missed_webhooks_total", self.plan.name)
        log.error("no webhook came for an alert", extra=about)

    def _take_up(self, alert: Alert, since: float, now: float) -> None:
        """What was only rehearsed, in mode observe, and still fires is decided again once the mode lets it act."""
        if self.plan.acts and self._env.ledger.reopen_rehearsed(self.plan.name, alert, since, now):
            log.warning("a rehearsed alert still fires", extra={"target": self.plan.name, "alert": alert.name})

    async def _silenced(self, alert: Alert) -> bool:
        """Whether no webhook was to come. Without an answer it is taken in, and whoever decides asks again."""
        asked = self._env.alertmanager
        if asked is None:
            return False
        try:
            return bool(await asked.held_by(self.plan, alert.version, alert.measure, alert.window))
        except EvidenceError as error:
            log.warning("silences cannot be read", extra={"target": self.plan.name, "why": str(error)})
            return False

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
        if isinstance(seen, Unobservable) or seen.weight(incident.bad) == 0 or self._released_again(incident):
            return
        await self._reassert(incident, seen)

    def _released_again(self, incident: Incident) -> bool:
        """Whether a person submitted the version once more: its traffic is the driver's then."""
        newest = next(iter(self._env.ledger.releases(self.plan.name, 1)), None)
        return newest is not None and newest.candidate == incident.bad and 0 < incident.closed <= newest.submitted

    async def _reassert(self, incident: Incident, seen: State) -> None:
        now, ledger, name = self._env.clock(), self._env.ledger, self.plan.name
        if ledger.unfinished(name):  # one write at a time: what is seen now may be half of that one
            return
        try:
            proposal = await self._shift.propose(incident.bad, incident.good, seen)
        except EvidenceError as error:
            log.warning("the room for a shift back is not known", extra={"target": name, "why": str(error)})
            return
        if not proposal.first.whole:
            log.error("no room to set the state again", extra={"target": name, "missing": proposal.first.missing})
            return
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
        action = self._effector.plan_reassert(incident, proposal.desired, seen, now)
        ledger.plan_reassert(action, now)
        await self._effector.carry_out(action)
