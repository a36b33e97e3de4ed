"""The pages in a real Chromium, by keyboard alone; nothing is loaded from another host."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chromium import BINARY, Tab, browsing
from handler_people import PASSWORD, People, serving_people
from handler_world import HAProxy, QueryAPI, Release, configuration, payload, until

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


async def test_rolling_back_shows_the_plan_first_and_then_does_it(tmp_path: Path, api: QueryAPI, tab: Tab) -> None:
    haproxy = HAProxy(tmp_path)
    async with serving_people(tmp_path, configuration(api.url, haproxy.section())) as people:
        await until(lambda: people.handler.count("target_up", "router") == 1)
        await enter(tab, people, "/targets/router")
        await tab.tab_to("Show the plan", "Roll back now")
        await tab.follow("Enter")
        await tab.shows("roll back v2 on router: v1 90% → 100%, v2 10% → 0%")
        await tab.screenshot(tmp_path / "confirm.png")
        assert haproxy.shares()["v2"] == 0.1
        await tab.tab_to("Why", "Confirm")
        await tab.type("complaints")
        await tab.tab_to("Roll back v2 now", "Confirm")
        await tab.follow("Enter")
        await tab.shows("done")  # the page loads itself again until the worker has taken the order up
        await tab.screenshot(tmp_path / "order.png")
        await until(lambda: haproxy.shares()["v2"] == 0)
        await until(lambda: people.handler.state() == "resolved")
        incident = people.handler.incident()
        assert incident is not None
        assert (incident.actor, incident.bad) == ("olga", "v2")
        (order,) = [row for row in people.handler.audit("order") if "complaints" in row.body]
        assert f'"plan":"{incident.plan}"' in order.body
        await tab.tab_to("to target router")
        await tab.follow("Enter")
        await tab.shows("closed: resolved")
        await tab.screenshot(tmp_path / "target.png", dark=True)
        await tab.tab_to("v2 → v1")
        await tab.follow("Enter")
        await tab.tab_to("Acknowledge", "Acknowledge")
        await tab.follow("Space")
        await tab.shows("olga, 20")
        await tab.screenshot(tmp_path / "incident.png")
        await until(lambda: people.handler.service.ledger.verify_audit() is None)
        only_here(tab, people)


async def test_approving_the_plan_of_an_alert(tmp_path: Path, api: QueryAPI, tab: Tab) -> None:
    haproxy = HAProxy(tmp_path)
    text = configuration(api.url, haproxy.section(), extra="  approval: {required: true}\n")
    async with serving_people(tmp_path, text) as people:
        assert await people.handler.post(payload()) == 202
        await until(lambda: people.handler.state() == "awaiting_approval")
        waits = people.handler.incident()
        assert waits is not None
        await enter(tab, people, by="alex")
        await tab.shows(f"plan {waits.plan}")
        await tab.screenshot(tmp_path / "waiting.png")
        await tab.tab_to("look at the evidence and decide")
        await tab.follow("Enter")
        await tab.screenshot(tmp_path / "decide.png")
        await tab.tab_to(f"Approve plan {waits.plan}", "Approve")
        assert haproxy.shares()["v2"] == 0.1
        await tab.follow("Enter")
        await tab.shows("done")
        await until(lambda: people.handler.state() == "resolved")
        assert [row.actor for row in people.handler.audit("approve")] == ["alex"]
        assert haproxy.shares()["v2"] == 0
        only_here(tab, people)


DRIVE = (
    "  release: {steps: [1, 50, 100], min_trials: 50, soak: 1h, hold_deadline: 1h}\n"
    "  evidence: {recheck: 50ms, deadline: 500ms}\n"
)


async def test_releasing_a_version_and_promoting_it_by_hand(tmp_path: Path, api: QueryAPI, tab: Tab) -> None:
    haproxy = HAProxy(tmp_path)
    haproxy.ask("set weight models/stable 100; set weight models/canary 0")
    api.release.rate, api.release.firing, api.release.word = 20_000.0, False, "hold"
    text = configuration(api.url, haproxy.section(), mode="drive", extra=DRIVE)
    async with serving_people(tmp_path, text) as people:
        ledger = people.handler.service.ledger
        await until(lambda: people.handler.count("target_up", "router") == 1)
        await enter(tab, people, "/targets/router")
        await tab.tab_to("Candidate", "Release a version")
        await tab.type("v2")
        await tab.tab_to("Submit", "Release a version")
        await tab.follow("Enter")
        await tab.shows("done")
        await until(lambda: (r := ledger.open_release("router")) is not None and r.step == 1 and r.effect > 0)
        await tab.tab_to("to target router")
        await tab.follow("Enter")
        await tab.shows("Newest release: v2 beside v1")
        await tab.shows("step 2 planned")
        assert await tab.value("document.querySelector('[aria-current=step]').textContent") == "50 %"
        await tab.screenshot(tmp_path / "release.png")
        await tab.tab_to("Show the plan", "Promote v2 now")
        await tab.follow("Enter")
        await tab.shows("promote v2 on router: v1 50% → 0%, v2 50% → 100%")
        await tab.tab_to("Why", "Confirm")
        await tab.type("the offline test was long")
        await tab.tab_to("also without proof", "Confirm")
        await tab.press("Space")
        await tab.tab_to("Promote v2 now", "Confirm")
        await tab.follow("Enter")
        await tab.shows("done")
        await until(lambda: haproxy.shares()["v2"] == 1.0)
        release = ledger.open_release("router")
        assert release is not None
        action = ledger.step_under_way(release)
        assert action is not None
        (order,) = [row for row in people.handler.audit("order") if '"order_kind":"promote"' in row.body]
        assert f'"plan":"{action.plan}"' in order.body
        assert action.actor == "olga"
        found = (await people.ask("GET", f"/v1/releases/{release.id}", by="rita")).json
        told = [(entry["what"], entry["actor"]) for entry in found["timeline"]]
        assert told[0] == ("submitted", "olga")
        assert ("step 1 planned", "handler") in told
        assert ("step 3 planned", "olga") in told
        only_here(tab, people)
