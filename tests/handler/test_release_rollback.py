"""A bad candidate of a release, through the whole handler: the incident takes its traffic, the release goes with it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, alert, configuration, payload, until
from mlcanary.errors import ConfigError
from mlcanary.handler.core import releases as rows
from mlcanary.handler.core.releases import Order, OrderKind, OrderState, Version, VersionStatus

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


async def ordered(handler: Handle, kind: OrderKind) -> str:
    """Give an order as the web face does, and wait for its end; why it was refused, "" if it was done."""
    name, now = secrets.token_hex(4), handler.service.now()
    row = Order(name, "router", kind, BAD, "", "a reason", False, "ann", now, OrderState.PENDING, "")
    handler.service.ledger.give_order(row)

    def ended() -> bool:
        found = handler.service.ledger.order(name)
        return found is not None and found.state is not OrderState.PENDING

    await until(ended)
    found = handler.service.ledger.order(name)
    return found.note if found is not None and found.state is OrderState.REFUSED else ""


def newest(handler: Handle) -> rows.Release:
    return handler.service.ledger.releases("router", 1)[0]


async def test_a_bad_candidate_is_rolled_back_by_its_incident(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    text = configuration(api.url, haproxy.section(), mode="drive", extra=EXTRA)
    async with handling(tmp_path, text) as handler:
        assert await ordered(handler, OrderKind.SUBMIT) == ""
        await until(lambda: newest(handler).step == 1 and newest(handler).effect > 0)
        assert haproxy.weights() == {GOOD: 50, BAD: 50}
        api.release.word, api.release.firing = "rollback", True
        await handler.post(payload(alert(measure="verdict", window="judge")))
        await until(lambda: newest(handler).state == "rolled_back")
        assert haproxy.weights()[BAD] == 0
        assert handler.state() == "resolved"
        await until(lambda: handler.count("releases_total", "router", "clicks", "rolled_back") == 1)
        assert "quarantined" in await ordered(handler, OrderKind.SUBMIT)
        moves = [row for row in handler.audit("release") if '"state":"rolling_back"' in row.body]
        assert len(moves) == 1
        assert haproxy.weights()[BAD] == 0


async def test_a_candidate_with_all_traffic_is_rolled_back_to_the_version_kept_warm(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    api.release.word = "promote"
    text = configuration(api.url, haproxy.section(), mode="drive", extra=EXTRA.replace("200ms", "1h"))
    async with handling(tmp_path, text) as handler:
        assert await ordered(handler, OrderKind.SUBMIT) == ""
        await until(lambda: newest(handler).state == "soak")
        assert haproxy.weights() == {GOOD: 0, BAD: 100}
        api.release.firing = True
        await handler.post(payload(alert()))
        await until(lambda: newest(handler).state == "rolled_back")
        assert haproxy.weights()[BAD] == 0
        assert haproxy.weights()[GOOD] > 0


async def test_withdrawing_a_release_under_way_rolls_it_back_and_a_person_may_submit_it_again(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section(), mode="drive", extra=EXTRA + "  cooldown: 100ms\n")
    async with handling(tmp_path, text) as handler:
        assert await ordered(handler, OrderKind.SUBMIT) == ""
        await until(lambda: newest(handler).step == 1 and newest(handler).effect > 0)
        assert await ordered(handler, OrderKind.WITHDRAW) == ""
        await until(lambda: newest(handler).state == "rolled_back")
        assert haproxy.weights()[BAD] == 0
        assert "quarantined" in await ordered(handler, OrderKind.SUBMIT)
        ledger = handler.service.ledger
        now = handler.service.now()
        ledger.set_version(Version("clicks", BAD, BAD, VersionStatus.CANDIDATE, "fixed", "ann", now), target="router")
        assert await ordered(handler, OrderKind.SUBMIT) == ""
        await until(lambda: newest(handler).step == 1 and newest(handler).effect > 0)
        looks = len(api.queries)
        await until(lambda: len(api.queries) > looks + 60)  # the keeper of the old incident has looked again
        assert haproxy.weights() == {GOOD: 50, BAD: 50}
        assert handler.audit("reassert") == []


async def test_a_target_with_an_open_release_cannot_be_configured_away(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    text = configuration(api.url, haproxy.section(), mode="drive", extra=EXTRA)
    async with handling(tmp_path, text) as handler:
        assert await ordered(handler, OrderKind.SUBMIT) == ""
        (tmp_path / "handler.yml").write_text(text.replace("name: router", "name: other"))
        with pytest.raises(ConfigError, match="target router has an open release"):
            await handler.service.reload()
