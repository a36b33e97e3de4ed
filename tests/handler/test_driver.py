"""Releases from the first step to the proven version, and what holds or stops them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driven_world import NOT_READY, READY, World, driven, submitted
from handler_world import BAD, GOOD
from mlcanary.handler.core.incidents import Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.core.releases import FreezeLevel, OrderKind, Version, VersionStatus
from mlcanary.handler.ledger.incidents import Dispatch
from mlcanary.handler.targets.contract import State


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with driven(tmp_path) as found:
        yield found


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


async def test_an_artefact_that_is_quarantined_while_staged_is_withdrawn(world: World) -> None:
    world.api.release.roles = NOT_READY
    await submitted(world)
    bad = Version("clicks", BAD, BAD, VersionStatus.QUARANTINED, "worse", "ann", world.now)
    world.ledger.set_version(bad, target="router")
    assert await world.on() == "withdrawn"
    assert world.proxy.weights()[BAD] == 0


async def test_a_release_waits_while_its_target_is_not_in_mode_drive(world: World) -> None:
    await submitted(world, to_step=1)
    world.ledger.close()
    world.mode = "react"
    world.start()
    assert await world.on(times=10) == "hold"
    assert world.proxy.shares()[BAD] == 0.1


@pytest.mark.parametrize("steps", ["[10, 100]", "[100]", "[1, 50, 100]"])
async def test_steps_that_are_configured_anew_never_raise_the_share_of_a_release(world: World, steps: str) -> None:
    await submitted(world, to_step=1)
    world.ledger.close()
    world.extra = world.extra.replace("[1, 10, 50, 100]", steps)
    world.start()
    assert await world.on(times=10) == "hold"
    assert world.newest().note.startswith("mode: ")
    assert world.proxy.shares()[BAD] == 0.1
    world.proxy.ask("set weight models/stable 100; set weight models/canary 0")
    await world.on(times=3)
    assert world.proxy.weights()[BAD] == 0
    world.proxy.ask("set weight models/stable 90; set weight models/canary 10")
    world.ledger.close()
    world.extra = world.extra.replace(steps, "[1, 10, 50, 100]")
    world.start()
    await world.until("step", step=2)


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


async def test_a_share_that_a_person_took_is_not_given_back_while_prometheus_is_silent(world: World) -> None:
    await submitted(world, to_step=1)
    world.proxy.ask("set weight models/stable 100; set weight models/canary 0")
    world.api.broken = True
    assert await world.on() == "step"
    assert world.proxy.weights()[BAD] == 0


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
