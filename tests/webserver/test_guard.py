"""The guard under bad weather: too often, too slow, too odd, too many."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.webserver import authentication
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.connections import Connections, Patience
from mlcanary.webserver.guard import Admission, Refused
from mlcanary.webserver.identity import Scope, requires
from mlcanary.webserver.rate_limit import RateLimit
from mlcanary.webserver.server import create_application, serving
from web_files import HASH, PASSWORD, make_certificate

TOKEN = "a-token-that-is-long-enough"
SLOW = 0.3
"""Seconds that the slow ones get where they are tested."""

PATIENT = 60.0
"""Seconds elsewhere: a busy machine is no attacker."""


@dataclass
class Served:
    """A running server and what its guard told."""

    address: str = ""
    refused: list[Refused] = field(default_factory=list)
    now: float = 0.0

    async def ask(self, method: str, path: str) -> tuple[int, str]:
        """Status and Retry-After."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://{self.address}{path}", headers=headers) as response,
        ):
            await response.read()
            return response.status, response.headers.get("Retry-After", "")

    async def raw(self, *parts: bytes) -> bytes:
        """What the server answers to bytes until it closes. Nothing more is sent after `parts`."""
        host, _, port = self.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.closing(writer):
            for part in parts:
                writer.write(part)
                await writer.drain()
            try:
                return await asyncio.wait_for(reader.read(), 30)
            except ConnectionError:
                return b""


@contextlib.asynccontextmanager
async def served(
    directory: Path,
    text: str = "bearer_token_file: token",
    *,
    body: float = PATIENT,
    head: float = PATIENT,
    idle: float = PATIENT,
) -> AsyncIterator[Served]:
    """A server with one route for alerts and one for people."""
    (directory / "token").write_text(TOKEN)
    (directory / "web.yml").write_text(text)
    config = WebConfigFile(directory / "web.yml")
    world = Served()
    limit = RateLimit(1.0, 3.0, lambda: world.now)
    admission = Admission(limit, body_seconds=body, refused=world.refused.append)
    application = create_application(web_config=config, ready=lambda: "", admission=admission)

    async def take(request: web.Request) -> web.Response:
        return web.Response(text=str(len(await request.read())))

    application.router.add_route("*", "/alerts", requires(Scope.ALERT)(take))
    application.router.add_route("*", "/people/{name}", requires(Scope.OPERATE)(take))
    patience = Patience(head_seconds=head, idle_seconds=idle, most=50)
    async with serving(application, ["127.0.0.1:0"], config, patience) as (address,):
        world.address = address
        yield world


