"""`make bench`: ratios of two things measured in turn in one run, and what the sidecar costs while it runs.

Figures go to RESULTS.md. Compare ratios; absolute times belong to the machine of the run.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector
from scipy.stats import ks_2samp

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bench_records import NUMBERS, lines  # noqa: E402

from exporter_process import ExporterProcess  # noqa: E402 - beside this file, not installed
from mlcanary.engine import Engine  # noqa: E402
from mlcanary.exposition.families import families  # noqa: E402
from mlcanary.exposition.text import TextRenderer  # noqa: E402
from mlcanary.formats.profile import write_profile  # noqa: E402
from mlcanary.measures.contract import sample  # noqa: E402
from mlcanary.measures.profiling import ProfileOptions, profile_columns  # noqa: E402
from mlcanary.settings import Flags, load_settings  # noqa: E402
from mlcanary.sources.files import FileSource  # noqa: E402
from mlcanary.tables import read_columns  # noqa: E402

ROUNDS = 5
RECORDS = 50_000
TRICKLE_SECONDS = 12.0
RATES = (0, 100, 1000)


def paired(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
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


def prepare(directory: Path) -> tuple[Path, Path]:
    """A log of predictions with late labels, and the profile of its first rows."""
    log, profile = directory / "log.jsonl", directory / "profile.json"
    log.write_bytes(b"".join(lines(RECORDS, time.time() - RECORDS / 1000, 1000)))
    columns, _ = read_columns(log)
    head = {name: column[:10_000] for name, column in columns.items()}
    profile.write_bytes(write_profile(profile_columns(head, ProfileOptions())))
    return log, profile


def ingest(log: Path, profile: Path) -> Callable[[], None]:
    """The whole exporter over the file, page included, without a state file."""
    settings = load_settings(Flags(log_paths=(str(log),), reference=profile))

    def run() -> None:
        engine = Engine(settings, clock=time.time)
        while engine.read_some():
            pass
        engine.publish()
        engine.close()

    return run


def decode_only(log: Path) -> Callable[[], object]:
    """The floor: untyped JSON decoding of the same bytes by the same library."""
    data, decoder = log.read_bytes(), msgspec.json.Decoder()
    return lambda: decoder.decode_lines(data)


def naive(log: Path) -> Callable[[], None]:
    """The script that most teams write first: json, prometheus-client per record, scipy per window."""
    reference = {name: np.random.default_rng(0).standard_normal(10_000) for name in NUMBERS}

    def run() -> None:
        registry = CollectorRegistry()
        predictions = Counter("predictions", "n", ["version"], registry=registry)
        latency = Histogram("latency", "ms", ["version"], registry=registry)
        values = Histogram("feature", "value", ["version", "feature"], registry=registry)
        drift = Gauge("drift", "KS", ["feature"], registry=registry)
        window: list[dict[str, Any]] = []
        with log.open() as handle:
            for line in handle:
                record = json.loads(line)
                if "features" not in record:
                    continue
                predictions.labels(record["version"]).inc()
                latency.labels(record["version"]).observe(record["latency_ms"])
                for name in NUMBERS:
                    if name in record["features"]:
                        values.labels(record["version"], name).observe(record["features"][name])
                window.append(record["features"])
                if len(window) >= 10_000:
                    for name in NUMBERS:
                        drift.labels(name).set(
                            ks_2samp(reference[name], [row[name] for row in window if name in row]).statistic
                        )
                    window.clear()
        generate_latest(registry)

    return run


def read_through(log: Path) -> Callable[[], None]:
    """FileSource over the file: finding lines, positions, rotation checks."""

    def run() -> None:
        source = FileSource((str(log),), None)
        while source.read() is not None:
            pass
        source.close()

    return run


def read_plain(log: Path) -> Callable[[], None]:
    """readinto one buffer, nothing else."""
    buffer = bytearray(1 << 18)

    def run() -> None:
        with log.open("rb", buffering=0) as handle:
            while handle.readinto(buffer):
                pass

    return run


def renderers(series: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Our page of `series` counters, both formats, and prometheus-client's text of the same."""
    rows = [("m", "v1", "feature", str(i)) for i in range(series)]
    found = families([sample("feature_bin_total", labels, float(i)) for i, labels in enumerate(rows)])
    renderer = TextRenderer()

    class Rows(Collector):
        def collect(self) -> list[CounterMetricFamily]:
            family = CounterMetricFamily("mlcanary_feature_bin", "x", labels=["model", "version", "feature", "bin"])
            for i, labels in enumerate(rows):
                family.add_metric(labels, float(i))
            return [family]

    registry = CollectorRegistry()
    registry.register(Rows())
    return lambda: renderer.render(found), lambda: generate_latest(registry)


