"""The demo's model server over real HTTP: answers, the log, the bug switch."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import joblib
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from mlcanary.demo.dataset import CANARY, FEATURES, HELDOUT_FILE, LENGTHS, MODEL, model_file
from mlcanary.demo.sample_server import ModelServer
from mlcanary.demo.traffic import Row, read_rows
from mlcanary.demo.training import train


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    train(directory)
    return directory


@pytest.fixture
def row(models: Path) -> Row:
    """A row that version 2 calls malignant while all is well."""
    return next(row for row in read_rows(models / HELDOUT_FILE) if row.features["worst_radius_um"] > 25)


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


Client = TestClient[Any, Any]


async def serve(models: Path, log: io.StringIO, *, faults: bool) -> Client:
    server = ModelServer(CANARY, joblib.load(model_file(models, CANARY)), log, faults_enabled=faults)
    client = TestClient(TestServer(server.application()))
    await client.start_server()
    return client


@pytest_asyncio.fixture
async def client(models: Path, log: io.StringIO) -> AsyncIterator[Client]:
    client = await serve(models, log, faults=True)
    yield client
    await client.close()


def records(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_each_answer_leaves_one_native_record(client: Client, log: io.StringIO, row: Row) -> None:
    response = await client.post("/predict", json={"id": "r-1", "features": row.features})
    answer = await response.json()
    assert response.status == 200
    assert answer == {"id": "r-1", "version": CANARY, "prediction": 1, "score": answer["score"]}
    (record,) = records(log)
    assert record["score"] == pytest.approx(answer["score"], abs=1e-6)
    assert datetime.fromisoformat(record["ts"]).tzinfo is not None
    assert record["latency_ms"] > 0
    expected = {"kind": "prediction", "id": "r-1", "model": MODEL, "version": CANARY, "prediction": 1}
    assert expected.items() <= record.items()
    assert record["features"] == row.features
    assert record["status"] == 200


async def test_the_bug_spoils_lengths_in_the_log_and_the_prediction(client: Client, log: io.StringIO, row: Row) -> None:
    switched = await client.post("/admin/bug", json={"kind": "unit_change"})
    again = await client.post("/admin/bug", json={"kind": "unit_change"})
    answer = await (await client.post("/predict", json={"id": "r-1", "features": row.features})).json()
    assert (switched.status, again.status) == (200, 200)
    assert answer["prediction"] == 0
    (record,) = records(log)
    for name in FEATURES:
        factor = 0.001 if name in LENGTHS else 1.0
        assert record["features"][name] == pytest.approx(row.features[name] * factor)


async def test_a_row_that_lacks_a_feature_is_refused_and_logged_as_an_error(
    client: Client, log: io.StringIO, row: Row
) -> None:
    features = {name: value for name, value in row.features.items() if name != "mean_texture"}
    response = await client.post("/predict", json={"id": "r-1", "features": features})
    assert response.status == 400
    assert await response.json() == {"error": "features: mean_texture missing"}
    (record,) = records(log)
    assert record["status"] == 400
    assert "features" not in record


@pytest.mark.parametrize("body", ["", "{", '{"id": 1, "features": {}}', '{"features": {}}'])
async def test_a_body_that_is_no_request_is_refused_and_not_logged(client: Client, log: io.StringIO, body: str) -> None:
    response = await client.post("/predict", data=body)
    assert response.status == 400
    assert log.getvalue() == ""


async def test_an_unknown_bug_is_refused(client: Client) -> None:
    response = await client.post("/admin/bug", json={"kind": "meteor"})
    assert response.status == 400


async def test_a_server_without_the_switch_cannot_be_broken(models: Path, log: io.StringIO, row: Row) -> None:
    client = await serve(models, log, faults=False)
    refused = await client.post("/admin/bug", json={"kind": "unit_change"})
    answer = await (await client.post("/predict", json={"id": "r-1", "features": row.features})).json()
    await client.close()
    assert refused.status == 403
    assert answer["prediction"] == 1


async def test_healthz_answers_once_the_model_is_loaded(client: Client) -> None:
    response = await client.get("/healthz")
    assert (response.status, await response.json()) == (200, {"version": CANARY, "status": "ok"})
