"""Handlers that are killed at named points and come back: `crash_run`, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from handler_world import QueryAPI, configuration, free_port, payload, until
from mlcanary.handler.ledger import audit

ENTRY = Path(__file__).parent / "handler_crash_entry.py"
COMMITS = ("event", "plan", "dispatch", "finish", "close")
POINTS = tuple(f"{side} commit {name}" for name in COMMITS for side in ("before", "after"))
POINTS += ("before call apply", "after call apply")
SEED = 20260102


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
    """The process for the length of the block."""
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
class Outcome:
    """How a run ended, in the words of the ledger and of the target."""

    incidents: list[str]
    dispatched: list[str]
    verdicts: int
    chain: int | None
    deaths: int

    def wrong(self) -> str:
        """What is not as it must be after any number of deaths; empty if nothing."""
        broken = {
            "not resolved": self.incidents[-1:] != ["resolved"],
            "an incident beside it": not set(self.incidents[:-1]) <= {"abandoned"},
            "not one confirmed action": self.dispatched != ["confirmed"],
            "not one verdict": self.verdicts != 1,
            "the audit does not fit": self.chain is not None,
            "nobody died": self.deaths < 1,
        }
        return "; ".join(what for what, true in broken.items() if true)


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
    """Whether the incident has ended well."""
    with contextlib.closing(sqlite3.connect(directory / "handler.sqlite", timeout=5.0)) as db:
        try:
            return db.execute("SELECT 1 FROM incident WHERE state='resolved'").fetchone() is not None
        except sqlite3.OperationalError:
            return False


def look(directory: Path, deaths: int) -> Outcome:
    """What the ledger says."""
    with contextlib.closing(sqlite3.connect(directory / "handler.sqlite")) as db:
        incidents = [row[0] for row in db.execute("SELECT state FROM incident ORDER BY rowid")]
        actions = [row[0] for row in db.execute("SELECT state FROM action WHERE dispatched > 0")]
        verdicts = db.execute("SELECT COUNT(*) FROM audit WHERE kind='verdict'").fetchone()[0]
        return Outcome(incidents, actions, verdicts, audit.verify(db), deaths)


def schedules(count: int) -> list[tuple[str, ...]]:
    """Every point once, then seeded pairs of points; or as many of them as there shall be."""
    chance = random.Random(SEED)
    singles: list[tuple[str, ...]] = [(point,) for point in POINTS]
    pairs: list[tuple[str, ...]] = [
        (chance.choice(POINTS), chance.choice(POINTS)) for _ in range(max(0, count - len(singles)))
    ]
    return (singles + pairs)[:count]
