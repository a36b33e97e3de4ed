"""Rollbacks that the destination has no capacity for at once, on a real HAProxy."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, configuration, payload, until
from mlcanary.handler.core.machines import ActionState
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.ledger.store import EVERYTHING, Ledger

CAPACITY = "  capacity: {requests_per_second: 1200, headroom: 1.2, stage_wait: 200ms, deadline: 30s}\n"


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        proxy.ask("set weight models/stable 20; set weight models/canary 80")
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:  # 2,000 requests per second
        yield served


def stages(handler: Handle) -> list[tuple[int, int]]:
    """Stage and weight of the bad version of every action of the incident."""
    incident = handler.incident()
    assert incident is not None
    return [(a.stage, a.desired.weight(BAD)) for a in handler.service.ledger.actions(incident.id)]


async def test_what_fits_is_moved_and_the_rest_once_there_are_servers(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=CAPACITY)) as handler:
        await handler.post(payload())
        await until(lambda: haproxy.weights() == {GOOD: 50, BAD: 50})
        await until(lambda: handler.count("effects_total", "router", "confirmed") == 1)
        assert handler.state() == "acting"
        await until(lambda: handler.count("capacity_missing_ratio", "router") == 1)  # the next look moves nothing
        api.release.servers[GOOD] = 2.0
        await until(lambda: handler.state() == "resolved")
        assert stages(handler) == [(0, 50), (1, 0)]
        assert haproxy.weights() == {GOOD: 100, BAD: 0}
        assert handler.count("capacity_missing_ratio", "router") == 0
        assert handler.count("decisions_total", "router", "act", "") == 1
        assert len(handler.audit("effect")) == 2


async def test_a_destination_without_capacity_keeps_the_weights_and_calls_a_person(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    api.release.servers[GOOD] = 0.0
    text = configuration(api.url, haproxy.section(), extra=CAPACITY.replace("30s", "500ms"))
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "stuck")
        incident = handler.incident()
        assert incident is not None
        assert incident.note == "100% of the shift to v1 has no capacity; the weights stay"
        assert haproxy.weights() == {GOOD: 20, BAD: 80}
        assert handler.audit("dispatch") == []
        assert handler.count("rollbacks_total", "router", "clicks", "stuck") == 1


async def test_another_writer_between_two_stages_ends_the_incident(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=CAPACITY)) as handler:
        await handler.post(payload())
        await until(lambda: handler.count("effects_total", "router", "confirmed") == 1)
        haproxy.ask("set weight models/canary 77")
        await until(lambda: handler.state() == "failed")
        assert haproxy.weights() == {GOOD: 50, BAD: 77}


async def test_a_freeze_between_two_stages_holds_and_lets_go(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=CAPACITY)) as handler:
        await handler.post(payload())
        await until(lambda: handler.count("effects_total", "router", "confirmed") == 1)
        ledger = handler.service.ledger
        ledger.freeze(EVERYTHING, reason="", actor="ann", now=handler.service.now())
        api.release.servers[GOOD] = 2.0
        await until(lambda: handler.count("capacity_missing_ratio", "router") == 0)  # it would fit, and is held
        assert stages(handler) == [(0, 50)]
        ledger.unfreeze(EVERYTHING, actor="ann", now=handler.service.now())
        await until(lambda: handler.state() == "resolved")


async def test_stages_go_on_after_a_restart(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    text = configuration(api.url, haproxy.section(), extra=CAPACITY)
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.count("effects_total", "router", "confirmed") == 1)
    api.release.servers[GOOD] = 2.0
    async with handling(tmp_path, text) as handler:
        await until(lambda: handler.state() == "resolved")
        assert stages(handler) == [(0, 50), (1, 0)]


async def test_a_stage_that_a_crash_kept_from_going_out_is_planned_again(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section(), extra=CAPACITY)
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.count("effects_total", "router", "confirmed") == 1)
    ledger = Ledger(tmp_path / "handler.sqlite", freeze_file=None, checkpoint=lambda _name: None)
    incident = ledger.last_incident("router")
    assert incident is not None
    (first,) = ledger.actions(incident.id)
    ledger.plan_stage(dataclasses.replace(first, id="a2", state=ActionState.PLANNED, attempt=0, stage=1), now=1.0)
    ledger.close()
    api.release.servers[GOOD] = 2.0
    async with handling(tmp_path, text) as handler:
        await until(lambda: handler.state() == "resolved")
        assert stages(handler) == [(0, 50), (1, 50), (2, 0)]
        assert [a.state for a in handler.service.ledger.actions(incident.id)] == ["confirmed", "failed", "confirmed"]


async def test_an_approval_for_a_target_that_is_gone_is_dropped(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section(), extra="  approval: {required: true}\n")
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "awaiting_approval")
    async with handling(tmp_path, text.replace("name: router", "name: other")) as handler:
        await until(lambda: handler.state() == "abandoned")


async def test_three_targets_rolled_back_freeze_everything_and_the_third_is_done(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    (tmp_path / "url").write_text("http://127.0.0.1:1/")
    target = "{{type: file, path: {}, values: {{v1: a, v2: b}}}}"
    links = "".join(f"- name: t{i}\n  model: clicks\n  target: {target.format(tmp_path / f'l{i}')}\n" for i in range(4))
    for i in range(4):
        (tmp_path / f"l{i}").symlink_to("b")
    text = configuration(api.url, haproxy.section()).split("targets:")[0] + "targets:\n" + links
    text += f"notify: [{{name: ops, url_file: {tmp_path / 'url'}}}]\n"
    async with handling(tmp_path, text) as handler:
        ledger = handler.service.ledger
        await handler.post(payload())
        await until(lambda: ledger.frozen("t0") is FreezeLevel.ALL)
        await until(lambda: sum((tmp_path / f"l{i}").readlink().name == "a" for i in range(4)) == 3)
        await until(lambda: sum(handler.count("decisions_total", f"t{i}", "suppress", "frozen") for i in range(4)) == 1)
        (braked,) = [row for row in handler.audit("freeze") if row.actor == "storm brake"]
        assert braked.target == EVERYTHING
        assert len(handler.audit("dispatch")) == 3
        told = [notice.kind for notice in ledger.notices(handler.service.now() + 60, 99, longest=1e9)]
        assert told.count("frozen") == 1
