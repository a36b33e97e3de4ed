"""How long from a webhook until the target has changed, over the real targets, and what of that is the target's own.

    python tests/bench/handler_latency.py [--runs 200] [--targets haproxy nginx] [--json]

In each run a handler process of its own takes the alert by `POST /v1/alerts`, asks for its evidence, decides, commits
and acts; the clock stops when the target itself, read past the handler, serves without the bad version. In turn with
it the same change is made by the target's `apply` alone, in this process. The evidence comes from the query API of the
tests over loopback HTTP: a Prometheus adds its own time for some 20 instant queries, asked at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from handler.matrix.cells import RIGS, started  # noqa: E402 - beside this folder, not installed
from handler.matrix.rigs import Rig  # noqa: E402
from handler_crashes import Nursery, deliver, nursery  # noqa: E402
from handler_world import BAD, GOOD, QueryAPI, Release, configuration, free_port, until  # noqa: E402
from mlcanary.handler.settings import parse_settings  # noqa: E402
from mlcanary.handler.targets.contract import Guard, State  # noqa: E402
from mlcanary.handler.targets.registry import create  # noqa: E402

RUNS = 200
BAR = 2.0
"""Seconds at the 95th percentile that the handler promises."""
_LOOK = 0.002


@dataclass
class Figures:
    """Seconds from the webhook to the effect, and of the target alone."""

    handled: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)

    def row(self, name: str) -> str:
        """A row of the table."""
        share = median(handled / alone for handled, alone in zip(self.handled, self.alone, strict=True))
        times = " | ".join(f"{at(self.handled, q) * 1000:.0f}" for q in (0.5, 0.95, 1.0))
        return f"| {name} | {len(self.handled)} | {times} | {median(self.alone) * 1000:.0f} | {share:.1f} |"


HEAD = (
    "| target | runs | p50, ms | p95, ms | longest, ms | the target alone, p50, ms | ratio |",
    "|---|---|---|---|---|---|---|",
)


def at(values: Sequence[float], share: float) -> float:
    """A quantile, as one of the values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def _until_rolled_back(rig: Rig) -> None:
    while True:
        if not rig.truth()[BAD]:
            return
        await asyncio.sleep(_LOOK)


async def handled(nest: Nursery, rig: Rig, place: Path) -> float:
    """Seconds through a whole handler."""
    port = free_port()
    rig.reset()
    async with rig.reached() as section, QueryAPI(Release(rig.shares)).serving() as api:
        (place / "handler.yml").write_text(configuration(api.url, section))
        await nest.start(place, port, "")
        await until(lambda: _ready(port))
        start = time.monotonic()
        delivery = asyncio.create_task(deliver(port))
        await _until_rolled_back(rig)
        seconds = time.monotonic() - start
        assert await delivery
        os.kill(nest.pid, signal.SIGTERM)
        await nest.ended()
    return seconds


async def _ready(port: int) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{port}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


async def alone(rig: Rig) -> float:
    """Seconds of the target's own `apply`."""
    rig.reset()
    async with rig.reached() as section:
        target = create(parse_settings(configuration("http://127.0.0.1:1", section), "bench").targets[0].kind)
        before = await target.observe()
        assert isinstance(before, State)
        start = time.monotonic()
        await target.apply(before.moved(BAD, GOOD), Guard("bench", before))
        await _until_rolled_back(rig)
        return time.monotonic() - start


async def measure(rig: Rig, directory: Path, runs: int) -> Figures:
    """Both, in turn."""
    figures = Figures()
    async with nursery() as nest:
        for number in range(runs + 1):
            place = directory / f"run{number}"
            place.mkdir()
            pair = await handled(nest, rig, place), await alone(rig)
            if number:  # the first run warms up
                figures.handled.append(pair[0])
                figures.alone.append(pair[1])
    return figures


def table(kinds: Sequence[type[Rig]], runs: int) -> dict[str, Figures]:
    """The figures of every target; `runs` are spread over them."""
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as name:
        for number, kind in enumerate(kinds):
            place = Path(name) / f"{kind.name}-ledgers"
            place.mkdir()
            with started(kind, Path(name) / kind.name) as rig:
                share = runs // len(kinds) + (number < runs % len(kinds))
                found[kind.name] = asyncio.run(measure(rig, place, share))
            print(found[kind.name].row(kind.name), file=sys.stderr, flush=True)
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--targets", nargs="+", choices=[kind.name for kind in RIGS])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logging.disable()
    found = table([kind for kind in RIGS if given.targets is None or kind.name in given.targets], given.runs)
    every = [seconds for figures in found.values() for seconds in figures.handled]
    lines = [*HEAD, *(figures.row(name) for name, figures in found.items())]
    told = (
        f"All {len(every)} runs: p95 {at(every, 0.95):.2f} s, longest {max(every):.2f} s; the bar is {BAR:g} s at p95."
    )
    print(json.dumps({"lines": lines, "told": told}) if given.json else "\n".join([*lines, "", told]))


if __name__ == "__main__":
    main()