def trickle(directory: Path, profile: Path, rate: int) -> tuple[float, float, float]:
    """Resident MB, CPU % of one core, and seconds to the first useful page, at `rate` records a second."""
    log = directory / f"trickle-{rate}.jsonl"
    first = list(lines(2_000, time.time() - 10, 1000, seed=1))
    log.write_bytes(b"".join(first))
    flags = ["--log.path", str(log), "--reference.path", str(profile), "--state.path", str(directory / f"{rate}.db")]
    with ExporterProcess(*flags, log=directory / f"{rate}.log") as exporter, log.open("ab", buffering=0) as handle:
        exporter.wait_for(lambda page: any(name == "mlcanary_window_accuracy_ratio" for name, _ in page))
        ready = time.monotonic() - exporter.started
        process = psutil.Process(exporter.pid)
        exporter.pause(2.0)
        feed = iter(lines(int(2 * rate * TRICKLE_SECONDS) + 1, time.time(), max(rate, 1), seed=2))
        before, start = process.cpu_times(), time.monotonic()
        written = 0
        while (passed := time.monotonic() - start) < TRICKLE_SECONDS:
            due = int(rate * passed) - written
            handle.write(b"".join(next(feed) for _ in range(due)))
            written += due
            exporter.pause(0.05)
        after = process.cpu_times()
        used = (after.user - before.user) + (after.system - before.system)
        return process.memory_info().rss / 1e6, 100 * used / passed, ready


WIDE = (
    ("25 features, default limits", 50_000, 256 << 20, 25),
    ("1,000 features, default limits", 50_000, 256 << 20, 1000),
)


def wide(series: int, window_bytes: int, features: int) -> dict[str, Any]:
    """What `wide_model.py` says, from a process of its own."""
    arguments = [sys.executable, str(HERE / "wide_model.py"), *map(str, (series, window_bytes, features))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wide_table() -> list[str]:
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
        print(lines[-1], flush=True)
    return [*lines, ""]


def judge_table() -> list[str]:
    """What `judge_cycle.py` says, from a process of its own; decoding the same answers is the unit of time."""
    done = subprocess.run([sys.executable, str(HERE / "judge_cycle.py")], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
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
    lines += [f"| {part} | {seconds:.3f} | {seconds / found['decoding']:.2f} |" for part, seconds in parts]
    print("\n".join(lines), flush=True)
    return [*lines, ""]


def handler_table() -> list[str]:
    """What `handler_latency.py` says, from a process of its own."""
    command = [sys.executable, str(HERE / "handler_latency.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    lines = [
        "From the webhook to the effect, read at the real target; evidence from the query API of the tests, not from a "
        "Prometheus. The ratio is to the target's own `apply`, in turn:",
        "",
        *found["lines"],
        "",
        found["told"],
    ]
    print("\n".join(lines), flush=True)
    return [*lines, ""]


def shape() -> str:
    """The machine by its shape."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    """Measure everything, print it, write RESULTS.md."""
    ratios: list[tuple[str, float, float]] = []
    costs: list[tuple[int, float, float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        print("preparing the log ...", flush=True)
        log, profile = prepare(directory)
        megabytes = log.stat().st_size / 1e6
        pairs = {
            f"whole exporter, {RECORDS:,} predictions and labels, {megabytes:.0f} MB / JSON decoding alone": (
                ingest(log, profile),
                decode_only(log),
            ),
            "naive script (json, prometheus-client, scipy) / whole exporter": (naive(log), ingest(log, profile)),
            "following the file / reading its bytes": (read_through(log), read_plain(log)),
            "prometheus-client's text / our text and OpenMetrics, 10,000 series": renderers(10_000)[::-1],
        }
        for title, (one, other) in pairs.items():
            a, b = paired(one, other)
            ratios.append((title, a / b, a))
            print(f"{title}: {a / b:.2f}", flush=True)
        for rate in RATES:
            rss, cpu, ready = trickle(directory, profile, rate)
            costs.append((rate, rss, cpu, ready))
            print(
                f"{rate} records/s: {rss:.0f} MB resident, {cpu:.2f} % of a core, page after {ready:.2f} s", flush=True
            )
    text = [
        "# Results of the last `make bench`",
        "",
        f"Machine: {shape()}. CPU time, medians of {ROUNDS} paired rounds.",
        "",
    ]
    text += ["| what / what | ratio |", "|---|---|", *(f"| {title} | {ratio:.2f} |" for title, ratio, _ in ratios), ""]
    text += ["The sidecar with 25 features, two versions, a state file, default intervals:", ""]
    text += [
        "| records per second | resident MB | CPU, % of one core | seconds from start to a useful page |",
        "|---|---|---|---|",
    ]
    text += [f"| {rate} | {rss:.0f} | {cpu:.2f} | {ready:.2f} |" for rate, rss, cpu, ready in costs]
    text += ["", *wide_table(), *judge_table(), *handler_table()]
    (HERE / "RESULTS.md").write_text("\n".join(text).rstrip() + "\n")


if __name__ == "__main__":
    main()
