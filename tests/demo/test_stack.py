"""Processes of the demo: ready, watched, ended."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from mlcanary.demo.stack import Component, DemoError, Stack, free_ports, is_free, poll

SERVE = "import http.server, sys; http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[1]))"
PARENT = (
    "import subprocess, sys; child = subprocess.Popen(['sleep', '600']); print(child.pid, flush=True); child.wait()"
)


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def python(name: str, code: str, *arguments: str, ready_url: str = "") -> Component:
    return Component(name, (sys.executable, "-c", code, *arguments), ready_url)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")


async def test_start_waits_until_the_component_answers(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    (port,) = free_ports(1)
    async with Stack(tmp_path, session) as stack:
        await stack.start(python("web", SERVE, str(port), ready_url=f"http://127.0.0.1:{port}/"))
        stack.check()
        assert not is_free(port)
    assert is_free(port)


async def test_leaving_ends_the_whole_process_group(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with Stack(tmp_path, session) as stack:
        await stack.start(python("parent", PARENT))

        async def printed() -> bool:
            return bool(stack.log_tail("parent"))

        assert await poll(printed, seconds=10)
        grandchild = int(stack.log_tail("parent")[0])
        assert is_alive(grandchild)

    async def gone() -> bool:
        return not is_alive(grandchild)

    assert await poll(gone, seconds=10)


async def test_a_component_that_ends_by_itself_is_named_and_its_log_is_at_hand(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    (port,) = free_ports(1)
    dying = python("dying", "raise SystemExit('no such file: x')", ready_url=f"http://127.0.0.1:{port}/")
    async with Stack(tmp_path, session) as stack:
        with pytest.raises(DemoError, match="dying ended by itself with status 1") as caught:
            await stack.start(dying)
        assert caught.value.component == "dying"
        assert stack.log_tail("dying") == ["no such file: x"]


async def test_a_job_that_fails_is_named(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with Stack(tmp_path, session) as stack:
        await stack.run(python("good", "pass"))
        assert await stack.ask(python("asked", "raise SystemExit(3)")) == 3
        with pytest.raises(DemoError, match="bad failed with status 3"):
            await stack.run(python("bad", "raise SystemExit(3)"))
        stack.check()


async def test_a_stopped_component_no_longer_counts_as_dead(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with Stack(tmp_path, session) as stack:
        await stack.start(python("sleeper", "import time; time.sleep(600)"))
        await stack.stop("sleeper")
        stack.check()


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(is_free(port) for port in ports)
