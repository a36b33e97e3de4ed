"""A configuration that renames versions while something is under way ends that, and never the process."""

from __future__ import annotations

from pathlib import Path

from driven_world import driven
from handler_service import handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, configuration, payload, until
from mlcanary.handler.core.incidents import Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.targets.contract import State

SERVED = "  served: {url: 'http://127.0.0.1:9/', values: {v1: a, v2: b}}\n"


async def test_a_good_version_that_is_renamed_while_it_is_verified_is_never_proven(tmp_path: Path) -> None:
    with HAProxy(tmp_path).running() as proxy:
        async with QueryAPI(Release(proxy.shares)).serving() as api:
            text = configuration(api.url, proxy.section(), extra=SERVED).replace("deadline: 40s", "deadline: 3s")
            async with handling(tmp_path, text) as handler:
                await handler.post(payload())
                await until(lambda: handler.state() == "verifying")
                (tmp_path / "handler.yml").write_text(text.replace("v1: ", "v9: "))
                assert await handler.post(b"", path="/-/reload") == 200
                await until(lambda: handler.state() in ("stuck", "ineffective"))
                incident = handler.incident()
                assert incident is not None
                assert "v1 is no longer configured" in incident.note


async def test_traffic_is_not_sent_to_a_version_that_is_gone(tmp_path: Path) -> None:
    async with driven(tmp_path) as world:
        acting, planned, now = IncidentState.ACTING, ActionState.PLANNED, world.now
        row = Incident("i1", "router", "clicks", BAD, "v9", "auc", "5m", acting, now, now, 0.0, 0.0, "{}", "")
        seen = State.of({GOOD: 100, BAD: 0})
        desired = State.of({GOOD: 100, BAD: 0, "v9": 1})
        action = Action("a1", "i1", "router", ActionKind.ROLLBACK, desired, seen, planned, 0, now, 0.0, "")
        assert world.ledger.plan([], row, action, allowed=lambda _view: True, body={}, since=0.0, now=now)
        assert await world.effector.carry_out(action) is ActionState.FAILED
        ended = world.ledger.incident("i1")
        assert ended is not None
        assert (ended.state, ended.note) == (IncidentState.FAILED, "v9 is no longer configured on the target")
        assert world.proxy.weights() == {GOOD: 100, BAD: 0}
