"""The handler as a whole, on a real HAProxy and a real symbolic link."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handler_service import handling
from handler_world import BAD, HAProxy, QueryAPI, Release, configuration, payload, until


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


async def test_an_alert_takes_the_traffic_back_and_the_traffic_proves_it(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        assert await handler.post(payload()) == 202
        await until(lambda: haproxy.weights() == {"v1": 100, "v2": 0})
        await until(lambda: handler.state() == "resolved")
        assert handler.count("effects_total", "router", "confirmed") == 1
        assert handler.count("rollbacks_total", "router", "clicks", "resolved") == 1
        assert handler.service.ledger.verify_audit() is None
        assert [row.kind for row in handler.audit("effect")] == ["effect"]
        metrics = await handler.get("/metrics")
        assert 'mlcanary_rollbacks_total{model="clicks",outcome="resolved",target="router"} 1.0' in metrics
        assert "<code>resolved" not in await handler.get("/nothing")
        assert f"{BAD} -&gt; v1: resolved" in await handler.get("/")
