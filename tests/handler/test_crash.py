"""kill -9 before and after every commit and every call: one effect, the right end, never a false success."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from handler_world import GOOD, HAProxy, Link, QueryAPI, Release, configuration, free_port, payload, until
from mlcanary.handler.ledger import audit

ENTRY = Path(__file__).parent.parent / "handler_crash_entry.py"
COMMITS = ("event", "plan", "dispatch", "finish", "close")
POINTS = tuple(f"{side} commit {name}" for name in COMMITS for side in ("before", "after"))
POINTS += ("before call apply", "after call apply")
RUNS = 60
LANES = 4


class Nursery:
    """The process that forks handlers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = 0

    async def start(self, directory: Path, port: int, kill: str) -> None:
        """Start a handler; its death is told by `ended`."""
        order = {"directory": str(directory), "port": str(port), "kill": kill}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self.pid = int(await self._line())

    async def ended(self) -> int:
        """Wait for the end; gives the wait status."""
        return int(await self._line())

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.readline()


@contextlib.asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ENTRY), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    found = Nursery(process)
    try:
        yield found
    finally:
        if found.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
        process.kill()
        await process.wait()


@dataclass
class Relay:
    """Between the handler and HAProxy: counts the commands that change something."""

    haproxy: HAProxy
    path: str
    changes: list[str] = field(default_factory=list)

    async def serve(self) -> asyncio.Server:
        """Listen on `path`."""
        return await asyncio.start_unix_server(self._pass_on, self.path)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode().strip()
        if "set " in line:
            self.changes.append(line)
        with contextlib.suppress(ConnectionError):
            writer.write(self.haproxy.ask(line).encode())
            await writer.drain()
        writer.close()


@dataclass
class Outcome:
    """How a run ended, in the words of the ledger and of the target."""

    incidents: list[str]
    dispatched: list[str]
    verdicts: int
    chain: int | None
    deaths: int


async def deliver(port: int, once: bool = False) -> bool:
    """Post the alert as a sender does: again until it is taken."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.post(f"http://127.0.0.1:{port}/v1/alerts", data=payload()) as response:
                return response.status == 202 or once
        except aiohttp.ClientError:
            return once


async def crash_run(nest: Nursery, directory: Path, target: str, api: QueryAPI, kills: tuple[str, ...]) -> Outcome:
    """One release gone bad; the handler dies at each of `kills` and comes back."""
    port = free_port()
    (directory / "handler.yml").write_text(configuration(api.url, target))
    deaths = 0
    for kill in (*kills, ""):
        await nest.start(directory, port, kill)
        end = asyncio.create_task(nest.ended())
        await until(lambda: deliver(port, once=end.done()))  # noqa: B023 - awaited in this turn
        await asyncio.gather(deliver(port, once=True), deliver(port, once=True))
        await until(lambda: end.done() or finished(directory))  # noqa: B023 - awaited in this turn
        if not end.done():
            with contextlib.suppress(ProcessLookupError):  # it may be dying at its last checkpoint
                os.kill(nest.pid, signal.SIGTERM)
        if os.WIFSIGNALED(await end):
            deaths += 1
    return look(directory, deaths)


def finished(directory: Path) -> bool:
    with contextlib.closing(sqlite3.connect(directory / "handler.sqlite", timeout=5.0)) as db:
        try:
            return db.execute("SELECT 1 FROM incident WHERE state='resolved'").fetchone() is not None
        except sqlite3.OperationalError:
            return False


def look(directory: Path, deaths: int) -> Outcome:
    with contextlib.closing(sqlite3.connect(directory / "handler.sqlite")) as db:
        incidents = [row[0] for row in db.execute("SELECT state FROM incident ORDER BY rowid")]
        actions = [row[0] for row in db.execute("SELECT state FROM action WHERE dispatched > 0")]
        verdicts = db.execute("SELECT COUNT(*) FROM audit WHERE kind='verdict'").fetchone()[0]
        return Outcome(incidents, actions, verdicts, audit.verify(db), deaths)


def judge(outcome: Outcome, kills: tuple[str, ...]) -> None:
    assert outcome.incidents[-1] == "resolved", (kills, outcome)
    assert set(outcome.incidents[:-1]) <= {"abandoned"}, (kills, outcome)
    assert outcome.dispatched == ["confirmed"], (kills, outcome)
    assert outcome.verdicts == 1, (kills, outcome)
    assert outcome.chain is None, (kills, outcome)
    assert outcome.deaths >= 1, (kills, outcome)


def schedules() -> list[tuple[str, ...]]:
    """Every point once for each target, then seeded pairs of points."""
    chance = random.Random(20260102)
    singles: list[tuple[str, ...]] = [(point,) for point in POINTS]
    pairs: list[tuple[str, ...]] = [
        (chance.choice(POINTS), chance.choice(POINTS)) for _ in range(RUNS // 2 - len(singles))
    ]
    return singles + pairs


async def in_lanes(directory: Path, run: Callable[[Nursery, Path, tuple[str, ...]], Awaitable[None]]) -> int:
    """All schedules over a few nurseries at once; gives how many were run."""
    numbered = iter(list(enumerate(schedules())))
    count = itertools.count()

    async def lane() -> None:
        async with nursery() as nest:
            for number, kills in numbered:
                place = directory / f"run{number}"
                place.mkdir()
                await run(nest, place, kills)
                next(count)

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return next(count)


async def test_thirty_kills_over_a_real_haproxy_leave_one_effect_each(tmp_path: Path) -> None:
    async def run(nest: Nursery, place: Path, kills: tuple[str, ...]) -> None:
        with HAProxy(place).running() as haproxy:
            relay = Relay(haproxy, str(place / "relay.sock"))
            async with await relay.serve(), QueryAPI(Release(haproxy.shares)).serving() as api:
                section = haproxy.section().replace(haproxy.socket, relay.path)
                judge(await crash_run(nest, place, section, api, kills), kills)
                assert haproxy.weights() == {"v1": 100, "v2": 0}, kills
                assert relay.changes == ["set weight models/stable 100; set weight models/canary 0"], kills

    assert await in_lanes(tmp_path, run) == RUNS // 2


async def test_thirty_kills_over_a_symbolic_link_leave_one_effect_each(tmp_path: Path) -> None:
    async def run(nest: Nursery, place: Path, kills: tuple[str, ...]) -> None:
        link = Link(place)
        inodes: set[tuple[str, int]] = set()

        def shares() -> dict[str, float]:
            inodes.add((link.active(), os.lstat(link.path).st_ino))
            return link.shares()

        async with QueryAPI(Release(shares)).serving() as api:
            judge(await crash_run(nest, place, link.section(), api, kills), kills)
            inodes.add((link.active(), os.lstat(link.path).st_ino))
        assert link.active() == GOOD, kills
        assert sorted(version for version, _ in inodes) == ["v1", "v2"], kills
        assert [name for name in os.listdir(place) if name.startswith(".current")] == [], kills

    assert await in_lanes(tmp_path, run) == RUNS // 2
