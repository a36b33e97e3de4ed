"""The demo's client: a steady stream of held-out rows, and for each its label one to two seconds later.

Guarantee: every request ends in exactly one place of the accounting (`answered` or `failed` with a reason),
and each answered request gets exactly one label line. SIGTERM stops sending, waits for the answers and
the labels that are due, and writes the final figures; then `sent == answered + failed`.

Rows are drawn with replacement from the held-out file and each value is moved by a few per cent, so that
284 rows make a stream. The accounting is rewritten every second, atomically, as one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import heapq
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import aiohttp
import msgspec

from mlcanary.demo.dataset import FEATURES, MODEL, TRUTH

NOISE = 0.03
"""Standard deviation of the relative noise on each feature."""

LABEL_DELAY_SECONDS = (1.0, 2.0)
MAX_IN_FLIGHT = 64
REQUEST_TIMEOUT_SECONDS = 10.0
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Row:
    """One request to come: features by name in data-set units, and the truth that only the client knows."""

    features: dict[str, float]
    label: int


class Figures(msgspec.Struct, frozen=True):
    """The accounting as written to disk. `rate` is requests started per second since the start."""

    ts: float
    sent: int
    answered: int
    failed: int
    labels: int
    rate: float
    failures: dict[str, int]
    versions: dict[str, int]
    final: bool


@dataclass
class Accounting:
    """Counts of the client, one method per thing that can happen."""

    sent: int = 0
    labels: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def figures(self, *, now: float, started: float, final: bool = False) -> Figures:
        """What to write down at `now`."""
        return Figures(
            ts=now,
            sent=self.sent,
            answered=self.versions.total(),
            failed=self.failures.total(),
            labels=self.labels,
            rate=round(self.sent / max(now - started, 1e-9), 2),
            failures=dict(self.failures),
            versions=dict(self.versions),
            final=final,
        )


class LabelQueue:
    """Label lines that wait for their time, earliest first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, int]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, due: float, call_id: str, label: int) -> None:
        """Remember a label that becomes known at `due` (Unix seconds)."""
        heapq.heappush(self._heap, (due, call_id, label))

    def take(self, now: float) -> list[bytes]:
        """The lines that are due, oldest first, each a native label record with a newline."""
        lines = []
        while self._heap and self._heap[0][0] <= now:
            due, call_id, label = heapq.heappop(self._heap)
            record = {
                "kind": "label",
                "id": call_id,
                "ts": datetime.fromtimestamp(due, UTC).isoformat(timespec="microseconds"),
                "model": MODEL,
                "label": label,
            }
            lines.append(_ENCODER.encode(record) + b"\n")
        return lines


def read_rows(path: Path) -> list[Row]:
    """The held-out rows of `training.train`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row({name: float(line[name]) for name in FEATURES}, int(float(line[TRUTH])))
            for line in csv.DictReader(file)
        ]


def stream(rows: Sequence[Row], chance: random.Random) -> Iterator[Row]:
    """Endless rows, drawn with replacement and moved by `NOISE`."""
    while True:
        row = chance.choice(rows)
        moved = {name: round(value * chance.gauss(1.0, NOISE), 6) for name, value in row.features.items()}
        yield Row(moved, row.label)


class Client:
    """Sends rows at a steady rate and writes labels and accounting. One per process."""

    def __init__(
        self,
        *,
        url: str,
        rate: float,
        rows: Iterator[Row],
        chance: random.Random,
        prefix: str,
        labels: IO[bytes],
        figures_path: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._rate, self._rows, self._chance = url, rate, rows, chance
        self._prefix, self._label_file, self._figures_path = prefix, labels, figures_path
        self._clock = clock
        self._started = clock()
        self._queue = LabelQueue()
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._stop = asyncio.Event()
        self.accounting = Accounting()

    def stop(self) -> None:
        """Send no more; `run` returns once everything that is under way has ended."""
        self._stop.set()

    async def run(self) -> None:
        """Send until `stop`, then finish what is under way."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            writer = asyncio.create_task(self._write_until_done())
            async with asyncio.TaskGroup() as requests:
                await self._send_until_stopped(session, requests)
            await writer
        self._write_figures(final=True)

    async def _send_until_stopped(self, session: aiohttp.ClientSession, requests: asyncio.TaskGroup) -> None:
        """Start one request per tick of the rate; a tick that finds no free slot waits, none is dropped."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._stop.is_set():
            due = max(due + 1.0 / self._rate, loop.time() - 1.0)
            await _wait(self._stop, due - loop.time())
            await self._slots.acquire()
            self.accounting.sent += 1
            requests.create_task(self._request(session, self.accounting.sent, next(self._rows)))

    async def _request(self, session: aiohttp.ClientSession, number: int, row: Row) -> None:
        call_id = f"{self._prefix}-{number:07d}"
        try:
            async with session.post(self._url, json={"id": call_id, "features": row.features}) as response:
                body = await response.read()
                if response.status != 200:
                    self.accounting.failures[f"HTTP {response.status}"] += 1
                    return
            version = str(msgspec.json.decode(body)["version"])
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, LookupError) as error:
            self.accounting.failures[type(error).__name__] += 1
            return
        finally:
            self._slots.release()
        self.accounting.versions[version] += 1
        self._queue.put(self._clock() + self._chance.uniform(*LABEL_DELAY_SECONDS), call_id, row.label)

    async def _write_until_done(self) -> None:
        """Labels as they fall due, figures every second, until stopped with nothing left to write."""
        written = 0.0
        while not (self._stop.is_set() and self._is_idle()):
            for line in self._queue.take(self._clock()):
                self._label_file.write(line)
                self.accounting.labels += 1
            self._label_file.flush()
            if self._clock() - written >= 1.0:
                written = self._clock()
                self._write_figures()
            await asyncio.sleep(0.1)

    def _is_idle(self) -> bool:
        counts = self.accounting
        done = counts.versions.total() + counts.failures.total()
        return counts.sent == done and not self._queue

    def _write_figures(self, *, final: bool = False) -> None:
        figures = self.accounting.figures(now=self._clock(), started=self._started, final=final)
        partial = self._figures_path.with_suffix(".tmp")
        partial.write_bytes(msgspec.json.encode(figures))
        partial.replace(self._figures_path)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until `event` or for `seconds`, whichever comes first."""
    if seconds > 0:
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return


async def _serve(options: argparse.Namespace) -> None:
    chance = random.Random(options.seed)  # noqa: S311 (traffic, not secrets)
    with options.labels.open("ab") as labels:
        client = Client(
            url=options.url,
            rate=options.rate,
            rows=stream(read_rows(options.rows), chance),
            chance=chance,
            prefix=f"{os.getpid()}-{int(time.time())}",
            labels=labels,
            figures_path=options.figures,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, client.stop)
        await client.run()


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m mlcanary.demo.traffic --url U --rows F --labels F --figures F [--rate R]`."""
    parser = argparse.ArgumentParser(description="Send held-out rows and, later, their labels.")
    parser.add_argument("--url", required=True, help="where to POST, such as http://127.0.0.1:8000/predict")
    parser.add_argument("--rows", type=Path, required=True, help="held-out rows that training wrote")
    parser.add_argument("--labels", type=Path, required=True, help="label lines are appended here")
    parser.add_argument("--figures", type=Path, required=True, help="accounting, rewritten every second")
    parser.add_argument("--rate", type=float, default=120.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(_serve(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
