"""The story of one run, from training to the promises kept.

Guarantee: `play` returns True only if every promise of `verdict` held; when it returns or raises, every process
that it started has ended, except while `keep` waits for the reader to press Ctrl-C. No wait is unbounded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from mlcanary.demo import observation, verdict
from mlcanary.demo.configuration import WEIGHTS, Ports, Run
from mlcanary.demo.dataset import BASELINE, CANARY
from mlcanary.demo.observation import LogReader, Prometheus, parse_timestamp
from mlcanary.demo.screen import Screen
from mlcanary.demo.stack import DemoError, Stack, poll
from mlcanary.demo.timeline import Milestone
from mlcanary.demo.verdict import Evidence
from mlcanary.demo.witness import Witness

LOOK_SECONDS = 0.2
LIVE_SECONDS = 1.0
FIGURES_SECONDS = 40.0
AFTER_SECONDS = 5.0
"""Traffic that still flows after the proof, so that a late canary prediction would be seen."""

DEADLINES = {
    Milestone.WRONG: (20.0, "model-v2"),
    Milestone.VERDICT: (60.0, "judge"),
    Milestone.FIRING: (75.0, "prometheus"),
    Milestone.WEBHOOK: (95.0, "alertmanager"),
    Milestone.EFFECT: (100.0, "handler"),
    Milestone.VERIFIED: (190.0, "handler"),
}
"""Milestone -> seconds after the bug by which it must be reached, and whose log tells why it was not."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to play. Durations in seconds, `rate` in requests per second."""

    bug: bool = True
    keep: bool = False
    rate: float = 120.0
    healthy_seconds: float = 45.0
    quiet_seconds: float = 120.0


