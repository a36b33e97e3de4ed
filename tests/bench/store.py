"""What `store:` costs: CPU time per record and memory of an engine that reads a log, with and without, in turn.

Run as `python tests/bench/store.py [PREDICTIONS [ROUNDS]]`: one line of JSON. A prediction has 20 numbers and 5
categories, a reference profile, and a label a thousand records later: `records` are both. Segments are closed every
`SEGMENT_ROWS` rows and when the log ends, and their making is part of the cost. `read_us` is the CPU time of
`labeled_rows` per prediction, in buckets of its default size. MB are 10**6 bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

START = 1_790_000_000.0
SEGMENT_ROWS = 100_000
PUBLISH_BLOCKS = 200  # some 5 s of 10,000 records each


def peak() -> float:
    """The most memory that this process ever had, MB."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM")) * 1024 / 1e6


def run_engine(directory: Path, *, store: bool) -> dict[str, float]:
    """Read the log of a directory to its end; CPU seconds and MB."""
    from mlcanary.engine import Engine  # noqa: PLC0415 - the other halves of this script load less
    from mlcanary.settings import Flags, load_settings  # noqa: PLC0415
    from mlcanary.sources.checkpoint import Checkpoint  # noqa: PLC0415

    settings = load_settings(Flags(config_file=directory / ("with.yml" if store else "without.yml")))
    kept = None
    if settings.store is not None:
        from mlcanary.store.lean import keep_small  # noqa: PLC0415
        from mlcanary.store.writer import Store  # noqa: PLC0415

        keep_small()  # as the command does
        kept = Store(settings.store, settings.plan.model)
    with tempfile.TemporaryDirectory() as state:
        engine = Engine(settings, clock=lambda: START, checkpoint=Checkpoint(Path(state) / "state.db"), store=kept)
        before, idle, blocks = time.process_time(), peak(), 0
        while engine.read_some():
            blocks += 1
            if blocks % PUBLISH_BLOCKS == 0:
                engine.publish()
        engine.publish()
        engine.close()
        seconds = time.process_time() - before
        if kept is not None:
            assert kept.kept["predictions"] > 0
            kept.close()
    return {"seconds": seconds, "idle_mb": idle, "peak_mb": peak()}


def run_reader(directory: Path) -> dict[str, float]:
    """Read the labelled window of the store; CPU seconds per prediction and MB."""
    from mlcanary.store import labeled_rows  # noqa: PLC0415

    before = time.process_time()
    rows = sum(batch.num_rows for batch in labeled_rows(directory / "kept"))
    return {"read_us": (time.process_time() - before) / rows * 1e6, "rows": rows, "read_peak_mb": peak()}


def child(mode: str, directory: Path) -> dict[str, Any]:
    """The same script in a process of its own."""
    done = subprocess.run([sys.executable, __file__, mode, str(directory)], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """See the module."""
    if len(sys.argv) == 3 and sys.argv[1] in {"with", "without", "reader"}:
        mode, directory = sys.argv[1], Path(sys.argv[2])
        print(json.dumps(run_reader(directory) if mode == "reader" else run_engine(directory, store=mode == "with")))
        return
    from bench_records import lines  # noqa: PLC0415 - beside this file, not installed

    from mlcanary.formats.profile import write_profile  # noqa: PLC0415
    from mlcanary.measures.profiling import ProfileOptions, profile_columns  # noqa: PLC0415
    from mlcanary.tables import read_columns  # noqa: PLC0415

    predictions, rounds = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 100_000), (2, 3)))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        head = directory / "head.jsonl"
        with head.open("wb") as handle:
            handle.writelines(lines(5_000, START - 1000, 100, 1))
        columns, _ = read_columns(head)
        (directory / "profile.json").write_bytes(write_profile(profile_columns(columns, ProfileOptions())))
        with (directory / "log.jsonl").open("wb") as handle:
            handle.writelines(lines(predictions, START - predictions / 1000, 1000))
        base = f"sources: [{{path: {directory}/log.jsonl}}]\ndefaults: {{reference: profile.json}}\n"
        (directory / "without.yml").write_text(base)
        (directory / "with.yml").write_text(f"{base}store: {{path: kept, segment_rows: {SEGMENT_ROWS}}}\n")
        found: dict[str, list[dict[str, Any]]] = {"with": [], "without": []}
        for _ in range(rounds):
            for mode, results in found.items():
                if mode == "with":
                    subprocess.run(["rm", "-rf", str(directory / "kept")], check=True)
                results.append(child(mode, directory))
        records = 2 * predictions - 1000
        size = sum(path.stat().st_size for path in (directory / "kept").rglob("*.parquet"))
        report: dict[str, Any] = {
            "records": records,
            "log_mb": round((directory / "log.jsonl").stat().st_size / 1e6, 1),
        }
        report |= {"store_mb": round(size / 1e6, 1)}
        for mode, results in found.items():
            report[f"{mode}_us"] = round(median(r["seconds"] for r in results) / records * 1e6, 2)
            report |= {f"{mode}_{part}": round(median(r[part] for r in results), 1) for part in ("idle_mb", "peak_mb")}
        print(json.dumps(report | {k: round(v, 2) for k, v in child("reader", directory).items()}))


if __name__ == "__main__":
    main()
