"""The judge over real HTTP: what pipelines, Prometheus and people get."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from yarl import URL

import judge_views as views
from mlcanary.catalog import Verdict
from mlcanary.judge.contract import CanaryKey
from mlcanary.judge.publish.metrics import CONTENT_TYPE, render
from mlcanary.judge.publish.view import JudgedCanary, View
from mlcanary.judge.publish.web import RESULTS, routes
from mlcanary.webserver.server import create_application, serving

Record = Callable[[CanaryKey], bytes | None]


def recorded(key: CanaryKey) -> bytes | None:
    """A record of every canary but the new one."""
    return None if key == views.NEW else json.dumps({"of": key.version}).encode()


@asynccontextmanager
async def served(view: View, record: Record = recorded) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a running judge."""
    application = create_application(web_config=None, ready=lambda: "")
    routes(application, lambda: view, record)
    async with (
        serving(application, ["127.0.0.1:0"], None) as addresses,
        aiohttp.ClientSession(f"http://{addresses[0]}") as client,
    ):
        yield client


async def asked(client: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    """Status and JSON of a GET."""
    async with client.get(path) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


def only(key: CanaryKey, verdict: Verdict, **changes: object) -> View:
    """A judge with one canary."""
    judged = JudgedCanary(views.assessment(key, verdict, **changes), views.PLAN)
    return View(leader=True, read_at=views.START, canaries={key: judged})


async def test_metrics() -> None:
    async with served(views.view()) as client, client.get("/metrics") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, CONTENT_TYPE)
        assert await response.read() == render(views.view())


async def test_a_verdict_has_the_whole_assessment_and_a_word_for_pipelines() -> None:
    async with served(views.view()) as client:
        status, found = await asked(client, "/v1/verdict/clicks/v2")
    assert (status, found["result"]) == (200, "unhealthy")
    expected = json.loads(msgspec.json.encode(views.bad().assessment))
    assert {name: found[name] for name in expected} == expected
    assert found["trials"] == {"canary": 5210.0, "baseline": 46_890.0}
    assert (found["skipped"], found["problem"]) == ({"warm_up": 10, "source_broken": 2}, "")
    assert found["read_at"] == views.START + 1770.0


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_every_verdict_has_its_word(verdict: Verdict) -> None:
    async with served(only(views.BAD, verdict)) as client:
        _, found = await asked(client, "/v1/verdict/clicks")
    assert (found["verdict"], found["result"]) == (verdict, RESULTS[verdict])


def argo(status: int, body: Mapping[str, Any]) -> str:
    """What a `web` metric of Argo Rollouts makes of an answer, by its contract.

    The request is a GET; a status that is not 2xx is an error of the measurement; jsonPath `{$.result}` is a text; with
    both conditions given, a text that matches neither is inconclusive.
    """
    if not 200 <= status < 300:
        return "Error"
    result = body["result"]
    assert isinstance(result, str)
    return "Successful" if result == "healthy" else "Failed" if result == "unhealthy" else "Inconclusive"


@pytest.mark.parametrize(
    ("view", "phase"),
    [
        (only(views.BAD, Verdict.PROMOTE), "Successful"),
        (only(views.BAD, Verdict.ROLLBACK), "Failed"),
        (only(views.BAD, Verdict.HOLD), "Inconclusive"),
        (only(views.BAD, Verdict.NO_DATA), "Inconclusive"),
        (View(leader=True), "Error"),
        (View(leader=False), "Error"),
    ],
)
async def test_argo_rollouts_understands_a_verdict(view: View, phase: str) -> None:
    async with served(view) as client:
        assert argo(*await asked(client, "/v1/verdict/clicks/v2")) == phase


FLAGGER = {
    "name": "clicks",
    "namespace": "prod",
    "phase": "Progressing",
    "checksum": "85d557f47b",
    "metadata": {"note": "x"},
}
"""What Flagger posts to a webhook."""


async def flagger(client: aiohttp.ClientSession, path: str) -> tuple[bool, str]:
    """Whether a webhook of Flagger passes, and the text of its event: a status up to 202 passes."""
    async with client.post(path, json=FLAGGER) as response:
        return response.status <= 202, await response.text()


@pytest.mark.parametrize(
    ("view", "open_gates"),
    [
        (only(views.BAD, Verdict.PROMOTE, may_expand=True), {"promote", "expand"}),
        (only(views.BAD, Verdict.ROLLBACK, may_expand=True), {"rollback"}),
        (only(views.BAD, Verdict.HOLD, may_expand=True), {"expand"}),
        (only(views.BAD, Verdict.HOLD), set()),
        (only(views.BAD, Verdict.NO_DATA), set()),
        (View(leader=True), set()),
        (View(leader=False), set()),
    ],
)
async def test_flagger_passes_open_gates_only(view: View, open_gates: set[str]) -> None:
    async with served(view) as client:
        for path in ("clicks", "clicks/v2"):
            passed = {
                g for g in ("promote", "rollback", "expand") if (await flagger(client, f"/v1/gate/{g}/{path}"))[0]
            }
            assert passed == open_gates


async def test_a_gate_says_why() -> None:
    async with served(views.view()) as client:
        async with client.get("/v1/gate/promote/clicks/v2") as response:
            assert (response.status, response.content_type) == (403, "text/plain")
            text = await response.text()
        assert text.startswith("promote is closed: rollback (worse): The log loss of v2 is 0.4512")
        async with client.post("/v1/gate/rollback/clicks/v2") as response:
            assert (response.status, (await response.text()).partition(":")[0]) == (200, "rollback is open")
        status, found = await asked(client, "/v1/gate/pause/clicks/v2")
        assert (status, found["error"]) == (404, "no gate 'pause'; there are promote, rollback and expand")


