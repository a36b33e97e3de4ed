"""Hours of traffic in the worst weather: rotation, late labels, kill -9. Are all counters exact, is memory flat?

Run as `python tests/bench/soak.py [--minutes 30] [--rate 20000]`. The writer counts with its own code what it writes
(`traffic.Truth`): predictions by version, labels by pair of classes, one feature by bin. The exporter is the real
command with a state file; it is killed with SIGKILL again and again and started anew, while the log goes on. Every
third time the log is rotated while it is down. Load shedding is off: a machine that cannot keep pace shows it as lag,
not as features of which only a share was counted. Says at the end what differs, and exits with 1 if anything does; how
it goes is told on standard error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bench_records import MODEL, NUMBERS, VERSIONS  # noqa: E402 - beside this file, not installed
from growing_log import GrowingLog, sum_of  # noqa: E402
from ingest import write_reference  # noqa: E402
from process_figures import memory  # noqa: E402
from traffic import Traffic, Truth  # noqa: E402

from exporter_process import Counters, ExporterProcess, total  # noqa: E402
from mlcanary.formats.profile import read_profile  # noqa: E402
from mlcanary.measures.reference import NumericReference  # noqa: E402

FEATURE = NUMBERS[7]


@dataclass(frozen=True)
class Plan:
    """Seconds, and records a second. `settle`: how long a new process may still grow; `grace`: to read the end."""

    seconds: float = 1800.0
    rate: int = 20_000
    rotate: float = 60.0
    keep: int = 3
    kill: float = 120.0
    label_delay: float = 5.0
    tick: float = 0.25
    progress: float = 10.0
    settle: float = 30.0
    grace: float = 120.0
    flags: Sequence[str] = ()


@dataclass
class Report:
    """What came of it. `memory`: (second, MB resident) where a process had settled; `lags`: bytes, now and then."""

    seconds: float = 0.0
    predictions: int = 0
    kills: int = 0
    rotations: int = 0
    lag: float = 0.0
    caught_up_after: float = 0.0
    peak: float = 0.0
    mismatches: dict[str, tuple[float, float]] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether nothing differs and nothing is left to read."""
        return not self.mismatches and self.lag == 0

    def lines(self) -> list[str]:
        """The report in words."""
        rate = self.predictions / max(self.seconds, 1e-9)
        found = [
            f"{self.predictions:,} predictions with late labels in {self.seconds / 60:.1f} minutes ({rate:,.0f} a "
            f"second), {self.rotations} rotations, {self.kills} kills with SIGKILL.",
            "Every counter compared is exact."
            if not self.mismatches
            else "WRONG (found, true): " + "; ".join(f"{name}: {pair}" for name, pair in self.mismatches.items()),
            f"Lag at the end {self.lag:,.0f} bytes, {self.caught_up_after:.1f} s after the last line; "
            f"at most {max(self.lags, default=0.0) / 1e6:,.1f} MB on the way.",
        ]
        if self.memory:
            times, resident = np.array(self.memory).T
            slope = np.polyfit(times, resident, 1)[0] * 3600 if np.ptp(times) > 0 else 0.0
            found.append(
                f"Resident memory once settled: {resident.min():.1f} to {resident.max():.1f} MB, trend {slope:+.1f} MB "
                f"an hour; the most ever {self.peak:.1f} MB."
            )
        return found


