"""The engine in this process, on a clock of the test: order of saving and showing, failures, clocks that run ahead."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter_process import Counters, parsed, total
from mlcanary.engine import Engine
from mlcanary.errors import StateError
from mlcanary.settings import Flags, load_settings
from mlcanary.sources.checkpoint import Checkpoint

NOW = 1_760_000_000.0


class Bench:
    """A log, a configuration, a state file and a clock."""

    def __init__(self, directory: Path, configuration: str = "{}") -> None:
        self.now = NOW
        self.log = directory / "log.jsonl"
        self.log.touch()
        self.state = directory / "state.db"
        self.config = directory / "exporter.yml"
        self.config.write_text(configuration)

    def write(self, *records: dict[str, Any]) -> None:
        """Append records."""
        with self.log.open("a") as handle:
            handle.writelines(json.dumps(record) + "\n" for record in records)

    def engine(self, checkpoint: Checkpoint | None = None) -> Engine:
        """An engine over the log as it is configured now."""
        settings = load_settings(Flags(log_paths=(str(self.log),), config_file=self.config))
        return Engine(settings, clock=lambda: self.now, checkpoint=checkpoint)


def shown(engine: Engine) -> Counters:
    """Read everything, publish, and parse the page."""
    while engine.read_some():
        pass
    engine.publish()
    return parsed(engine.page.text.decode())


def prediction(row_id: str, ts: float = NOW - 1, **more: Any) -> dict[str, Any]:
    return {"id": row_id, "ts": ts, "model": "m", "version": "v1", "score": 0.9, **more}


def label(row_id: str, ts: float = NOW - 1) -> dict[str, Any]:
    return {"kind": "label", "id": row_id, "ts": ts, "label": 1}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_clock_that_runs_ahead_does_not_end_the_wait_of_others(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "models: [{name: m, maturity: 10m}]")
    bench.write(prediction("a"), prediction("ahead", NOW + 3000))
    engine = bench.engine()
    assert total(shown(engine), "mlcanary_label_joins_total", result="expired") == 0
    bench.write(label("a", NOW + 10))
    bench.now += 601
    assert total(shown(engine), "mlcanary_label_joins_total", result="matched") == 1
    engine.close()


def test_a_clock_that_steps_back_changes_no_counter(bench: Bench) -> None:
    bench.write(prediction("a"), label("a"))
    engine = bench.engine()
    before = shown(engine)
    bench.now -= 3600
    bench.write(prediction("b", NOW - 3601), label("b", NOW - 3600))
    after = shown(engine)
    assert total(before, "mlcanary_predictions_total") == 1
    assert total(after, "mlcanary_predictions_total") == 2
    assert total(after, "mlcanary_labeled_predictions_total") == 2
    engine.close()


def test_score_bins_are_born_at_zero_before_the_first_label(bench: Bench) -> None:
    bench.write(prediction("a"))
    engine = bench.engine()
    page = shown(engine)
    bins = [value for (name, _), value in page.items() if name == "mlcanary_labeled_score_bin_total"]
    assert len(bins) == 200
    assert sum(bins) == 0
    assert total(page, "mlcanary_log_loss_count") == 0
    engine.close()


def test_a_state_that_cannot_be_written_is_counted_and_loses_nothing(bench: Bench) -> None:
    """Monitoring must not go blind with the disk; what waited for its label is stored by the next checkpoint."""
    engine = bench.engine(Checkpoint(bench.state))
    assert total(shown(engine), "mlcanary_checkpoint_errors_total") == 0
    bench.write(prediction("a"), prediction("b"))
    other = sqlite3.connect(bench.state, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    page = shown(engine)
    assert total(page, "mlcanary_predictions_total") == 2
    other.execute("ROLLBACK")
    other.close()
    assert total(shown(engine), "mlcanary_checkpoint_errors_total") == 1
    engine.close()
    bench.write(label("a"), label("b"))
    again = bench.engine(Checkpoint(bench.state))
    page = shown(again)
    assert total(page, "mlcanary_predictions_total") == 2
    assert total(page, "mlcanary_labeled_predictions_total") == 2
    again.close()


def test_other_bins_start_anew_and_say_so(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    engine = bench.engine(Checkpoint(bench.state))
    bench.write(prediction("a"), label("a"))
    shown(engine)
    engine.close()
    feature = {"kind": "numeric", "edges": [0.5], "counts": [1, 1], "means": [0.2, 0.7], "stddev": 0.3}
    profile = {"mlcanary_profile": 1, "rows": 2, "features": {"x": feature}, "score": feature}
    (bench.config.parent / "p.json").write_text(json.dumps(profile))
    bench.config.write_text("models: [{name: m, reference: p.json}]")
    again = bench.engine(Checkpoint(bench.state))
    bench.write(prediction("b"), label("b"))
    page = shown(again)
    assert "m/v1: bin edges changed, its counters start anew" in caplog.text
    assert total(page, "mlcanary_labeled_predictions_total") == 1
    again.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda path: path.write_bytes(b"no database, but long enough for one " * 40),
            "not a usable state file",
        ),
        (lambda path: _execute(path, "UPDATE state SET value = x'00' WHERE name = 'inputs'"), "checksum does not fit"),
        (lambda path: _execute(path, "DELETE FROM state WHERE name = 'inputs'"), "not a usable state file: 'inputs'"),
        (lambda path: _execute(path, _SWAPPED), "checksum does not fit"),
        (lambda path: _set_layout(path, 99), "layout 99, this version writes 4"),
    ],
)
def test_a_state_that_is_not_ours_is_refused_with_a_hint(
    bench: Bench, spoil: Callable[[Path], object], message: str
) -> None:
    checkpoint = Checkpoint(bench.state)
    bench.engine(checkpoint).close()
    spoil(bench.state)
    with pytest.raises(StateError, match=message) as refused, closing(Checkpoint(bench.state)) as spoilt:
        bench.engine(spoilt)
    assert refused.value.hint


_SWAPPED = "UPDATE state SET value = (SELECT value FROM state WHERE name = 'monitor') WHERE name = 'inputs'"


def _execute(path: Path, statement: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(statement)
    database.close()


def _set_layout(path: Path, layout: int) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("UPDATE state SET value = ? WHERE name = 'layout'", (bytes([layout]),))
    database.close()


def test_scores_outside_the_range_of_the_reference_still_rank(bench: Bench) -> None:
    """Reference quantiles alone would put all of them into one bin, and any ranking would read 0.5."""
    low = {"kind": "numeric", "edges": [0.01, 0.02], "counts": [5, 5, 5], "means": [0.005, 0.015, 0.03], "stddev": 0.01}
    profile = {"mlcanary_profile": 1, "rows": 15, "features": {}, "score": low}
    (bench.config.parent / "p.json").write_text(json.dumps(profile))
    bench.config.write_text("models: [{name: m, reference: p.json}]")
    for i in range(200):
        bench.write(prediction(f"r{i}", score=0.3 + i / 400), {**label(f"r{i}"), "label": int(i >= 100)})
    engine = bench.engine()
    page = shown(engine)
    auc = total(page, "mlcanary_window_auc_ratio", window="5m")
    bound = total(page, "mlcanary_window_auc_error_bound_ratio", window="5m")
    assert abs(auc - 1.0) <= bound < 0.02
    engine.close()


def test_a_first_start_shows_an_old_log_whole_and_not_as_growth(bench: Bench) -> None:
    bench.write(prediction("a"), label("a"))
    engine = bench.engine()
    engine.publish()
    assert total(parsed(engine.page.text.decode()), "mlcanary_predictions_total") == 0
    assert total(shown(engine), "mlcanary_predictions_total") == 1
    engine.close()


def test_one_line_without_a_time_does_not_end_the_wait_of_a_backlog(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "models: [{name: m, maturity: 30m}]")
    for i in range(5000):
        bench.write(prediction(f"r{i}", NOW - 9000 + i), label(f"r{i}", NOW - 9000 + i + 1200))
    bench.write({"id": "none", "model": "m", "version": "v1", "score": 0.5})
    bench.write(*(prediction(f"s{i}", NOW - 4000 + i) for i in range(2000)))
    bench.write(*(label(f"s{i}", NOW - 4000 + i + 1200) for i in range(2000)))
    engine = bench.engine()
    page = shown(engine)
    assert total(page, "mlcanary_label_joins_total", result="late") == 0
    assert total(page, "mlcanary_label_joins_total", result="matched") == 7000
    engine.close()


def ids_in(chunks: Iterable[bytes]) -> list[str]:
    """The ids of stored chunks, in their order."""
    return [row_id for chunk in chunks for row_id in msgspec.msgpack.decode(chunk)[1]]


def test_a_disk_that_stays_full_costs_no_memory(bench: Bench) -> None:
    bench.config.write_text("labels: {capacity: 100}")
    engine = bench.engine(Checkpoint(bench.state))
    shown(engine)
    other = sqlite3.connect(bench.state, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    bench.write(*(prediction(f"r{i}") for i in range(20_000)))
    shown(engine)
    other.execute("ROLLBACK")
    other.close()
    changes = engine.monitor.drain_joins()
    assert ids_in(chunk for _, chunk in changes.ids)[-100:] == [f"r{i}" for i in range(19_900, 20_000)]
    assert (len(changes.pages), sum(chunk.rows for chunk in changes.fresh) <= 512) == (2, True)
    engine.monitor.redrain_joins(changes)
    engine.close()
    again = Checkpoint(bench.state)
    stored = again.joins()
    ids = ids_in(chunk for _, chunk in stored.ids)
    assert (ids[-100:], len(ids) <= 512) == ([f"r{i}" for i in range(19_900, 20_000)], True)
    again.close()
