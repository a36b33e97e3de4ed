"""What was decided and not done is told: on the pages, by the API and by the command, most of all in mode observe."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from handler_people import People, serving_people
from handler_world import Link, QueryAPI, Release, configuration, payload, until
from mlcanary.cli.handler import command
from mlcanary.handler.core.policy import Reason
from mlcanary.handler.ledger.audit import AuditRow
from mlcanary.handler.web.decisions import decision_of


def row(**body: object) -> AuditRow:
    """A decision in the audit."""
    return AuditRow(1, 1.7e9, "handler", "decision", "router", msgspec.json.encode(body).decode(), "")


async def run(people: People, *arguments: str) -> str:
    """What a command prints."""
    who = ["--url", people.handler.url, "--token.file", str(people.handler.directory / "rita.token")]
    found = await asyncio.to_thread(CliRunner().invoke, command, [*arguments, *who])
    assert found.exit_code == 0, found.output
    return found.output


async def test_mode_observe_tells_everywhere_what_it_would_have_done(tmp_path: Path) -> None:
    link = Link(tmp_path)
    async with (
        QueryAPI(Release(link.shares)).serving() as api,
        serving_people(tmp_path, configuration(api.url, link.section(), mode="observe")) as people,
    ):
        before = await people.ask("GET", "/v1/decisions?target=router", by="rita")
        assert before.json == {"decisions": []}
        assert "no decision without effect" in await run(people, "decisions")
        await people.handler.post(payload())
        await until(lambda: people.handler.count("rollbacks_total", "router", "clicks", "dry_run") == 1)
        (told,) = (await people.ask("GET", "/v1/decisions?target=router", by="rita")).json["decisions"]
        said = "would take the traffic of v2 to v1, then v1 100 %, v2 0 %; the target would accept it"
        assert (told["text"], told["dry_run"], told["destination"]) == (said, True, "v1")
        assert told["desired"] == {"v1": 1, "v2": 0}
        assert told["plan"]
        assert (await people.ask("GET", "/v1/targets/router", by="rita")).json["decision"] == told
        for page in ("/", "/targets/router"):
            text = (await people.ask("GET", page, by="rita", form={})).text
            assert "dry run</span> " in text
            assert said in text
        assert said in await run(people, "decisions", "--target", "router")
        assert "dry run: v2 -> v1, " in await run(people, "status")
        assert (await people.ask("GET", "/v1/decisions?target=nobody", by="rita")).status == 404
        assert people.handler.audit("dispatch") == []


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.DRY_RUN])
def test_every_reason_is_told_in_words(reason: Reason) -> None:
    found = decision_of(row(decision="suppress", reason=reason, version="v2", measure="auc", note=""))
    assert not found.dry_run
    assert found.text.startswith("nothing: ")
    assert found.text != f"nothing: {reason}"


def test_what_waits_and_what_joined_is_told_as_such() -> None:
    waits = decision_of(row(decision="wait", reason="cooldown", version="v2", measure="auc", note="", evidence={}))
    assert waits.text == "waits: the target was changed a short time ago"
    assert (
        decision_of(row(decision="attach", reason="", version="v2", measure="auc")).text == "joined the open incident"
    )


def test_a_rehearsal_that_the_target_refuses_and_one_that_does_not_fit_say_so() -> None:
    would = {
        "decision": "suppress",
        "reason": "dry_run",
        "version": "v2",
        "good": "v1",
        "desired": {"v1": 60, "v2": 40},
    }
    found = decision_of(row(**would, missing=0.4, note="server v1 is not running"))
    assert found.text == (
        "would take the traffic of v2 to v1, then v1 60 %, v2 40 %; 40% of it does not fit now; "
        "server v1 is not running"
    )
    assert decision_of(row(decision="suppress", reason="dry_run", version="v2")).text == "would take the traffic of v2"
