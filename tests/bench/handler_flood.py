"""A flood of webhooks from one sender on a real handler process: what is answered, how fast, and what it keeps.

    python tests/bench/handler_flood.py [RATE [SECONDS]]        1000 a second for 10 seconds by default

Every delivery is another alert. Requests are due at fixed times and are sent late rather than left out, so that a
slow handler shows as latency. While they run, `/metrics` is asked for four times a second by the same sender. In
the end the ledger is opened: every alert that was answered with 202 must be there.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from handler_world import (  # noqa: E402 - beside this folder, not installed
    TOKEN,
    Link,
    Process,
    QueryAPI,
    Release,
    alert,
    configuration,
    free_port,
    payload,
    running,
    until,
)

CONNECTIONS = 32
SCRAPES_PER_SECOND = 4.0


@dataclass
class Figures:
    """What a flood showed. Times in seconds, memory in bytes."""

    seconds: float = 0.0
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    accepted: set[str] = field(default_factory=set)
    latencies: list[float] = field(default_factory=list)
    scrapes: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    cpu: float = 0.0
    stored: set[str] = field(default_factory=set)

    @property
    def lost(self) -> set[str]:
        """Alerts that were answered with 202 and are not in the ledger."""
        return self.accepted - self.stored

    def table(self) -> str:
        """The figures for people."""
        rate = sum(self.statuses.values()) / self.seconds
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return "\n".join(
            (
                f"answered      {answers} in {self.seconds:.1f} s ({rate:.0f}/s)",
                f"lost          {len(self.lost)} of {len(self.accepted)} that were answered with 202",
                f"latency       median {_at(self.latencies, 0.5):.0f} ms, p95 {_at(self.latencies, 0.95):.0f} ms, "
                f"longest {max(self.latencies) * 1000:.0f} ms",
                f"/metrics      {len(self.scrapes)} scrapes, median {_at(self.scrapes, 0.5):.0f} ms, "
                f"longest {max(self.scrapes) * 1000:.0f} ms",
                f"memory        {self.memory[0] / 2**20:.0f} MiB before, at most {max(self.memory) / 2**20:.0f} MiB",
                f"CPU           {self.cpu:.1f} s",
            )
        )


def _at(values: list[float], share: float) -> float:
    """A quantile, in milliseconds."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1000


class Line:
    """One connection that is kept open, for the length of a `with contextlib.closing` block."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """The status of a request; opens the connection anew if the server closed it."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:-2])
        await reader.readexactly(int(fields.get(b"content-length", b"0")))
        if fields.get(b"connection") == b"close":
            self.close()
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _send(port: int, figures: Figures, due: Iterator[int], rate: float, start: float) -> None:
    with contextlib.closing(Line(port)) as line:
        for number in due:
            at = start + number / rate
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            name = f"{number:016x}"
            status = await line.ask("POST", "/v1/alerts", payload(alert(fingerprint=name)))
            figures.latencies.append(time.monotonic() - at)
            figures.statuses[status] += 1
            if status == 202:
                figures.accepted.add(name)


async def _watch(port: int, figures: Figures, handler: psutil.Process) -> None:
    with contextlib.closing(Line(port)) as line:
        while True:
            asked = time.monotonic()
            assert await line.ask("GET", "/metrics") == 200
            figures.scrapes.append(time.monotonic() - asked)
            figures.memory.append(handler.memory_info().rss)
            await asyncio.sleep(1 / SCRAPES_PER_SECOND)


@contextlib.asynccontextmanager
async def _handler(directory: Path) -> AsyncIterator[tuple[int, Process]]:
    """A handler process on a file target, with a Prometheus where nothing fires."""
    link = Link(directory)
    (directory / "token").write_text(TOKEN)
    (directory / "web.yml").write_text("bearer_token_file: token\n")
    port = free_port()
    async with QueryAPI(Release(link.shares, firing=False)).serving() as api:
        (directory / "handler.yml").write_text(configuration(api.url, link.section()))
        argv = [sys.executable, "-m", "mlcanary", "handler", "--config.file", str(directory / "handler.yml")]
        argv += ["--state.path", str(directory / "state.sqlite"), "--web.config.file", str(directory / "web.yml")]
        argv += ["--web.listen-address", f"127.0.0.1:{port}", "--log.level", "error"]
        with (
            (directory / "log").open("wb") as log,
            running(argv, stdout=log, stderr=log, env={**os.environ}) as process,
        ):
            await until(lambda: _listens(port))
            yield port, process


async def _listens(port: int) -> bool:
    with contextlib.closing(Line(port)) as line:
        try:
            return await line.ask("GET", "/-/ready") == 200
        except OSError:
            return False


async def flood(directory: Path, rate: float, seconds: float) -> Figures:
    """Flood a handler in `directory` with `rate` deliveries a second for `seconds`."""
    figures = Figures()
    async with _handler(directory) as (port, process):
        handler = psutil.Process(process.popen.pid)
        watching = asyncio.create_task(_watch(port, figures, handler))
        await until(lambda: bool(figures.scrapes))
        before, start = sum(handler.cpu_times()[:2]), time.monotonic()
        due = iter(range(int(rate * seconds)))
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(_send(port, figures, due, rate, start))
        figures.seconds = time.monotonic() - start
        figures.cpu = sum(handler.cpu_times()[:2]) - before
        figures.memory.append(handler.memory_info().rss)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    with contextlib.closing(sqlite3.connect(directory / "state.sqlite")) as ledger:
        figures.stored = {row[0] for row in ledger.execute("SELECT fingerprint FROM event")}
    return figures


def main(rate: float = 1000.0, seconds: float = 10.0) -> None:
    """One flood, printed."""
    with tempfile.TemporaryDirectory() as directory:
        print(asyncio.run(flood(Path(directory), rate, seconds)).table())


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
