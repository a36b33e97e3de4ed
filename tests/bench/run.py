"""`make bench`: what the exporter costs against what could be done instead, measured in turn in one run.

Run as `python tests/bench/run.py [PART ...] [--small] [--out FILE]`. Each part is a section of RESULTS.md: those that
are measured replace their former text, the others stay. Without a part, all but `soak`, which takes half an hour
(`make soak`), and `dashboards`, which writes a history first. `--small` only shows that everything runs: its figures
mean nothing. Compare ratios; absolute times belong to the machine of the run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from ingest import write_log  # noqa: E402 - beside this file, not installed

from mlcanary.sources.files import FileSource  # noqa: E402

RESULTS = HERE / "RESULTS.md"
GOAL_MACHINE_MS = 60.0
"""What prometheus-client took for 10,000 series of a custom collector where the goals were set."""
ROUNDS = 5


@dataclass(frozen=True)
class Sizes:
    """How much is measured. `records`: of a log; `growth`: after so many; seconds of steady rates and of the soak."""

    records: int = 1_000_000
    rounds: int = 3
    peer_rows: int = 1_000_000
    mtail_rows: int = 100_000
    naive_rows: int = 30_000
    growth: tuple[int, ...] = (1_000_000, 10_000_000)
    trickle: float = 120.0
    runs: int = 200
    soak: tuple[str, ...] = ("--minutes", "30", "--rate", "20000")
    push: tuple[str, ...] = ("5000", "20")
    store: tuple[str, ...] = ("100000", "3")
    sampled: int = 20_000
    replay: tuple[str, ...] = ("900", "3")
    dashboards: tuple[str, ...] = ("--models", "300")


SMALL = Sizes(
    10_000, 1, 10_000, 5000, 12_000, (20_000, 40_000), 8.0, 12,
    ("--seconds", "20", "--rate", "1000", "--rotate", "5", "--kill", "8", "--settle", "1", "--keep", "9"), ("500", "3"),
    ("5000", "1"), 2000, ("120", "1"), ("--models", "3"),
)  # fmt: skip


def said(script: str, *arguments: object) -> str:
    """What a script beside this one prints, from a process of its own; CalledProcessError if it fails."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def told(script: str, *arguments: object) -> list[str]:
    """The same as lines of plain text."""
    return ["```", *said(script, *arguments).splitlines(), "```"]


def ingest(sizes: Sizes) -> list[str]:
    """The exporter against decoding alone."""
    return said("ingest.py", sizes.records, "--rounds", sizes.rounds, "--table").splitlines()


def peers(sizes: Sizes) -> list[str]:
    """The exporter against other programs."""
    rows = ("--rows", sizes.peer_rows, "--mtail-rows", sizes.mtail_rows, "--naive-rows", sizes.naive_rows)
    return said("peers.py", *rows, "--table").splitlines()


def footprint(sizes: Sizes) -> list[str]:
    """Memory up to millions of records, CPU at steady rates."""
    common = ("--table", "--seconds", sizes.trickle)
    return said("footprint.py", *common, "--records", *sizes.growth).splitlines()


def page(_: Sizes) -> list[str]:
    """Rendering, publishing and scraping."""
    found: dict[str, Any] = json.loads(said("render.py"))
    scrape, publish, counts = found["scrape"], found["publish"], found["render_counts"]
    lines = [
        "| rendering 10,000 series, CPU ms | ours, both formats | `generate_latest`, one format | ratio |",
        "|---|---|---|---|",
    ]
    for name, title in (("render_counts", "counts"), ("render_half_fractions", "counts and as many fractions")):
        if (one := found.get(name)) is not None:
            lines.append(f"| {title} | {one['ours']:.2f} | {one['client']:.1f} | {one['ratio']:.1f} |")
    return [
        *lines,
        "",
        f"A publish of {publish['series']:,} series, 4 versions and 25 features: {publish['busy']} ms with traffic, "
        f"{publish['idle']} ms without. Compressing a page once: {found['pack_once_per_page']} ms.",
        "",
        f"A scrape of {found['page_megabytes']} MB that are there, compressed: {scrape['packed']} ms from request to "
        f"last byte; a request for nothing takes {scrape['nothing']} ms. Goals: rendering 6 ms and 12 times as "
        f"fast, scrape 1 ms. They were set where `generate_latest` took {GOAL_MACHINE_MS:g} ms; scaled by it, "
        f"rendering counts takes {counts['ours'] * GOAL_MACHINE_MS / counts['client']:.1f} ms.",
    ]


