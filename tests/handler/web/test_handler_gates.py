"""What pipelines are told: a table of rulings, the shapes that Argo and Flagger read, and what is not known."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_incidents import incident
from handler_people import People, serving_people
from handler_world import Link, QueryAPI, Release, configuration, until
from mlcanary.handler import sharing
from mlcanary.handler.core.judgement import Judgement, Word
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.releases import FreezeLevel, Version, VersionStatus
from mlcanary.handler.evidence.prometheus import EvidenceError, Prometheus
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.web import gates
from mlcanary.handler.web.gates import GATES, Known, ruling

FREE = Known(FreezeLevel.NONE, "")
SOUND = Judgement(
    word=Word.HEALTHY,
    why="",
    known=True,
    may_expand=True,
    trials=12345.0,
    judged=1.7e9,
    eta=None,
    gates=(),
    sources_up=True,
    roles=(("v1", "baseline"), ("v2", "canary")),
    serving=frozenset({"v1", "v2"}),
    firing=(),
)


@pytest.mark.parametrize(
    ("word", "may_expand", "open_gates"),
    [
        (Word.HEALTHY, True, {"promote", "expand"}),
        (Word.HEALTHY, False, {"promote"}),
        (Word.INCONCLUSIVE, True, {"expand"}),
        (Word.INCONCLUSIVE, False, set()),
        (Word.NO_DATA, False, set()),
        (Word.UNHEALTHY, False, {"rollback"}),
        (Word.UNHEALTHY, True, {"rollback"}),
    ],
)
def test_a_gate_follows_the_judge(word: Word, may_expand: bool, open_gates: set[str]) -> None:
    assert {gate for gate in GATES if ruling(gate, word, "", may_expand, FREE).open} == open_gates


def test_freezes_and_accusations_hold_every_word() -> None:
    for word, may_expand in itertools.product(Word, (True, False)):
        frozen = [ruling(g, word, "", may_expand, Known(FreezeLevel.ALL, "x is quarantined")) for g in GATES]
        assert not any(found.open for found in frozen)
        held = Known(FreezeLevel.PROMOTE, "")
        assert not ruling("promote", word, "", may_expand, held).open
        assert not ruling("expand", word, "", may_expand, held).open
        assert ruling("rollback", word, "", may_expand, held).open == (word is Word.UNHEALTHY)
        accused = Known(FreezeLevel.NONE, "incident 7 is open")
        assert [ruling(g, word, "", may_expand, accused).open for g in GATES] == [False, True, False]


class Judge:
    """What the judge says, in place of the queries (held against a Prometheus by their own tests)."""

    def __init__(self) -> None:
        self.says: Judgement | EvidenceError = SOUND
        self.asked = 0
        self.held: asyncio.Event | None = None

    async def __call__(self, _prometheus: Prometheus, _plan: TargetPlan, _version: str) -> Judgement:
        """The word, or no evidence."""
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if isinstance(self.says, EvidenceError):
            raise self.says
        return self.says


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    found = Judge()
    monkeypatch.setattr(gates, "judge_of", found)
    monkeypatch.setattr(sharing, "KEPT_SECONDS", 0.0)  # what it says next counts at once
    return found


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    link = Link(tmp_path)
    async with QueryAPI(Release(link.shares)).serving() as api:
        text = configuration(api.url, link.section(), mode="judge")
        async with serving_people(tmp_path, text) as found:
            await until(lambda: found.handler.count("target_up", "router") == 1)
            yield found


async def opened(people: People, gate: str) -> bool:
    """Whether a gate is open for Flagger, which posts and takes 200 to 202."""
    answer = await people.ask(
        "POST", f"/v1/gate/{gate}/clicks/v2", {"name": "clicks", "phase": "Progressing"}, by="rita"
    )
    assert answer.status in (200, 403)
    assert answer.text.startswith(f"{gate} is {'open' if answer.status == 200 else 'closed'}: ")
    return answer.status == 200


async def said(people: People) -> tuple[str, str]:
    """The verdict as Argo reads it by `{$.result}`, and the reason."""
    answer = await people.ask("GET", "/v1/verdict/clicks/v2", by="rita")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json["result"], answer.json["reason"]


async def test_a_healthy_version_may_go_on(people: People, judge: Judge) -> None:
    assert await said(people) == ("healthy", "12,345 observations of it were judged")
    assert [await opened(people, gate) for gate in GATES] == [True, False, True]


async def test_a_freeze_closes_the_gates_and_makes_healthy_inconclusive(people: People, judge: Judge) -> None:
    await people.ask("POST", "/v1/freeze", {"target": "router", "level": "promote"})
    assert (await said(people))[0] == "inconclusive"
    assert [await opened(people, gate) for gate in GATES] == [False, False, False]
    judge.says = dataclasses.replace(SOUND, word=Word.UNHEALTHY, may_expand=False)
    assert await opened(people, "rollback")
    await people.ask("POST", "/v1/freeze", {"target": "all"})
    assert not await opened(people, "rollback")


async def test_an_open_incident_speaks_against_the_version(people: People, judge: Judge) -> None:
    ledger, now = people.handler.service.ledger, people.handler.service.now()
    found = incident(state=IncidentState.AWAITING_APPROVAL, plan="ab", actor="handler", now=now)
    assert ledger.plan([], found, None, allowed=lambda _view: True, body={}, since=0.0, now=now)
    result, reason = await said(people)
    assert (result, reason) == ("unhealthy", f"incident {found.id} against v2 is open: awaiting_approval")
    assert [await opened(people, gate) for gate in GATES] == [False, True, False]


async def test_a_quarantined_artefact_goes_nowhere(people: People, judge: Judge) -> None:
    bad = Version("clicks", "v2", "v2", VersionStatus.QUARANTINED, "rolled back", "handler", 1.0)
    people.handler.service.ledger.set_version(bad, target="router")
    assert await said(people) == ("unhealthy", "v2 is quarantined: rolled back")
    assert [await opened(people, gate) for gate in GATES] == [False, True, False]


async def test_without_evidence_there_is_no_data_and_nothing_opens(people: People, judge: Judge) -> None:
    judge.says = EvidenceError("Prometheus: connection refused")
    assert await said(people) == ("no_data", "Prometheus: connection refused")
    assert [await opened(people, gate) for gate in GATES] == [False, False, False]


async def test_without_a_judge_the_real_queries_give_no_data(people: People) -> None:
    assert await said(people) == ("no_data", "no judge that leads speaks of it")
    assert not await opened(people, "promote")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/verdict/other/v2", ["clicks on router"]),
        ("/v1/verdict/clicks/v9", ["v1", "v2"]),
        ("/v1/verdict/clicks/v2?target=flag", ["clicks on router"]),
        ("/v1/gate/explode/clicks/v2", ["promote", "rollback", "expand"]),
        ("/v1/gate/promote/clicks/%00", ["v1", "v2"]),
    ],
)
async def test_what_is_not_known_gets_404_and_what_is(people: People, path: str, allowed: list[str]) -> None:
    answer = await people.ask("GET", path, by="rita")
    assert (answer.status, answer.json["allowed"]) == (404, allowed)


async def test_all_who_ask_share_one_reading(people: People, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "KEPT_SECONDS", 1000.0)
    judge.held = asyncio.Event()
    asking = [asyncio.create_task(said(people)) for _ in range(20)]
    await until(lambda: judge.asked == 1)
    judge.held.set()
    assert set(await asyncio.gather(*asking)) == {("healthy", "12,345 observations of it were judged")}
    assert [await opened(people, gate) for gate in GATES] == [True, False, True]
    assert judge.asked == 1
