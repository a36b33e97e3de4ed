"""Versions are forgotten after a retention, and windows share a memory: what is bounded, and what that costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlcanary.joins.pages import StoredJoin
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction
from monitored_traffic import START, plan, traffic, value

DAY = 86_400.0
OLD, NEW = ModelKey("m", "v1"), ModelKey("m", "v2")


def request(key: ModelKey, ts: float, row_id: str | None = None) -> Prediction:
    """One answered request."""
    return Prediction(key, ts, row_id, predicted="1")


def shown(monitor: Monitor, now: float) -> set[str]:
    """Versions on the page."""
    monitor.retire(now)
    return {s.labels[1] for s in monitor.samples(now) if s.name == "mlcanary_model_info"}


def test_a_version_disappears_a_day_after_its_last_request_and_the_others_stay() -> None:
    monitor = Monitor(MonitorPlan(), START)
    monitor.feed([request(OLD, START)], START)
    for hour in range(24):
        now = START + 3600.0 * hour
        monitor.feed([request(NEW, now)], now)
        assert shown(monitor, now) == {"v1", "v2"}
    now = START + DAY + 1
    monitor.feed([request(NEW, now)], now)
    assert shown(monitor, now) == {"v2"}


def test_a_version_whose_labels_are_still_awaited_stays() -> None:
    slow = ModelPlan(join=JoinPolicy(0.0, 5 * DAY))
    monitor = Monitor(MonitorPlan(default=slow), START)
    monitor.feed([request(OLD, START, "r1")], START)
    assert shown(monitor, START + 2 * DAY) == {"v1"}
    monitor.feed([Label("r1", START + 3 * DAY, "m", "1")], START + 3 * DAY)
    monitor.advance(START + 3 * DAY, START + 3 * DAY)
    samples = list(monitor.samples(START + 3 * DAY))
    assert value(samples, "labeled_predictions_total", *OLD, "1", "1") == 1.0
    monitor.advance(START + 5 * DAY + 1, START + 5 * DAY + 1)
    assert shown(monitor, START + 5 * DAY + 1) == set()


def test_silence_is_measured_by_the_time_of_reading_so_that_an_old_log_is_shown() -> None:
    monitor = Monitor(MonitorPlan(), START)
    monitor.feed([request(OLD, START - 400 * DAY)], START)
    monitor.advance(START, START)
    assert shown(monitor, START + 60.0) == {"v1"}


def test_a_restart_does_not_renew_the_life_of_a_silent_version() -> None:
    monitor = Monitor(MonitorPlan(), START)
    monitor.feed([request(OLD, START)], START)
    restarted = Monitor(MonitorPlan(), START + DAY - 60)
    restarted.load(monitor.dump(), StoredJoin(), START + DAY - 60)
    assert shown(restarted, START + DAY - 60) == {"v1"}
    assert shown(restarted, START + DAY + 60) == set()


@pytest.mark.parametrize("megabytes", [1, 256])
def test_former_states_of_all_windows_stay_within_their_memory(megabytes: int) -> None:
    budget = megabytes * 1024 * 1024
    small = replace(plan(), limits=Limits(window_bytes=budget))
    monitor = Monitor(small, START)
    records = traffic(400)
    for minute in range(150):
        now = START + 60.0 * minute
        monitor.feed([replace_time(r, now, i) for i, r in enumerate(records[: 10 + minute % 5])], now)
        monitor.advance(now, now)
        list(monitor.samples(now))
    state = max(panel.nbytes for panel in monitor.panels.values())
    kept = sum(len(window.ring) for panel in monitor.panels.values() for window in panel.windows)
    least = 2 * len(monitor.panels) * (6 + 2)
    assert kept * state <= max(budget, least * state)
    resolution = value(monitor.samples(START + 9000.0), "resolution_seconds", "1h")
    assert resolution is not None
    assert 60.0 <= resolution <= 600.0
    assert (resolution == 60.0) == (megabytes == 256)


def replace_time(record: Prediction | Label, now: float, i: int) -> Prediction | Label:
    """The same record at another time, under another id."""
    if isinstance(record, Label):
        return Label(f"{now}-{i}", now, record.model, record.label, record.event, record.value)
    return Prediction(
        record.key, now, f"{now}-{i}", record.features, record.predicted, record.score, record.latency, record.error
    )
