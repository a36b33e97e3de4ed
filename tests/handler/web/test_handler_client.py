"""`mlcanary handler COMMAND` against a running handler: tables, exit status, and what it waits for."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from handler_incidents import incident
from handler_people import People, serving_people
from handler_world import Link, QueryAPI, Release, configuration, payload, until
from loopback_server import loopback
from mlcanary.cli.handler import command
from mlcanary.cli.handler_tables import table
from mlcanary.handler.core.machines import IncidentState


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    link = Link(tmp_path)
    async with (
        QueryAPI(Release(link.shares)).serving() as api,
        serving_people(tmp_path, configuration(api.url, link.section())) as found,
    ):
        await until(lambda: found.handler.count("target_up", "router") == 1)
        yield found


async def run(people: People, *arguments: str, by: str = "olga", answer: str = "") -> Result:
    """A command with a person's token; `answer` is typed."""
    who = ["--url", people.handler.url, "--token.file", str(people.handler.directory / f"{by}.token")]
    return await called(*arguments, *who, answer=answer)


async def called(*arguments: str, answer: str = "") -> Result:
    """A command."""
    found = await asyncio.to_thread(CliRunner().invoke, command, list(arguments), input=io.BytesIO(answer.encode()))
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exception
    return found


async def test_status_is_a_table_or_json(people: People) -> None:
    found = await run(people, "status", by="rita")
    assert found.exit_code == 0
    heading, row = found.output.splitlines()
    assert heading.split() == ["TARGET", "MODEL", "MODE", "WEIGHTS", "FREEZE", "RELEASE", "INCIDENT"]
    assert row.split() == ["router", "clicks", "react", "v1", "0%,", "v2", "100%", "none", "-", "-"]
    found = await run(people, "status", "--json", by="rita")
    assert msgspec.json.decode(found.output)["targets"][0]["name"] == "router"


async def test_an_incident_is_listed_shown_and_acknowledged(people: People) -> None:
    assert await people.handler.post(payload()) == 202
    await until(lambda: people.handler.state() == "resolved")
    name = people.handler.incident()
    assert name is not None
    listed = await run(people, "incidents", "--target", "router")
    assert name.id in listed.output
    assert "v2 -> v1" in listed.output
    shown = await run(people, "show", name.id)
    for said in ("state:     resolved", "effect confirmed", "closed: resolved", "seen by:   nobody", "  delta: -0.3"):
        assert said in shown.output
    seen = await run(people, "ack", name.id)
    assert (seen.exit_code, seen.output) == (0, f"incident {name.id} is seen by olga.program\n")
    assert "seen by:   olga.program" in (await run(people, "show", name.id)).output
    rows = (await run(people, "audit", "--after", "1")).output.splitlines()
    assert rows[0].split() == ["ROW", "TIME", "BY", "KIND", "TARGET", "HASH", "WHAT"]
    assert rows[1].startswith("2 ")


async def test_freezing_tells_what_is_frozen(people: People) -> None:
    found = await run(people, "freeze", "--target", "router", "--level", "promote", "--reason", "release day")
    assert found.exit_code == 0
    assert found.output.splitlines()[1].split()[:3] == ["router", "promote", "olga.program"]
    found = await run(people, "unfreeze", "--target", "router")
    assert (found.exit_code, found.output) == (0, "nothing is frozen\n")
    again = await run(people, "unfreeze", "--target", "router")
    assert (again.exit_code, again.stderr) == (1, "refused: router itself is not frozen\n")


async def test_a_rollback_shows_its_plan_and_asks(people: People) -> None:
    found = await run(people, "rollback", "router", "v2", answer="n\n")
    assert found.exit_code == 1
    assert found.stdout.splitlines()[0] == "roll back v2 on router: v1 0% → 100%, v2 100% → 0%"
    assert people.handler.service.ledger.audit_rows(10) == []
    plan = (await run(people, "plan", "rollback", "router", "v2", "--json")).output
    digest = msgspec.json.decode(plan)["plan"]
    assert f"plan {digest}" in found.stdout


REFUSED = (
    (("rollback", "router", "v9", "--yes"), "olga", "possible: v1, v2"),
    (("rollback", "nobody", "v2", "--plan", "ab"), "olga", "possible: router"),
    (("rollback", "router", "v2", "--force"), "olga", "force needs a reason"),
    (("rollback", "router", "v2", "--plan", "ab"), "rita", "needs the scope operate"),
    (("submit", "router", "v2"), "olga", "only drive has releases"),
    (("withdraw", "router"), "olga", "only drive has releases"),
    (("approve", "nobody", "--plan", "ab"), "alex", "no incident 'nobody'"),
    (("show", "../config"), "rita", "no incident '../config'"),
)


async def test_what_is_refused_says_why_and_ends_with_1(people: People) -> None:
    for arguments, by, said in REFUSED:
        found = await run(people, *arguments, by=by)
        assert (arguments, found.exit_code) == (arguments, 1)
        assert said in found.stderr


async def test_a_token_that_is_none_is_refused(people: People, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("not-a-token-of-anybody")
    found = await called("status", "--url", people.handler.url, "--token.file", str(tmp_path / "wrong"))
    assert found.exit_code == 1
    assert "HTTP 401" in found.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--url", "http://127.0.0.1:1"),
        ("status", "--url", "file:///etc/passwd"),
        ("status", "--token.file", "/nowhere"),
        ("explode",),
        ("approve", "x"),
        ("--config.file", "handler.yml", "status"),
        (),
    ],
)
async def test_wrong_usage_and_no_answer_end_with_2(arguments: tuple[str, ...]) -> None:
    assert (await called(*arguments)).exit_code == 2


async def test_a_server_that_is_no_handler_is_no_answer() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="<html>hello")

    async with loopback(web.get("/v1/targets", answer)) as url:
        found = await called("status", "--url", url)
    assert found.exit_code == 2
    assert "no handler answers" in found.stderr


async def test_a_rollback_is_followed_until_the_traffic_proves_it(people: People) -> None:
    found = await run(people, "rollback", "router", "v2", "--yes", "--wait", "--reason", "complaints")
    assert found.exit_code == 0, found.output
    incident = people.handler.incident()
    assert incident is not None
    assert (incident.state, incident.actor) == ("resolved", "olga.program")
    assert found.stdout.splitlines()[-1] == f"incident {incident.id}: resolved, {incident.note}"


async def test_an_order_whose_plan_is_another_one_is_refused(people: People) -> None:
    found = await run(people, "rollback", "router", "v2", "--plan", "00112233", "--wait")
    assert found.exit_code == 1
    assert "the plan is another one now" in found.stderr
    assert people.handler.state() == ""


async def test_an_approval_is_refused_and_told(people: People) -> None:
    ledger, now = people.handler.service.ledger, people.handler.service.now()
    waits = incident(state=IncidentState.AWAITING_APPROVAL, plan="00112233aabbccdd", actor="handler", now=now)
    assert ledger.plan([], waits, None, allowed=lambda _view: True, body={}, since=0.0, now=now)
    found = await run(
        people, "refuse", waits.id, "--plan", waits.plan, "--wait", "--reason", "a known outage", by="alex"
    )
    assert found.exit_code == 0, found.output
    assert people.handler.state() == "abandoned"
    assert "refused by alex.program: a known outage" in (await run(people, "show", waits.id)).output


def test_a_table_never_steers_a_terminal() -> None:
    assert "\x1b" not in table(("a",), [("\x1b[31mred\nnext",)])
