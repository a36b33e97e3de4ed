"""What every story of the demo shares: the set-up, the watch, the bug, the end.

Guarantee: `play` returns True only if every promise of the story held; when it returns or raises, every process
that it started has ended, except while `keep` waits for the reader to press Ctrl-C. No wait is unbounded.
"""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

import aiohttp

from mlcanary.demo import observation
from mlcanary.demo.casts import Cast
from mlcanary.demo.configuration import Run
from mlcanary.demo.observation import Prometheus
from mlcanary.demo.processes import Processes
from mlcanary.demo.screen import Screen
from mlcanary.demo.stack import DemoError, Stack, poll
from mlcanary.demo.timeline import Milestone
from mlcanary.demo.verdict import Check
from mlcanary.demo.witness import Witness

T = TypeVar("T")

LOOK_SECONDS = 0.2
LIVE_SECONDS = 1.0
FIGURES_SECONDS = 40.0
AFTER_SECONDS = 5.0
"""Traffic that still flows after the proof, so that a late canary prediction would be seen."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to play. Durations in seconds, `rate` in requests per second, None for the story's own.

    `bug`, `healthy_seconds` and `quiet_seconds` are for the story `rollback`.
    """

    story: str = "rollback"
    bug: bool = True
    keep: bool = False
    rate: float | None = None
    healthy_seconds: float = 45.0
    quiet_seconds: float = 120.0


