"""Memory and idle cost of the real exporter: 4 versions, 25 features, a reference profile, late labels, full windows.

Run as `python tests/bench/memory.py [RECORDS ...]`: one line of JSON per number of records. Windows of an hour are full
after a minute, since the clock of the exporter under test runs fast; all else is the command that people run, with its
HTTP server, scraped in both formats. `peak` is what the kernel says was the most (VmHWM), MB are 10**6 bytes.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bench_records import lines  # noqa: E402

from exporter_process import ExporterProcess  # noqa: E402 - beside this file, not installed
from mlcanary.formats.profile import write_profile  # noqa: E402
from mlcanary.measures.profiling import ProfileOptions, profile_columns  # noqa: E402
from mlcanary.tables import read_columns  # noqa: E402

VERSIONS, FASTER, PUBLISH = 4, "60", "100ms"
FILLING_SECONDS, IDLE_SECONDS = 70.0, 30.0
ROUNDS = 12
SCRAPES = 50


def write_log(path: Path, count: int, start: float, seed: int) -> None:
    """Append that many predictions of all versions in turn, with labels a thousand records later."""
    with path.open("ab") as handle:
        for i, line in enumerate(lines(count, start, 1000, seed)):
            version = f'"version": "v{i % VERSIONS + 1}"'.encode()
            handle.write(line.replace(b'"version": "v1"', version).replace(b'"version": "v2"', version))


def write_reference(log: Path, profile: Path) -> None:
    """The profile of the first rows of a log, with its 20 numbers and 5 categories."""
    columns, _ = read_columns(log)
    head = {name: column[:10_000] for name, column in columns.items()}
    profile.write_bytes(write_profile(profile_columns(head, ProfileOptions())))


def memory(pid: int) -> dict[str, float]:
    """MB of a process: resident now, the most ever, and what belongs to no file."""
    wanted = {"VmRSS": "resident", "VmHWM": "peak", "RssAnon": "anonymous"}
    rows = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {wanted[row[0][:-1]]: round(int(row[1]) * 1024 / 1e6, 1) for row in rows if row[0][:-1] in wanted}


def scrape_milliseconds(address: str) -> tuple[float, int]:
    """Median time of a compressed scrape of a page that is there, by this client, and the bytes of the plain page."""
    headers = {"Accept-Encoding": "gzip"}
    taken, body = [], b""
    for _ in range(SCRAPES):
        begun = time.perf_counter()
        with urllib.request.urlopen(urllib.request.Request(f"http://{address}/metrics", headers=headers)) as answer:
            body = answer.read()
        taken.append(1000 * (time.perf_counter() - begun))
    return median(taken), len(gzip.decompress(body))


def measured(records: int) -> dict[str, object]:
    """Everything about one size of log."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        log, profile = directory / "log.jsonl", directory / "profile.json"
        write_log(log, records, time.time() - records / 1000, 0)
        write_reference(log, profile)
        flags = ["--log.path", str(log), "--reference.path", str(profile), "--state.path", str(directory / "state")]
        often = ("--publish.interval", PUBLISH, "--poll.interval", PUBLISH)
        fast = (str(HERE / "fast_exporter.py"), FASTER, os.devnull)
        with ExporterProcess(*flags, *often, log=directory / "err", entry=fast) as exporter:
            started = memory(exporter.pid)
            exporter.wait_for(lambda page: any(name == "mlcanary_window_accuracy_ratio" for name, _ in page), 600)
            first = memory(exporter.pid)
            for i in range(ROUNDS):
                write_log(log, 200, time.time() + 60 * i, i + 1)
                exporter.pause(FILLING_SECONDS / ROUNDS)
                exporter.get()
            scrape, page_bytes = scrape_milliseconds(exporter.address)
            full = memory(exporter.pid)
            exporter.terminate()
        idle = idle_percent(directory, log, profile)
    return {
        "records": records,
        "listening": started,
        "first_page": first,
        "windows_full": full,
        "page_megabytes": page_bytes / 1e6,
        "scrape_milliseconds": round(scrape, 2),
        "idle_percent": round(idle, 3),
    }


def idle_percent(directory: Path, log: Path, profile: Path) -> float:
    """CPU of a core while nothing comes, default intervals, real time."""
    flags = ["--log.path", str(log), "--reference.path", str(profile), "--state.path", str(directory / "idle")]
    with ExporterProcess(*flags, log=directory / "err") as exporter:
        exporter.wait_for(lambda page: any(name == "mlcanary_window_accuracy_ratio" for name, _ in page), 600)
        exporter.pause(12.0)
        process = psutil.Process(exporter.pid)
        before, begun = process.cpu_times(), time.monotonic()
        exporter.pause(IDLE_SECONDS)
        after, passed = process.cpu_times(), time.monotonic() - begun
        return float(100 * (after.user + after.system - before.user - before.system) / passed)


def main() -> None:
    """Measure each size of log."""
    for records in map(int, sys.argv[1:] or ["20000"]):
        print(json.dumps(measured(records)), flush=True)


if __name__ == "__main__":
    main()
