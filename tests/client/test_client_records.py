"""What a server calls, and the lines that come of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client_world import decoded, lines_of, only
from mlcanary.catalog import CLIENT_DROP_REASONS
from mlcanary.client import DROP_REASONS, Client, current
from mlcanary.records import Label, Prediction


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    made = Client(path, model="churn", version="v2", interval=0.01)
    yield made
    made.close()


def test_every_key_of_the_native_format_arrives(client: Client, path: Path) -> None:
    given = client.prediction(
        {"age": 41, "plan": "pro", "new": True, "gone": None},
        id="r-1",
        prediction=1,
        score=0.71,
        scores={"a": 0.3, "b": 0.7},
        items=("x", "y"),
        user="u-7",
        latency_ms=12.5,
        queue_ms=1.5,
        status=503,
        label=0,
        ts=1793527200.25,
        model="other",
        version="v3",
    )
    assert given == "r-1"
    assert only(client, path) == {
        "ts": 1793527200.25,
        "id": "r-1",
        "model": "other",
        "version": "v3",
        "features": {"age": 41, "plan": "pro", "new": True, "gone": None},
        "prediction": 1,
        "score": 0.71,
        "scores": {"a": 0.3, "b": 0.7},
        "items": ["x", "y"],
        "user": "u-7",
        "latency_ms": 12.5,
        "queue_ms": 1.5,
        "status": 503,
        "label": 0,
    }


def test_outcomes_are_labels_and_events_of_the_prediction(client: Client, path: Path) -> None:
    made = client.prediction({"age": 41}, score=0.2, ts=1793527200)
    client.label(made, 1, ts=1793527260)
    client.click(made, ts=1793527261)
    client.purchase(made, 59.9, ts=1793527262)
    client.event(made, "refund", 9.9, ts=datetime(2026, 11, 1, 10, 1, 3, tzinfo=UTC), model="m")
    assert client.flush()
    found = decoded(path)
    assert found.rejects == []
    assert [r for r in found.records if isinstance(r, Label)] == [
        Label(made, 1793527260.0, "churn", "1", None, None),
        Label(made, 1793527261.0, "churn", None, "click", None),
        Label(made, 1793527262.0, "churn", None, "purchase", 59.9),
        Label(made, 1793527263.0, "m", None, "refund", 9.9),
    ]


def test_a_prediction_is_understood_by_the_exporter(client: Client, path: Path) -> None:
    begun = time.time()
    made = client.prediction({"age": 41.5}, score=0.2, latency_ms=2.0)
    assert client.flush()
    (record,) = decoded(path).records
    assert isinstance(record, Prediction)
    assert (record.key, record.id, record.score, record.latency) == (("churn", "v2"), made, 0.2, 0.002)
    assert begun <= record.ts <= time.time()


def test_ids_are_made_once_even_by_many_threads(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: client.prediction({"a": 1}), range(2000)))
    assert len(set(made)) == 2000


def test_what_the_caller_changes_later_is_not_recorded(client: Client, path: Path) -> None:
    features, scores, items = {"age": 41}, {"a": 0.4}, ["x"]
    client.prediction(features, scores=scores, items=items)
    features["age"], scores["a"] = 0, 0.0
    items.clear()
    line = only(client, path)
    assert (line["features"], line["scores"], line["items"]) == ({"age": 41}, {"a": 0.4}, ["x"])


def test_numbers_of_other_libraries_and_missing_ones_become_plain(client: Client, path: Path) -> None:
    features = {
        "f32": np.float32(0.5),
        "i64": np.int64(7),
        "flag": np.bool_(True),
        "one": np.array([2.0]),
        "decimal": Decimal("1.5"),
        "nan": float("nan"),
        "inf": np.float32("inf"),
        "text": "é\n\udc80",
    }
    client.prediction(features, score=np.float64("nan"))
    line = only(client, path)
    assert line["score"] is None
    assert line["features"] == {
        "f32": 0.5,
        "i64": 7,
        "flag": True,
        "one": 2.0,
        "decimal": 1.5,
        "nan": None,
        "inf": None,
        "text": "é\n?",
    }


def test_an_array_gets_the_names_that_the_client_knows(path: Path) -> None:
    client = Client(path, feature_names=["a", "b"], interval=0.01)
    client.prediction(np.array([0.5, 2.0]))
    client.prediction([1.0, 2.0, 3.0])
    assert only(client, path)["features"] == {"a": 0.5, "b": 2.0}
    assert client.stats().dropped["invalid"] == 1
    client.close()


def test_model_and_version_come_from_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCANARY_MODEL", "fraud")
    monkeypatch.setenv("MLCANARY_VERSION", "2026-11-01")
    client = Client(path, interval=0.01)
    client.prediction({"a": 1})
    line = only(client, path)
    assert (line["model"], line["version"]) == ("fraud", "2026-11-01")
    client.close()


def test_without_a_model_the_exporter_fills_it_in(path: Path) -> None:
    client = Client(path, interval=0.01)
    client.label("r-1", 1)
    assert only(client, path).keys() == {"kind", "ts", "id", "label"}
    client.close()


def test_a_block_measures_its_time_and_records_its_failure(client: Client, path: Path) -> None:
    with client.predicting({"age": 41}, id="r-1") as p:
        p.score = 0.3
        p.user = "u"
        assert current() is p
    with pytest.raises(ZeroDivisionError), client.predicting({"age": 42}) as p:
        p.score = 1 / 0
    assert client.flush()
    good, bad = lines_of(path)
    assert (good["id"], good["score"], good["user"]) == ("r-1", 0.3, "u")
    assert 0 < good["latency_ms"] < 10_000
    assert "status" not in good
    assert bad["status"] == "ZeroDivisionError"
    assert "score" not in bad


def test_a_watched_function_stays_what_it_is(client: Client, path: Path) -> None:
    @client.watch(answer="score")
    def predict(features: dict[str, Any], scale: float = 1.0) -> float:
        """P(positive)."""
        return float(features["x"]) * scale

    assert predict({"x": 0.25}, scale=2.0) == 0.5
    assert predict(features={"x": 0.25}) == 0.25
    assert (predict.__name__, predict.__doc__) == ("predict", "P(positive).")
    with pytest.raises(KeyError):
        predict({})
    assert client.flush()
    found = lines_of(path)
    assert [line.get("score") for line in found] == [0.5, 0.25, None]
    assert [line["features"] for line in found] == [{"x": 0.25}, {"x": 0.25}, {}]
    assert found[2]["status"] == "KeyError"


def test_a_watched_method_and_a_watched_coroutine(client: Client, path: Path) -> None:
    class Model:
        @client.watch(answer=lambda result: {"prediction": result[0], "score": result[1]}, features="row", id="key")
        def predict(self, key: str, row: dict[str, Any]) -> tuple[int, float]:
            current().user = "u-1"
            return 1, 0.8

    @client.watch()
    async def regress(**features: float) -> float:
        await asyncio.sleep(0)
        return features["x"] * 2

    async def several() -> list[float]:
        return list(await asyncio.gather(*(regress(x=float(i)) for i in range(3))))

    assert Model().predict("r-1", {"x": 1}) == (1, 0.8)
    assert asyncio.run(several()) == [0.0, 2.0, 4.0]
    assert client.flush()
    first, *others = lines_of(path)
    assert [first[key] for key in ("id", "features", "prediction", "score", "user")] == ["r-1", {"x": 1}, 1, 0.8, "u-1"]
    assert [(line["features"], line["prediction"]) for line in others] == [({"x": x}, 2 * x) for x in (0.0, 1.0, 2.0)]


def test_outside_of_a_prediction_there_is_one_that_is_not_recorded(client: Client, path: Path) -> None:
    current().score = 0.5
    current().done()
    assert client.flush()
    assert not path.exists()


def test_a_wrong_decoration_is_told_at_once(client: Client) -> None:
    with pytest.raises(ValueError, match="prediction, score, scores, items"):
        client.watch(answer="probability")
    with pytest.raises(ValueError, match="'row' is no parameter of the function; it has features"):
        client.watch(features="row")(lambda features: features)
    with pytest.raises(ValueError, match="no parameter that could hold them"):
        client.watch()(lambda: 1)


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("http://user:secret@localhost:1", {}),
        ("ftp://localhost", {}),
        ("http://", {}),
        ("log", {"capacity": 0}),
        ("log", {"keep": 0}),
        ("log", {"interval": 0}),
    ],
)
def test_a_wrong_client_is_told_at_once(target: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"allowed|URL|target"):
        Client(target, **options)


def test_the_reasons_are_those_of_the_catalogue() -> None:
    assert DROP_REASONS == CLIENT_DROP_REASONS
