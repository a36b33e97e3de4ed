"""The pages in a real Chromium, by keyboard alone; nothing is loaded from another host."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chromium import BINARY, Tab, browsing
from handler_people import PASSWORD, People, serving_people
from handler_world import HAProxy, QueryAPI, Release, configuration, until

pytestmark = pytest.mark.skipif(shutil.which(BINARY) is None, reason="needs chromium: .ci/setup installs it")


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[QueryAPI]:
    with HAProxy(tmp_path).running() as haproxy:
        async with QueryAPI(Release(haproxy.shares)).serving() as served:
            yield served


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with browsing(tmp_path) as found:
        yield found


async def enter(tab: Tab, people: People, path: str = "/", *, by: str = "olga") -> None:
    """Open a page with a name and a password, as the browser asks for them."""
    host = people.handler.url.removeprefix("http://")
    await tab.open(f"http://{by}:{PASSWORD}@{host}{path}")


def only_here(tab: Tab, people: People) -> None:
    """Every request went to the handler, and the browser complained of nothing."""
    assert tab.requests
    assert {urlsplit(url).netloc.rpartition("@")[2] for url in tab.requests} == {people.handler.url[7:]}
    assert tab.errors == []


async def test_freezing_and_unfreezing_by_keyboard(tmp_path: Path, api: QueryAPI, tab: Tab) -> None:
    section = HAProxy(tmp_path).section()
    async with serving_people(tmp_path, configuration(api.url, section)) as people:
        await until(lambda: people.handler.count("target_up", "router") == 1)
        await enter(tab, people)
        await tab.screenshot(tmp_path / "index.png")
        await tab.tab_to("router")
        await tab.follow("Enter")
        await tab.tab_to("What is stopped", "Freeze")
        await tab.press("Down")
        await tab.tab_to("Why", "Freeze")
        await tab.type("release day")
        await tab.tab_to("Freeze", "Freeze")
        await tab.screenshot(tmp_path / "focus.png")
        await tab.follow("Space")
        await tab.shows("steps up and promotions only, by olga")
        ledger = people.handler.service.ledger
        assert [(f.scope, f.level, f.actor, f.reason) for f in ledger.freezes()] == [
            ("router", "promote", "olga", "release day")
        ]
        await tab.screenshot(tmp_path / "frozen.png")
        await tab.tab_to("Unfreeze", "Unfreeze")
        await tab.follow("Enter")
        assert ledger.freezes() == []
        only_here(tab, people)
