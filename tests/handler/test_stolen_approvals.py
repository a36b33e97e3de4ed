"""Approvals in the wrong hands, twice, too late, of another plan, or overtaken: a yes is worth one plan, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_people import People, serving_people
from handler_world import BAD, GOOD, Link, QueryAPI, Release, configuration, payload, until
from mlcanary.handler.core.incidents import Incident


@pytest.fixture
def link(tmp_path: Path) -> Link:
    return Link(tmp_path)


@pytest.fixture
async def api(link: Link) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(link.shares)).serving() as served:
        yield served


def written(api: QueryAPI, link: Link, approval: str) -> str:
    """A configuration that asks a person."""
    return configuration(api.url, link.section(), extra=f"  approval: {{required: true, {approval}}}\n")


async def waiting(people: People) -> Incident:
    """Let an alert come in, and wait until its plan waits for a person."""
    assert await people.handler.post(payload()) == 202
    await until(lambda: people.handler.state() == "awaiting_approval")
    found = people.handler.incident()
    assert found is not None
    assert found.plan
    return found


async def approve(people: People, found: Incident, *, by: str, plan: str | None = None) -> int:
    """The status of an approval."""
    body = {"plan": found.plan if plan is None else plan}
    return (await people.ask("POST", f"/v1/incidents/{found.id}/approve", body, by=by)).status


async def test_an_approval_needs_the_scope_the_plan_and_its_own_page_and_counts_once(
    tmp_path: Path, api: QueryAPI, link: Link
) -> None:
    async with serving_people(tmp_path, written(api, link, "expires: 10m")) as people:
        found = await waiting(people)
        assert await approve(people, found, by="rita") == 403
        assert await approve(people, found, by="olga") == 403  # may operate, not approve
        assert await approve(people, found, by="nobody") == 401
        assert await approve(people, found, by="alex", plan=found.plan[::-1]) == 409
        assert await approve(people, found, by="alex", plan="") in (400, 409)
        path, form = f"/incidents/{found.id}/approve", {"plan": found.plan}
        for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.test"}):
            answer = await people.ask("POST", path, by="alex", form=form, headers=header)
            assert answer.status == 403  # a browser that remembers the password is led to send it
        assert link.active() == BAD
        assert people.handler.service.ledger.pending_orders("router") == []
        answers = await asyncio.gather(*(approve(people, found, by="alex") for _ in range(5)))
        assert 202 in answers
        assert set(answers) <= {202, 409}
        await until(lambda: people.handler.state() == "resolved")
        assert link.active() == GOOD
        assert await approve(people, found, by="alex") == 409
        assert len(people.handler.audit("approve")) == len(people.handler.audit("dispatch")) == 1
        assert people.handler.audit("approve")[0].actor == "alex.program"


async def test_an_approval_that_comes_too_late_does_nothing(tmp_path: Path, api: QueryAPI, link: Link) -> None:
    async with serving_people(tmp_path, written(api, link, "expires: 500ms")) as people:
        found = await waiting(people)
        await until(lambda: people.handler.state() == "abandoned")
        assert await approve(people, found, by="alex") == 409
        assert link.active() == BAD
        assert people.handler.audit("dispatch") == []


async def test_an_approval_that_facts_have_overtaken_does_nothing(tmp_path: Path, api: QueryAPI, link: Link) -> None:
    async with serving_people(tmp_path, written(api, link, "expires: 10m")) as people:
        found = await waiting(people)
        api.release.delta, api.release.zscore, api.release.firing = 0.0, 0.0, False
        assert await approve(people, found, by="alex") == 202  # taken in; the worker looks again
        await until(lambda: people.handler.state() != "awaiting_approval")
        assert people.handler.state() == "abandoned"
        assert link.active() == BAD
        assert people.handler.audit("dispatch") == []
