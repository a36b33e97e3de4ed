"""`python tests/bench/joint_drift.py [healthy draws]`: power, false alarms and cost of the joint drift test.

Prints tables. Every draw has a reference sample and live rows of its own; nothing is reused between draws.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from joint_worlds import (  # noqa: E402 - beside this folder, not installed
    BINS,
    ROWS,
    World,
    binned,
    chain,
    dense,
    draw,
    mirrored,
    moved,
    normal,
    pair,
    shuffled,
    swapped,
)
from mlcanary.stats.discriminator import Halves  # noqa: E402
from mlcanary.stats.placements import CRITICAL_DEVIATIONS  # noqa: E402
from mlcanary.stats.prequential import Prequential  # noqa: E402
from mlcanary.stats.rank_scores import score_table, scores_of  # noqa: E402

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
    names = " | ".join(f"z > {limit:.2f}" for limit in limits)
    print(
        f"\nA standard normal z exceeds these .05, .01, .001 and .00001 of the time.\n\n| healthy, {ROWS:,} rows",
        end="",
    )
    print(f" | draws | sd of z | {names} | greatest z |\n|---|---|---|---|---|---|---|---|")
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
    print(f"{features} features, sample {sample:,}: {1e6 * per_row:.1f} us CPU per row")
    print(f"{1e3 * (built - begin):.0f} ms to prepare, {shared / 1e6:.1f} MB per reference")
    print(f"{checkpoint / 1e3:.1f} kB per version and checkpoint")


if __name__ == "__main__":
    cost()
    power(200)
    false_alarms(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
