"""Where the handler never connects to, however it is written and whatever a name says today."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from handler_world import free_port
from mlcanary.handler.addresses import CheckedResolver, refused
from mlcanary.handler.calls import Access, call
from mlcanary.handler.targets.contract import RefusedError

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

FORBIDDEN = [
    "169.254.169.254",
    "169.254.0.1",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "0.0.0.0",
    "[::]",
    "224.0.0.1",
    "[ff02::1]",
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.254.43518",
    "127.1",
    "0x7f.1",
    "169.254.169.254.",
]


class Names(AbstractResolver):
    """A resolver that gives the next answer of a list at each question: a name that changes its mind."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.answers.pop(0)
        flags = socket.AI_NUMERICHOST
        return [
            {"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": flags}
            for address in found
        ]

    async def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("host", FORBIDDEN)
async def test_an_address_of_a_metadata_service_is_never_called(host: str) -> None:
    assert refused(host)
    with pytest.raises(RefusedError, match="the host is"):
        await call("GET", f"http://{host}:1/latest/meta-data", Access(1.0))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "[::1]", "[2001:db8::1]", "prometheus", "a.b.c", "1.example.org"]
)
def test_ordinary_hosts_pass(host: str) -> None:
    assert refused(host) == ""


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[tuple[int, list[str]]]:
    """A loopback server that notes what it was asked, and redirects to a metadata service from `/away`."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.host.partition(':')[0]}{request.path}")
        if request.path == "/away":
            raise web.HTTPFound("http://169.254.169.254/latest/meta-data")
        return web.Response(text="here")

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port, asked
    finally:
        await runner.cleanup()


async def test_a_name_that_changes_its_mind_is_refused_at_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"], ["169.254.169.254", "127.0.0.1"], ["::ffff:a9fe:a9fe"])
    monkeypatch.setattr("aiohttp.ThreadedResolver", lambda: names)
    async with answering() as (port, asked):
        url = f"http://models.test:{port}/x"
        assert await call("GET", url, Access(5.0)) == b"here"
        with pytest.raises(RefusedError, match=r"models\.test resolves to link-local"):
            await call("GET", url, Access(5.0))
        assert await call("GET", url, Access(5.0)) == b"here"  # by the address that is left
        with pytest.raises(RefusedError, match="link-local"):
            await call("GET", url, Access(5.0))
        assert asked == ["models.test/x"] * 2
    assert names.asked == ["models.test"] * 4  # once a call: the address that was checked is the one connected to


async def test_a_redirect_is_not_followed() -> None:
    async with answering() as (port, asked):
        with pytest.raises(RefusedError, match="HTTP 302"):
            await call("GET", f"http://127.0.0.1:{port}/away", Access(5.0))
        assert asked == ["127.0.0.1/away"]


async def test_a_name_without_an_address_was_not_reached() -> None:
    resolver = CheckedResolver(Names([]))
    with pytest.raises(OSError, match="nowhere resolves to no address"):
        await resolver.resolve("nowhere", 80)
    await resolver.close()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1:1/_x", "ftp://127.0.0.1/x", "http:///x"])
async def test_other_schemes_reach_nobody(url: str) -> None:
    with pytest.raises(RefusedError):
        await call("GET", url, Access(1.0))
