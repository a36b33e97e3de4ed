"""A bad candidate of a release, through the whole handler: the incident takes its traffic, the release goes with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, alert, configuration, payload, until
from mlcanary.handler.core import releases as rows
from mlcanary.handler.core.machines import ReleaseState
from mlcanary.handler.core.stepping import UNCOUNTED

EXTRA = (
    "  release: {steps: [1, 50, 100], min_trials: 50, soak: 200ms, hold_deadline: 1h}\n"
    "  evidence: {recheck: 50ms, deadline: 500ms}\n"
)


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        proxy.ask("set weight models/stable 100; set weight models/canary 0")
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares, rate=20_000.0, firing=False, word="hold")).serving() as served:
        yield served


def submit(handler: Handle) -> None:
    now = handler.service.now()
    row = rows.Release(
        "r1", "router", "clicks", BAD, BAD, GOOD, ReleaseState.STAGED, -1, now, now, 0.0, UNCOUNTED, "", 0.0, "ann", ""
    )
    handler.service.ledger.submit(row, now)


def newest(handler: Handle) -> rows.Release:
    return handler.service.ledger.releases("router", 1)[0]


async def test_a_bad_candidate_is_rolled_back_by_its_incident(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    text = configuration(api.url, haproxy.section(), mode="drive", extra=EXTRA)
    async with handling(tmp_path, text) as handler:
        submit(handler)
        await until(lambda: newest(handler).step == 1 and newest(handler).effect > 0)
        assert haproxy.weights() == {GOOD: 50, BAD: 50}
        api.release.word, api.release.firing = "rollback", True
        await handler.post(payload(alert(measure="verdict", window="judge")))
        await until(lambda: newest(handler).state == "rolled_back")
        assert haproxy.weights()[BAD] == 0
        assert handler.state() == "resolved"
        await until(lambda: handler.count("releases_total", "router", "clicks", "rolled_back") == 1)
        moves = [row for row in handler.audit("release") if '"state":"rolling_back"' in row.body]
        assert len(moves) == 1
        assert haproxy.weights()[BAD] == 0
