"""`python tests/bench/joint_drift.py [healthy draws]`: power, false alarms and cost of the joint drift test.

Prints tables. Every draw has a reference sample and live rows of its own; nothing is reused between draws.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.discriminator import Halves
from mlcanary.stats.placements import CRITICAL_DEVIATIONS, Placements
from mlcanary.stats.prequential import Prequential
from mlcanary.stats.rank_scores import Bins, score_table, scores_of

BINS, ROWS = 20, 2000

Change = Callable[[Floats, np.random.Generator], Floats]


class World(NamedTuple):
    """Gaussian features with uniform margins over `BINS` bins; `factor`: rows of its product are correlated."""

    factor: Floats
    change: Change | None = None
    healthy_before: int = 0


def pair(features: int, correlation: float) -> Floats:
    """Features 0 and 1 correlated, the others independent."""
    covariance = np.eye(features)
    covariance[0, 1] = covariance[1, 0] = correlation
    return np.linalg.cholesky(covariance)


def dense(features: int, correlation: float) -> Floats:
    """Every two features equally correlated."""
    return np.linalg.cholesky(np.full((features, features), correlation) + (1 - correlation) * np.eye(features))


def chain(features: int, correlation: float) -> Floats:
    """Each feature correlated with the next, so that a swap of two changes who is near to whom."""
    places = np.arange(features)
    return np.linalg.cholesky(correlation ** np.abs(places[:, None] - places))


def shuffled(x: Floats, rng: np.random.Generator) -> Floats:
    """Column 0 no longer belongs to its rows."""
    return np.column_stack([rng.permutation(x[:, 0]), x[:, 1:]])


def swapped(x: Floats, rng: np.random.Generator) -> Floats:
    """Columns 0 and 3 come under each other's name; their margins are alike."""
    return x[:, [3, 1, 2, 0, *range(4, x.shape[1])]]


def mirrored(x: Floats, rng: np.random.Generator) -> Floats:
    """Column 0 with its sign turned: the same margin, the opposite dependence."""
    return np.column_stack([-x[:, 0], x[:, 1:]])


def moved(x: Floats, rng: np.random.Generator) -> Floats:
    """Column 0 a fifth of a standard deviation higher: a margin shows it."""
    return np.column_stack([x[:, 0] + 0.2, x[:, 1:]])


def binned(x: Floats) -> Bins:
    """Bin numbers of standard normal values, bins of equal probability."""
    return np.minimum((stats.norm.cdf(x) * BINS).astype(np.int16), BINS - 1)


def draw(world: World, sample: int, rng: np.random.Generator, rows: int = ROWS) -> tuple[float, float]:
    """AUC of `rows` rows, and its distance from 1/2 in standard errors."""
    features = len(world.factor)
    tables = [score_table(np.ones(BINS))] * features
    state = Prequential(Halves(*scores_of(binned(normal(world, sample, rng)), tables)), "")
    if world.healthy_before:
        state.take(*scores_of(binned(normal(world, world.healthy_before, rng)), tables))
    live = normal(world, rows, rng)
    live = live if world.change is None else world.change(live, rng)
    found = Placements.empty()
    found.update_many(state.take(*scores_of(binned(live), tables)).placements)
    auc, critical = found.auc(), found.critical(state.halves.rows)
    assert auc is not None and critical is not None
    return auc, (auc - 0.5) * CRITICAL_DEVIATIONS / (critical - 0.5)


def normal(world: World, rows: int, rng: np.random.Generator) -> Floats:
    """Rows of a world, before binning."""
    values: Floats = rng.standard_normal((rows, len(world.factor))) @ world.factor.T
    return values


