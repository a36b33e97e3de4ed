"""The ASGI middleware, driven as a server drives an application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from client_world import lines_of
from guides import blocks, guide
from mlcanary.client import CanaryMiddleware, Client, current
from mlcanary.client.asgi import Application, Message

Scope = MutableMapping[str, Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def client(path: Path) -> Iterator[Client]:
    made = Client(path, interval=0.005)
    yield made
    made.close()


def asked(
    app: Application, path: str = "/predict", kind: str = "http", body: bytes = b"", **scope: Any
) -> list[Message]:
    """What the application sends for one request."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app({"type": kind, "path": path, **scope}, receive, send))  # type: ignore[arg-type]
    return sent


def answering(
    status: int, fill: Callable[[Scope], None] = lambda _scope: None, after: Callable[[], None] = lambda: None
) -> Application:
    """An application that sets something and answers in two parts."""

    async def app(
        scope: Scope, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        fill(scope)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})
        after()

    return app


def score(scope: Scope) -> None:
    """Set an answer as Starlette's `request.state` does."""
    prediction = scope["state"]["mlcanary"]
    prediction.features, prediction.score, prediction.id = {"x": 1}, 0.25, "r-1"
    assert current() is prediction
    assert scope["state"]["own"] == 1


def test_a_success_has_its_answer_and_its_time(client: Client, path: Path) -> None:
    state = {"own": 1}
    sent = asked(CanaryMiddleware(answering(201, score), client, paths=["/predict"]), state=state)
    assert [message.get("body") for message in sent] == [None, b"a", b"b"]
    assert state == {"own": 1}
    assert client.flush()
    (line,) = lines_of(path)
    assert (line["id"], line["features"], line["score"]) == ("r-1", {"x": 1}, 0.25)
    assert line["latency_ms"] > 0
    assert "status" not in line


@pytest.mark.parametrize("status", [400, 404, 503])
def test_any_other_status_is_a_failed_request(client: Client, path: Path, status: int) -> None:
    asked(CanaryMiddleware(answering(status), client, paths=["/predict"]))
    assert client.flush()
    (line,) = lines_of(path)
    assert line["status"] == status


def test_an_exception_goes_on_and_is_a_500(client: Client, path: Path) -> None:
    def fail(_scope: Scope) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asked(CanaryMiddleware(answering(200, fail), client, paths=["/predict"]))
    assert client.flush()
    (line,) = lines_of(path)
    assert line["status"] == 500


def test_work_after_the_answer_changes_nothing(client: Client, path: Path) -> None:
    def fail() -> None:
        raise KeyError("in the background")

    with pytest.raises(KeyError):
        asked(CanaryMiddleware(answering(200, score, fail), client, paths=["/predict"]), state={"own": 1})
    assert client.flush()
    (line,) = lines_of(path)
    assert "status" not in line


def test_a_success_without_an_answer_is_counted_as_empty(client: Client) -> None:
    asked(CanaryMiddleware(answering(200), client, paths=["/predict"]))
    assert client.flush()
    assert client.stats().dropped["empty"] == 1
    assert client.stats().sent == 0


def test_other_paths_and_other_protocols_pass_untouched(client: Client, path: Path) -> None:
    seen: list[Scope] = []
    app = CanaryMiddleware(answering(404, seen.append), client, paths=["/predict"])
    asked(app, "/healthz")
    asked(app, kind="websocket")
    asked(app, kind="lifespan")
    assert client.flush()
    assert not path.exists()
    assert all("state" not in scope for scope in seen)


def test_requests_at_once_do_not_mix(client: Client, path: Path) -> None:
    async def app(scope: Scope, _receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        prediction = current()
        await asyncio.sleep(0)
        assert current() is prediction
        prediction.features = {"x": scope["number"]}
        prediction.score = scope["number"] / 100
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_message: Message) -> None:
        await asyncio.sleep(0)

    async def many() -> None:
        watched = CanaryMiddleware(app, client, paths=["/predict"])
        scopes = [{"type": "http", "path": "/predict", "number": n} for n in range(50)]
        await asyncio.gather(*(watched(scope, receive, send) for scope in scopes))

    asyncio.run(many())
    assert client.flush()
    found = lines_of(path)
    assert sorted(line["features"]["x"] for line in found) == list(range(50))
    assert all(line["score"] == line["features"]["x"] / 100 for line in found)
    assert len({line["id"] for line in found}) == 50


def test_one_text_is_no_list_of_paths(client: Client) -> None:
    with pytest.raises(ValueError, match="a list of paths"):
        CanaryMiddleware(answering(200), client, paths="/predict")


def test_the_example_with_fastapi_records_what_it_answers(path: Path) -> None:
    (code,) = (block for block in blocks(guide("client"), "python") if "FastAPI" in block)
    model = SimpleNamespace(predict_proba=lambda _rows: np.array([[0.25, 0.75]]))
    names: dict[str, Any] = {"model": model, "__name__": "example"}
    exec(code.replace("/var/log/churn/predictions.jsonl", str(path)), names)
    request: dict[str, Any] = {
        "http_version": "1.1",
        "method": "POST",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
    }
    headers = [(b"content-type", b"application/json")]
    row = {"age": 41, "customer": "c-7"}
    sent = asked(names["app"], body=json.dumps(row).encode(), raw_path=b"/predict", headers=headers, **request)
    names["canary"].close()
    (line,) = lines_of(path)
    assert (line["features"], line["score"], line["user"], line["version"]) == (row, 0.75, "c-7", "v2")
    assert json.loads(sent[1]["body"]) == {"score": 0.75, "id": line["id"]}
