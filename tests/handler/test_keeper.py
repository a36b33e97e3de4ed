"""What the keeper of a target sets again, and when it keeps still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from driven_world import World, driven
from handler_incidents import incident
from handler_world import BAD, GOOD
from mlcanary.handler.core.incidents import Action, ActionKind
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.ledger.incidents import Dispatch
from mlcanary.handler.targets.contract import State
from mlcanary.handler.work.keeper import Keeper
from mlcanary.handler.work.shift import Shift


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with driven(tmp_path) as found:
        yield found


async def test_nothing_is_set_again_while_another_action_is_under_way(world: World) -> None:
    ledger, effector, now = world.ledger, world.effector, world.now
    row = incident(state=IncidentState.ACTING, plan="p", actor="handler", now=now)
    first = action(row.id, "a1", ActionKind.ROLLBACK, now)
    assert ledger.plan([], row, first, allowed=lambda _view: True, body={}, since=0.0, now=now)
    assert ledger.dispatch(first, now) is Dispatch.OUT
    ledger.finish(first, ActionState.CONFIRMED, IncidentState.VERIFYING, note="", now=now)
    under_way = action(row.id, "a2", ActionKind.REASSERT, now)
    ledger.plan_reassert(under_way, now)
    assert ledger.dispatch(under_way, now) is Dispatch.OUT
    world.proxy.ask("set weight models/canary 10")
    before = world.proxy.weights()
    environment = effector._env
    keeper = Keeper(world.plan, effector, environment, Shift(world.plan, effector, environment))
    await keeper.look()
    assert world.proxy.weights() == before
    assert [found.id for found in ledger.actions(row.id)] == ["a1", "a2"]
    ledger.finish_beside(under_way, ActionState.FAILED, note="", now=now)
    world.now += world.plan.reconcile
    await keeper.look()
    assert world.proxy.weights()[BAD] == 0
    assert len(ledger.actions(row.id)) == 3


def action(name_of_incident: str, name: str, kind: ActionKind, now: float) -> Action:
    """To all traffic for the good version."""
    desired, expected = State.of({GOOD: 100, BAD: 0}), State.of({GOOD: 90, BAD: 10})
    return Action(name, name_of_incident, "router", kind, desired, expected, ActionState.PLANNED, 0, now, 0.0, "")
