"""The story `release`: a good version goes from 1 % to all traffic under the judge, a bad one is stopped.

Guarantee: the demo deploys, gives roles and submits, as people and pipelines do; every weight is set by the handler.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from mlcanary.catalog import Verdict
from mlcanary.demo import observation, smoke_test
from mlcanary.demo.casts import RELEASE, SOAK_SECONDS, STEP_TRIALS, STEPS
from mlcanary.demo.dataset import BASELINE, CANARY, HELDOUT_FILE, MODEL, NEXT
from mlcanary.demo.observation import LogReader, parse_timestamp
from mlcanary.demo.release_promises import ReleaseEvidence, release_checks
from mlcanary.demo.release_record import Record, records, spans
from mlcanary.demo.release_timeline import lines
from mlcanary.demo.scenario import AFTER_SECONDS, Scenario
from mlcanary.demo.stack import DemoError, poll
from mlcanary.demo.timeline import Milestone
from mlcanary.demo.traffic import read_rows
from mlcanary.demo.verdict import Check
from mlcanary.demo.witness import gist
from mlcanary.handler.core.machines import ReleaseState

DEPLOY_SECONDS = 60.0
STILL_SECONDS = 120.0
"""How long a release may stand still before the demo gives up: a step takes seconds where all is well."""

DEADLINES = {
    Milestone.VERDICT: (180.0, "judge"),
    Milestone.FIRING: (195.0, "prometheus"),
    Milestone.WEBHOOK: (215.0, "alertmanager"),
    Milestone.EFFECT: (220.0, "handler"),
    Milestone.VERIFIED: (310.0, "handler"),
}
"""As in the other story; at 1 % of the traffic the judge sees few requests a second."""

_UNDER_WAY = (ReleaseState.STAGED, ReleaseState.STEP, ReleaseState.HOLD, ReleaseState.SOAK, ReleaseState.PROVEN)


class ReleaseStory(Scenario):
    """See the module."""

    cast = RELEASE
    _highest_bad = 0.0
    _promoted_at: float | None = None
    _good_ended = 0.0
    _refusal: str | None = None
    _told = 0

    async def _tell(self) -> None:
        self._watched = CANARY
        await self._good()
        self._watched = NEXT
        await self._bad()

    # --- chapters

    async def _good(self) -> None:
        percents = ", ".join(map(str, STEPS))
        self._screen.heading(f"The first release: {CANARY} is a little better than {BASELINE}")
        self._screen.note("steps", f"{percents} % of the traffic, each ended by the judge's evidence")
        self._screen.note("short for a demo", f"{STEP_TRIALS} requests judged a step, not 500; soak {SOAK_SECONDS:g} s")
        self._screen.note("", "the judge looks every 4 s; it promotes after 400 requests and 30 s at the earliest")
        self._screen.note("", "latency hardly counts, as all share one machine")
        await self._deploy(CANARY, {BASELINE: "baseline", CANARY: "canary"})
        await self._submit(CANARY)
        await self._watch_release(CANARY, ReleaseState.PROVEN)
        self._good_ended = time.time()
        self._screen.note("now", await self._figures())

    async def _bad(self) -> None:
        self._screen.heading(f"The second release: {CANARY} is the baseline now, {NEXT} comes with a bug")
        await self._deploy(NEXT, {BASELINE: "unassigned", CANARY: "baseline", NEXT: "canary"})
        await self._break()
        await self._submit(NEXT)
        await self._watch_until_milestones(time.time(), DEADLINES)
        await self._watch_release(NEXT, ReleaseState.ROLLED_BACK)
        self._refusal = await self._submit_again(NEXT)
        self._screen.note("now", await self._figures())
        await self._watch_for(AFTER_SECONDS)

    # --- what people and pipelines do

    async def _deploy(self, version: str, roles: Mapping[str, str]) -> None:
        """Start server and sidecar, smoke-test, and give every version its role; no traffic yet."""
        run = self._run
        run.write_roles(roles)
        for deployed in self._deployed:
            await self._reload_exporter(deployed)
        parts = (self._processes.model_server(version), self._processes.exporter(version))
        await self._busy(f"deploying {version}", self._stack.start(*parts))
        run.write_scraped(roles)
        rows = read_rows(run.models / HELDOUT_FILE)
        url = run.url(run.ports.models[version], "/predict")
        right, asked = await smoke_test.ask(self._session, url, version, rows, run.labels)
        self._deployed = list(roles)
        self._screen.note("deployed", f"{version}, without traffic; smoke test: {right} of {asked} right")
        await self._busy(f"waiting for {version} in HAProxy and Prometheus", self._seen(version, roles))
        told = ", ".join(f"{name} {role}" for name, role in roles.items())
        self._screen.note("roles", told)

    async def _reload_exporter(self, version: str) -> None:
        url = self._run.url(self._run.ports.exporters[version], "/-/reload")
        try:
            await self._session.post(url, raise_for_status=True)
        except aiohttp.ClientError as error:
            raise DemoError(f"the exporter did not reload: {error}", component=f"exporter-{version}") from error

    async def _seen(self, version: str, roles: Mapping[str, str]) -> None:
        async def known() -> bool:
            self._stack.check()
            told = [(s.labels["version"], s.labels["role"]) for s in await self._prometheus.query(observation.ROLES)]
            return sorted(told) == sorted(roles.items()) and await observation.is_running(
                self._run.haproxy_socket, version
            )

        if not await poll(known, seconds=DEPLOY_SECONDS):
            raise DemoError(f"{version} was not seen in time with its role", component=f"exporter-{version}")

    async def _submit(self, version: str) -> None:
        component = self._processes.submit(version)
        await self._busy(f"submitting {version}", self._stack.run(component))
        self._screen.note("submitted", f"mlcanary handler submit: {self._stack.log_tail(component.name, 1)[0]}")

    async def _submit_again(self, version: str) -> str | None:
        """Why the handler refuses it, None if it took it."""
        component = self._processes.submit(version)
        status = await self._busy(f"submitting {version} again", self._stack.ask(component))
        answer = self._stack.log_tail(component.name, 1)[0]
        self._screen.event(time.time(), "submitted again", answer, good=False)
        return answer if status == 1 else None

    # --- watching

    async def _watch_release(self, version: str, wanted: ReleaseState) -> None:
        """Until the release of a version has ended. Raises DemoError if it ends otherwise or stands still."""
        moved, before = time.time(), self._told
        while (record := self._record(version)) is None or record.state != wanted:
            if record is not None and wanted is ReleaseState.PROVEN and record.state not in _UNDER_WAY:
                raise DemoError(f"the release of {version} is {record.state}", component="handler")
            if self._told != before:
                moved, before = time.time(), self._told
            if time.time() - moved > STILL_SECONDS:
                raise DemoError(f"the release of {version} stood still for {STILL_SECONDS:.0f} s", component="handler")
            await self._look()
        await self._look()

    async def _observe(self) -> None:
        if self._watched == NEXT:
            await self._witness.look()
            total = sum(self._witness.weights.values())
            self._highest_bad = max(self._highest_bad, self._witness.weights.get(NEXT, 0) / total if total else 0.0)
        elif self._promoted_at is None:
            found = await self._witness.verdict(CANARY)
            if found is not None and found["verdict"] == Verdict.PROMOTE:
                self._promoted_at = found["since"]
                self._screen.event(found["since"], "verdict", gist(found["text"]))
        self._tell_news()

    def _tell_news(self) -> None:
        """Print what the audit tells of the release under way and was not printed yet."""
        told = [
            (line, record)
            for record in records(self._witness.audit.rows())
            for line in lines(record, STEPS)
            if line.event != "submitted" and not line.event.endswith("tried")
        ]
        for line, record in told[self._told :]:
            share = "" if line.share is None else f"{line.share:.0f} % to {record.candidate}: "
            judge = f" (the judge: {line.judge})" if line.judge else ""
            self._screen.event(line.ts, line.event, f"{share}{line.detail}{judge}", good=line.event != "held")
        self._told = len(told)

    def _record(self, version: str) -> Record | None:
        """The newest release of a version."""
        found = [record for record in records(self._witness.audit.rows()) if record.candidate == version]
        return found[-1] if found else None

    # --- the end

    async def _promises(self) -> Sequence[Check]:
        good, bad = self._record(CANARY), self._record(NEXT)
        if good is None or bad is None:
            raise DemoError("the audit does not tell of two releases", component="handler")
        evidence = await self._evidence(good, bad)
        entries = self._witness.timeline.entries
        self._screen.release(f"{CANARY}: from 1 % to all traffic", lines(good, STEPS, evidence.good_spans))
        self._screen.release(f"{NEXT}: stopped", lines(bad, STEPS, evidence.bad_spans, entries))
        return release_checks(evidence)

    async def _evidence(self, good: Record, bad: Record) -> ReleaseEvidence:
        run, now = self._run, time.time()
        times = {version: _times(run.predictions(version)) for version in self._deployed}
        effect = self._witness.timeline.find(Milestone.EFFECT)
        early = await self._prometheus.rollback_alert_history(self._started, self._good_ended)
        late = await self._prometheus.rollback_alert_history(self._good_ended, now)
        samples = await self._witness.handler_metrics()
        traffic = self._traffic()
        return ReleaseEvidence(
            percents=STEPS,
            step_trials=STEP_TRIALS,
            good=good,
            bad=bad,
            good_spans=spans(good, times, self._good_ended),
            bad_spans=spans(bad, times, now),
            highest_bad=self._highest_bad,
            promoted_at=self._promoted_at,
            early_alerts=frozenset(early["pending"] | early["firing"]),
            late_alerts=frozenset(late["pending"] | late["firing"]),
            weights=await observation.read_weights(run.haproxy_socket, tuple(self.cast.weights)),
            bad_after_effect=None if effect is None else len([ts for ts in times[NEXT] if ts > effect.ts]),
            outcome=observation.rollback_outcome(samples),
            refusal=self._refusal,
            verified=await self._stack.ask(self._processes.verify_audit()) == 0,
            audit_rows=len(self._witness.audit.rows()),
            figures={name: observation.total(samples, metric, **labels) for name, metric, labels in _FIGURES},
            expected={
                "effects": float(self._witness.audit.confirmed_effects() or -1),
                "proven": 1.0,
                "rolled back": 1.0,
                "resolved": 1.0,
                "orders done": 2.0,
                "orders refused": 1.0,
                "quarantined": 1.0,
                "share": 0.0,
            },
            sent=traffic.get("sent", 0),
            answered=traffic.get("answered", 0),
            failed=traffic.get("failed", 0),
        )


_FIGURES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("effects", "mlcanary_effects_total", {"result": "confirmed"}),
    ("proven", "mlcanary_releases_total", {"outcome": "proven"}),
    ("rolled back", "mlcanary_releases_total", {"outcome": "rolled_back"}),
    ("resolved", "mlcanary_rollbacks_total", {"outcome": "resolved"}),
    ("orders done", "mlcanary_orders_total", {"order": "submit", "result": "done"}),
    ("orders refused", "mlcanary_orders_total", {"order": "submit", "result": "refused"}),
    ("quarantined", "mlcanary_quarantined_versions", {"model": MODEL}),
    ("share", "mlcanary_release_share_ratio", {"model": MODEL}),
)
"""Name -> a metric of the handler with its labels; what the audit expects of each is said beside."""


def _times(log: Path) -> list[float]:
    """Event times of the predictions that clients asked for, sorted."""
    found = LogReader(log).new_records()
    return sorted(parse_timestamp(record["ts"]) for record in found if not smoke_test.is_smoke(record["id"]))