class Scenario:
    """One run with everything that is needed to tell it."""

    def __init__(
        self, run: Run, stack: Stack, session: aiohttp.ClientSession, screen: Screen, options: Options
    ) -> None:
        self._run, self._stack, self._session, self._screen, self._options = run, stack, session, screen, options
        self._prometheus = Prometheus(session, run.url(run.ports.prometheus))
        self._witness = Witness(run, session, screen.milestone)
        self._live_at = 0.0
        self._started = time.time()

    async def play(self) -> bool:
        """The whole story. Raises DemoError when a part fails."""
        await self._set_up()
        await self._healthy()
        if self._options.bug:
            await self._bug()
        else:
            await self._quiet()
        kept = await self._end()
        if self._options.keep:
            await self._stay()
        return kept

    # --- chapters

    async def _set_up(self) -> None:
        run, screen = self._run, self._screen
        screen.heading("Set-up: everything real, everything on loopback")
        screen.note("run directory", str(run.directory))
        run.write()
        await self._busy("training two models", self._stack.run(run.train_job()))
        await self._busy("profiling the training rows", self._stack.run(run.profile_job()))
        screen.note(
            "models", f"{BASELINE} and {CANARY}, trained on one half of the rows; the other half is the traffic"
        )
        servers = [run.model_server(version) for version in WEIGHTS]
        await self._busy("starting both model servers", self._stack.start(*servers))
        await self._busy(
            "starting HAProxy, exporters, Prometheus, Alertmanager",
            self._stack.start(
                run.haproxy(), *(run.exporter(version) for version in WEIGHTS), run.prometheus(), run.alertmanager()
            ),
        )
        await self._busy("starting the judge and the handler", self._stack.start(run.judge(), run.handler()))
        await self._stack.start(run.traffic(self._options.rate))
        rules = await self._prometheus.loaded_rules()
        screen.note(
            "running", f"2 servers, 2 exporters, HAProxy, Prometheus with {rules} rules, judge, Alertmanager, handler"
        )
        screen.note("judge", run.url(run.ports.judge))
        await self._busy("waiting for the first labels in Prometheus", self._first_figures())

    async def _first_figures(self) -> None:
        async def has_figures() -> bool:
            self._stack.check()
            known = await self._prometheus.by_version(observation.ACCURACY)
            judged = await self._prometheus.query(observation.VERDICT)
            return bool(judged) and set(WEIGHTS) <= set(known) and not await self._prometheus.down_targets()

        if not await poll(has_figures, seconds=FIGURES_SECONDS):
            down = await self._prometheus.down_targets()
            reason = f"cannot scrape {', '.join(down)}" if down else "has no accuracy for both versions, or no verdict"
            guilty = "prometheus" if down else f"exporter-{CANARY}"
            raise DemoError(f"Prometheus {reason} after {FIGURES_SECONDS:.0f} s", component=guilty)

    async def _healthy(self) -> None:
        self._screen.heading(f"Healthy: {CANARY} gets {WEIGHTS[CANARY]} % of the traffic and is a little better")
        await self._watch_for(self._options.healthy_seconds)
        self._screen.note("still healthy", await self._figures())

    async def _bug(self) -> None:
        self._screen.heading(f"The bug: {CANARY}'s feature pipeline changes a unit")
        url = self._run.url(self._run.ports.models[CANARY], "/admin/bug")
        bug = time.time()
        try:
            await self._session.post(url, json={"kind": "unit_change"}, raise_for_status=True)
        except aiohttp.ClientError as error:
            raise DemoError(f"the model server refused the bug: {error}", component=f"model-{CANARY}") from error
        self._witness.reached(Milestone.BUG, bug, f"{CANARY} now gets lengths in millimetres, not micrometres")
        for milestone, (seconds, component) in DEADLINES.items():
            await self._watch_until(milestone, bug + seconds, component)
        self._screen.note("now", await self._figures())
        await self._watch_for(AFTER_SECONDS)

    async def _quiet(self) -> None:
        self._screen.heading(f"No bug: the same watch for another {self._options.quiet_seconds:.0f} s")
        await self._watch_for(self._options.quiet_seconds)

    async def _end(self) -> bool:
        await self._busy("letting the last requests and labels finish", self._stack.stop("traffic"))
        self._screen.heading("What was promised, and what was measured")
        evidence = await self._evidence()
        if self._options.bug:
            self._screen.durations(self._witness.timeline.durations())
            checks = verdict.bug_checks(evidence, canary=CANARY)
        else:
            checks = verdict.healthy_checks(evidence, initial_weights=WEIGHTS)
        self._screen.promises(checks)
        kept = all(check.held for check in checks)
        if kept:
            self._screen.closing(f"Every promise was kept, in {time.time() - self._started:.0f} s.", good=True)
        else:
            place = f"Logs, configuration and records: {self._run.directory}"
            self._screen.closing(f"Not every promise was kept. {place}", good=False)
        return kept

    async def _stay(self) -> None:
        """Leave everything running until Ctrl-C, which cancels this."""
        self._screen.heading("DEMO_KEEP: still running; press Ctrl-C to end it")
        await self._stack.start(self._run.traffic(self._options.rate))
        for subject, text in self._run.addresses():
            self._screen.note(subject, text)
        try:
            while True:
                self._stack.check()
                self._screen.live(await self._figures())
                await asyncio.sleep(LIVE_SECONDS)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()  # Ctrl-C is how this chapter ends: the verdict stands

    # --- watching

    async def _watch_for(self, seconds: float) -> None:
        end = time.time() + seconds
        while time.time() < end:
            await self._look()

    async def _watch_until(self, milestone: Milestone, deadline: float, component: str) -> None:
        while not self._witness.has(milestone):
            if time.time() > deadline:
                raise DemoError(f'"{milestone.value}" was not reached in time', component=component)
            await self._look()

    async def _look(self) -> None:
        self._stack.check()
        await self._witness.look()
        if time.time() - self._live_at >= LIVE_SECONDS:
            self._live_at = time.time()
            self._screen.live(await self._figures())
        await asyncio.sleep(LOOK_SECONDS)

    async def _figures(self) -> str:
        """Both arms in one line."""
        accuracy = await self._prometheus.by_version(observation.ACCURACY)
        rates = await self._prometheus.by_version(observation.PREDICTIONS)
        labels = await self._prometheus.query(observation.LABELS)
        verdicts = await self._prometheus.query(observation.VERDICT)
        traffic = observation.read_json(self._run.traffic_figures) or {}
        arms = ", ".join(f"{v} {accuracy[v]:.1%}" if v in accuracy and rates.get(v) else f"{v} -" for v in WEIGHTS)
        total = sum(rates.values())
        share = f"{rates.get(CANARY, 0.0) / total:.1%}" if total else "-"
        return (
            f"accuracy {arms} | {CANARY} share {share} | {total:.0f} predictions/s, "
            f"{sum(sample.value for sample in labels):.0f} labels/s | {traffic.get('failed', 0)} failed requests | "
            f"judge: {', '.join(sample.labels['verdict'] for sample in verdicts) or '-'}"
        )

    async def _busy(self, what: str, work: Awaitable[None]) -> None:
        """Await `work` under a live line."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=LIVE_SECONDS))[0]:
                self._screen.live(f"{what} ...")
        finally:
            task.cancel()
            self._screen.quiet()
        await task

    # --- the end

    async def _evidence(self) -> Evidence:
        effect = self._witness.timeline.find(Milestone.EFFECT)
        history = await self._prometheus.rollback_alert_history(self._started, time.time())
        samples = await self._witness.handler_metrics()
        canary = [parse_timestamp(record["ts"]) for record in LogReader(self._run.predictions(CANARY)).new_records()]
        traffic = observation.read_json(self._run.traffic_figures) or {}
        ended = [s for s in samples if s.labels["__name__"] == "mlcanary_rollbacks_total" and s.value]
        return Evidence(
            verdicts=frozenset(await self._prometheus.verdict_history(self._started, time.time())),
            alerts=frozenset(history["pending"] | history["firing"]),
            fired=frozenset(history["firing"]),
            effects=int(observation.total(samples, "mlcanary_effects_total")),
            audited_effects=self._witness.audit.confirmed_effects(),
            outcome=ended[0].labels["outcome"] if len(ended) == 1 else None,
            weights=await observation.read_weights(self._run.haproxy_socket, tuple(WEIGHTS)),
            canary_after_effect=None if effect is None else len([ts for ts in canary if ts > effect.ts]),
            canary_silent_seconds=0.0 if effect is None else effect.ts - max(canary),
            sent=traffic.get("sent", 0),
            answered=traffic.get("answered", 0),
            failed=traffic.get("failed", 0),
        )


async def play(directory: Path, screen: Screen, options: Options) -> bool:
    """Play one run in `directory`, which is empty; True if every promise was kept.

    A `DemoError` is shown with the guilty component's last log lines and counts as not kept.
    """
    timeout = aiohttp.ClientTimeout(total=5.0)
    async with aiohttp.ClientSession(timeout=timeout) as session, Stack(directory, session) as stack:
        try:
            run = Run(directory, Ports.choose())
            kept = await Scenario(run, stack, session, screen, options).play()
        except DemoError as error:
            show_failure(screen, stack, error)
            kept = False
        finally:
            screen.quiet()
        return kept


def show_failure(screen: Screen, stack: Stack, error: DemoError) -> None:
    """The end of the guilty component's log, one sentence, and what to do."""
    if error.component:
        screen.log_tail(error.component, str(stack.log_path(error.component)), stack.log_tail(error.component))
    screen.closing(f"The demo stopped: {error}." + (f"\nTo do: {error.hint}." if error.hint else ""), good=False)