async def test_a_sender_that_asks_too_often_waits_and_reading_is_counted_apart(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        assert [await world.ask("POST", "/people/a") for _ in range(4)] == [(200, "")] * 3 + [(429, "1")]
        assert await world.ask("POST", "/alerts") == (503, "1")
        assert await world.ask("GET", "/alerts") == (200, "")
        assert (await world.ask("GET", "/-/healthy"))[0] == 200
        assert (await world.ask("POST", "/none"))[0] == 404
        assert world.refused == [Refused(429, "token", "/people/{name}"), Refused(503, "token", "/alerts")]
        world.now += 1.0
        assert [(await world.ask("POST", "/alerts"))[0] for _ in range(2)] == [200, 503]


async def test_a_body_that_does_not_come_ends_in_408_and_a_closed_connection(tmp_path: Path) -> None:
    async with served(tmp_path, body=SLOW) as world:
        head = f"POST /alerts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n"
        answer = await world.raw(head.encode(), b"x" * 99)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer.lower()
        assert world.refused == [Refused(408, "token", "/alerts")]


async def test_the_body_of_a_stranger_is_not_waited_for(tmp_path: Path) -> None:
    async with served(tmp_path) as world:
        answer = await world.raw(b"POST /alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert world.refused == [Refused(401, "", "/alerts")]


@pytest.mark.parametrize("parts", [(), (b"POST /alerts HTTP/1.1\r\nHost:",)])
async def test_a_connection_without_a_whole_head_is_closed(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    async with served(tmp_path, head=SLOW) as world:
        assert await world.raw(*parts) == b""


async def test_a_connection_that_says_nothing_more_is_closed(tmp_path: Path) -> None:
    async with served(tmp_path, idle=SLOW) as world:
        answer = await world.raw(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_handshake_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    make_certificate(tmp_path, "server")
    async with served(tmp_path, "tls_server_config: {cert_file: server.crt, key_file: server.key}", head=SLOW) as world:
        assert await world.raw() == b""
        assert await world.raw(b"\x16\x03\x01") == b""


async def test_many_silent_connections_do_not_keep_others_out(tmp_path: Path) -> None:
    async with served(tmp_path, head=2.0) as world:
        host, _, port = world.address.partition(":")
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(200)]
        assert (await world.ask("POST", "/alerts"))[0] == 200
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 30) == b""
            writer.close()


@pytest.mark.parametrize(
    "value", [b"Bearer \xff\xfe", b"Basic \xff\xfe", b"Basic dG\xc3\xb6", b"\xff", b"Bearer", b"Basic"]
)
async def test_bytes_that_are_no_text_are_refused_like_others(tmp_path: Path, value: bytes) -> None:
    text = f'bearer_token_file: token\nbasic_auth_users: {{anna: "{HASH}"}}'
    async with served(tmp_path, text) as world:
        answer = await world.raw(b"GET /alerts HTTP/1.0\r\nHost: x\r\nAuthorization: " + value + b"\r\n\r\n")
        assert answer.startswith((b"HTTP/1.0 401 ", b"HTTP/1.0 400 "))


async def test_passwords_that_wait_to_be_checked_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_MOST_WAITING", 0)
    async with served(tmp_path, f'basic_auth_users: {{anna: "{HASH}"}}') as world, aiohttp.ClientSession() as session:
        proof = {"Authorization": "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode()}
        async with session.post(f"http://{world.address}/alerts", headers=proof) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert world.refused == [Refused(503, "", "/alerts")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxied.test"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://{}"}, 200),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_page_of_another_site_changes_nothing(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with served(tmp_path) as world, aiohttp.ClientSession() as session:
        sent = {"Authorization": f"Bearer {TOKEN}", **{k: v.format(world.address) for k, v in headers.items()}}
        async with session.post(f"http://{world.address}/people/a", headers=sent) as response:
            assert response.status == status
        async with session.get(f"http://{world.address}/people/a", headers=sent) as response:
            assert response.status == 200


@given(
    rate=st.floats(0.1, 1e4),
    burst=st.floats(1.0, 1e4),
    steps=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.0, 100.0)), max_size=200),
)
def test_a_sender_never_gets_more_than_its_share(rate: float, burst: float, steps: list[tuple[str, float]]) -> None:
    now, passed = 0.0, {"a": 0, "b": 0}
    limit = RateLimit(rate, burst, lambda: now)
    for name, pause in steps:
        now += pause
        wait = limit.take(name)
        passed[name] += not wait
        assert passed[name] <= (burst + rate * now) * (1 + 1e-9) + 1e-6
        if wait:  # and after the wait it is told, it passes
            now += wait * (1 + 1e-9) + 1e-9
            assert limit.take(name) == 0.0
            passed[name] += 1


def test_the_table_of_senders_is_bounded_and_forgets_the_idle_ones() -> None:
    limit = RateLimit(1.0, 1.0, lambda: 0.0, most=2)
    assert [limit.take(name) == 0.0 for name in ("a", "a", "b", "a", "c", "a", "b")] == [
        True,
        False,
        True,
        False,
        True,
        False,
        True,
    ]
    assert len(limit) == 2


@pytest.mark.parametrize(("rate", "burst", "most"), [(0.0, 1.0, 1), (1.0, 0.5, 1), (1.0, 1.0, 0)])
def test_limits_that_let_nobody_through_are_refused(rate: float, burst: float, most: int) -> None:
    with pytest.raises(ValueError, match="rate is above 0"):
        RateLimit(rate, burst, lambda: 0.0, most=most)


class Wire:
    """A connection that can be aborted."""

    def __init__(self) -> None:
        self.cut = False
        self.transport: asyncio.Transport | None = self  # type: ignore[assignment]  # it only needs abort

    def abort(self) -> None:
        self.cut = True


def _connections(now: Callable[[], float]) -> Connections:
    return Connections(Patience(head_seconds=10.0, idle_seconds=75.0, most=3), now)


def test_silence_is_cut_by_its_kind_and_work_never() -> None:
    now = [0.0]
    connections = _connections(lambda: now[0])
    silent, kept, busy = Wire(), Wire(), Wire()
    wires = [silent, kept, busy]
    connections.check(wires)
    connections.begun(kept)
    connections.begun(busy)
    connections.ended(kept)
    now[0] = 10.0
    connections.check(wires)
    assert [wire.cut for wire in wires] == [True, False, False]
    now[0] = 75.0
    connections.check([kept, busy])
    assert [wire.cut for wire in wires] == [True, True, False]
    now[0] = 1e6
    connections.check([busy])
    assert not busy.cut
    assert connections.cut == 2


def test_when_too_many_are_open_strangers_go_first() -> None:
    now = [0.0]
    connections = _connections(lambda: now[0])
    known, busy = Wire(), Wire()
    connections.check([known, busy])
    for wire in (known, busy):
        connections.begun(wire)
    connections.ended(known)
    now[0] = 5.0
    strangers = [Wire(), Wire(), Wire()]
    connections.check([known, busy, *strangers])
    assert [wire.cut for wire in (known, busy, *strangers)] == [False, False, True, True, False]
