"""`python tests/bench/joint_drift.py [healthy draws]`: power, false alarms and cost of the joint drift test.

Prints tables. Every draw has a reference sample and live rows of its own; nothing is reused between draws.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec
import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from joint_worlds import (  # noqa: E402 - beside this folder, not installed
    ROWS,
    World,
    chain,
    dense,
    draw,
    mirrored,
    moved,
    pair,
    shuffled,
    swapped,
)
from mlcanary.formats.profile import write_profile  # noqa: E402
from mlcanary.measures.joint_drift import JointDriftMeasure  # noqa: E402
from mlcanary.measures.plan import ModelPlan  # noqa: E402
from mlcanary.measures.profiling import ProfileOptions, profile_columns  # noqa: E402
from mlcanary.records import ModelKey, Prediction  # noqa: E402
from mlcanary.stats.discriminator import Terms  # noqa: E402
from mlcanary.stats.placements import CRITICAL_DEVIATIONS  # noqa: E402

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
    """Print CPU time per request with 25 features, of the preparation, and the bytes kept."""
    rng = np.random.default_rng(3)
    names = [f"feature_{i:02d}" for i in range(features)]
    values = dict(zip(names, rng.standard_normal((features, 10_000)).tolist(), strict=True))
    reference = profile_columns(values, ProfileOptions(sample_rows=sample))
    plan = ModelPlan(reference=reference)
    live = [dict(zip(names, row, strict=True)) for row in rng.standard_normal((rows, features)).tolist()]
    print(f"{features} numeric features, sample {sample:,}, batches of 1,000 requests\n")
    for text, per_second in (("one a second, all taken", 1.0), ("1,000 a second, an eighth taken", 1000.0)):
        requests = [Prediction(_KEY, i / per_second, None, row) for i, row in enumerate(live)]
        begin = time.process_time()
        measure = JointDriftMeasure(plan)
        built = time.process_time()
        for start in range(0, rows, 1000):
            measure.on_predictions(requests[start : start + 1000])
        spent = (time.process_time() - built) / rows
        print(f"- {text}: {1e6 * spent:.1f} us CPU per request; {1e3 * (built - begin):.0f} ms to prepare")
        kept = [*measure.parts.values(), *measure.sketches.values()]
        checkpoint = sum(len(msgspec.msgpack.encode(part.dump())) for part in kept)
    terms = Terms.of(features).size
    shared = 8 * terms**2 + 16 * features * sample / 2
    print(f"- {terms} terms; {shared / 1e6:.1f} MB per model, shared by its versions")
    print(f"- {checkpoint:,} bytes per version, in memory and in the checkpoint")
    print(f"- {len(write_profile(reference)) / 1e3:.0f} kB of profile")


_KEY = ModelKey("m", "v")

if __name__ == "__main__":
    cost()
    power(200)
    false_alarms(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
