"""In small: models that stay go long without a false alarm, and changes are found about as soon as can be."""

from __future__ import annotations

import numpy as np
import pytest

from sim import changes
from sim.bars import SEED
from sim.changes import LEAST_CHANGE, RATE, least_delay, one_arm, several_streams, two_arms, waiting, z_test


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alarms at A = 100, so that false ones come soon enough to be counted."""
    monkeypatch.setattr(changes, "A", 100.0)


@pytest.mark.parametrize(("stream", "runs"), [(one_arm, 300), (two_arms, 100), (several_streams, 100)])
def test_false_alarms_are_as_rare_as_promised(stream: changes.Stream, runs: int) -> None:
    wait = waiting("healthy", stream(RATE, runs, np.random.default_rng(SEED)), runs, 1200)
    assert wait.reaches(100.0)


def test_the_usual_window_raises_an_alarm_much_sooner_than_a_promise_of_2000_updates() -> None:
    wait = waiting("healthy", z_test(RATE, 300, np.random.default_rng(SEED)), 300, 2000)
    assert wait.mean < 200


@pytest.mark.parametrize("rate", [rate for rate in changes.RAISED if rate >= RATE + LEAST_CHANGE])
def test_changes_are_found_within_the_bar(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "A", 2000.0)
    wait = waiting("changed", one_arm(rate, 300, np.random.default_rng(SEED)), 300, 1000)
    assert wait.mean <= changes.BAR * least_delay(rate)


def test_a_wait_below_the_promise_is_told() -> None:
    assert not changes.Waiting("too soon", np.full(50, 90.0)).reaches(100.0)
    assert changes.Waiting("as promised", np.linspace(50.0, 150.0, 50)).reaches(100.0)
