"""Proof of an effect: look at the traffic until it tells, or until the deadline."""

from __future__ import annotations

import dataclasses
import logging

import msgspec

from mlcanary.errors import ActionError
from mlcanary.handler.core.incidents import HANDLER, Incident
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.releases import Version, VersionStatus
from mlcanary.handler.core.verification import Progress, Reference, Served, Verdict, advance
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.evidence.readings import read
from mlcanary.handler.evidence.served import ask
from mlcanary.handler.intake.payload import Measure
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import Unobservable
from mlcanary.handler.work.effect import Effector, Environment

log = logging.getLogger(__name__)


class Verifier:
    """Verifies the incidents of one target. `progress` is how far the running one is, for people."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self.plan = plan
        self.progress: Progress | None = None
        self._served = Served(0.0)
        self._effector = effector
        self._env = environment

    async def verify(self, incident: Incident) -> None:
        """Look once more; end the incident if that settles it. Raises StateError."""
        now, limits = self._env.clock(), self.plan.verification
        if incident.effect > now:  # the clock went back: the deadline would be as much later
            self._env.ledger.verify_from(incident, now)
            incident = dataclasses.replace(incident, effect=now)
        progress = self.progress
        if progress is None or progress.effect != incident.effect:
            progress = Progress(effect=incident.effect)
            seconds = incident.effect - incident.received
            self._env.metrics.set("rollback_duration_seconds", seconds, self.plan.name, "effect")
        try:
            reading = await read(self._env.prometheus, self.plan, incident.bad, now)
            progress = advance(
                progress,
                reading,
                limits,
                bad=incident.bad,
                measure=_recovery(incident),
                reference=_reference(incident),
            )
        except EvidenceError as error:
            progress = dataclasses.replace(progress, note=str(error))  # as if nobody had looked
        served = await self._told(incident, now)
        self.progress = progress = dataclasses.replace(progress, note="; ".join(filter(None, (progress.note, served))))
        if progress.verdict is Verdict.PROVEN and not served and await self._holds(incident):
            self._close(incident, IncidentState.RESOLVED, progress.note)
        elif now - incident.effect > limits.deadline:
            moved = progress.verdict in (Verdict.MOVED, Verdict.PROVEN)
            self._close(incident, IncidentState.INEFFECTIVE if moved else IncidentState.STUCK, progress.note)

    async def _told(self, incident: Incident, now: float) -> str:
        """Why the model server does not prove yet that it serves the good artefact, empty if it does."""
        if self.plan.served is None:
            return ""
        if self._served.effect != incident.effect:
            self._served = Served(incident.effect)
        wanted = self.plan.served.values.get(incident.good)
        if wanted is None:
            return f"{incident.good} is no longer configured, so nobody can tell whether it is served"
        self._served = self._served.told(await ask(self.plan.served), wanted, now)
        return (
            "" if self._served.proven(self.plan.verification, now) else self._served.note or "the model server is asked"
        )

    async def _holds(self, incident: Incident) -> bool:
        """Whether the target, where it can be read, still keeps the bad version out."""
        try:
            seen = await self._effector.observe()
        except ActionError:
            return False
        return isinstance(seen, Unobservable) or seen.weight(incident.bad) == 0

    def _close(self, incident: Incident, state: IncidentState, note: str) -> None:
        now = self._env.clock()
        versions = self._learnt(incident, state, note, now)
        self._env.ledger.close_incident(incident, state, note=note, now=now, versions=versions)
        self._env.metrics.add("rollbacks_total", self.plan.name, self.plan.model, state)
        self._env.metrics.set("rollback_duration_seconds", now - incident.received, self.plan.name, "verified")
        level = logging.INFO if state is IncidentState.RESOLVED else logging.ERROR
        log.log(level, "incident ended", extra={"incident": incident.id, "state": state, "why": note})

    def _learnt(self, incident: Incident, state: IncidentState, note: str, now: float) -> list[Version]:
        """What a confirmed effect tells of the artefacts: the bad one is quarantined.

        The good one is proven only if its quality was measured and is back: without labels or a reference, as after an
        order without evidence, the traffic has moved, but nobody knows to what.
        """
        if state not in (IncidentState.RESOLVED, IncidentState.INEFFECTIVE):
            return []
        reason = f"incident {incident.id}: {note}"
        bad = incident.digest or self.plan.digest(incident.bad)
        learnt = [Version(incident.model, bad, incident.bad, VersionStatus.QUARANTINED, reason, HANDLER, now)]
        if state is IncidentState.RESOLVED and self.progress is not None and self.progress.measure == "recovered":
            good = self.plan.digest(incident.good)
            learnt.append(Version(incident.model, good, incident.good, VersionStatus.PROVEN, reason, HANDLER, now))
        return learnt


def _recovery(incident: Incident) -> Measure:
    """The measure that tells whether quality is back: the alert's own, unless the evidence names one."""
    found = msgspec.json.decode(incident.evidence).get("recovery", incident.measure)
    return Measure(found) if found in tuple(Measure) else Measure.ACCURACY


def _reference(incident: Incident) -> Reference | None:
    facts = msgspec.json.decode(incident.evidence)
    if "reference" not in facts or "reference_stderr" not in facts:
        return None
    return Reference(float(facts["reference"]), float(facts["reference_stderr"]))
