"""What people order of a release, each order done once; and a crash anywhere in a step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driven_world import NOT_READY, READY, Crash, World, crash_once, driven, submitted
from handler_world import BAD, GOOD
from mlcanary.handler.core.incidents import HANDLER
from mlcanary.handler.core.machines import ActionState, ReleaseState
from mlcanary.handler.core.releases import FreezeLevel, OrderKind, OrderState, Version, VersionStatus


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with driven(tmp_path) as found:
        yield found


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


async def test_a_release_without_traffic_can_be_withdrawn_whatever_its_state(world: World) -> None:
    world.proxy.ask("set server models/canary state maint")
    await submitted(world)
    assert await world.on() == "hold"  # the target refuses the first split, and there is nothing to roll back
    assert await world.order(OrderKind.WITHDRAW, reason="wrong server") == ""
    assert world.newest().state is ReleaseState.WITHDRAWN
    world.proxy.ask("set server models/canary state ready")
    world.now += 1.0
    await submitted(world, to_step=0)
    world.api.release.word = "rollback"
    world.proxy.ask("set weight models/stable 100; set weight models/canary 0")
    assert await world.on(times=10) == "hold"
    assert await world.order(OrderKind.WITHDRAW) == ""
    assert world.newest().state is ReleaseState.WITHDRAWN
    assert world.ledger.pending_orders("router") == []


async def test_only_mode_drive_releases(world: World) -> None:
    world.ledger.close()
    world.mode = "react"
    world.start()
    assert "mode react" in await world.order(OrderKind.SUBMIT, BAD)
    assert "others promote" in await world.order(OrderKind.PROMOTE, force=True, reason="x")


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
