"""What the exporter takes from the machine beside it: memory up to 10 million records, CPU at steady rates.

Run as `python tests/bench/footprint.py [growth|trickle|floor] [--records ...] [--rates ...] [--table]`. The real
command with HTTP, a state file, a reference of 25 features, 4 versions, late labels and a log that is rotated.

`growth`: a steady flow. The exporter's clock runs 160 times as fast, so that its window of an hour is full when the
first million is counted; what grows after that grows with the traffic. The figures are the most that was ever resident
(VmHWM) and what is resident as a rule, in the median of a million records. `trickle`: CPU of the second half of the
time, real clock, default flags, scraped every 15 seconds as Prometheus does. `floor`: what is resident before a line
is read, library by library.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from growing_log import GrowingLog, sum_of  # noqa: E402 - beside this file, not installed
from ingest import write_reference  # noqa: E402
from process_figures import cpu_seconds, memory  # noqa: E402
from traffic import Traffic  # noqa: E402

from exporter_process import ExporterProcess  # noqa: E402

RECORDS = (1_000_000, 10_000_000)
RATES = (0, 100, 1000, 10_000)
TRICKLE_SECONDS, TICK = 120.0, 0.25
SCRAPE_SECONDS = 15.0
PROMETHEUS = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
FASTER, PUBLISH, PACE = 160, "250ms", 20_000.0
"""The hour's window is full after 23 s, before half of the first million is written at this pace; at the full pace,
which takes larger blocks, a million is over too soon for its level to be seen."""
CHUNK, DELAY, KINDS, CHUNKS_BETWEEN, ROTATE_BYTES = 1000, 10, 120, 100, 700_000_000
LONGEST_WAIT, STEP = 600.0, 1_000_000
COUNTED = "mlcanary_predictions_total"
LIBRARIES = (
    ("Python alone", ""),
    ("numpy", "numpy"),
    ("asyncio, ssl and aiohttp", "asyncio ssl aiohttp.web"),
    ("msgspec, click, PyYAML, psutil, bcrypt", "msgspec click yaml psutil bcrypt"),
    ("the exporter", "mlcanary.cli.exporter"),
)
IMPORTING = """
import importlib, mmap, sys
for names in sys.argv[1:]:
    [*map(importlib.import_module, names.split())]
    print(int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE / 1e6)
