"""A deployment's few requests straight to a model server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from mlcanary.demo import smoke_test
from mlcanary.demo.stack import DemoError
from mlcanary.demo.traffic import Row

ROWS = [Row({"x": float(number)}, number % 2) for number in range(50)]


async def asked(status: int, labels: Path) -> tuple[int, int]:
    """What a smoke test finds at a server that calls every row malignant."""

    async def predict(request: web.Request) -> web.Response:
        return web.json_response({"id": (await request.json())["id"], "prediction": 1}, status=status)

    application = web.Application()
    application.router.add_post("/predict", predict)
    async with TestServer(application) as server, ClientSession() as session:
        return await smoke_test.ask(session, str(server.make_url("/predict")), "v2", ROWS, labels)


async def test_each_answer_is_held_against_the_truth_and_gets_its_label(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"kind": "label", "id": "of-a-client"}\n', encoding="utf-8")
    assert await asked(200, labels) == (smoke_test.REQUESTS // 2, smoke_test.REQUESTS)
    written = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    assert [smoke_test.is_smoke(record["id"]) for record in written] == [False] + [True] * smoke_test.REQUESTS
    assert {record["id"]: record["label"] for record in written[1:]} == {
        f"smoke-v2-{number}": row.label for number, row in enumerate(ROWS[: smoke_test.REQUESTS])
    }


async def test_a_server_that_refuses_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="v2 failed its smoke test") as caught:
        await asked(500, tmp_path / "labels.jsonl")
    assert caught.value.component == "model-v2"