POWER: dict[str, tuple[World, int]] = {
    "column shuffled, rho .5, 6 features, sample 2,000": (World(pair(6, 0.5), shuffled), 2000),
    "column shuffled, rho .8, 6 features, sample 2,000": (World(pair(6, 0.8), shuffled), 2000),
    "column shuffled, rho .5, 25 features, sample 2,000": (World(pair(25, 0.5), shuffled), 2000),
    "column shuffled, rho .5, 25 features, sample 5,000": (World(pair(25, 0.5), shuffled), 5000),
    "column shuffled, rho .8, 25 features, sample 5,000": (World(pair(25, 0.8), shuffled), 5000),
    "column shuffled, rho .3, 6 features, sample 5,000": (World(pair(6, 0.3), shuffled), 5000),
    "two columns swapped, chain rho .6, 6 features, sample 2,000": (World(chain(6, 0.6), swapped), 2000),
    "sign turned, rho .5, 25 features, sample 5,000": (World(pair(25, 0.5), mirrored), 5000),
    "one margin moved by .2 sd, 6 features, sample 2,000": (World(pair(6, 0.5), moved), 2000),
    "shuffled after 20,000 healthy rows, rho .5, 25 features, sample 5,000": (
        World(pair(25, 0.5), shuffled, 20_000),
        5000,
    ),
}
HEALTHY: dict[str, tuple[World, int]] = {
    "independent, 6 features, sample 2,000": (World(pair(6, 0.0)), 2000),
    "all correlated .8, 6 features, sample 2,000": (World(dense(6, 0.8)), 2000),
    "all correlated .8, 6 features, sample 500": (World(dense(6, 0.8)), 500),
}


def power(draws: int, rows: int = ROWS) -> None:
    """Print the share of draws that are seen at the shipped threshold."""
    print(f"\n| {rows:,} rows | draws | seen | mean AUC | mean z | least z |\n|---|---|---|---|---|---|")
    for name, (world, sample) in POWER.items():
        found = np.array([draw(world, sample, np.random.default_rng([1, i]), rows) for i in range(draws)])
        seen = float((found[:, 1] > CRITICAL_DEVIATIONS).mean())
        auc, z = found.mean(axis=0)
        print(f"| {name} | {draws} | {seen:.3f} | {auc:.4f} | {z:.2f} | {found[:, 1].min():.2f} |", flush=True)


def false_alarms(draws: int) -> None:
    """Print how often healthy draws exceed thresholds of a standard normal variable."""
    limits = (1.6449, 2.3263, 3.0902, CRITICAL_DEVIATIONS)
    print(
        "\n| healthy | draws | sd of z | z > 1.64 (.05) | > 2.33 (.01) | > 3.09 (.001) | > 4.26 (1e-5) | greatest z |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (world, sample) in HEALTHY.items():
        z = np.array([draw(world, sample, np.random.default_rng([2, i]))[1] for i in range(draws)])
        shares = " | ".join(f"{float((z > limit).mean()):.4f}" for limit in limits)
        print(f"| {name} | {draws:,} | {z.std():.3f} | {shares} | {z.max():.2f} |", flush=True)


def cost(features: int = 25, sample: int = 5000, rows: int = 20_000) -> None:
    """Print CPU time per row of the statistic alone, of its construction, and the bytes it keeps."""
    world, rng = World(pair(features, 0.5)), np.random.default_rng(3)
    tables = [score_table(np.ones(BINS))] * features
    encoded = scores_of(binned(normal(world, sample, rng)), tables)
    live = binned(normal(world, rows, rng))
    begin = time.process_time()
    state = Prequential(Halves(*encoded), "")
    built = time.process_time()
    for start in range(0, rows, 1000):
        state.take(*scores_of(live[start : start + 1000], tables))
    per_row = (time.process_time() - built) / rows
    size = state.halves.terms.size
    shared = 8 * size**2 + 16 * features * state.halves.rows
    checkpoint = sum(len(part) for part in state.dump() if isinstance(part, bytes))
    print(
        f"\n{features} features, sample {sample:,}: {1e6 * per_row:.1f} us CPU per row, {1e3 * (built - begin):.0f} ms"
    )
    print(f"to prepare; {shared / 1e6:.1f} MB per reference, {checkpoint / 1e3:.1f} kB per version and checkpoint")


if __name__ == "__main__":
    cost()
    power(200)
    false_alarms(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
