"""The demo's client: every request and every label is accounted for."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from mlcanary.demo.stack import poll
from mlcanary.demo.traffic import NOISE, Client, LabelQueue, Row, stream

ROW = Row({"a": 10.0, "b": 0.5}, 1)


class RecordingServer:
    """Answers every third request with 503, keeps the ids of the others."""

    def __init__(self) -> None:
        self.calls = 0
        self.answered: list[str] = []

    async def predict(self, request: web.Request) -> web.Response:
        self.calls += 1
        if self.calls % 3 == 0:
            return web.Response(status=503)
        body = await request.json()
        self.answered.append(body["id"])
        return web.json_response({"id": body["id"], "version": "v2" if self.calls % 2 else "v1"})


@pytest.fixture
def recording() -> RecordingServer:
    return RecordingServer()


@pytest_asyncio.fixture
async def url(recording: RecordingServer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/predict", recording.predict)
    async with TestServer(app) as server:
        yield str(server.make_url("/predict"))


def make_client(url: str, labels: io.BytesIO, figures: Path) -> Client:
    chance = random.Random(3)
    return Client(
        url=url,
        rate=400.0,
        rows=stream([ROW], chance),
        chance=chance,
        prefix="t",
        labels=labels,
        figures_path=figures,
    )


async def run_until(client: Client, is_enough: Callable[[], bool]) -> None:
    async def enough() -> bool:
        return is_enough()

    async def stop_when_enough() -> None:
        assert await poll(enough, seconds=20)
        client.stop()

    await asyncio.gather(client.run(), stop_when_enough())


async def test_every_request_is_answered_or_failed_and_each_answer_gets_one_label(
    url: str, recording: RecordingServer, tmp_path: Path
) -> None:
    labels = io.BytesIO()
    client = make_client(url, labels, tmp_path / "traffic.json")
    await run_until(client, lambda: recording.calls >= 60)
    figures = json.loads((tmp_path / "traffic.json").read_bytes())
    assert figures["final"] is True
    assert figures["sent"] == recording.calls == figures["answered"] + figures["failed"]
    assert figures["failures"] == {"HTTP 503": recording.calls // 3}
    assert sum(figures["versions"].values()) == figures["answered"] == len(recording.answered)
    lines = [json.loads(line) for line in labels.getvalue().splitlines()]
    assert sorted(line["id"] for line in lines) == sorted(recording.answered)
    assert {(line["kind"], line["label"]) for line in lines} == {("label", 1)}
    assert figures["labels"] == len(lines)


async def test_a_server_that_is_gone_is_counted_by_the_name_of_the_error(unused_tcp_port: int, tmp_path: Path) -> None:
    client = make_client(f"http://127.0.0.1:{unused_tcp_port}/predict", io.BytesIO(), tmp_path / "traffic.json")
    await run_until(client, lambda: client.accounting.failures.total() >= 3)
    figures = json.loads((tmp_path / "traffic.json").read_bytes())
    assert figures["failures"] == {"ClientConnectorError": figures["sent"]}
    assert (figures["answered"], figures["labels"]) == (0, 0)


def test_labels_come_out_in_the_order_in_which_they_fall_due() -> None:
    queue = LabelQueue()
    for due, name in ((12.0, "c"), (10.0, "a"), (11.0, "b")):
        queue.put(due, name, 0)
    early = [json.loads(line) for line in queue.take(11.0)]
    assert [line["id"] for line in early] == ["a", "b"]
    assert early[0]["ts"] == "1970-01-01T00:00:10.000000+00:00"
    assert len(queue) == 1
    assert [json.loads(line)["id"] for line in queue.take(99.0)] == ["c"]


def test_streamed_rows_stay_near_the_row_they_come_from() -> None:
    rows = stream([ROW], random.Random(1))
    drawn = [next(rows) for _ in range(200)]
    assert len({tuple(row.features.values()) for row in drawn}) == 200
    assert all(abs(row.features["a"] / 10.0 - 1.0) < 6 * NOISE for row in drawn)
    assert {row.label for row in drawn} == {1}


def test_the_same_seed_gives_the_same_stream() -> None:
    def first_rows() -> list[dict[str, Any]]:
        rows = stream([ROW], random.Random(9))
        return [next(rows).features for _ in range(5)]

    assert first_rows() == first_rows()
