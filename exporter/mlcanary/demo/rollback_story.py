"""The story `rollback`: a canary with a tenth of the traffic goes bad, and is rolled back; or nothing happens."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mlcanary.demo import observation, verdict
from mlcanary.demo.casts import ROLLBACK
from mlcanary.demo.dataset import CANARY
from mlcanary.demo.observation import LogReader, parse_timestamp
from mlcanary.demo.scenario import AFTER_SECONDS, Scenario
from mlcanary.demo.timeline import Milestone
from mlcanary.demo.verdict import Check, Evidence

DEADLINES = {
    Milestone.WRONG: (20.0, "model-v2"),
    Milestone.VERDICT: (60.0, "judge"),
    Milestone.FIRING: (75.0, "prometheus"),
    Milestone.WEBHOOK: (95.0, "alertmanager"),
    Milestone.EFFECT: (100.0, "handler"),
    Milestone.VERIFIED: (190.0, "handler"),
}
"""Milestone -> seconds after the bug by which it must be reached, and whose log tells why it was not."""


class RollbackStory(Scenario):
    """See the module."""

    cast = ROLLBACK

    async def _tell(self) -> None:
        await self._healthy()
        if self._options.bug:
            await self._bug()
        else:
            await self._quiet()

    async def _healthy(self) -> None:
        self._screen.heading(
            f"Healthy: {CANARY} gets {self.cast.weights[CANARY]} % of the traffic and is a little better"
        )
        await self._watch_for(self._options.healthy_seconds)
        self._screen.note("still healthy", await self._figures())

    async def _bug(self) -> None:
        self._screen.heading(f"The bug: {CANARY}'s feature pipeline changes a unit")
        bug = await self._break()
        await self._watch_until_milestones(bug, DEADLINES)
        self._screen.note("now", await self._figures())
        await self._watch_for(AFTER_SECONDS)

    async def _quiet(self) -> None:
        self._screen.heading(f"No bug: the same watch for another {self._options.quiet_seconds:.0f} s")
        await self._watch_for(self._options.quiet_seconds)

    async def _promises(self) -> Sequence[Check]:
        evidence = await self._evidence()
        if not self._options.bug:
            return verdict.healthy_checks(evidence, initial_weights=self.cast.weights)
        self._screen.durations(self._witness.timeline.durations())
        return verdict.bug_checks(evidence, canary=CANARY)

    async def _evidence(self) -> Evidence:
        effect = self._witness.timeline.find(Milestone.EFFECT)
        history = await self._prometheus.rollback_alert_history(self._started, time.time())
        samples = await self._witness.handler_metrics()
        canary = [parse_timestamp(record["ts"]) for record in LogReader(self._run.predictions(CANARY)).new_records()]
        traffic = self._traffic()
        return Evidence(
            verdicts=frozenset(await self._prometheus.verdict_history(self._started, time.time())),
            alerts=frozenset(history["pending"] | history["firing"]),
            fired=frozenset(history["firing"]),
            effects=int(observation.total(samples, "mlcanary_effects_total")),
            audited_effects=self._witness.audit.confirmed_effects(),
            outcome=observation.rollback_outcome(samples),
            weights=await observation.read_weights(self._run.haproxy_socket, tuple(self.cast.weights)),
            canary_after_effect=None if effect is None else len([ts for ts in canary if ts > effect.ts]),
            canary_silent_seconds=0.0 if effect is None else effect.ts - max(canary),
            sent=traffic.get("sent", 0),
            answered=traffic.get("answered", 0),
            failed=traffic.get("failed", 0),
        )
