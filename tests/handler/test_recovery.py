"""What a start finds half done, and what it does about it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, Link, QueryAPI, Release, configuration, payload, until
from loopback_server import loopback
from mlcanary.errors import ConfigError
from mlcanary.handler.core.incidents import Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.targets.contract import State

BEFORE, AFTER = State.of({GOOD: 90, BAD: 10}), State.of({GOOD: 100, BAD: 0})
ON, OFF = State.of({GOOD: 0, BAD: 1}), State.of({GOOD: 1, BAD: 0})


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


def cut_off(
    directory: Path, *, expected: State | None, desired: State, dispatched: float = 0.0, target: str = "router"
) -> None:
    """Leave a ledger as a handler does that dies right after the dispatch."""
    now = dispatched or time.time()
    ledger = Ledger(directory / "handler.sqlite", freeze_file=None, checkpoint=lambda _name: None)
    acting, facts = IncidentState.ACTING, '{"reference":0.9,"reference_stderr":0.005}'
    incident = Incident("i1", target, "clicks", BAD, GOOD, "accuracy", "5m", acting, now, now, 0.0, 0.0, facts, "")
    kind, planned = ActionKind.ROLLBACK, ActionState.PLANNED
    action = Action("a1", "i1", target, kind, desired, expected, planned, 0, now, 0.0, "")
    assert ledger.plan([], incident, action, allowed=lambda _view: True, body={}, since=0.0, now=now)
    assert ledger.dispatch(action, now)
    ledger.close()


def action_of(handler: Handle) -> Action:
    (found,) = handler.service.ledger.actions("i1")
    return found


async def test_an_effect_that_was_seen_is_confirmed_and_verified(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    haproxy.ask("set weight models/stable 100; set weight models/canary 0")
    cut_off(tmp_path, expected=BEFORE, desired=AFTER)
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await until(lambda: handler.state() == "resolved")
        assert (action_of(handler).state, action_of(handler).attempt) == (ActionState.CONFIRMED, 1)


async def test_an_effect_that_did_not_happen_is_made_under_the_same_id(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    cut_off(tmp_path, expected=BEFORE, desired=AFTER)
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await until(lambda: handler.state() == "resolved")
        assert haproxy.weights() == {GOOD: 100, BAD: 0}
        assert (action_of(handler).id, action_of(handler).attempt) == ("a1", 2)


async def test_a_third_state_is_a_conflict_and_a_page(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    haproxy.ask("set weight models/canary 50")
    cut_off(tmp_path, expected=BEFORE, desired=AFTER)
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await until(lambda: handler.state() == "failed")
        assert action_of(handler).state is ActionState.CONFLICT
        assert handler.count("rollbacks_total", "router", "clicks", "failed") == 1
        assert haproxy.weights() == {GOOD: 90, BAD: 50}


@pytest.mark.parametrize("change", ["too long ago", "mode observe", "frozen"])
async def test_evidence_that_is_old_or_a_person_that_said_no_stops_the_repeat(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, change: str
) -> None:
    ago = 3600.0 if change == "too long ago" else 0.0
    cut_off(tmp_path, expected=BEFORE, desired=AFTER, dispatched=time.time() - ago)
    text = configuration(api.url, haproxy.section(), mode="observe" if change == "mode observe" else "react")
    if change == "frozen":
        (tmp_path / "stop").touch()
        text += f"freeze_file: {tmp_path / 'stop'}\n"
    async with handling(tmp_path, text) as handler:
        await until(lambda: handler.state() in ("failed", "abandoned"))
        assert action_of(handler).state is ActionState.FAILED
        assert haproxy.weights() == {GOOD: 90, BAD: 10}


async def test_a_target_that_cannot_be_looked_at_is_waited_for(tmp_path: Path) -> None:
    cut_off(tmp_path, expected=BEFORE, desired=AFTER)
    haproxy = HAProxy(tmp_path)
    async with QueryAPI(Release(haproxy.shares)).serving() as api:
        api.release.route = lambda: {GOOD: 1.0, BAD: 0.0}
        async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
            await until(lambda: "target_up{target" in handler.service.metrics.render().decode())
            assert await handler.get("/-/ready") == "taking up unfinished work of router\n"
            assert handler.state() == "acting"
            with haproxy.running():
                await until(lambda: handler.state() == "resolved")
                assert haproxy.weights() == {GOOD: 100, BAD: 0}


@contextlib.asynccontextmanager
async def silent_switch() -> AsyncIterator[tuple[str, list[str]]]:
    """A target without read-back; keeps the orders that it gets."""
    orders: list[str] = []

    async def post(request: web.Request) -> web.Response:
        orders.append(request.headers["Idempotency-Key"])
        return web.Response()

    async with loopback(web.post("/", post)) as url:
        yield f"{{type: http, url: '{url}/', versions: {{v1: v1, v2: v2}}}}", orders


async def test_a_target_that_cannot_be_read_back_is_never_ordered_twice(tmp_path: Path) -> None:
    cut_off(tmp_path, expected=None, desired=OFF)
    release = Release(lambda: {GOOD: 0.9, BAD: 0.1})
    async with (
        silent_switch() as (section, orders),
        QueryAPI(release).serving() as api,
        handling(tmp_path, configuration(api.url, section)) as handler,
    ):
        await until(lambda: handler.state() == "stuck")
        assert action_of(handler).state is ActionState.UNKNOWN
        assert handler.count("rollbacks_total", "router", "clicks", "stuck") == 1
        await handler.post(payload())
        await until(lambda: handler.count("decisions_total", "router", "suppress", "cooldown") >= 1)
        assert orders == []


async def test_a_reload_that_was_cut_off_is_made_good(tmp_path: Path) -> None:
    link = Link(tmp_path)
    os.unlink(link.path)
    os.symlink("models/v1", link.path)
    cut_off(tmp_path, expected=ON, desired=OFF)
    async with silent_switch() as (switch, reloads), QueryAPI(Release(link.shares)).serving() as api:
        url = switch.split("'")[1]
        section = link.section().replace("values:", f"reload: {{url: '{url}'}}, values:")
        async with handling(tmp_path, configuration(api.url, section)) as handler:
            await until(lambda: handler.state() == "resolved")
            assert reloads == ["a1"]


async def test_an_incident_of_a_target_that_is_gone_is_stuck(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    cut_off(tmp_path, expected=BEFORE, desired=AFTER, target="gone")
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await until(lambda: handler.count("rollbacks_total", "gone", "clicks", "stuck") == 1)
        found = handler.service.ledger.last_incident("gone")
        assert found is not None
        assert found.state is IncidentState.STUCK
        assert action_of(handler).state is ActionState.UNKNOWN


async def test_a_target_with_an_open_incident_cannot_be_configured_away(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        cut = configuration(api.url, haproxy.section()).replace("name: router", "name: other")
        await handler.post(payload())
        await until(lambda: handler.state() == "verifying")
        (tmp_path / "handler.yml").write_text(cut)
        with pytest.raises(ConfigError, match="target router has an open incident"):
            await handler.service.reload()
        await until(lambda: handler.state() == "resolved")
        await handler.service.reload()
        assert list(handler.service.workers) == ["other"]


async def test_a_prune_that_fails_is_tried_again(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    prunes: list[str] = []

    def full_at_first(name: str) -> None:
        if name == "before commit prune":
            prunes.append(name)
            if len(prunes) == 1:
                raise sqlite3.OperationalError("database or disk is full")

    text = configuration(api.url, haproxy.section())
    async with handling(tmp_path, text, checkpoint=full_at_first, prune_every=0.1) as handler:
        await until(lambda: len(prunes) >= 2)
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")


async def test_a_clock_that_goes_back_holds_nothing_up(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    ahead = [7200.0]
    api.broken = True
    text = configuration(api.url, haproxy.section())
    async with handling(tmp_path, text, clock=lambda: time.time() + ahead[0]) as handler:
        await handler.post(payload())
        await until(lambda: handler.count("decisions_total", "router", "suppress", "no_evidence") >= 1)
        ahead[0], api.broken = 0.0, False
        await until(lambda: handler.state() == "resolved")
        haproxy.ask("set weight models/canary 10")
        await until(lambda: haproxy.weights()[BAD] == 0)


async def test_one_target_with_bad_bytes_stops_no_other(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    flag = tmp_path / "flag.json"
    flag.write_bytes(b'{"version":"caf\xe9"}')
    broken = (
        f"- {{name: flag, model: other, target: {{type: file, kind: json, path: {flag}, values: {{v1: a, v2: b}}}}}}\n"
    )
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=broken)) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")
        page = await handler.get("/")
        assert "weights: v1 100 % (proven), v2 0 % (quarantined)" in page
        assert "weights unknown: v1, v2" in page
        flag.write_bytes(b'{"version":"b"}')
        await until(lambda: handler.count("target_up", "flag") == 1.0)
        assert "weights: v1 0 %, v2 100 %" in await handler.get("/")


async def test_the_shares_of_a_target_that_cannot_be_read_back_are_unknown(tmp_path: Path, api: QueryAPI) -> None:
    async with silent_switch() as (section, _orders), handling(tmp_path, configuration(api.url, section)) as handler:
        await until(lambda: handler.count("target_up", "router") == 1.0)
        assert "weights unknown: v1, v2" in await handler.get("/")


@pytest.mark.parametrize("balance", ["source", "static-rr"])
async def test_a_rollback_of_a_static_algorithm_is_confirmed_and_proven(tmp_path: Path, balance: str) -> None:
    with HAProxy(tmp_path, balance=balance).running() as proxy:
        async with (
            QueryAPI(Release(proxy.shares)).serving() as served,
            handling(tmp_path, configuration(served.url, proxy.section())) as handler,
        ):
            await handler.post(payload())
            await until(lambda: handler.state() == "resolved")
            assert proxy.weights() == {GOOD: 90, BAD: 0}
            assert handler.count("effects_total", "router", "confirmed") == 1
