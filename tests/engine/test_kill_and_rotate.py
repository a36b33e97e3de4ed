"""kill -9 at random moments, while the log is written, rotated and labelled: every line counts exactly once."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from exporter_process import Counters, ExporterProcess, total
from prediction_log import PredictionLog, Truth

STEPS = 24


class RotatedLog:
    """A log that is appended to and rotated in both ways, as logrotate does it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = path.open("ab", buffering=0)

    def close(self) -> None:
        """The writer ends."""
        self._handle.close()

    def append(self, data: bytes) -> None:
        """Write bytes, which may end inside a line."""
        self._handle.write(data)

    def rotate(self, how: str) -> None:
        """`rename`: move away and begin a new file; `copytruncate`: copy away and cut to nothing."""
        for i in range(9, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{i}")
            if older.exists():
                older.rename(self.path.with_name(f"{self.path.name}.{i + 1}"))
        first = self.path.with_name(f"{self.path.name}.1")
        if how == "rename":
            self.path.rename(first)
            self._handle.close()
            self._handle = self.path.open("ab", buffering=0)
        else:
            shutil.copyfile(self.path, first)
            self._handle.truncate(0)


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(directory: Path) -> ExporterProcess:
    flags = ["--log.path", str(directory / "predictions.jsonl"), "--log.path", str(directory / "labels.jsonl")]
    flags += ["--state.path", str(directory / "state.db"), "--publish.interval", "100ms", "--poll.interval", "30ms"]
    return ExporterProcess(*flags, log=directory / "exporter.log")


def mismatches(page: Counters, truth: Truth) -> dict[str, tuple[float, float]]:
    """Counters that differ from the truth: (found, true)."""
    true: dict[str, float] = {}
    found: dict[str, float] = {}
    for version, count in truth.predictions.items():
        true[f"predictions {version}"] = count
        found[f"predictions {version}"] = total(page, "mlcanary_predictions_total", version=version)
        pairs = list(zip(truth.actual.get(version, []), truth.predicted.get(version, []), strict=True))
        for actual in (0, 1):
            for predicted in (0, 1):
                labels = {"version": version, "actual": str(actual), "predicted": str(predicted)}
                name = f"confusion {version} {actual} {predicted}"
                true[name] = pairs.count((actual, predicted))
                found[name] = total(page, "mlcanary_labeled_predictions_total", **labels)
        true[f"log loss {version}"] = len(pairs)
        found[f"log loss {version}"] = total(page, "mlcanary_log_loss_count", version=version)
        true[f"latency {version}"] = count
        found[f"latency {version}"] = total(page, "mlcanary_prediction_latency_seconds_count", version=version)
        duplicates = total(page, "mlcanary_duplicate_predictions_total", version=version)
        true[f"duplicates {version}"], found[f"duplicates {version}"] = truth.duplicates[version], duplicates
    return {name: (found[name], true[name]) for name in true if found[name] != true[name]}


@pytest.mark.parametrize("seed", range(30))
def test_thirty_runs_with_kill_9_count_every_line_once(tmp_path: Path, cleanup: ExitStack, seed: int) -> None:
    random = np.random.default_rng(seed)
    log = PredictionLog(seed)
    predictions = cleanup.enter_context(closing(RotatedLog(tmp_path / "predictions.jsonl")))
    labels = cleanup.enter_context(closing(RotatedLog(tmp_path / "labels.jsonl")))
    kills = set(random.choice(STEPS - 2, size=2, replace=False).tolist())
    downs = {step: int(random.integers(0, 3)) for step in kills}
    exporter: ExporterProcess | None = cleanup.enter_context(start(tmp_path))
    seen: Counters = {}
    down = 0
    rest = b""
    for step in range(STEPS):
        data = rest
        for _ in range(int(random.integers(1, 25))):
            ts = time.time() - 5 + step * 0.01
            version = "v2" if random.random() < 0.3 else "v1"
            row_id, actual, score, line = log.prediction(ts, version)
            data += line.encode() + b"\n"
            if random.random() < 0.05:
                data += line.encode() + b"\n"
                log.truth.duplicates[version] += 1
            if random.random() < 0.1:
                data += b'{"broken": \n\n\xff\xfe\n'
            if random.random() < 0.8:
                labels.append(log.label(row_id, ts + 1, actual).encode() + b"\n")
                log.truth.label(version, actual, score)
        cut = int(random.integers(0, min(60, len(data))))  # the last line may still be half written
        predictions.append(data[: len(data) - cut])
        rest = data[len(data) - cut :]
        turn = random.random()
        if turn < 0.3:
            target = labels if random.random() < 0.4 else predictions
            if target is predictions:
                predictions.append(rest)  # nobody rotates inside a line on purpose
                rest = b""
            target.rotate("rename" if turn < 0.15 else "copytruncate")
        if exporter is not None:
            exporter.pause(float(random.random()) * 0.06)
            if step in kills:
                seen = exporter.counters()
                exporter.kill()
                exporter, down = None, downs[step]
        elif down > 0:
            down -= 1
        else:
            exporter = cleanup.enter_context(start(tmp_path))
            assert_never_falls(seen, exporter.wait_for(lambda page: len(page) > 100))
    predictions.append(rest)
    exporter = exporter or cleanup.enter_context(start(tmp_path))
    exporter.wait_for(lambda page: not mismatches(page, log.truth))
    lines = total(exporter.counters(), "mlcanary_log_lines_total")
    exporter.pause(0.3)  # a line counted twice would show by now
    page = exporter.counters()
    assert mismatches(page, log.truth) == {}
    assert total(page, "mlcanary_log_lines_total") == lines
    assert total(page, "mlcanary_log_lag_bytes") == 0
    assert_never_falls(seen, page)


def assert_never_falls(before: Counters, after: Counters) -> None:
    """What was shown is durable: no counter of the measured traffic may fall, or Prometheus sees a reset."""
    durable = ("mlcanary_predictions_total", "mlcanary_labeled_", "mlcanary_label_joins_total", "mlcanary_log_loss")
    fallen = {
        key: (value, after.get(key))
        for key, value in before.items()
        if key[0].startswith(durable) and after.get(key, -1.0) < value
    }
    assert fallen == {}


def test_sigterm_drains_the_log_and_exits_cleanly(tmp_path: Path) -> None:
    log = PredictionLog(99)
    path = tmp_path / "predictions.jsonl"
    lines = [log.prediction(time.time(), "v1")[3] for _ in range(2000)]
    path.write_text("\n".join(lines) + "\n")
    (tmp_path / "labels.jsonl").write_text("")
    with start(tmp_path) as exporter:
        assert exporter.terminate() == 0
    with start(tmp_path) as exporter:
        page = exporter.wait_for(lambda p: total(p, "mlcanary_predictions_total") == 2000)
        assert total(page, "mlcanary_predictions_total") == 2000


def test_two_exporters_cannot_share_a_state_file(tmp_path: Path) -> None:
    (tmp_path / "predictions.jsonl").write_text("")
    (tmp_path / "labels.jsonl").write_text("")
    with start(tmp_path), pytest.raises(AssertionError, match="held by another process"):
        start(tmp_path)
