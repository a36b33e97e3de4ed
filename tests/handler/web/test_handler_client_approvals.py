"""What `mlcanary handler rollback` says and ends with where another person has to approve."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from handler_people import People, serving_people
from handler_world import Link, QueryAPI, Release, configuration, until
from mlcanary.cli.handler import command
from mlcanary.cli.handler_calls import Caller, follow

FOUR_EYES = "  approval: {required: true, four_eyes: true, expires: 10m}\n"


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    link = Link(tmp_path)
    async with (
        QueryAPI(Release(link.shares)).serving() as api,
        serving_people(tmp_path, configuration(api.url, link.section(), extra=FOUR_EYES)) as found,
    ):
        await until(lambda: found.handler.count("target_up", "router") == 1)
        yield found


async def run(people: People, *arguments: str, by: str) -> Result:
    """A command with a person's token."""
    who = ["--url", people.handler.url, "--token.file", str(people.handler.directory / f"{by}.token")]
    return await asyncio.to_thread(CliRunner().invoke, command, [*arguments, *who])


def waits(people: People) -> bool:
    return people.handler.state() == "awaiting_approval"


async def test_without_wait_it_says_who_must_approve_and_ends_with_3(people: People) -> None:
    found = await run(people, "rollback", "router", "v2", "--yes", "--reason", "complaints", by="root")
    incident = people.handler.incident()
    assert incident is not None
    assert waits(people)
    assert found.exit_code == 3, found.output
    *_, until_when, who, how, otherwise = found.stdout.splitlines()
    assert re.fullmatch(r"waits for approval until 20..-..-.. ..:..:..Z; the version keeps .*", until_when)
    assert who == "  may approve: alex, alex.program, root"  # and not root.program, who ordered it
    assert how == f"  approve:     mlcanary handler approve {incident.id} --plan {incident.plan} --wait"
    assert otherwise == f"  refuse:      mlcanary handler refuse {incident.id} --plan {incident.plan}"
    shown = await run(people, "show", incident.id, by="rita")
    missing = "1 approval is missing, may approve: alex, alex.program, root"
    assert f"approval:  {missing}\n" in shown.stdout
    assert f"{incident.id} v2 -> v1: awaiting_approval, {missing}" in (await run(people, "status", by="rita")).stdout
    approved = await run(people, *how.split()[3:], by="alex")
    assert approved.exit_code == 0, approved.output
    assert people.handler.state() == "resolved"
    assert "approval" not in (await run(people, "status", by="rita")).stdout
    shown = await run(people, "show", incident.id, by="rita")
    assert re.search(r"^approved:  by alex\.program, 20..-..-.. ..:..:..Z$", shown.stdout, re.MULTILINE)
    assert "may approve" not in shown.stdout


async def test_who_may_approve_and_who_did_are_on_the_pages_and_in_the_api(people: People) -> None:
    await run(people, "rollback", "router", "v2", "--yes", "--reason", "complaints", by="root")
    incident = people.handler.incident()
    assert incident is not None
    missing = "1 approval is missing; may approve: alex, alex.program, root"
    here, at = f"/incidents/{incident.id}", people.handler.service.now()
    for page in ("/", "/targets/router", here):
        assert missing in (await people.ask("GET", page, by="rita")).text
    target = (await people.ask("GET", "/v1/targets/router", by="rita")).json
    for told in (target, (await people.ask("GET", f"/v1{here}", by="rita")).json):
        assert (told["approvals_missing"], told["approvers"]) == (1, ["alex", "alex.program", "root"])
    answer = await people.ask("POST", f"/v1{here}/approve", {"plan": incident.plan}, by="alex")
    assert answer.status == 202
    await until(lambda: people.handler.state() == "resolved")
    told = (await people.ask("GET", f"/v1{here}", by="rita")).json
    assert (told["approvals_missing"], told["approvers"]) == (0, [])
    (given,) = told["approvals"]
    assert (given["actor"], given["plan"]) == ("alex.program", incident.plan)
    assert at <= given["at"] <= people.handler.service.now()
    text = (await people.ask("GET", here, by="rita")).text
    assert "<dt>approval</dt><dd>approved by alex.program, 20" in text
    assert "may approve" not in text


async def test_with_wait_it_says_so_at_once_and_ends_as_the_approver_decides(people: People) -> None:
    plan = (await people.ask("GET", "/v1/plan?order=rollback&target=router&version=v2", by="olga")).json["plan"]
    body = {"order": "rollback", "version": "v2", "plan": plan}
    order = (await people.ask("POST", "/v1/targets/router/orders", body, by="olga")).json
    said: list[str] = []
    caller = Caller(people.handler.url, people.handler.directory / "olga.token", None)
    followed = asyncio.create_task(asyncio.to_thread(follow, caller, order, said.append))
    await until(lambda: any(line.startswith("waits for approval until") for line in said))
    assert "  may approve: alex, alex.program, root, root.program" in said[-1].splitlines()
    path = f"/v1/incidents/{order['id']}/refuse"
    assert (await people.ask("POST", path, {"plan": plan, "reason": "known"}, by="alex")).status == 202
    ended = await followed
    assert not ended.done
    assert ended.note.endswith("was refused by alex.program: known")


async def test_an_order_that_the_worker_refuses_ends_with_1_without_wait(people: People) -> None:
    found = await run(people, "rollback", "router", "v2", "--plan", "00112233", by="olga")
    assert found.exit_code == 1
    assert "the plan is another one now" in found.stderr