def reading(sizes: Sizes) -> list[str]:
    """Following a file against reading its bytes."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log.jsonl"
        write_log(log, sizes.records // 10)
        following, plain = paired(lambda: read_through(log), lambda: read_plain(log))
        size = log.stat().st_size / 1e6
    return [
        f"Following a file of {size:.0f} MB (finding lines, positions, rotation checks) takes {following / plain:.2f} "
        f"times the CPU of reading its bytes."
    ]


def paired(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Median CPU seconds of two things, run in turn so that drift of the machine hits both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for round_number in range(ROUNDS + 1):
        for what, taken in zip((one, other), seconds, strict=True):
            gc.collect()
            start = time.process_time()
            what()
            if round_number:  # the first round warms up
                taken.append(time.process_time() - start)
    return median(seconds[0]), median(seconds[1])


def read_through(log: Path) -> None:
    """FileSource over the file."""
    source = FileSource((str(log),), None)
    while source.read() is not None:
        pass
    source.close()


def read_plain(log: Path) -> None:
    """readinto one buffer, nothing else."""
    buffer = bytearray(1 << 18)
    with log.open("rb", buffering=0) as handle:
        while handle.readinto(buffer):
            pass


WIDE = (
    ("25 features, default limits", 50_000, 256 << 20, 25),
    ("1,000 features, default limits", 50_000, 256 << 20, 1000),
)


def wide(series: int, window_bytes: int, features: int) -> dict[str, Any]:
    """What `wide_model.py` says, from a process of its own."""
    found: dict[str, Any] = json.loads(said("wide_model.py", series, window_bytes, features))
    return found


def wide_models(_: Sizes) -> list[str]:
    """20 bins x 4 versions, inside the budget and far over it; the page of the narrow model is the unit of time."""
    lines = ["A model with 20 bins a feature, 4 versions and full windows; times as multiples of the first row's:", ""]
    lines += ["| what | series | left out | resident MB | page MB | time of a page |", "|---|---|---|---|---|---|"]
    unit = 0.0
    for title, *arguments in WIDE:
        found = wide(*arguments)
        unit = unit or found["publish_seconds"]
        lines.append(
            f"| {title} | {found['series']:,} | {sum(found['dropped'].values()):,} | {found['megabytes']:.0f} "
            f"| {found['page_megabytes']:.1f} | {found['publish_seconds'] / unit:.1f} |"
        )
    return lines


def push(sizes: Sizes) -> list[str]:
    """Records pushed over HTTP."""
    return told("push.py", *sizes.push)


def client(_: Sizes) -> list[str]:
    """What the client adds to a request."""
    return told("client_overhead.py")


def judge(_: Sizes) -> list[str]:
    """A cycle of the judge; decoding the same answers is the unit of time."""
    found: dict[str, Any] = json.loads(said("judge_cycle.py"))
    lines = [
        f"A cycle of the judge on one core, {found['models']} models with {found['measures']} measures and "
        f"{found['features']} features, {found['series']:,} series: {found['median']:.2f} s of CPU (median, largest "
        f"{found['largest']:.2f} s; the first two, in which everything is new, {found['first']:.1f} s), "
        f"{found['megabytes']:.0f} MB resident at most. Its parts, and as multiples of JSON decoding alone:",
        "",
        "| part | seconds | ratio |",
        "|---|---|---|",
    ]
    parts = sorted(found["parts"].items(), key=lambda part: -part[1])
    return [*lines, *(f"| {part} | {seconds:.3f} | {seconds / found['decoding']:.2f} |" for part, seconds in parts)]


def handler(sizes: Sizes) -> list[str]:
    """From the webhook to the effect."""
    found: dict[str, Any] = json.loads(said("handler_latency.py", "--json", "--runs", sizes.runs))
    return [
        "From the webhook to the effect, read at the real target; evidence from the query API of the tests, not from a "
        "Prometheus. The ratio is to the target's own `apply`, in turn:",
        "",
        *found["lines"],
        "",
        found["told"],
    ]


def replay(sizes: Sizes) -> list[str]:
    """A finished log with the judge against the same log without it."""
    found: dict[str, Any] = json.loads(said("judged_replay.py", *sizes.replay))
    return [
        f"A log of {found['records']:,} records, {found['looks']} looks of the judge at it: `replay --judge` reads "
        f"{found['judged']:,} records per second of CPU, `replay` {found['plain']:,}, {found['ratio']} times as many."
    ]


def join(_: Sizes) -> list[str]:
    """Labels meet predictions: columns against the state machine alone."""
    return told("join.py")


def store(sizes: Sizes) -> list[str]:
    """Rows kept as Parquet, with and without."""
    found: dict[str, Any] = json.loads(said("store.py", *sizes.store))
    with_us, without_us = found["with_us"], found["without_us"]
    return [
        f"{found['records']:,} records: {with_us / without_us:.2f} times the CPU per record of an exporter without "
        f"one, {found['with_peak_mb'] - found['without_peak_mb']:.0f} MB more at most; {found['log_mb']} MB of log "
        f"are {found['store_mb']} MB of files. Reading back with labels costs {found['read_us'] / without_us:.2f} "
        "times what the exporter spends on a record, per prediction."
    ]


def sampling(sizes: Sizes) -> list[str]:
    """What looking at fewer rows saves."""
    return told("sampling.py", sizes.sampled)


def busy_page(_: Sizes) -> list[str]:
    """Publishing under traffic against prometheus-client over the same samples."""
    found: dict[str, Any] = json.loads(said("busy_page.py"))
    return [
        f"{found['series']:,} series under traffic: a publish takes {found['core_percent']} % of a core, and "
        f"`generate_latest` over the same samples {found['ratio']} times as long."
    ]


def dashboards(sizes: Sizes) -> list[str]:
    """Every query of every panel on a real Prometheus."""
    return said("dashboard_cost.py", *sizes.dashboards).splitlines()


def rules(_: Sizes) -> list[str]:
    """CPU of the shipped recording and alert rules for a fleet."""
    return said("rule_cost.py", "--step", "60").splitlines()


def mutants(_: Sizes) -> list[str]:
    """Faults in every alert and in a sample of the recording rules, and whether tests notice."""
    return said("rule_mutation.py", "--recorded", "150", "--seed", "2").splitlines()


def soak(sizes: Sizes) -> list[str]:
    """Rotation, late labels, kill -9; exact counts."""
    return said("soak.py", *sizes.soak).splitlines()


PARTS: dict[str, tuple[str, Callable[[Sizes], list[str]]]] = {
    "ingest": ("Speed against JSON decoding alone", ingest),
    "peers": ("Other programs over the same file", peers),
    "footprint": ("What it takes from the machine", footprint),
    "page": ("The page", page),
    "reading": ("Reading", reading),
    "wide": ("Wide models", wide_models),
    "push": ("HTTP push", push),
    "client": ("The client", client),
    "judge": ("The judge", judge),
    "handler": ("The handler", handler),
    "replay": ("Replay", replay),
    "join": ("The label join", join),
    "store": ("The store", store),
    "sampling": ("Sampling", sampling),
    "busy": ("The page under traffic", busy_page),
    "rules": ("The rules", rules),
    "mutants": ("Faults in the rules", mutants),
    "dashboards": ("The dashboards", dashboards),
    "soak": ("Soak", soak),
}


LONG = ("soak", "dashboards", "rules", "mutants")
"""Parts that are measured only where they are named."""


def shape() -> str:
    """The machine by its shape."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"


