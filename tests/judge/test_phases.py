"""Phases: a ramp is cut at its steps, a constant share is not, and outcomes have no say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from mlcanary.judge.gates.phases import LONGEST, PhaseClock
from sim.bars import SEED

STEP = 30.0


def run(clock: PhaseClock, steps: Iterator[tuple[float, float]]) -> list[int]:
    """The phase of each step."""
    return [clock.update(STEP * (i + 1), *counts) for i, counts in enumerate(steps)]


def counts(
    rng: np.random.Generator, share: float, rate: float, steps: int, burst: int = 1
) -> Iterator[tuple[int, int]]:
    """Requests of canary and baseline per step; every user sends `burst` of them within a step."""
    for _ in range(steps):
        users = int(rng.poisson(rate / burst))
        canary = int(rng.binomial(users, share))
        yield burst * canary, burst * (users - canary)


@pytest.mark.parametrize("rate", [300.0, 3000.0])
def test_a_ramp_is_cut_at_each_of_its_steps(rate: float) -> None:
    rng, shares, length = np.random.default_rng(SEED), (0.01, 0.05, 0.25, 0.50), 120
    for _ in range(5):
        ramp = [step for share in shares for step in counts(rng, share, rate, length)]
        phases = run(PhaseClock(), iter(ramp))
        cuts = [i for i in range(1, len(phases)) if phases[i] != phases[i - 1]]
        assert len(cuts) == 3
        for cut, due in zip(cuts, (120, 240, 360), strict=True):
            assert due <= cut <= due + 2000 / rate


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5, 0.95])
@pytest.mark.parametrize("burst", [1, 5])
def test_a_constant_share_is_not_cut(share: float, burst: int) -> None:
    rng = np.random.default_rng(SEED)
    for rate in (20.0, 200.0, 2000.0):
        assert run(PhaseClock(), counts(rng, share, rate, 1000, burst))[-1] == 0


def test_traffic_that_swells_and_ebbs_is_not_cut() -> None:
    rng = np.random.default_rng(SEED)
    totals = rng.poisson(200 * (1 + 0.8 * np.sin(np.arange(2000) / 100)))
    assert run(PhaseClock(), ((n, t - n) for t, n in zip(totals, rng.binomial(totals, 0.05), strict=True)))[-1] == 0


def test_a_phase_lasts_a_day_at_most() -> None:
    clock, day = PhaseClock(), int(LONGEST / STEP)
    phases = run(clock, ((5.0, 95.0) for _ in range(2 * day + 10)))
    assert [phases.count(i) for i in range(3)] == [day, day, 10]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_an_arm_that_has_no_traffic_yet_begins_a_phase_when_it_comes(share: float) -> None:
    rng = np.random.default_rng(SEED)
    steps = [*counts(rng, share, 500, 50), *counts(rng, 0.25, 500, 50)]
    phases = run(PhaseClock(), iter(steps))
    assert phases[49] == 0
    assert phases[-1] == 1
    assert phases[51] == 1


def test_steps_without_requests_end_no_phase() -> None:
    phases = run(PhaseClock(), iter([(5.0, 95.0)] * 40 + [(0.0, 0.0)] * 100 + [(5.0, 95.0)] * 40))
    assert set(phases) == {0}
