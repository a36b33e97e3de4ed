"""Releases on a real HAProxy, with a judge and a clock of the tests."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, configuration
from mlcanary.handler.core import releases as rows
from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState, ReleaseState
from mlcanary.handler.core.releases import FreezeLevel, Order, OrderKind, OrderState, Version, VersionStatus
from mlcanary.handler.evidence.prometheus import Prometheus
from mlcanary.handler.ledger.incidents import Dispatch
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.targets.contract import State
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
    told: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    metrics: HandlerMetrics = field(default_factory=HandlerMetrics)

    def start(self) -> None:
        """As a process does; after `stop` it is the next process."""
        text = configuration(self.api.url, self.proxy.section(), mode=self.mode, extra=self.extra)
        settings = parse_settings(text, "handler.yml")
        self.plan = settings.targets[0]
        self.ledger = Ledger(self.directory / "l.sqlite", freeze_file=None, checkpoint=self._check)
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
            tell=lambda kind, _target, body: self.told.append((kind, body)),
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
        return [kind for kind, _ in self.told]

    def audit(self, kind: str) -> list[dict[str, object]]:
        found = [row for row in reversed(self.ledger.audit_rows(10_000)) if row.kind == kind]
        return [msgspec.json.decode(row.body, type=dict[str, object]) for row in found]


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        proxy.ask("set weight models/stable 100; set weight models/canary 0")
        yield proxy


@pytest.fixture
async def world(tmp_path: Path, haproxy: HAProxy) -> AsyncIterator[World]:
    release = Release(haproxy.shares, firing=False, word="hold")
    async with QueryAPI(release).serving() as api:
        found = World(tmp_path, haproxy, api)
        release.clock = lambda: found.now
        found.start()
        yield found
        found.ledger.close()


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


async def test_a_good_release_goes_to_all_traffic_soaks_and_is_proven(world: World) -> None:
    shares: list[float] = []
    await submitted(world)
    while await world.on() not in ("soak", "proven"):
        shares.append(world.proxy.shares()[BAD])
        if shares[-1] == 0.5:  # no further without a verdict
            await world.on(60.0, times=5)
            assert world.proxy.shares()[BAD] == 0.5
            assert "promote" in world.driver.note
            world.api.release.word = "promote"
    assert shares == sorted(shares)
    assert set(shares) <= {0.01, 0.1, 0.5, 1.0}
    assert world.proxy.weights() == {GOOD: 0, BAD: 100}
    assert world.metrics.value("release_state", "router", "clicks", "soak") == 1
    assert world.metrics.value("release_share_ratio", "router", "clicks") == 1.0
    soaking = world.newest().since
    await world.until("proven", every=70.0)
    assert 600.0 <= world.newest().closed - soaking < 680.0
    known = {v.name: v.status for v in world.ledger.versions("clicks")}
    assert known == {GOOD: VersionStatus.PROVEN, BAD: VersionStatus.PROVEN}
    assert world.steps() == [(step, "confirmed") for step in range(4)]
    assert world.kinds() == ["submitted", "step", "step", "step", "step", "promoted"]
    assert [row["evidence"] is not None and row["plan"] != "" for row in world.audit("step")] == [True] * 4
    assert world.metrics.value("releases_total", "router", "clicks", "proven") == 1
    assert world.metrics.value("release_state", "router", "clicks", "soak") == 0
    assert world.ledger.verify_audit() is None


async def test_no_data_holds_the_weights_and_a_long_hold_is_told_once(world: World) -> None:
    await submitted(world, to_step=1)
    before = world.proxy.weights()
    world.api.release.word = None
    await world.until("hold")
    assert world.newest().note.startswith("no_data: ")
    await world.on(1200.0, times=5)
    assert world.kinds().count("held") == 1
    assert world.proxy.weights() == before
    world.api.release.word = "hold"
    await world.until("step", step=2)
    assert world.kinds().count("held") == 1


async def test_a_source_that_is_broken_and_prometheus_that_is_silent_hold(world: World) -> None:
    await submitted(world, to_step=1)
    world.api.release.up = 0.0
    assert await world.on() == "hold"
    world.api.release.up = 1.0
    assert await world.on() == "step"
    world.api.broken = True
    assert await world.on(times=8) == "step"
    assert await world.on() == "hold"


async def test_an_unhealthy_verdict_holds_until_its_incident_takes_over(world: World) -> None:
    await submitted(world, to_step=1)
    before = world.proxy.weights()
    world.api.release.word = "rollback"
    assert await world.on(times=5) == "hold"
    assert world.newest().note.startswith("unhealthy: ")
    assert world.proxy.weights() == before


@pytest.mark.parametrize("level", [FreezeLevel.PROMOTE, FreezeLevel.ALL])
async def test_a_freeze_holds_and_its_end_lets_the_release_go_on(world: World, level: FreezeLevel) -> None:
    await submitted(world, to_step=1)
    world.ledger.freeze("router", reason="x", actor="ann", now=world.now, level=level)
    assert await world.on(600.0, times=3) == "hold"
    assert world.proxy.shares()[BAD] == 0.1
    world.ledger.unfreeze("router", actor="ann", now=world.now)
    await world.until("step", step=2)


async def test_a_release_stays_staged_until_the_ground_is_right(world: World) -> None:
    world.api.release.roles = NOT_READY
    await submitted(world)
    assert await world.on(times=3) == "staged"
    assert "canary" in world.driver.note
    world.api.release.roles = READY
    world.proxy.ask("set weight models/canary 10")
    assert await world.on(times=3) == "staged"
    assert "more traffic than the first step" in world.driver.note
    assert world.steps() == []
    world.proxy.ask("set weight models/canary 0")
    assert await world.on() == "step"


async def test_what_cannot_be_released_is_refused(world: World) -> None:
    assert "most of the traffic" in await world.order(OrderKind.SUBMIT, GOOD)
    assert "not configured" in await world.order(OrderKind.SUBMIT, "v9")
    assert "no release of v2" in await world.order(OrderKind.WITHDRAW)
    assert "submit it first" in await world.order(OrderKind.PROMOTE, force=False, reason="")
    bad = Version("clicks", BAD, BAD, VersionStatus.QUARANTINED, "worse", HANDLER, world.now)
    world.ledger.set_version(bad, target="router")
    assert "quarantined" in await world.order(OrderKind.SUBMIT, BAD)
    assert world.ledger.releases("router", 1) == []
    world.ledger.set_version(
        Version("clicks", BAD, BAD, VersionStatus.CANDIDATE, "", "ann", world.now), target="router"
    )
    world.api.release.roles = NOT_READY
    await submitted(world)
    assert "is open (staged)" in await world.order(OrderKind.SUBMIT, BAD)
    assert await world.order(OrderKind.WITHDRAW) == ""
    await world.on()
    assert world.metrics.value("releases_total", "router", "clicks", "withdrawn") == 1
    assert "has ended: withdrawn" in await world.order(OrderKind.WITHDRAW)
    world.api.release.roles = READY
    await submitted(world, to_step=0)
    assert await world.order(OrderKind.WITHDRAW, reason="wrong file") == ""
    (asked,) = world.ledger.pending_orders("router")
    assert (asked.kind, asked.version, asked.reason, asked.actor) == (OrderKind.ROLLBACK, BAD, "wrong file", "ann")


async def test_an_artefact_that_is_quarantined_while_staged_is_withdrawn(world: World) -> None:
    world.api.release.roles = NOT_READY
    await submitted(world)
    bad = Version("clicks", BAD, BAD, VersionStatus.QUARANTINED, "worse", "ann", world.now)
    world.ledger.set_version(bad, target="router")
    assert await world.on() == "withdrawn"
    assert world.proxy.weights()[BAD] == 0


async def test_only_mode_drive_releases(world: World) -> None:
    world.ledger.close()
    world.mode = "react"
    world.start()
    assert "mode react" in await world.order(OrderKind.SUBMIT, BAD)
    assert "others promote" in await world.order(OrderKind.PROMOTE, force=True, reason="x")


async def test_a_release_waits_while_its_target_is_not_in_mode_drive(world: World) -> None:
    await submitted(world, to_step=1)
    world.ledger.close()
    world.mode = "react"
    world.start()
    assert await world.on(times=10) == "hold"
    assert world.proxy.shares()[BAD] == 0.1


async def test_another_writer_is_undone_twice_then_the_release_is_stuck(world: World) -> None:
    await submitted(world, to_step=1)
    world.api.release.may_expand = False
    for _ in range(2):
        world.proxy.ask("set weight models/canary 60")
        assert await world.on() == "step"
        assert world.proxy.weights() == {GOOD: 90, BAD: 10}
    world.proxy.ask("set weight models/canary 60")
    assert await world.on() == "stuck"
    assert world.proxy.weights()[BAD] == 60
    assert world.ledger.frozen("router") is FreezeLevel.ALL
    assert world.kinds()[-1] == "frozen"
    assert world.metrics.value("releases_total", "router", "clicks", "stuck") == 1


async def test_a_share_that_a_person_took_is_given_back_only_if_nothing_speaks_against_it(world: World) -> None:
    await submitted(world, to_step=1)
    world.proxy.ask("set weight models/stable 100; set weight models/canary 0")
    world.api.release.word = "rollback"
    assert await world.on(times=5) == "hold"
    assert world.proxy.weights()[BAD] == 0
    world.api.release.word = "hold"
    world.api.release.may_expand = False
    assert await world.on(times=3) == "step"
    assert world.proxy.weights() == {GOOD: 90, BAD: 10}


async def test_evidence_of_a_wrong_split_does_not_count(world: World) -> None:
    await submitted(world, to_step=1)
    await world.on()
    counted = world.newest().trials
    world.proxy.ask("set weight models/canary 60")
    await world.on()
    await world.on(1.0)
    assert world.newest().trials > counted


async def test_a_split_that_the_target_refuses_is_held_and_tried_again_later(world: World) -> None:
    world.proxy.ask("set server models/canary state maint")
    await submitted(world)
    assert await world.on() == "hold"
    assert "not running" in world.newest().note
    assert world.proxy.weights() == {GOOD: 100, BAD: 0}
    assert await world.on(times=5) == "hold"
    assert [state for _, state in world.steps()] == ["failed"]
    world.proxy.ask("set server models/canary state ready")
    await world.until("step")
    assert world.steps() == [(0, "failed"), (0, "confirmed")]
    assert world.proxy.weights() == {GOOD: 99, BAD: 1}


async def test_a_restart_does_not_cut_the_soak_short(world: World) -> None:
    world.api.release.word = "promote"
    await submitted(world)
    await world.until("soak")
    since = world.newest().since
    await world.on(60.0, times=5)
    world.ledger.close()
    world.start()
    assert world.newest().since == since
    await world.until("proven", every=60.0)
    assert world.newest().closed - since >= 600.0


async def test_a_soak_without_traffic_is_held_and_begins_anew(world: World) -> None:
    world.api.release.word = "promote"
    await submitted(world)
    await world.until("soak")
    world.api.release.rate = 0.0
    assert await world.on(60.0, times=4) == "hold"
    world.api.release.rate = 2000.0
    assert await world.on() == "soak"
    assert world.now - world.newest().since < 1.0


async def test_promote_now_asks_the_judge_unless_a_person_forces_it(world: World) -> None:
    await submitted(world, to_step=1)
    refused = await world.order(OrderKind.PROMOTE, force=False, reason="")
    assert refused == "the judge says inconclusive; to do it all the same, order it with force and a reason"
    assert "order it with force" in await world.order(OrderKind.PROMOTE, force=True, reason="")
    world.ledger.freeze("router", reason="x", actor="ann", now=world.now, level=FreezeLevel.PROMOTE)
    assert await world.order(OrderKind.PROMOTE, force=True, reason="campaign") == ""
    assert world.proxy.weights() == {GOOD: 0, BAD: 100}
    assert world.ledger.actions_of_release(world.newest().id)[-1].actor == "ann"
    assert await world.on() == "hold"
    world.ledger.unfreeze("router", actor="ann", now=world.now)
    await world.until("soak")


async def test_promote_now_of_a_healthy_candidate_skips_steps(world: World) -> None:
    await submitted(world, to_step=0)
    world.api.release.word = "promote"
    refused = await world.order(OrderKind.PROMOTE, plan="0123456789abcdef")
    assert refused.startswith("the plan is another one by now: ")
    assert await world.order(OrderKind.PROMOTE, plan=refused.rpartition(" ")[2]) == ""
    assert world.steps() == [(0, "confirmed"), (3, "confirmed")]


async def test_a_submission_names_the_plan_of_the_first_step(world: World) -> None:
    refused = await world.order(OrderKind.SUBMIT, plan="0123456789abcdef")
    assert refused.startswith("the plan is another one by now: ")
    assert await world.order(OrderKind.SUBMIT, plan=refused.rpartition(" ")[2]) == ""
    await world.until("step")
    assert world.ledger.actions_of_release(world.newest().id)[0].plan == refused.rpartition(" ")[2]


@pytest.mark.parametrize("kind", [OrderKind.SUBMIT, OrderKind.WITHDRAW, OrderKind.PROMOTE])
@pytest.mark.parametrize("point", ["before commit order", "after commit order"])
async def test_a_crash_before_an_order_is_ended_does_not_do_it_twice(world: World, kind: OrderKind, point: str) -> None:
    if kind is not OrderKind.SUBMIT:
        await submitted(world, to_step=0 if kind is OrderKind.PROMOTE else None)
    given = world.give(kind, force=True, reason="campaign")
    world.checkpoint = crash_once(point)
    with pytest.raises(Crash):
        await world.on()
    world.ledger.close()
    world.start()
    await world.on()
    ended = world.ledger.order(given.id)
    assert ended is not None
    assert (ended.state, ended.note) == (OrderState.DONE, "")
    assert len(world.ledger.releases("router", 10)) == 1
    assert len([1 for step, state in world.steps() if step == 3 and state == "confirmed"]) == (kind == "promote")


async def test_a_rollback_that_leaves_a_cooldown_keeps_the_next_release_staged(world: World) -> None:
    state, planned = IncidentState.ACTING, ActionState.PLANNED
    row = Incident("i1", "router", "clicks", BAD, GOOD, "auc", "5m", state, world.now, world.now, 0.0, 0.0, "{}", "")
    only = State.of({GOOD: 100, BAD: 0})
    action = Action("a1", "i1", "router", ActionKind.ROLLBACK, only, only, planned, 0, world.now, 0.0, "")
    assert world.ledger.plan([], row, action, allowed=lambda _view: True, body={}, since=0.0, now=world.now)
    assert world.ledger.dispatch(action, world.now) is Dispatch.OUT
    world.ledger.finish(action, ActionState.CONFIRMED, IncidentState.VERIFYING, note="", now=world.now)
    assert "an incident about v2 is open" in await world.order(OrderKind.SUBMIT, BAD)
    world.ledger.close_incident(row, IncidentState.RESOLVED, note="", now=world.now)
    await submitted(world)
    assert await world.on(3500.0) == "staged"
    assert "cooldown" in world.driver.note
    assert await world.on(100.0) == "step"


POINTS = [
    "before commit plan", "after commit plan", "before commit dispatch", "after commit dispatch",
    "before call apply", "after call apply", "before commit finish", "after commit finish",
    "before commit release", "after commit release",
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
async def test_a_crash_anywhere_in_a_step_leaves_one_step_and_its_split(world: World, point: str) -> None:
    await submitted(world, to_step=1)
    await world.on()  # the trials of the step are counted from here on
    world.checkpoint = crash_once(point)
    with pytest.raises(Crash):
        await world.on(times=10)
    world.ledger.close()
    world.start()
    await world.until("step", step=2)
    await world.on()
    assert world.proxy.weights() == {GOOD: 50, BAD: 50}
    third = [state for step, state in world.steps() if step == 2]
    assert third.count(ActionState.CONFIRMED) == 1
    assert set(third) <= {ActionState.CONFIRMED, ActionState.FAILED}
    assert world.newest().effect > 0
    assert world.newest().state is ReleaseState.STEP
    assert world.ledger.verify_audit() is None