def former(path: Path) -> dict[str, str]:
    """Sections of a page of results by title, without their heading."""
    text = path.read_text() if path.exists() else ""
    found = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)[1:]
    return {title: body.strip() for title, body in zip(found[::2], found[1::2], strict=True)}


def write(path: Path, sections: dict[str, str]) -> None:
    """All sections in the order of the parts."""
    head = f"# Results of the last `make bench`\n\nMachine: {shape()}. CPU time, medians of things measured in turn.\n"
    titles = [title for title, _ in PARTS.values() if title in sections]
    path.write_text(head + "".join(f"\n## {title}\n\n{sections[title]}\n" for title in titles))


def main() -> int:
    """Measure, print, and write each section when it is known; 1 if a part failed, whose former text then stays."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar=f"PART: {', '.join(PARTS)}")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    failed = 0
    for part in given.parts or [name for name in PARTS if name not in LONG]:
        title, measure = PARTS[part]
        print(f"== {part}", flush=True)
        try:
            text = "\n".join(measure(SMALL if given.small else Sizes())).strip()
        except subprocess.CalledProcessError as error:
            print(f"{part} failed: {error}\n{error.stdout}", file=sys.stderr, flush=True)
            failed = 1
            continue
        print(text, flush=True)
        write(given.out, {**former(given.out), title: text})
    return failed


if __name__ == "__main__":
    sys.exit(main())
