"""kill -9 before and after every commit and every call: one effect, the right end, never a false success.

The other targets, and many more runs, are in `matrix/run_matrix.py --kills`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from handler_crashes import Nursery, crash_run, nursery, schedules
from handler_world import GOOD, HAProxy, Link, QueryAPI, Release

RUNS = 60
LANES = 4


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


async def in_lanes(directory: Path, run: Callable[[Nursery, Path, tuple[str, ...]], Awaitable[None]]) -> int:
    """All schedules over a few nurseries at once; gives how many were run."""
    numbered = iter(list(enumerate(schedules(RUNS // 2))))
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
                outcome = await crash_run(nest, place, section, api, kills)
                assert outcome.wrong() == "", (kills, outcome)
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
            outcome = await crash_run(nest, place, link.section(), api, kills)
            assert outcome.wrong() == "", (kills, outcome)
            inodes.add((link.active(), os.lstat(link.path).st_ino))
        assert link.active() == GOOD, kills
        assert sorted(version for version, _ in inodes) == ["v1", "v2"], kills
        assert [name for name in os.listdir(place) if name.startswith(".current")] == [], kills

    assert await in_lanes(tmp_path, run) == RUNS // 2
