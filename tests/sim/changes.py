"""`python tests/sim/changes.py [runs]`: how long models that stay go without a false alarm, how soon changes are found.

Updates of 50 trials at a rate of 10 % (two arms: 50 in each). Beside it a z-test on the last 1,000 trials. The
change begins with the first update, when R is at its least: that is the slowest start.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path[:0] = [str(Path(__file__).parents[1])]

from mlcanary.stats.accumulator import Floats  # noqa: E402 - after the path
from mlcanary.stats.change_evidence import ChangeEvidence, RateChangeEvidence  # noqa: E402
from mlcanary.stats.evidence_family import mean_log_e  # noqa: E402
from sim.bars import SEED, table  # noqa: E402

RUNS = 2000
A = 2000.0
"""Updates without a false alarm, on average, that are promised."""
RATE, BLOCK = 0.1, 50
WINDOW = 20
"""Updates that the z-test looks at."""
RAISED = (0.11, 0.12, 0.13, 0.15, 0.2)
BAR = 1.6
"""Mean delay over log(A) / KL, for changes of two points and more."""
LEAST_CHANGE = 0.02
STREAMS = 5

Alarm = Callable[[], NDArray[np.bool_]]
"""One update of all runs: which of them raise the alarm."""

Stream = Callable[[float, int, np.random.Generator], Alarm]
"""Rate, number of runs, chance: those runs, side by side."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Updates until the first alarm of each run; those without one by the end count as that long."""

    stream: str
    updates: Floats

    @property
    def mean(self) -> float:
        """Updates, on average."""
        return float(self.updates.mean())

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(self.updates.std()) / math.sqrt(len(self.updates))

    def reaches(self, promised: float) -> bool:
        """Whether the mean is compatible with a true one of at least `promised` (one-sided z-test at 1 %)."""
        return self.mean > promised - 2.326 * self.error


def waiting(stream: str, alarm: Alarm, runs: int, longest: int) -> Waiting:
    """Update all runs until each has raised an alarm, or for `longest` updates."""
    updates, open_runs, passed = np.full(runs, float(longest)), np.ones(runs, dtype=np.bool_), 0
    while open_runs.any() and passed < longest:
        passed += 1
        raised = alarm() & open_runs
        updates[raised] = passed
        open_runs &= ~raised
    return Waiting(stream, updates)


def one_arm(rate: float, runs: int, rng: np.random.Generator) -> Alarm:
    """The rate against 10 %, as a null that is known."""
    evidence = RateChangeEvidence(np.full(runs, RATE))

    def alarm() -> NDArray[np.bool_]:
        evidence.update(np.full(runs, BLOCK), rng.binomial(BLOCK, rate, runs))
        return evidence.alarm(A)

    return alarm


def two_arms(rate: float, runs: int, rng: np.random.Generator) -> Alarm:
    """The canary's rate against the baseline's; both go up and down by half every 288 updates."""
    evidence = ChangeEvidence(shape=(runs,))
    passed = 0

    def alarm() -> NDArray[np.bool_]:
        nonlocal passed
        passed += 1
        season = 1.0 + 0.5 * math.sin(2.0 * math.pi * passed / 288.0)
        canary, baseline = (rng.binomial(BLOCK, share * season, runs) for share in (rate, RATE))
        evidence.update(np.full(runs, BLOCK), canary, np.full(runs, BLOCK), baseline)
        return evidence.alarm(A)

    return alarm


def several_streams(rate: float, runs: int, rng: np.random.Generator) -> Alarm:
    """The mean of R over five streams against the same A; only the first one has this rate."""
    evidence = RateChangeEvidence(np.full((runs, STREAMS), RATE))
    rates = np.array([rate] + [RATE] * (STREAMS - 1))

    def alarm() -> NDArray[np.bool_]:
        evidence.update(np.full((runs, STREAMS), BLOCK), rng.binomial(BLOCK, rates, (runs, STREAMS)))
        return mean_log_e(evidence.log_r()) >= math.log(A)

    return alarm


def z_test(rate: float, runs: int, rng: np.random.Generator) -> Alarm:
    """p < 0.05, two-sided, on the last 1,000 trials at each update."""
    last = np.full((WINDOW, runs), RATE * BLOCK)
    passed = 0

    def alarm() -> NDArray[np.bool_]:
        nonlocal passed
        last[passed % WINDOW] = rng.binomial(BLOCK, rate, runs)
        passed += 1
        error = math.sqrt(RATE * (1.0 - RATE) / (WINDOW * BLOCK))
        fired: NDArray[np.bool_] = np.abs(last.mean(axis=0) / BLOCK - RATE) > 1.96 * error
        return fired & (passed >= WINDOW)

    return alarm


def least_delay(rate: float) -> float:
    """log(A) over what one update tells, the Kullback-Leibler divergence of the raised rate from 10 %."""
    told = rate * math.log(rate / RATE) + (1.0 - rate) * math.log((1.0 - rate) / (1.0 - RATE))
    return math.log(A) / (BLOCK * told)


def in_control(runs: int) -> Iterator[Waiting]:
    """Without a change: how long until the first false alarm. Twelve times A is the longest that is waited for."""
    longest = round(12 * A)
    for name, stream, share in (
        ("one arm, 10 %", one_arm, 1),
        ("two arms with a season", two_arms, 5),
        ("mean of five streams", several_streams, 5),
        ("z-test p<.05 on the last 1,000", z_test, 1),
    ):
        count = runs // share
        yield waiting(name, stream(RATE, count, np.random.default_rng(SEED)), count, longest)


def changed(runs: int) -> Iterator[tuple[float, Waiting]]:
    """Delays by raised rate, of one arm."""
    for rate in RAISED:
        yield rate, waiting("one arm", one_arm(rate, runs, np.random.default_rng(SEED)), runs, round(12 * A))


def main(runs: int) -> None:
    """The tables; full ones with `RUNS` runs."""
    rows = []
    for wait in in_control(runs):
        middle = float(np.median(wait.updates))
        figures = (wait.mean, wait.error, middle)
        rows.append([wait.stream, f"{len(wait.updates):,}", *(f"{figure:,.0f}" for figure in figures)])
    print(f"A = {A:,.0f}: updates until the first false alarm\n")
    print(table(("healthy stream", "runs", "mean", "standard error", "median"), rows), flush=True)
    rows = []
    for rate, wait in changed(runs):
        least = least_delay(rate)
        cells = (f"{rate:.0%}", f"{wait.mean:.1f}", f"{float(np.quantile(wait.updates, 0.8)):.0f}", f"{least:.1f}")
        rows.append([*cells, f"{wait.mean / least:.2f}"])
    print("\n" + table(("10 % rises to", "mean delay", "p80", "log(A)/KL", "ratio"), rows))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
