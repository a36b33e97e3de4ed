"""How much of the speed of JSON decoding alone is left when everything is counted.

Run as `python tests/bench/ingest.py [RECORDS] [--rounds 3] [--shape plain|varied]`: one JSON object, or the lines of
RESULTS.md with `--table`. Measured in turn in one run, CPU time, medians:

* `decode`: msgspec into a type that has every key of the record, `decode_lines` on blocks of 256 KiB. Reading the file
  and cutting it into lines is not part of it. This is the fastest way that this library has.
* `engine`, `stored`: the exporter, from the file to the page: quality, drift, windows of 5 minutes and an hour, late
  labels, pages as often as the command makes them; without and with a state file. With the compiled core, where it is
  built, and without it.

`parts` come from a run of their own, in which the calls between the parts are timed; that costs some per cent.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import msgspec
from bench_records import CATEGORIES, NUMBERS, PLAIN, VARIED, Shape, blocks

from mlcanary.compiled import CORE
from mlcanary.engine import Engine
from mlcanary.exposition.page import Page
from mlcanary.formats import native
from mlcanary.formats.compiled_lines import CompiledDecoder
from mlcanary.formats.profile import write_profile
from mlcanary.formats.typed_lines import TypedDecoder
from mlcanary.inputs import Inputs
from mlcanary.lean import keep_lean, lean_arrays
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.monitor.monitor import Monitor
from mlcanary.monitor.panel import Panel
from mlcanary.settings import Flags, load_settings
from mlcanary.sources.checkpoint import Checkpoint
from mlcanary.tables import read_columns

RECORDS, ROUNDS = 1_000_000, 3
BLOCK = 1 << 18
PUBLISH_SECONDS, FIRST_PAGE_SECONDS = 5.0, 1.0
SHAPES = {"plain": PLAIN, "varied": VARIED}
WITH, WITHOUT = "with the core", "without the core"
WAYS = (WITH, WITHOUT) if CORE is not None else (WITHOUT,)
BARS = {"plain": 30, "varied": 25}


def write_log(path: Path, records: int, shape: Shape = PLAIN, seed: int = 0) -> None:
    """A log of that many predictions, a millisecond apart, that ends now."""
    with path.open("wb") as handle:
        for block in blocks(records, time.time() - records / 1000, seed=seed, shape=shape):
            handle.write(block)


def write_reference(path: Path, records: int = 10_000) -> None:
    """The profile of other records of the same kind."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "reference.jsonl"
        write_log(log, records, seed=1)
        columns, _ = read_columns(log)
    kept = {name: column for name, column in columns.items() if name in {*NUMBERS, *CATEGORIES, "score"}}
    path.write_bytes(write_profile(profile_columns(kept, ProfileOptions())))


def typed_decoder() -> msgspec.json.Decoder[Any]:
    """A decoder for lines of predictions and labels with exactly the keys that they have."""
    fields: list[Any] = [(name, float | None, None) for name in NUMBERS]
    fields += [(name, str | None, None) for name in CATEGORIES]
    features = msgspec.defstruct("Features", fields, gc=False)
    texts = ("id", "kind", "model", "version", "user")
    header: list[Any] = [(name, str | None, None) for name in texts]
    header += [(name, float | None, None) for name in ("ts", "score", "latency_ms")]
    header += [(name, int | None, None) for name in ("prediction", "label")]
    header += [("features", features | None, None)]
    return msgspec.json.Decoder(msgspec.defstruct("Line", header, gc=False))


def whole_lines(log: Path) -> Iterator[bytes]:
    """The file in blocks of about 256 KiB that end with a line."""
    rest = b""
    with log.open("rb") as handle:
        while data := handle.read(BLOCK - len(rest)):
            end = data.rfind(b"\n") + 1
            yield rest + data[:end]
            rest = data[end:]


def decode_seconds(log: Path) -> float:
    """CPU seconds of decoding alone."""
    decoder, spent = typed_decoder(), 0.0
    gc.collect()
    for block in whole_lines(log):
        start = time.process_time()
        decoder.decode_lines(block)
        spent += time.process_time() - start
    return spent


def run_engine(log: Path, profile: Path, state: Path | None) -> Page:
    """The exporter from the first line to the last page, which it makes as often as the command does."""
    settings = load_settings(Flags(log_paths=(str(log),), reference=profile))
    keep_lean()  # both as the command does
    lean_arrays()
    engine = Engine(settings, clock=time.time, checkpoint=None if state is None else Checkpoint(state))
    due = time.monotonic() + FIRST_PAGE_SECONDS
    while engine.read_some():
        if time.monotonic() >= due:
            engine.publish()
            due = time.monotonic() + PUBLISH_SECONDS
    engine.publish()
    page = engine.page
    engine.close()
    return page


