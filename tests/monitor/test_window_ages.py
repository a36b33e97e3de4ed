"""How old figures of a window may be: counters never, short windows never, long ones a little and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mlcanary.monitor.monitor import Monitor
from mlcanary.monitor.window import OLDEST_SECONDS, oldest_figures
from mlcanary.records import Prediction
from monitored_traffic import STABLE, START, plan

SECONDS = {"5m": 300.0, "1h": 3600.0}
STEP = 5.0
NOW = START + 600.0


def batch(at: float) -> list[Prediction]:
    """A request of one version."""
    return [Prediction(STABLE, at, f"at {at}")]


def shown(monitor: Monitor, now: float) -> dict[str, float]:
    """Requests that the page counts, and those per second of each window."""
    samples = list(monitor.samples(now))
    counted = sum(s.value for s in samples if s.name == "mlcanary_predictions_total")
    rates = {s.labels[2]: s.value for s in samples if s.name == "mlcanary_window_predictions_per_second"}
    return {"counter": counted, **rates}


@pytest.fixture
def monitor() -> Monitor:
    """One that ran for a while, its last page a minute ago."""
    made = Monitor(replace(plan(with_reference=False), windows=tuple(SECONDS.items())), START)
    for now in np.arange(START, NOW, 60.0).tolist():
        made.feed(batch(now), now)
        list(made.samples(now))
    return made


def test_the_age_of_figures_is_bounded(monitor: Monitor) -> None:
    fresh: dict[str, list[float]] = {"counter": [], **{name: [] for name in SECONDS}}
    before: dict[str, float] = {}
    every = [NOW + STEP * i for i in range(12)]
    for now in every:
        monitor.feed(batch(now), now)
        page = shown(monitor, now)
        for name, times in fresh.items():
            if page[name] != before.get(name):
                times.append(now)
        before = page
    assert fresh == {"counter": every, "5m": every, "1h": every[::3]}


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.replan(
            replace(m.plan, models={k: replace(p, threshold=0.6) for k, p in m.plan.models.items()}), NOW
        ),
        lambda m: m.leave_out({"segments"}, ()),
    ],
    ids=["a reload", "a page that was cut"],
)
def test_whatever_else_figures_depend_on_shows_at_once(monitor: Monitor, change: Callable[[Monitor], object]) -> None:
    monitor.feed(batch(NOW), NOW)
    before = shown(monitor, NOW)
    monitor.feed(batch(NOW + STEP), NOW + STEP)
    change(monitor)
    assert shown(monitor, NOW + STEP)["1h"] != before["1h"]


def test_a_restart_shows_what_came_since(monitor: Monitor) -> None:
    monitor.feed(batch(NOW), NOW)
    list(monitor.samples(NOW))
    other = Monitor(monitor.plan, NOW + STEP)
    assert other.plan == monitor.plan
    other.feed(batch(NOW + STEP), NOW + STEP)
    assert shown(other, NOW + STEP + 10.0) == {"counter": 1.0, "5m": 0.1, "1h": 0.1}


def test_no_window_is_older_than_a_quarter_of_its_resolution() -> None:
    for resolution in (0.01, 1.0, 5.0, 60.0, 1440.0):
        for covered in (0.0, 1.0, 60.0, 1e5):
            age = oldest_figures(resolution, covered)
            assert 0.0 <= age <= min(OLDEST_SECONDS, resolution / 4, covered / 20)
