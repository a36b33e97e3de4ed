"""The bars of E1 in small: few runs, short streams; `python tests/sim/proportions.py` is the full form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.proportions import (
    MEAN_BAR,
    Stream,
    bursts,
    capped,
    constant,
    decided,
    delay,
    fixed_size,
    late_labels,
    ramp_and_day,
    watched,
)

RUNS = 300

HEALTHY = [
    Stream("errors, look each 50", constant(0.10, 50, 50, 100)),
    Stream("errors, look each 5", constant(0.10, 5, 5, 300)),
    Stream("CTR", constant(0.03, 50, 50, 100)),
    Stream("rare", constant(0.002, 500, 500, 100)),
    Stream("canary 5 %", constant(0.10, 50, 950, 100)),
    Stream("ramp and day", ramp_and_day(100, 1000, clicks=False)),
    Stream("bursts", bursts(100), assumed_phi=2.2),
    Stream("late labels", late_labels(100, matured=True), late_labels(100, matured=False)),
]


@pytest.mark.parametrize("stream", HEALTHY, ids=lambda stream: stream.name)
def test_a_healthy_canary_is_not_rolled_back_more_often_than_promised(stream: Stream) -> None:
    outcome = watched(stream, RUNS)
    assert outcome.rate(0.05).held, outcome.rate(0.05)
    assert outcome.rate(0.01).held, outcome.rate(0.01)
    assert outcome.z.mean() > 0.15


def test_late_labels_as_they_arrive_deceive_any_evidence() -> None:
    """Why labels have to mature: the younger arm looks worse."""
    outcome = watched(Stream("as they arrive", late_labels(100, matured=False)), 100)
    assert not outcome.rate(0.05).held


@pytest.mark.parametrize(("canary", "baseline"), [(0.13, 0.10), (0.15, 0.10), (0.045, 0.03)])
def test_a_bad_canary_is_found_nearly_as_soon_as_by_a_fixed_size(canary: float, baseline: float) -> None:
    """Bars on the mean and on the 80 % quantile, each as far as 300 runs can tell."""
    found = delay(canary, baseline, 0.05, RUNS)
    assert np.isfinite(found.trials).all()
    standard_error = float(found.trials.std()) / math.sqrt(RUNS)
    assert found.trials.mean() - 2.33 * standard_error <= MEAN_BAR * found.fixed
    assert found.late.held


def test_a_declared_size_finds_it_sooner() -> None:
    threshold = math.log(capped(0.10, 0.05))
    soon, usual = delay(0.13, 0.10, 0.05, RUNS, log_threshold=threshold), delay(0.13, 0.10, 0.05, RUNS)
    assert (soon.trials <= usual.trials).all()
    assert soon.ratios[0] < usual.ratios[0]


def test_a_canary_at_the_margin_is_promoted_no_more_often_than_promised() -> None:
    outcome, _ = decided(0.12, 0.05, RUNS, 400)
    assert outcome.false_promotions(0.05).held
    assert outcome.rolled_back.mean() > 0.8


def test_a_good_canary_is_promoted_and_a_bad_one_rolled_back() -> None:
    better, _ = decided(0.08, 0.05, RUNS, 200)
    assert better.promoted.all()
    equal, _ = decided(0.10, 0.05, 100, 600)
    assert equal.promoted.mean() > 0.85
    worse, mean = decided(0.15, 0.05, RUNS, 200)
    assert worse.rolled_back.mean() > 0.99
    assert mean < 1000


def test_the_fixed_size_is_the_textbook_one() -> None:
    assert fixed_size(0.12, 0.10, 0.05) == pytest.approx(3023, abs=1)
    assert fixed_size(0.036, 0.03, 0.05) == pytest.approx(10_958, abs=1)
