"""`python tests/sim/means.py`: the evidence on means under traffic of known truth, beside the t-test at each look.

Healthy streams: how often evidence or test EVER calls a healthy canary worse. Sick ones: trials per arm until it is
found, as a multiple of what the best test of a size fixed beforehand needs for a power of 80 %. Margin: how often a
canary that is worse by exactly the margin is ever called fit for promotion.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path[:0] = [str(Path(__file__).parents[1])]

from mlcanary.stats.accumulator import Floats  # noqa: E402 - after the path
from mlcanary.stats.mean_evidence import BURN_IN, MeanEvidence, as_share  # noqa: E402
from sim.bars import SEED, Rate, table  # noqa: E402

RUNS = 2000
ALPHA = 0.05
THRESHOLD = math.log(1 / ALPHA)
FIXED_SIZE = float(stats.norm.ppf(1 - ALPHA) + stats.norm.ppf(0.8)) ** 2
"""Times the variance of a difference of two trials over its square: trials per arm of the one-sided test."""

SIGNS = np.array([[1.0], [-1.0], [1.0]])
"""Of count, sum and sum of squares, when the values' sign is turned."""

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def log_loss(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Exponential, mean 1."""
    return rng.standard_exponential(size)


def latency(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Lognormal, sigma 0.8."""
    return np.exp(0.8 * rng.standard_normal(size))


def money(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """3 % of requests buy, lognormal value, sigma 1. Lower is worse, so the sign is turned."""
    bought = rng.random(size) < 0.03
    values = np.zeros(size)
    values[bought] = -np.exp(rng.standard_normal(int(bought.sum())))
    return values


@dataclass(frozen=True, slots=True)
class Stream:
    """Blocks of `canary` and `baseline` trials; the canary's values are `factor` times as large as the baseline's."""

    name: str
    draw: Draw
    canary: int
    baseline: int
    factor: float = 1.0

    @property
    def label(self) -> str:
        """Name and sizes of the arms in a block."""
        return f"{self.name} {self.canary}/{self.baseline}"


HEALTHY = [
    Stream(name, draw, *arms)
    for name, draw in (("log loss", log_loss), ("latency", latency), ("money", money))
    for arms in ((20, 20), (5, 45))
]
SICK = [
    *(Stream("log loss", log_loss, 20, 20, factor) for factor in (1.05, 1.1, 1.2)),
    *(Stream("latency", latency, 20, 20, factor) for factor in (1.1, 1.2)),
    Stream("money", money, 20, 20, 0.5),
]
MOMENTS: dict[Draw, tuple[float, float]] = {
    log_loss: (1.0, 1.0),
    latency: (math.exp(0.32), math.exp(0.64) * math.expm1(0.64)),
    money: (-0.03 * math.exp(0.5), 0.03 * math.exp(2.0) - (0.03 * math.exp(0.5)) ** 2),
}
"""Mean and variance of one value."""


def blocks(stream: Stream, runs: int, looks: int, rng: np.random.Generator) -> Iterator[tuple[Floats, Floats]]:
    """Count, sum and sum of squares of the canary and of the baseline, shape (3, runs), block by block."""
    for _ in range(looks):
        arms = []
        for size, factor in ((stream.canary, stream.factor), (stream.baseline, 1.0)):
            values = factor * stream.draw(rng, (runs, size))
            arms.append(np.stack([np.full(runs, float(size)), values.sum(axis=1), (values * values).sum(axis=1)]))
        yield arms[0], arms[1]


def turned(arm: Floats) -> Floats:
    """The same block with the values' sign turned."""
    values: Floats = arm * SIGNS
    return values


def differs(canary: Floats, baseline: Floats) -> NDArray[np.bool_]:
    """Welch's t-test of sums over all blocks so far: whether p < 0.05, two-sided."""
    n = np.stack([canary[0], baseline[0]])
    mean = np.stack([canary[1], baseline[1]]) / n
    squares = (np.stack([canary[2], baseline[2]]) / n - mean**2) / (n - 1)
    error = np.sqrt(np.maximum(squares.sum(axis=0), 1e-300))
    apart: NDArray[np.bool_] = np.abs(mean[0] - mean[1]) > float(stats.t.ppf(0.975, n[0, 0] + n[1, 0] - 2)) * error
    return apart


@dataclass(frozen=True, slots=True)
class Healthy:
    """Ever called worse, ever called better, and what the t-test did."""

    up: Rate
    down: Rate
    usual: float


def healthy(stream: Stream, runs: int, looks: int, seed: int = SEED) -> Healthy:
    """Ever-false rates of one healthy stream; the t-test, too, waits for the burn-in."""
    rng = np.random.default_rng(seed)
    up, down = MeanEvidence(shape=(runs,)), MeanEvidence(shape=(runs,))
    fired = np.zeros((3, runs), dtype=bool)
    total = np.zeros((2, 3, runs))
    for canary, baseline in blocks(stream, runs, looks, rng):
        up.update(*canary, *baseline)
        down.update(*turned(canary), *turned(baseline))
        total += np.stack([canary, baseline])
        fired[0] |= up.log_e() >= THRESHOLD
        fired[1] |= down.log_e() >= THRESHOLD
        if total[0, 0, 0] >= BURN_IN:
            fired[2] |= differs(total[0], total[1])
    found = fired.sum(axis=1)
    return Healthy(
        Rate(f"{stream.label}, up", int(found[0]), runs, ALPHA),
        Rate(f"{stream.label}, down", int(found[1]), runs, ALPHA),
        float(found[2]) / runs,
    )


@dataclass(frozen=True, slots=True)
class Delay:
    """Trials of the canary until a sick one is found, over the fixed size."""

    stream: Stream
    fixed: float
    found: float
    mean: float
    median: float
    high: float

    @classmethod
    def of(cls, stream: Stream, fixed: float, trials: Floats) -> Delay:
        """From trials per run; NaN where it was not found, then counted as infinite."""
        ratio = np.where(np.isnan(trials), np.inf, trials) / fixed
        low, high = np.quantile(ratio, (0.5, 0.8), method="inverted_cdf")
        return cls(stream, fixed, float(np.isfinite(ratio).mean()), float(ratio.mean()), float(low), float(high))


def fixed_size(stream: Stream) -> float:
    """Canary trials of the one-sided test at ALPHA with 80 % power."""
    mean, variance = MOMENTS[stream.draw]
    noise = variance * (stream.factor**2 + stream.canary / stream.baseline)
    return FIXED_SIZE * noise / (mean * (stream.factor - 1.0)) ** 2


def delay(stream: Stream, runs: int, seed: int = SEED) -> Delay:
    """How long a sick canary goes unseen; watched for ten fixed sizes."""
    rng, fixed = np.random.default_rng(seed), fixed_size(stream)
    evidence = MeanEvidence(shape=(runs,))
    trials = np.full(runs, np.nan)
    for look, (canary, baseline) in enumerate(blocks(stream, runs, math.ceil(10 * fixed / stream.canary), rng), 1):
        evidence.update(*canary, *baseline)
        trials[np.isnan(trials) & (evidence.log_e() >= THRESHOLD)] = look * stream.canary
        if not np.isnan(trials).any():
            break
    return Delay.of(stream, fixed, trials)


def promoted(stream: Stream, runs: int, looks: int, *, as_ratio: bool = False, seed: int = SEED) -> Rate:
    """How often a canary that is worse by the margin is ever called not worse by it, the margin in units or a ratio."""
    rng = np.random.default_rng(seed)
    margin = 0.0 if as_ratio else abs(MOMENTS[stream.draw][0] * (stream.factor - 1.0))
    evidence = MeanEvidence(margin=margin, shape=(runs,))
    fired = np.zeros(runs, dtype=bool)
    for canary, baseline in blocks(stream, runs, looks, rng):
        values = as_share(canary[1], canary[2], stream.factor) if as_ratio else (canary[1], canary[2])
        evidence.update(canary[0], *values, *baseline)
        found = evidence.log_e_noninferior()
        assert found is not None
        fired |= found >= THRESHOLD
    words = "by the ratio" if as_ratio else "by the margin"
    return Rate(f"{stream.label} x {stream.factor}, worse {words}", int(fired.sum()), runs, ALPHA)


AT_MARGIN = [
    Stream("log loss", log_loss, 20, 20, 1.1),
    Stream("log loss", log_loss, 5, 45, 1.1),
    Stream("latency", latency, 20, 20, 1.2),
    Stream("latency", latency, 5, 45, 1.2),
    Stream("money", money, 20, 20, 0.85),
    Stream("money", money, 5, 45, 0.85),
]
AT_RATIO = [*AT_MARGIN, Stream("money", money, 20, 20, 0.5), Stream("money", money, 5, 45, 0.5)]
BEYOND = [Stream("money", money, 20, 20, 0.7), Stream("money", money, 20, 20, 0.5)]
"""Margins in units at which few, large values are too skewed: shown, not promised."""


def main(runs: int = RUNS) -> None:
    """All tables, in full."""
    rows = []
    for stream in HEALTHY:
        found = healthy(stream, runs, 1000)
        held = "yes" if found.up.held and found.down.held else "NO"
        rows.append([stream.label, f"{found.usual:.3f}", f"{found.up.share:.3f}", f"{found.down.share:.3f}", held])
    print(table(["healthy stream, 1,000 looks", "t-test p < .05", "called worse", "called better", "bar held"], rows))
    rows = []
    for sick in SICK:
        late = delay(sick, runs)
        figures = [f"{late.found:.3f}", f"{late.mean:.2f}", f"{late.median:.2f}", f"{late.high:.2f}"]
        rows.append([f"{sick.label} x {sick.factor}", f"{late.fixed:,.0f}", *figures])
    print("\n" + table(["sick canary", "fixed size", "found", "mean ratio", "median", "80 %"], rows))
    rates = [promoted(stream, runs, 1000) for stream in AT_MARGIN]
    rates += [promoted(stream, runs, 1000, as_ratio=True) for stream in AT_RATIO]
    rows = [[rate.stream, f"{rate.share:.3f}", "yes" if rate.held else "NO"] for rate in rates]
    rows += [[r.stream, f"{r.share:.3f}", "not promised"] for r in (promoted(s, runs, 1000) for s in BEYOND)]
    print("\n" + table(["at the margin, 1,000 looks", "ever promoted", "bar held"], rows))


if __name__ == "__main__":
    main()