async def test_nothing_is_promoted_while_the_judge_cannot_look() -> None:
    away = "Prometheus cannot be reached: connection refused"
    good = views.view(problem=away)
    async with served(good) as client:
        place = "?cluster=eu"
        _, found = await asked(client, f"/v1/verdict/fraud/2026-11-24{place}")
        assert (found["verdict"], found["result"], found["problem"]) == ("promote", "inconclusive", away)
        for gate in ("promote", "expand"):
            passed, text = await flagger(client, f"/v1/gate/{gate}/fraud{place}")
            assert (passed, text) == (False, f"{gate} is closed: the judge has a problem: {away}\n")
        _, found = await asked(client, "/v1/verdict/clicks/v2")
        assert found["result"] == "unhealthy"
        assert (await flagger(client, "/v1/gate/rollback/clicks"))[0]


async def test_several_canaries_are_listed_and_a_place_chooses() -> None:
    async with served(views.view()) as client:
        status, found = await asked(client, "/v1/verdict/fraud")
        assert status == 409
        assert [(k["cluster"], k["version"]) for k in found["known"]] == [("eu", "2026-11-24"), ("us", "2026-11-24")]
        status, _ = await asked(client, "/v1/verdict/fraud/2026-11-24?namespace=prod")
        assert status == 409
        for place, verdict in (("cluster=eu", "promote"), ("cluster=us&namespace=prod", "hold")):
            status, found = await asked(client, f"/v1/verdict/fraud/2026-11-24?{place}")
            assert (status, found["verdict"]) == (200, verdict)
        status, _ = await asked(client, "/v1/verdict/fraud?cluster=ap")
        assert status == 404


async def test_an_unknown_canary_tells_what_is_known() -> None:
    async with served(views.view()) as client:
        status, found = await asked(client, "/v1/verdict/clicks/v9")
        assert (status, found["error"]) == (404, "no canary 'v9' of model 'clicks' is judged there")
        assert found["known"] == [{"model": "clicks", "version": "v2", "baseline": "v1"}]
        status, found = await asked(client, "/v1/verdict/other")
        assert (status, len(found["known"])) == (404, 4)
        status, found = await asked(client, "/v1/gate/promote/other")
        assert status == 404


async def test_names_with_odd_characters_are_found() -> None:
    key = msgspec.structs.replace(views.BAD, model="team/ctr ü", version="v2 (A/A)+%")
    async with served(only(key, Verdict.HOLD)) as client:
        path = "/v1/verdict/team%2Fctr%20%C3%BC/v2%20%28A%2FA%29%2B%25"
        async with client.get(URL(path, encoded=True)) as response:
            assert response.status == 200
            assert (await response.json())["key"]["version"] == "v2 (A/A)+%"
        async with client.get("/") as response:
            link = (await response.text()).split('<a href="/canary/')[1].split('"')[0]
        async with client.get(URL(f"/canary/{link}", encoded=True)) as response:
            assert response.status == 200


async def test_all_verdicts() -> None:
    async with served(views.view()) as client:
        status, found = await asked(client, "/v1/verdicts")
    assert status == 200
    assert [(c["key"]["model"], c["result"]) for c in found["canaries"]] == [
        ("clicks", "unhealthy"),
        ("ranker", "no_data"),
        ("fraud", "healthy"),
        ("fraud", "inconclusive"),
    ]


async def test_records() -> None:
    async with served(views.view()) as client:
        assert await asked(client, "/v1/record/clicks/v2") == (200, {"of": "v2"})
        status, found = await asked(client, "/v1/record/ranker/b")
        assert (status, found["error"]) == (404, "nothing has been decided yet")
        assert (await asked(client, "/v1/record/ranker/z"))[0] == 404


async def test_a_standby_answers_503_and_says_so_to_people() -> None:
    async with served(View(leader=False)) as client:
        for path in ("verdicts", "verdict/clicks", "verdict/clicks/v2", "record/clicks/v2", "gate/promote/clicks"):
            status, found = await asked(client, f"/v1/{path}")
            assert (status, found["known"]) == (503, [])
            assert "standby" in found["error"]
        for path, status, told in (
            ("/", 200, "This judge is a standby"),
            ("/canary/clicks/v2", 503, "this judge is a standby"),
            ("/metrics", 200, "mlcanary_judge_leader 0.0"),
        ):
            async with client.get(path) as response:
                assert response.status == status
                assert told in await response.text()


async def test_pages_forbid_everything_but_their_style() -> None:
    async with served(views.view()) as client:
        for path, status in (
            ("/", 200),
            ("/canary/clicks/v2", 200),
            ("/canary/clicks/v9", 404),
            ("/canary/fraud/x", 404),
        ):
            async with client.get(path) as response:
                assert (response.status, response.content_type) == (status, "text/html")
                assert response.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        async with client.get("/canary/fraud/2026-11-24") as response:
            assert response.status == 409
            assert "/canary/fraud/2026-11-24?cluster=eu&amp;namespace=prod" in await response.text()


async def test_what_is_not_known_is_null() -> None:
    async with served(only(views.BAD, Verdict.HOLD, measures=(views.UNKNOWN,), eta_seconds=float("inf"))) as client:
        _, found = await asked(client, "/v1/verdict/clicks")
    assert (found["eta_seconds"], found["measures"][0]["difference"]) == (None, None)


async def test_only_gates_take_posts() -> None:
    async with served(views.view()) as client:
        for path in ("/v1/verdict/clicks/v2", "/v1/verdicts", "/", "/metrics", "/v1/record/clicks/v2"):
            async with client.post(path) as response:
                assert response.status == 405