def engine_seconds(log: Path, profile: Path, *, stored: bool) -> float:
    """CPU seconds of the whole exporter, started anew."""
    with tempfile.TemporaryDirectory(dir=log.parent) as name:
        gc.collect()
        start = time.process_time()
        run_engine(log, profile, Path(name) / "state" if stored else None)
        return time.process_time() - start


@contextmanager
def decoding(way: str) -> Iterator[None]:
    """Formats made in here decode plain lines this way."""
    with patch.object(native, "CORE", CORE if way == WITH else None):
        yield


class Parts:
    """CPU seconds by part, each without what it calls of the others."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, whose time belongs to `part`."""

        def run(*arguments: Any, **named: Any) -> Any:
            self._switch(part)
            try:
                return function(*arguments, **named)
            finally:
                self._switch(None)

        return run

    def _switch(self, part: str | None) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        if part is None:
            self._open.pop()
        else:
            self._open.append(part)
        self._since = now

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the calls from part to part."""
        plan: list[tuple[str, type, list[str]]] = [
            ("read", Inputs, ["read"]),
            ("columns", Inputs, ["decode"]),
            ("decode", TypedDecoder, ["_decode"]),
            ("decode", CompiledDecoder, ["_parse"]),
            ("join", Monitor, ["feed", "advance", "flush"]),
            ("measures", Panel, [name for name in vars(Panel) if name.startswith("on_")]),
            ("publish", Engine, ["publish"]),
            ("save", Engine, ["_save"]),
        ]
        with ExitStack() as stack:
            for part, owner, names in plan:
                for name in names:
                    stack.enter_context(patch.object(owner, name, self.timed(part, getattr(owner, name))))
            yield


def parts(log: Path, profile: Path) -> dict[str, float]:
    """CPU seconds of each part, with a state file."""
    watched = Parts()
    with tempfile.TemporaryDirectory(dir=log.parent) as name, watched.watching():
        start = time.process_time()
        run_engine(log, profile, Path(name) / "state")
        whole = time.process_time() - start
    found = dict(watched.seconds)
    return {**found, "rest": whole - sum(found.values())}


def measured(records: int, rounds: int, shape: str, directory: Path) -> dict[str, Any]:
    """Everything about one shape of log."""
    log, profile = directory / f"{shape}.jsonl", directory / "profile.json"
    write_log(log, records, SHAPES[shape])
    if not profile.exists():
        write_reference(profile)
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        taken["decode"].append(decode_seconds(log))
        for way in WAYS:
            with decoding(way):
                taken[f"engine, {way}"].append(engine_seconds(log, profile, stored=False))
                taken[f"stored, {way}"].append(engine_seconds(log, profile, stored=True))
    middle = {name: median(seconds) for name, seconds in taken.items()}
    shares = {name: median(d / s for d, s in zip(taken["decode"], taken[name], strict=True)) for name in middle}
    found: dict[str, Any] = {
        "shape": shape,
        "records": records,
        "bytes": log.stat().st_size,
        "rounds": rounds,
        "microseconds": {name: 1e6 * seconds / records for name, seconds in middle.items()},
        "percent_of_decode": {name: 100 * share for name, share in shares.items() if name != "decode"},
        "bar": BARS[shape],
        "parts": {},
    }
    for way in WAYS:
        with decoding(way):
            taken_by = parts(log, profile).items()
        found["parts"][way] = {name: 1e6 * seconds / records for name, seconds in taken_by}
    log.unlink()
    return found


def table(found: dict[str, Any]) -> list[str]:
    """What one shape gave, as lines of Markdown."""
    us, percent = found["microseconds"], found["percent_of_decode"]
    size = found["bytes"] / 1e6
    head = (
        f"{found['records']:,} records, {found['shape']} ({size:,.0f} MB with their labels), median of "
        f"{found['rounds']} rounds; goal: {found['bar']} % of decoding alone."
    )
    order = ("read", "decode", "columns", "join", "measures", "publish", "save", "rest")
    what = {"engine": "whole exporter, no state file", "stored": "whole exporter, with a state file"}
    rows = [
        f"| {title}, {way} | {us[f'{name}, {way}']:.2f} | {percent[f'{name}, {way}']:.0f} |"
        for way in WAYS
        for name, title in what.items()
    ]
    shown = [
        f"Parts with a state file, {way}, us a record: "
        + ", ".join(f"{name} {taken.get(name, 0.0):.2f}" for name in order)
        + "."
        for way, taken in found["parts"].items()
    ]
    return [
        head,
        "",
        "| what | CPU us a record | % of decoding alone |",
        "|---|---|---|",
        f"| msgspec, typed, decoding alone | {us['decode']:.2f} | 100 |",
        *rows,
        "",
        *(line for part in shown for line in (part, "")),
    ]


def main() -> None:
    """Measure the shapes asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("records", nargs="?", type=int, default=RECORDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--shape", choices=list(SHAPES), action="append")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for shape in given.shape or SHAPES:
            found = measured(given.records, given.rounds, shape, Path(name))
            print("\n".join(table(found)) if given.table else json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
