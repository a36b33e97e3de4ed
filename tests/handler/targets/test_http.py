"""The HTTP target against small servers that obey, refuse, hang and lie."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from handler_world import free_port
from loopback_server import loopback
from mlcanary.documents import Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State, Unobservable
from mlcanary.handler.targets.http import HTTPSettings, HTTPTarget, ReadBack

V1, V2 = State.of({"v1": 1, "v2": 0}), State.of({"v1": 0, "v2": 1})
GUARD = Guard("a1", V2)


@dataclass
class Switch:
    """A server with one switch. `status` is what a POST gets; only 200 moves the switch. `body` is told instead."""

    active: str = "two"
    weights: object = field(default_factory=lambda: {"one": 95, "two": 5})
    status: int = 200
    hangs: bool = False
    body: bytes = b""
    calls: list[tuple[dict[str, object], str]] = field(default_factory=list)
    url: str = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Switch]:
        async with loopback(web.post("/switch", self._post), web.get("/state", self._get)) as self.url:
            yield self

    async def _post(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.calls.append((body, request.headers["Idempotency-Key"]))
        if self.hangs:
            await asyncio.Event().wait()
        if self.status == 200:
            self.active, self.weights = body["version"], body["weights"]
        return web.Response(status=self.status, headers={"Location": "/state"})

    async def _get(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self.body or json.dumps({"models": [{"active": self.active, "weights": self.weights}]}).encode()
        )

    def target(self, *, read_back: bool = True, weights: bool = False) -> HTTPTarget:
        pointer = f"/models/0/{'weights' if weights else 'active'}"
        back = ReadBack(url=f"{self.url}/state", pointer=pointer, weights=weights) if read_back else None
        versions = {"v1": "one", "v2": "two"}
        settings = HTTPSettings(
            url=f"{self.url}/switch",
            versions=versions,
            fields=("action_id", "version", "weights"),
            read_back=back,
            timeout=Seconds(0.3),
        )
        return HTTPTarget(settings)


@pytest.fixture
async def switch() -> AsyncIterator[Switch]:
    async with Switch().serving() as served:
        yield served


async def test_the_call_carries_the_allowed_fields_and_the_action_id(switch: Switch) -> None:
    target = switch.target()
    assert await target.observe() == V2
    await target.apply(V1, GUARD)
    assert await target.observe() == V1
    await target.apply(V1, GUARD)
    assert switch.calls == [({"action_id": "a1", "version": "one", "weights": {"one": 1, "two": 0}}, "a1")]


async def test_without_read_back_nothing_can_be_seen(switch: Switch) -> None:
    assert await switch.target(read_back=False).observe() == Unobservable("configure read_back")


@pytest.mark.parametrize("status", [302, 307, 400, 403, 409])
async def test_a_refusal_or_a_redirect_changed_nothing(switch: Switch, status: int) -> None:
    switch.status = status
    with pytest.raises(RefusedError, match=f"HTTP {status}"):
        await switch.target().apply(V1, GUARD)
    assert len(switch.calls) == 1


@pytest.mark.parametrize(("status", "hangs"), [(500, False), (503, False), (200, True)])
async def test_after_silence_or_a_server_error_nobody_knows(switch: Switch, status: int, hangs: bool) -> None:
    switch.status, switch.hangs = status, hangs
    with pytest.raises(ActionError) as caught:
        await switch.target(read_back=False).apply(V1, GUARD)
    assert not isinstance(caught.value, RefusedError)


async def test_a_server_that_is_not_there_changed_nothing() -> None:
    switch = Switch(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RefusedError):
        await switch.target(read_back=False).apply(V1, GUARD)


async def test_a_version_that_is_not_configured_is_nobodys_state(switch: Switch) -> None:
    switch.active = "three"
    with pytest.raises(ActionError, match="'three' at '/models/0/active' is no configured version"):
        await switch.target().observe()


async def test_a_switch_that_others_moved_is_left_alone(switch: Switch) -> None:
    with pytest.raises(ConflictError):
        await switch.target().apply(V1, Guard("a1", State.of({"v1": 0, "v2": 0})))
    assert switch.calls == []


@pytest.mark.parametrize("body", [b'{"models":"caf\xe9"}', b"\xff\xfe", b"[" * 100_000])
async def test_bytes_that_are_no_document_are_an_error_of_the_target(switch: Switch, body: bytes) -> None:
    switch.body = body
    with pytest.raises(ActionError, match="not JSON"):
        await switch.target().observe()


async def test_a_host_that_cannot_be_is_an_error_of_the_target() -> None:
    with pytest.raises(ActionError):
        await Switch(url="http://a..b").target().observe()


async def test_weights_are_set_and_read_back_in_the_names_of_the_other_side(switch: Switch) -> None:
    target = switch.target(weights=True)
    before, after = State.of({"v1": 95, "v2": 5}), State.of({"v1": 75, "v2": 25})
    assert target.weighted
    assert await target.observe() == before
    await target.apply(after, Guard("a1", before))
    assert await target.observe() == after
    assert switch.weights == {"one": 75, "two": 25}
    with pytest.raises(ConflictError):
        await target.apply(State.of({"v1": 100, "v2": 0}), Guard("a2", before))
    assert len(switch.calls) == 1


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("one", "no weights at '/models/0/weights'"),
        ({"one": -1, "two": 5}, "no weights at"),
        ({"one": 0.95, "two": 0.05}, "no weights at"),
        ({"one": "95", "two": "5"}, "no weights at"),
        ({"one": 100}, r"weights of \['one'\]"),
        ({"one": 90, "two": 5, "three": 5}, r"weights of \['one', 'three', 'two'\]"),
        ({}, r"weights of \[\]"),
    ],
)
async def test_weights_that_are_none_or_of_others_are_an_error(switch: Switch, weights: object, said: str) -> None:
    switch.weights = weights
    with pytest.raises(ActionError, match=said):
        await switch.target(weights=True).observe()


async def test_a_split_needs_weights_that_are_sent_and_weights_that_are_read(switch: Switch) -> None:
    assert not switch.target().weighted
    assert not switch.target(read_back=False).weighted
    back = ReadBack(url=f"{switch.url}/state", weights=True)
    url, versions = f"{switch.url}/switch", {"v1": "one", "v2": "two"}
    assert not HTTPTarget(HTTPSettings(url=url, versions=versions, read_back=back)).weighted
    assert HTTPTarget(HTTPSettings(url=url, versions=versions, read_back=back, fields=("weights",))).weighted


async def test_a_rehearsal_looks_and_calls_nobody(switch: Switch) -> None:
    await switch.target().rehearse(V1, GUARD)
    await switch.target(read_back=False).rehearse(V1, Guard("a1", None))
    await switch.target().complete(V1, GUARD)
    with pytest.raises(ConflictError):
        await switch.target().rehearse(V1, Guard("a1", State.of({"v1": 0, "v2": 0})))
    assert switch.calls == []
    assert await switch.target().owner() == ""
