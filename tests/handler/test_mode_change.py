"""From observe to react: what still fires is acted on, once, through the same evidence as ever."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import HAProxy, QueryAPI, Release, alert, configuration, payload, until
from mlcanary.handler.core.policy import Reason


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        served.release.alerts, served.release.active_at = [dict(alert()["labels"])], 1_700_000_000.5  # type: ignore[call-overload]
        yield served


async def rehearsed(handler: Handle) -> None:
    """Wait until the alert was decided in mode observe."""
    await handler.post(payload())
    await until(lambda: handler.count("decisions_total", "router", "suppress", Reason.DRY_RUN) >= 1)


async def in_mode_react(handler: Handle) -> None:
    """Change the mode, as an operator does: the file, then a reload."""
    path = handler.directory / "handler.yml"
    path.write_text(path.read_text().replace("mode: observe", "mode: react"))
    await handler.service.reload()


async def looks(api: QueryAPI, count: int) -> None:
    """Let the keeper look so often."""
    before = len(api.queries)
    await until(lambda: sum(q.startswith("ALERTS{") for q in api.queries[before:]) >= count)


async def test_an_alert_that_was_rehearsed_and_still_fires_is_acted_on_after_a_reload(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), mode="observe")) as handler:
        await rehearsed(handler)
        await looks(api, 6)  # beyond the patience with webhooks: in observe it is decided once
        assert handler.count("decisions_total", "router", "suppress", Reason.DRY_RUN) == 1
        await in_mode_react(handler)
        await until(lambda: handler.state() == "resolved")
        assert handler.count("missed_webhooks_total", "router") == 0
        await looks(api, 6)
        assert len(handler.audit("effect")) == 1


async def test_an_alert_that_was_rehearsed_is_acted_on_after_a_restart_with_another_mode(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), mode="observe")) as handler:
        await rehearsed(handler)
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await until(lambda: handler.state() == "resolved")


async def test_the_evidence_is_asked_for_again_before_it_is_acted_on(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), mode="observe")) as handler:
        await rehearsed(handler)
        api.release.delta = 0.0
        await in_mode_react(handler)
        await until(lambda: handler.count("decisions_total", "router", "suppress", Reason.STALE_EVIDENCE) >= 1)
        assert handler.incident() is None
        assert json.loads(handler.audit("decision")[-1].body)["decision"] == "wait"


async def test_what_no_longer_fires_is_left_alone(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), mode="observe")) as handler:
        await rehearsed(handler)
        api.release.alerts = []
        await in_mode_react(handler)
        await looks(api, 6)
        assert handler.incident() is None
        assert handler.count("decisions_total", "router", "suppress", Reason.STALE_EVIDENCE) == 0
