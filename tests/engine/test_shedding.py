"""An exporter that falls behind looks at fewer features, step by step, says so, and comes back; quality stays exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter_process import parsed, total
from mlcanary.engine import Engine
from mlcanary.formats.profile import write_profile
from mlcanary.settings import Flags, load_settings
from mlcanary.shedding import CALM, STEPS, Shedding, SheddingPlan, Step
from monitored_traffic import reference

NOW = 1_760_000_000.0
MIB = 1024 * 1024


def row(i: int, **more: Any) -> bytes:
    """Of 16 KiB, so that a few hundred are a backlog."""
    line = {"id": f"r{i}", "ts": NOW, "model": "m", "version": "v1", "score": 0.9, "features": {"age": 30 + i % 9}}
    return json.dumps({**line, "note": "x" * 16_000, **more}).encode() + b"\n"


def label(i: int) -> bytes:
    return json.dumps({"kind": "label", "id": f"r{i}", "ts": NOW, "model": "m", "label": i % 2}).encode() + b"\n"


class World:
    """An exporter whose log grows faster than it is read, as the test wants it."""

    def __init__(self, directory: Path, shedding: str) -> None:
        self.log, self.now, self.written = directory / "log.jsonl", NOW, 0
        config, profile = directory / "exporter.yml", directory / "profile.json"
        config.write_text(f"shedding: {shedding}\n")
        profile.write_bytes(write_profile(reference()))
        self.log.touch()
        settings = load_settings(Flags(log_paths=(str(self.log),), config_file=config, reference=profile))
        self.engine = Engine(settings, clock=lambda: self.now)

    def write(self, count: int) -> None:
        with self.log.open("ab") as handle:
            for i in range(self.written, self.written + count):
                handle.write(row(i))
                handle.write(label(i))
        self.written += count

    def read_all(self) -> None:
        while self.engine.read_some():
            pass

    def page(self) -> Any:
        self.engine.publish()
        return parsed(self.engine.page.text.decode())

    @property
    def step(self) -> Step:
        return self.engine._shedding.step

    def ratios(self) -> tuple[float, float]:
        page = self.page()
        return tuple(total(page, "mlcanary_sampling_ratio", stage=s) for s in ("features", "joint_drift"))  # type: ignore[return-value]


def test_features_are_shed_while_the_log_grows_and_come_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World(tmp_path, "{lag_bytes: 1048576, patience: 2s}")
    world.write(20)
    world.read_all()
    assert world.ratios() == (1.0, 1.0)
    seen = [world.step]
    for _ in range(20):  # each second a block of 256 KiB is read and 640 KiB come in
        world.write(40)
        world.now += 1.0
        assert world.engine.read_some()
        if world.step != seen[-1]:
            seen.append(world.step)
    assert seen == list(STEPS)
    assert world.ratios() == (1 / 16, 0.0)
    assert [w for w in world.engine.page.warnings if "features of 0.0625 of the rows" in w]
    assert [r.message for r in caplog.records if "bytes behind" in r.message] != []
    world.read_all()
    back = [world.step]
    for _ in range(8 * int(CALM)):
        world.now += 1.0
        world.engine.read_some()
        if not back or back[-1] != world.engine._shedding.step:
            back.append(world.engine._shedding.step)
    assert back == list(reversed(STEPS))
    page = world.page()
    assert world.ratios() == (1.0, 1.0)
    assert not [w for w in world.engine.page.warnings if "load shedding" in w]
    assert total(page, "mlcanary_predictions_total") == world.written
    assert total(page, "mlcanary_labeled_predictions_total") == world.written
    assert 0 < total(page, "mlcanary_feature_rows_total") < world.written
    for direction in ("more", "less"):
        assert total(page, "mlcanary_shedding_changes_total", direction=direction) == len(STEPS) - 1
    error = total(page, "mlcanary_window_sampling_error_ratio", window="1h")
    assert 0.0 < error < 0.2


def test_a_backlog_that_is_worked_off_sheds_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, "{lag_bytes: 1048576, patience: 2s}")
    world.write(400)
    while world.engine.read_some():
        world.now += 1.0
    page = world.page()
    assert total(page, "mlcanary_shedding_changes_total") == 0
    assert total(page, "mlcanary_feature_rows_total") == world.written


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    world = World(tmp_path, "{enabled: false, lag_bytes: 1048576, patience: 2s}")
    world.read_all()
    world.write(1)
    for _ in range(8):
        world.write(100)
        world.now += 1.0
        world.engine.read_some()
    assert world.ratios() == (1.0, 1.0)


def test_the_lag_must_last_and_grow() -> None:
    shedding = Shedding(SheddingPlan(lag_bytes=MIB, patience=5.0))
    peaks = [shedding.observe(2 * MIB if second % 4 else 0, float(second)) for second in range(60)]
    assert not any(peaks)
    shrinking = Shedding(SheddingPlan(lag_bytes=MIB, patience=5.0))
    assert not any(shrinking.observe((1000 - second) * MIB, float(second) * 0.5) for second in range(900))
    hopeless = Shedding(SheddingPlan(lag_bytes=MIB, patience=5.0))
    assert any(hopeless.observe((10_000 - second) * MIB, float(second)) for second in range(60))


def test_it_does_not_flap_between_steps() -> None:
    """Between a quarter of the limit and the limit nothing changes, for ever."""
    shedding = Shedding(SheddingPlan(lag_bytes=MIB))
    for second in range(12):
        shedding.observe(2 * MIB + second, float(second))
    number = shedding.number
    assert number > 0
    assert not any(shedding.observe(MIB / 2, 12.0 + second) for second in range(1000))
    assert shedding.number == number