class Scenario(abc.ABC):
    """One run with everything that is needed to tell it."""

    cast: ClassVar[Cast]

    def __init__(
        self, run: Run, stack: Stack, session: aiohttp.ClientSession, screen: Screen, options: Options
    ) -> None:
        self._run, self._stack, self._session, self._screen, self._options = run, stack, session, screen, options
        self._processes = Processes(run)
        self._prometheus = Prometheus(session, run.url(run.ports.prometheus))
        self._witness = Witness(run, session, screen.milestone)
        self._deployed: list[str] = []
        self._watched = run.cast.breakable
        self._live_at = 0.0
        self._started = time.time()

    async def play(self) -> bool:
        """The whole story. Raises DemoError when a part fails."""
        await self._set_up()
        await self._tell()
        await self._busy("letting the last requests and labels finish", self._stack.stop("traffic"))
        self._screen.heading("What was promised, and what was measured")
        kept = self._close(await self._promises())
        if self._options.keep:
            await self._stay()
        return kept

    @abc.abstractmethod
    async def _tell(self) -> None:
        """The chapters between the set-up and the end."""

    @abc.abstractmethod
    async def _promises(self) -> Sequence[Check]:
        """Show the timelines, and give every promise with its figure."""

    # --- chapters

    async def _set_up(self) -> None:
        run, screen, roles = self._run, self._screen, self._run.cast.roles
        screen.heading("Set-up: everything real, everything on loopback")
        screen.note("run directory", str(run.directory))
        await self._busy("training the models", self._stack.run(self._processes.train_job()))
        run.write()
        await self._busy("profiling the training rows", self._stack.run(self._processes.profile_job()))
        names = ", ".join(run.cast.weights)
        screen.note("models", f"{names}, trained on one half of the rows; the other half is the traffic")
        servers = [self._processes.model_server(version) for version in roles]
        await self._busy("starting the model servers", self._stack.start(*servers))
        self._deployed = list(roles)
        exporters = [self._processes.exporter(version) for version in roles]
        shared = (self._processes.haproxy(), self._processes.prometheus(), self._processes.alertmanager())
        await self._busy(
            "starting HAProxy, exporters, Prometheus, Alertmanager", self._stack.start(*exporters, *shared)
        )
        deciding = (self._processes.judge(), self._processes.handler())
        await self._busy("starting the judge and the handler", self._stack.start(*deciding))
        await self._stack.start(self._processes.traffic(self._rate))
        rules = await self._prometheus.loaded_rules()
        screen.note(
            "running",
            f"{_count(len(roles), 'server')}, {_count(len(roles), 'exporter')}, HAProxy, Prometheus with {rules} "
            "rules, judge, Alertmanager, handler",
        )
        screen.note("judge", run.url(run.ports.judge))
        await self._busy("waiting for the first labels in Prometheus", self._first_figures())

    async def _first_figures(self) -> None:
        judges = any(role == "canary" for role in self._run.cast.roles.values())

        async def has_figures() -> bool:
            self._stack.check()
            known = await self._prometheus.by_version(observation.ACCURACY)
            judged = not judges or bool(await self._prometheus.query(observation.VERDICT))
            return judged and set(self._deployed) <= set(known) and not await self._prometheus.down_targets()

        if not await poll(has_figures, seconds=FIGURES_SECONDS):
            down = await self._prometheus.down_targets()
            reason = f"cannot scrape {', '.join(down)}" if down else "has no accuracy for every version, or no verdict"
            guilty = "prometheus" if down else f"exporter-{self._deployed[-1]}"
            raise DemoError(f"Prometheus {reason} after {FIGURES_SECONDS:.0f} s", component=guilty)

    async def _break(self) -> float:
        """Give the story's version the bug; when that was."""
        version, at = self._run.cast.breakable, time.time()
        url = self._run.url(self._run.ports.models[version], "/admin/bug")
        try:
            await self._session.post(url, json={"kind": "unit_change"}, raise_for_status=True)
        except aiohttp.ClientError as error:
            raise DemoError(f"the model server refused the bug: {error}", component=f"model-{version}") from error
        self._witness.reached(Milestone.BUG, at, f"{version} now gets lengths in millimetres, not micrometres")
        return at

    def _close(self, checks: Sequence[Check]) -> bool:
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
        await self._stack.start(self._processes.traffic(self._rate))
        for subject, text in self._run.addresses():
            self._screen.note(subject, text)
        try:
            while True:
                self._screen.live(await self._state())
                await asyncio.sleep(LIVE_SECONDS)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()  # Ctrl-C is how this chapter ends: the verdict stands

    async def _state(self) -> str:
        """The arms in one line, or what is broken: now people pause and kill parts to see what the others do."""
        try:
            self._stack.check()
            return await self._figures()
        except DemoError as error:
            return str(error)

    # --- watching

    @property
    def _rate(self) -> float:
        return self._options.rate or self._run.cast.rate

    async def _watch_for(self, seconds: float) -> None:
        end = time.time() + seconds
        while time.time() < end:
            await self._look()

    async def _watch_until_milestones(self, since: float, deadlines: Mapping[Milestone, tuple[float, str]]) -> None:
        """Input: milestone -> seconds after `since` by which it must be reached, and whose log tells why it was not."""
        for milestone, (seconds, component) in deadlines.items():
            await self._watch_until(
                partial(self._witness.has, milestone),
                since + seconds,
                f'"{milestone.value}" was not reached in time',
                component,
            )

    async def _watch_until(self, reached: Callable[[], bool], deadline: float, failure: str, component: str) -> None:
        while not reached():
            if time.time() > deadline:
                raise DemoError(failure, component=component)
            await self._look()

    async def _look(self) -> None:
        self._stack.check()
        await self._observe()
        if time.time() - self._live_at >= LIVE_SECONDS:
            self._live_at = time.time()
            self._screen.live(await self._figures())
        await asyncio.sleep(LOOK_SECONDS)

    async def _observe(self) -> None:
        """Ask everybody once."""
        await self._witness.look()

    async def _figures(self) -> str:
        """The arms in one line."""
        accuracy = await self._prometheus.by_version(observation.ACCURACY)
        rates = await self._prometheus.by_version(observation.PREDICTIONS)
        labels = await self._prometheus.query(observation.LABELS)
        verdicts = await self._prometheus.query(observation.VERDICT)
        traffic = self._traffic()
        arms = ", ".join(
            f"{v} {accuracy[v]:.1%}" if v in accuracy and rates.get(v) else f"{v} -" for v in self._deployed
        )
        total, watched = sum(rates.values()), self._watched
        share = f"{rates.get(watched, 0.0) / total:.1%}" if total else "-"
        said = ", ".join(s.labels["verdict"] for s in verdicts if s.labels["version"] == watched)
        return (
            f"accuracy {arms} | {watched} share {share} | {total:.0f} predictions/s, "
            f"{sum(sample.value for sample in labels):.0f} labels/s | {traffic.get('failed', 0)} failed | "
            f"judge: {said or '-'}"
        )

    def _traffic(self) -> dict[str, Any]:
        return observation.read_json(self._run.traffic_figures) or {}

    async def _busy(self, what: str, work: Awaitable[T]) -> T:
        """Await `work` under a live line."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=LIVE_SECONDS))[0]:
                self._screen.live(f"{what} ...")
        finally:
            task.cancel()
            self._screen.quiet()
        return await task


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