def mismatches(page: Counters, truth: Truth, bins: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Counters that differ from the truth: (found, true)."""
    true: dict[str, float] = {}
    found: dict[str, float] = {}

    def compare(name: str, expected: float, **labels: str) -> None:
        key = " ".join((name, *labels.values()))
        true[key], found[key] = float(expected), total(page, f"mlcanary_{name}", **labels)

    for i, version in enumerate(VERSIONS):
        both = {"model": MODEL, "version": version}
        compare("predictions_total", truth.predictions[i], **both)
        compare("duplicate_predictions_total", 0, **both)
        compare("feature_missing_total", truth.missing[i], **both, feature=FEATURE)
        compare("label_joins_total", truth.labeled[i].sum(), **both, result="matched")
        for name, count in zip(bins, truth.bins[i], strict=True):
            compare("feature_bin_total", count, **both, feature=FEATURE, bin=name)
        for actual in (0, 1):
            for predicted in (0, 1):
                pair = {"actual": str(actual), "predicted": str(predicted)}
                compare("labeled_predictions_total", truth.labeled[i, actual, predicted], **both, **pair)
    for name in ("log_parse_errors_total", "log_lost_total", "checkpoint_errors_total"):
        compare(name, 0)
    return {name: (found[name], true[name]) for name in true if found[name] != true[name]}


class _Soak:
    """One run: a writer with its clock, and an exporter that comes and goes."""

    def __init__(self, plan: Plan, directory: Path, tell: Callable[[str], None]) -> None:
        self._plan, self._directory, self._tell = plan, directory, tell
        profile = directory / "profile.json"
        write_reference(profile, 5000)
        feature = read_profile(profile.read_text(), str(profile)).features[FEATURE]
        assert isinstance(feature, NumericReference)
        self._bins = feature.bins
        self.log = GrowingLog(directory / "log.jsonl", plan.keep)
        self._traffic = Traffic(
            max(1, round(plan.rate * plan.tick)),
            max(1, round(plan.label_delay / plan.tick)),
            span_ms=round(1000 * plan.tick),
            edges=feature.edges,
            feature=FEATURE,
        )
        (directory / "exporter.yml").write_text("shedding: {enabled: false}\n")
        self._flags = ["--log.path", str(self.log.path), "--reference.path", str(profile)]
        self._flags += ["--config.file", str(directory / "exporter.yml")]
        self._flags += ["--state.path", str(directory / "state"), *plan.flags]
        self._pool = ThreadPoolExecutor(1)
        self._exporter: ExporterProcess | None = self._start()
        self._starting: Future[ExporterProcess] | None = None
        self._begun = self._born = time.monotonic()
        self.report = Report()

    def _start(self) -> ExporterProcess:
        return ExporterProcess(*self._flags, log=self._directory / "exporter.log")

    def run(self) -> Report:
        """Write to the end of the time, with everything that happens on the way, then compare."""
        plan, report = self._plan, self.report
        kill, rotate, sample, progress = 0.7 * plan.kill, plan.rotate, 1.0, plan.progress
        while (passed := time.monotonic() - self._begun) < plan.seconds:
            if self._traffic.written * plan.tick <= passed:
                self.log.write(self._traffic.chunk(round(time.time() * 1000)))
            else:
                time.sleep(min(plan.tick, self._traffic.written * plan.tick - passed))
            self._look_for_the_new_one()
            if passed >= rotate:
                rotate += plan.rotate
                self.log.rotate()
            if passed >= kill and self._exporter is not None:
                kill += plan.kill
                self._kill()
            if passed >= sample:
                sample += 1.0
                self._sample(passed)
            if passed >= progress:
                progress += plan.progress
                self._say(passed)
        report.seconds = time.monotonic() - self._begun
        self.log.write(self._traffic.rest(round(time.time() * 1000)))
        report.predictions, report.rotations = self._traffic.records, self.log.rotations
        self._finish()
        return report

    def close(self) -> None:
        """End the exporter and the writer."""
        if self._starting is not None:
            self._exporter = self._starting.result()
        if self._exporter is not None:
            self._exporter.kill()
        self._pool.shutdown()
        self.log.close()

    def _kill(self) -> None:
        assert self._exporter is not None
        self._exporter.kill()
        self._exporter = None
        self.report.kills += 1
        if self.report.kills % 3 == 0:
            self.log.rotate()
        self._starting = self._pool.submit(self._start)

    def _look_for_the_new_one(self) -> None:
        if self._starting is not None and self._starting.done():
            self._exporter, self._starting, self._born = self._starting.result(), None, time.monotonic()

    def _sample(self, passed: float) -> None:
        if self._exporter is None:
            return
        with suppress(OSError, KeyError):
            found = memory(self._exporter.pid)
            self.report.peak = max(self.report.peak, found.peak)
            if time.monotonic() - self._born >= self._plan.settle:
                self.report.memory.append((passed, found.resident))

    def _say(self, passed: float) -> None:
        if self._exporter is None:
            self._tell(f"{passed:6.0f} s  {self._traffic.records:>12,} predictions  the exporter is down")
            return
        page = self._exporter.get()
        counted, lag = sum_of(page, "mlcanary_predictions_total"), sum_of(page, "mlcanary_log_lag_bytes")
        if not counted:
            self._tell(f"{passed:6.0f} s  {self._traffic.records:>12,} predictions, no page yet")
            return
        self.report.lags.append(lag)
        resident = memory(self._exporter.pid).resident
        self._tell(
            f"{passed:6.0f} s  {self._traffic.records:>12,} predictions, {counted:>12,.0f} on the page, lag "
            f"{lag / 1e6:6.1f} MB, {resident:6.1f} MB resident, {self.report.kills} kills"
        )

    def _finish(self) -> None:
        """Wait until nothing differs, and see that it stays so: a line counted twice may show late."""
        report, begun = self.report, time.monotonic()
        if self._starting is not None:
            self._exporter, self._starting = self._starting.result(), None
        exporter = self._exporter
        assert exporter is not None

        truth = self._traffic.truth
        sums = {
            "mlcanary_predictions_total": truth.predictions.sum(),
            "mlcanary_labeled_predictions_total": truth.labeled.sum(),
        }
        while (waited := time.monotonic() - begun) < self._plan.grace:
            page = exporter.get()
            if all(sum_of(page, name) == count for name, count in sums.items()):
                break
            exporter.pause(0.2)
        report.caught_up_after = waited
        stamp = "mlcanary_checkpoint_timestamp_seconds"
        before = sum_of(exporter.get(), stamp)
        while sum_of(exporter.get(), stamp) == before and time.monotonic() - begun < 2 * self._plan.grace:
            exporter.pause(0.2)
        counters = exporter.counters()
        report.mismatches = mismatches(counters, truth, self._bins)
        report.lag = total(counters, "mlcanary_log_lag_bytes")


def soak(plan: Plan, directory: Path, tell: Callable[[str], None] = print) -> Report:
    """Run it in an empty folder, which must hold `keep` + 1 files of a rotation."""
    with closing(_Soak(plan, directory, tell)) as run:
        return run.run()


def main() -> int:
    """Run it and print the report."""
    parser = argparse.ArgumentParser()
    for name in ("seconds", "rotate", "kill", "label_delay", "tick", "settle", "grace"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(Plan, name))
    for name in ("rate", "keep"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Plan, name))
    parser.add_argument("--minutes", type=float)
    given = vars(parser.parse_args())
    minutes = given.pop("minutes")
    if minutes is not None:
        given["seconds"] = 60 * minutes
    with tempfile.TemporaryDirectory() as name:
        report = soak(Plan(**given), Path(name), lambda line: print(line, file=sys.stderr, flush=True))
    print("\n\n".join(report.lines()))
    return 0 if report.exact else 1


if __name__ == "__main__":
    sys.exit(main())
