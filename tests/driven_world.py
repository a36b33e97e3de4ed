"""A release on a real HAProxy, with a judge and a clock of the tests."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, configuration
from mlcanary.handler.core import releases as rows
from mlcanary.handler.core.incidents import ActionKind
from mlcanary.handler.core.releases import Order, OrderKind, OrderState
from mlcanary.handler.evidence.prometheus import Prometheus
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.targets.registry import create
from mlcanary.handler.work.driver import Driver
from mlcanary.handler.work.effect import Effector, Environment, Pace

RELEASE = (
    "  release: {steps: [1, 10, 50, 100], min_trials: 500, soak: 10m, hold_deadline: 1h}\n"
    "  evidence: {recheck: 15s, deadline: 2m}\n"
)


READY, NOT_READY = [(GOOD, "baseline"), (BAD, "canary")], [(GOOD, "baseline"), (BAD, "shadow")]


class Crash(BaseException):
    """The process ends here."""


@dataclass
class World:
    """One target, its driver, and a clock that only `on` moves."""

    directory: Path
    proxy: HAProxy
    api: QueryAPI
    mode: str = "drive"
    extra: str = RELEASE
    now: float = 1_700_000_000.0
    checkpoint: Callable[[str], None] = lambda _name: None
    orders: int = 0
    metrics: HandlerMetrics = field(default_factory=HandlerMetrics)

    def start(self) -> None:
        """As a process does; after `stop` it is the next process."""
        text = configuration(self.api.url, self.proxy.section(), mode=self.mode, extra=self.extra)
        settings = parse_settings(text, "handler.yml")
        self.plan = settings.targets[0]
        self.ledger = Ledger(self.directory / "l.sqlite", freeze_file=None, checkpoint=self._check)
        self.ledger.address(lambda _kind: ("chat",), lambda: None)
        ids = itertools.count()
        environment = Environment(
            ledger=self.ledger,
            prometheus=Prometheus(settings.prometheus),
            metrics=self.metrics,
            clock=lambda: self.now,
            new_id=lambda: f"{self.now:.3f}-{next(ids)}",
            checkpoint=self._check,
            pace=Pace(attempts=1, settle=0.0),
            sleep=self._sleep,
        )
        self.metrics.introduce(self.plan)
        self.effector = Effector(self.plan, create(self.plan.kind), environment)
        self.driver = Driver(self.plan, self.effector, environment)

    def _check(self, name: str) -> None:
        self.checkpoint(name)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds

    async def on(self, seconds: float = 15.0, *, times: int = 1) -> str:
        """Let time pass and do what is due, as the worker does; gives the state of the newest release."""
        for _ in range(times):
            self.now += seconds
            for action in self.ledger.unfinished(self.plan.name):
                await self.effector.resume(action)
            while await self.driver.step() == 0.0:
                pass
        return self.newest().state

    def give(self, kind: OrderKind, version: str = BAD, **more: Any) -> Order:
        """An order that waits."""
        fixed = {"plan": "", "reason": "", "force": False, "actor": "ann", "note": "", "state": OrderState.PENDING}
        self.orders += 1
        name = f"o{self.orders}"
        row = Order(id=name, target="router", kind=kind, version=version, received=self.now, **{**fixed, **more})
        self.ledger.give_order(row)
        return row

    async def order(self, kind: OrderKind, version: str = BAD, **more: Any) -> str:
        """An order and why it was refused, "" if it was done."""
        given = self.give(kind, version, **more)
        await self.driver.step()
        ended = self.ledger.order(given.id)
        assert ended is not None
        assert ended.state is (OrderState.REFUSED if ended.note else OrderState.DONE)
        return ended.note

    async def until(self, state: str, *, step: int | None = None, every: float = 15.0) -> None:
        """Until the newest release is there."""
        for _ in range(50):
            if self.newest().state == state and step in (None, self.newest().step):
                return
            await self.on(every)
        raise AssertionError(f"{self.newest()}: {self.driver.note}")

    def newest(self) -> rows.Release:
        return self.ledger.releases(self.plan.name, 1)[0]

    def steps(self) -> list[tuple[int, str]]:
        actions = self.ledger.actions_of_release(self.newest().id)
        return [(a.stage, a.state) for a in actions if a.kind is ActionKind.STEP]

    def kinds(self) -> list[str]:
        """Messages to people, oldest first."""
        return [notice.kind for notice in self.ledger.notices(self.now, 1000, longest=300.0)]

    def audit(self, kind: str) -> list[dict[str, object]]:
        found = [row for row in reversed(self.ledger.audit_rows(10_000)) if row.kind == kind]
        return [msgspec.json.decode(row.body, type=dict[str, object]) for row in found]


def crash_once(point: str) -> Callable[[str], None]:
    crashed: list[str] = []

    def checkpoint(name: str) -> None:
        if name == point and not crashed:
            crashed.append(name)
            raise Crash

    return checkpoint


async def submitted(world: World, *, to_step: int | None = None) -> None:
    assert await world.order(OrderKind.SUBMIT, BAD) == ""
    if to_step is not None:
        await world.until("step", step=to_step)


@contextlib.asynccontextmanager
async def driven(directory: Path) -> AsyncIterator[World]:
    """A world whose stable version has all traffic."""
    with HAProxy(directory).running() as proxy:
        proxy.ask("set weight models/stable 100; set weight models/canary 0")
        release = Release(proxy.shares, firing=False, word="hold")
        async with QueryAPI(release).serving() as api:
            world = World(directory, proxy, api)
            release.clock = lambda: world.now
            world.start()
            yield world
            world.ledger.close()
