"""Users who come back to a router: which version answers each, and whether a growing canary keeps its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from handler_world import HAProxy, free_port
from mlcanary.handler.targets.contract import Guard, State, Target
from nginx_world import shipped

USERS = tuple(f"user-{number}" for number in range(2_000))
STEPS = (1, 5, 25, 50, 100)
VERSIONS = ("v1", "v2")


async def answers(port: int, users: tuple[str, ...] = USERS) -> dict[str, str]:
    """The version that answers each user, over one connection; every answer must be a 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for user in users:
            writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nX-User: {user}\r\nCookie: user={user}\r\n\r\n".encode())
        return {user: await _answer(reader) for user in users}
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert b" 200 " in head.partition(b"\r\n")[0], head
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    return (await reader.readexactly(length)).decode()


async def climb(port: int, target: Target, settled: Callable[[State], Awaitable[None]]) -> list[float]:
    """Set every step by the target; gives the shares of the canary. Nobody may leave it."""
    before, canary, shares = await target.observe(), set[str](), list[float]()
    assert isinstance(before, State)
    for percent in STEPS:
        desired = State.split("v2", percent / 100, "v1", VERSIONS)
        await target.apply(desired, Guard(f"step-{percent}", before))
        await settled(desired)
        served = await answers(port)
        assert set(served.values()) <= set(VERSIONS)
        now = {user for user, version in served.items() if version == "v2"}
        assert canary <= now, f"{len(canary - now)} users left the canary at {percent} %"
        before, canary = desired, now
        shares.append(len(now) / len(USERS))
    return shares


class StickyHAProxy(HAProxy):
    """A real HAProxy with the shipped backend, whose servers say their version. `port` is where users go."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port, one, two = free_port(), free_port(), free_port()
        backend = shipped(
            "haproxy-sticky.cfg",
            {
                "  server stable 10.0.0.11:8000 id 1 weight 100": f"  server stable 127.0.0.1:{one} id 1 weight 100",
                "  server canary 10.0.0.12:8000 id 2 weight 0": f"  server canary 127.0.0.1:{two} id 2 weight 0",
            },
        )
        models = "".join(
            f"frontend {version}\n  bind 127.0.0.1:{port}\n"
            f"  http-request return status 200 content-type text/plain string {version}\n"
            for version, port in zip(VERSIONS, (one, two), strict=True)
        )
        self.config.write_text(
            f"global\n  stats socket {self.socket} level admin\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
            f"frontend in\n  bind 127.0.0.1:{self.port}\n  default_backend models\n{models}{backend}"
        )


@contextlib.asynccontextmanager
async def steady_traffic(port: int) -> AsyncIterator[Callable[[], int]]:
    """Requests one after the other for the length of the block; a failed one fails the block. Gives their count."""
    served = 0

    async def request() -> None:
        nonlocal served
        for user in _forever():
            await answers(port, (user,))
            served += 1

    task = asyncio.create_task(request())
    try:
        yield lambda: served
    finally:
        if task.done():
            task.result()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _forever() -> Iterator[str]:
    while True:
        yield from USERS
