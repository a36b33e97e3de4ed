"""Forms: done for who got them, once, and for nobody else; every answer carries the headers that keep pages apart."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_people import Answer, People, basic, serving_people
from handler_world import Link, QueryAPI, Release, configuration, payload, until


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    link = Link(tmp_path)
    async with (
        QueryAPI(Release(link.shares)).serving() as api,
        serving_people(tmp_path, configuration(api.url, link.section())) as found,
    ):
        await until(lambda: found.handler.count("target_up", "router") == 1)
        yield found


async def token_of(people: People, name: str, path: str = "/") -> str:
    """The token in the forms of a page."""
    page = await people.ask("GET", path, headers={"Authorization": basic(name)})
    assert page.status == 200
    return str(re.findall(r'name="csrf" value="([0-9a-f]{64})"', page.text)[0])


async def freeze(people: People, *, by: str, token: str, headers: dict[str, str] | None = None) -> Answer:
    """Send the form that freezes all."""
    form = {"csrf": token, "level": "all", "reason": "x"}
    return await people.ask("POST", "/freeze", by=by, form=form, headers=headers)


async def test_a_form_is_done_once_and_leads_to_a_page(people: People) -> None:
    token = await token_of(people, "olga")
    same = {"Origin": people.handler.url, "Sec-Fetch-Site": "same-origin"}
    answer = await freeze(people, by="olga", token=token, headers=same)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert [f.actor for f in people.handler.service.ledger.freezes()] == ["olga"]


async def test_a_form_without_the_right_token_is_refused(people: People) -> None:
    for token in ("", "0" * 64, "é", await token_of(people, "root")):
        answer = await freeze(people, by="olga", token=token)
        assert answer.status == 403
        assert "was not made here for you" in answer.text
    assert people.handler.service.ledger.freezes() == []


async def test_a_form_from_another_site_is_refused_even_with_a_token(people: People) -> None:
    token = await token_of(people, "olga")
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = await freeze(people, by="olga", token=token, headers=headers)
        assert answer.status == 403
    assert people.handler.service.ledger.freezes() == []


async def test_a_form_without_the_scope_is_refused(people: People) -> None:
    assert (await freeze(people, by="rita", token="0" * 64)).status == 403
    page = await people.ask("GET", "/targets/router", headers={"Authorization": basic("rita")})
    assert "<form" not in page.text


async def test_an_order_that_is_sent_twice_is_given_once(people: People) -> None:
    page = await people.ask(
        "GET", "/targets/router/confirm?order=rollback&version=v2", headers={"Authorization": basic("olga")}
    )
    form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    assert set(form) == {"csrf", "order", "version", "plan", "id"}
    answers = [await people.ask("POST", "/targets/router/orders", by="olga", form=form) for _ in range(3)]
    assert {(a.status, a.headers["Location"]) for a in answers} == {(303, f"/orders/{form['id']}")}
    assert len([row for row in people.handler.audit("order") if "order_kind" in row.body]) == 1
    await until(lambda: people.handler.state() == "resolved")
    assert people.handler.count("effects_total", "router", "confirmed") == 1


async def test_what_a_form_says_wrong_gets_a_page_with_4xx(people: People) -> None:
    token = await token_of(people, "root")
    for path, form, status in (
        ("/targets/nobody/freeze", {"level": "all"}, 404),
        ("/freeze", {"level": "half"}, 400),
        ("/freeze", {"level": "all", "colour": "red"}, 400),
        ("/unfreeze", {}, 409),
        ("/targets/router/orders", {"order": "rollback", "version": "v2"}, 400),
        ("/targets/router/orders", {"order": "rollback", "version": "v2", "plan": "ab", "id": "../x"}, 400),
        ("/targets/router/orders", {"order": "submit", "version": "v2"}, 409),
        ("/incidents/nobody/approve", {"plan": "ab"}, 404),
        ("/incidents/nobody/acknowledge", {}, 404),
    ):
        answer = await people.ask("POST", path, form={"csrf": token, **form})
        assert (path, answer.status) == (path, status), answer.text
        assert answer.headers["Content-Type"].startswith("text/html")
    for path in ("/targets/nobody", "/incidents/nobody", "/orders/nobody", "/targets/router/confirm?order=x"):
        answer = await people.ask("GET", path)
        assert answer.status in (400, 404)
    assert (await people.ask("POST", "/freeze", {"csrf": token})).status == 415
    assert people.handler.service.ledger.audit_rows(10) == []


async def test_pages_keep_to_themselves(people: People) -> None:
    await people.handler.post(payload())
    await until(lambda: people.handler.state() == "resolved")
    name = people.handler.incident()
    assert name is not None
    for path in ("/", "/targets/router", f"/incidents/{name.id}", "/targets/nobody"):
        answer = await people.ask("GET", path, by="rita")
        policy = answer.headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "same-origin"