"""
FLOOR_ROUNDS = 5


def growth(directory: Path, records: tuple[int, ...] = RECORDS, pace: float = PACE) -> dict[str, Any]:
    """At each million: MB resident at most so far and, since the one before, in the median; the least that was in use.

    The least is what stays: between a page and the next block nothing else is there. `pace`: records a second.
    """
    profile = directory / "profile.json"
    write_reference(profile)
    span_ms = round(1000 * FASTER * CHUNK / pace)  # times of events go on as fast as the exporter's clock
    traffic = Traffic(CHUNK, DELAY, span_ms=span_ms, kinds=KINDS)
    start_ms = round(time.time() * 1000)
    flags = ["--log.path", str(directory / "log.jsonl"), "--reference.path", str(profile)]
    flags += ["--state.path", str(directory / "state"), "--publish.interval", PUBLISH, "--poll.interval", PUBLISH]
    told = directory / "in_use"
    entry = (str(HERE / "fast_exporter.py"), str(FASTER), str(told))
    found: dict[str, Any] = {"pace": pace, "peak": {}, "level": {}, "in_use": {}, "blocks": {}, "seconds": {}}
    with (
        closing(GrowingLog(directory / "log.jsonl", 2)) as log,
        ExporterProcess(*flags, log=directory / "exporter.log", entry=entry) as exporter,
    ):
        begun, seen, lines = time.monotonic(), [], 0
        for goal in sorted({*records, *range(min(records), max(records), STEP)}):
            while traffic.records < goal:
                if log.size > ROTATE_BYTES:
                    log.rotate()
                log.write(traffic.chunk(start_ms + traffic.written * span_ms))
                exporter.pause(max(0.0, begun + traffic.records / pace - time.monotonic()))
                seen.append(memory(exporter.pid).resident)
                if traffic.written % CHUNKS_BETWEEN == 0:
                    _wait_for(exporter, traffic.records - CHUNKS_BETWEEN * CHUNK)
            _wait_for(exporter, traffic.records)
            found["seconds"][goal] = round(time.monotonic() - begun, 1)
            found["peak"][goal], found["level"][goal] = memory(exporter.pid).peak, median(seen)
            seen.clear()
            lines, found["in_use"][goal], found["blocks"][goal] = _in_use(told, lines)
            peak, level = found["peak"][goal], found["level"][goal]
            print(f"{goal:>12,} records, {level:.1f} MB, at most {peak:.1f} MB", file=sys.stderr, flush=True)
        found["counted"] = sum_of(_scrape(exporter), COUNTED) == traffic.records
    return found


def _in_use(told: Path, lines: int) -> tuple[int, float, float]:
    """How many lines were told by now, and of those after `lines` the least MB and blocks; NaN without any."""
    fresh = [line.split() for line in told.read_text().splitlines()[lines:]] if told.exists() else []
    if not fresh:
        return lines, math.nan, math.nan
    return lines + len(fresh), min(float(size) / 1e6 for size, _ in fresh), min(float(n) for _, n in fresh)


def _wait_for(exporter: ExporterProcess, predictions: int) -> None:
    """Until so many are on the page; AssertionError if they are not in good time."""
    deadline = time.monotonic() + LONGEST_WAIT
    while (counted := sum_of(_scrape(exporter), COUNTED)) < predictions:
        assert time.monotonic() < deadline, f"{counted:,.0f} of {predictions:,} predictions"
        exporter.pause(0.25)


def trickle(directory: Path, rate: int, seconds: float = TRICKLE_SECONDS) -> dict[str, float]:
    """MB resident, CPU % of one core in the second half, seconds from the start to a useful page."""
    profile = directory / "profile.json"
    if not profile.exists():
        write_reference(profile)
    first = Traffic(1000, 1, span_ms=1000, kinds=3, seed=1)
    traffic = Traffic(max(1, round(rate * TICK)), round(2 / TICK), span_ms=round(1000 * TICK), kinds=12)
    flags = ["--log.path", str(directory / f"{rate}.jsonl"), "--reference.path", str(profile)]
    flags += ["--state.path", str(directory / f"{rate}.state")]
    with closing(GrowingLog(directory / f"{rate}.jsonl", 1)) as log:
        for i in range(2):
            log.write(first.chunk(round(time.time() * 1000) - 5000 + 1000 * i))
        with ExporterProcess(*flags, log=directory / f"{rate}.log") as exporter:
            exporter.wait_for(lambda page: any(name == "mlcanary_window_accuracy_ratio" for name, _ in page))
            ready = time.monotonic() - exporter.started
            begun = time.monotonic()
            half, scrapes = (0.0, 0.0), 0
            while (passed := time.monotonic() - begun) < seconds:
                if rate and traffic.written * TICK <= passed:
                    log.write(traffic.chunk(round(time.time() * 1000)))
                if scrapes * SCRAPE_SECONDS <= passed:
                    scrapes += 1
                    _scrape(exporter)
                if not half[0] and passed >= seconds / 2:
                    half = passed, cpu_seconds(exporter.pid)
                exporter.pause(TICK if not rate else max(0.0, min(TICK, traffic.written * TICK - passed)))
            used = cpu_seconds(exporter.pid) - half[1]
            resident = memory(exporter.pid).resident
    return {"rate": rate, "resident": resident, "cpu_percent": 100 * used / (passed - half[0]), "ready": ready}


def _scrape(exporter: ExporterProcess) -> str:
    """The page as Prometheus asks for it, which is compressed."""
    request = urllib.request.Request(f"http://{exporter.address}/metrics", headers=PROMETHEUS)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return gzip.decompress(answer.read()).decode()


def floor() -> dict[str, float]:
    """MB resident after each import of a fresh Python, in turn; medians of FLOOR_ROUNDS."""
    command = [sys.executable, "-c", IMPORTING, *(names for _, names in LIBRARIES)]
    rounds = [subprocess.check_output(command, text=True).split() for _ in range(FLOOR_ROUNDS)]
    titles = (title for title, _ in LIBRARIES)
    return {title: median(map(float, taken)) for title, taken in zip(titles, zip(*rounds, strict=True), strict=True)}


def floor_lines(found: dict[str, float]) -> list[str]:
    """`floor` as lines of Markdown."""
    return [
        "What is resident before the first line is read, MB:",
        "",
        "| imported one after the other | MB |",
        "|---|---|",
        *(f"| {title} | {taken:.1f} |" for title, taken in found.items()),
        "",
        "The goal of 60 MB comes from a prototype without HTTP, configuration and formats.",
        "",
    ]


def growth_lines(found: dict[str, Any]) -> list[str]:
    """`growth` as lines of Markdown."""
    first, last = min(found["peak"]), max(found["peak"])
    rows = [
        f"| {goal:,} | {level:.1f} | {found['peak'][goal]:.1f} | {found['in_use'][goal]:.1f} "
        f"| {found['blocks'][goal]:,.0f} |"
        for goal, level in found["level"].items()
    ]
    return [
        f"A steady {found['pace']:,.0f} records a second, the windows of 5 minutes and an hour full. "
        f"{'Every' if found['counted'] else 'NOT every'} record was counted. Each row is of the records since the row "
        "before; what is in use at least is what stays, between a page and the next block:",
        "",
        "| records | resident, median MB | at most, ever | in use at least: MB of the C library | blocks of Python |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"From the million after {first:,} to {last:,} records what stays grew by {_rise(found['in_use']):+.2f} MB, "
        f"what is resident by {_rise(found['level']):+.2f} MB, the most ever resident by "
        f"{found['peak'][last] - found['peak'][first]:+.2f} MB. Goals: 60 MB, +1 MB.",
        "",
    ]


def _rise(by_goal: dict[int, float]) -> float:
    """From the second row to the last: the first one is of the start, while windows fill."""
    rows = list(by_goal.values())
    return rows[-1] - rows[min(1, len(rows) - 1)]


def trickle_lines(found: list[dict[str, float]]) -> list[str]:
    """`trickle` as lines of Markdown."""
    head = ["| records per second | resident MB | CPU, % of one core | seconds from start to a useful page |"]
    rows = [f"| {t['rate']:,} | {t['resident']:.0f} | {t['cpu_percent']:.2f} | {t['ready']:.2f} |" for t in found]
    return [
        "With default flags, clock and windows, scraped every 15 seconds:",
        "",
        *head,
        "|---|---|---|---|",
        *rows,
        "",
    ]


def main() -> None:
    """Measure what is asked for; one JSON object each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["growth", "trickle", "floor"])
    parser.add_argument("--records", type=int, nargs="+", default=list(RECORDS))
    parser.add_argument("--pace", type=float, default=PACE)
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES))
    parser.add_argument("--seconds", type=float, default=TRICKLE_SECONDS)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if given.what in (None, "floor"):
            print("\n".join(floor_lines(floor())) if given.table else json.dumps(floor()), flush=True)
        if given.what in (None, "growth"):
            grown = growth(Path(name), tuple(given.records), given.pace)
            print("\n".join(growth_lines(grown)) if given.table else json.dumps(grown), flush=True)
        if given.what in (None, "trickle"):
            steady = [trickle(Path(name), rate, given.seconds) for rate in given.rates]
            print("\n".join(trickle_lines(steady) if given.table else map(json.dumps, steady)), flush=True)


if __name__ == "__main__":
    main()
