"""`python tests/sim/sticky_users.py`: users who come again, in buckets, beside requests taken for independent.

Every user has a rate of their own and stays where their hash puts them. In a ramp the share of the hash that belongs to
the canary grows, so users move over from the baseline, while the rate of all goes up and down with the hour.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from mlcanary.stats.accumulator import Floats  # noqa: E402 - after the path
from mlcanary.stats.bucket_evidence import BucketEvidence  # noqa: E402
from sim.bars import SEED, Rate, table  # noqa: E402

RUNS = 2000
ALPHA = 0.05
THRESHOLD = math.log(1 / ALPHA)
BUCKETS = 100
PER_BLOCK = 100
"""Requests of both arms together."""


@dataclass(frozen=True, slots=True)
class World:
    """`users` with rates of mean 0.1 and intraclass correlation `alike`; canary's share of users by block."""

    name: str
    users: int
    alike: float
    shares: Floats
    tide: float = 0.0
    """Amplitude of the shared swing of all rates, as a share of them."""
    factor: float = 1.0
    """The canary's rates over the baseline's."""
    spread: float = 0.0
    """Sigma of the lognormal activity of users."""


def constant(share: float, blocks: int) -> Floats:
    """The same share of users all the while."""
    return np.full(blocks, share)


def ramp(blocks: int) -> Floats:
    """1, 5, 25, 50 % of the users, a quarter of the time each."""
    return np.repeat([0.01, 0.05, 0.25, 0.5], blocks // 4)


def healthy_worlds(blocks: int = 400) -> list[World]:
    """What a healthy canary must get through."""
    return [
        World("2,000 users, alike .1, 50/50", 2000, 0.1, constant(0.5, blocks)),
        World("500 users, alike .1, 50/50", 500, 0.1, constant(0.5, blocks)),
        World("10,000 users, alike .3, 50/50", 10_000, 0.3, constant(0.5, blocks)),
        World("4,000 users of uneven activity, alike .1, 50/50", 4000, 0.1, constant(0.5, blocks), spread=1.0),
        World("4,000 users, alike .1, 20/80", 4000, 0.1, constant(0.2, blocks)),
        World("ramp 1-5-25-50 %, rates swing by 80 %, 4,000 users, alike .1", 4000, 0.1, ramp(blocks), tide=0.8),
        World("the same with 1,000 users", 1000, 0.1, ramp(blocks), tide=0.8),
        World("independent requests, 50/50", 200_000, 0.0, constant(0.5, blocks)),
    ]


@dataclass(slots=True)
class Seen:
    """First block at which the buckets, requests taken for independent, or all counts pooled fired; 0 for never."""

    buckets: Floats
    requests: Floats
    pooled: Floats
    fit: Floats
    design_effect: Floats


def watch(world: World, runs: int, seed: int = SEED, margin: float = 0.02) -> Seen:
    """Play one world `runs` times at once."""
    rng = np.random.default_rng(seed)
    evidence = BucketEvidence(buckets=BUCKETS, margin=margin, shape=(runs,))
    if world.alike > 0:
        both = 1.0 / world.alike - 1.0
        rates = rng.beta(0.1 * both, 0.9 * both, (runs, world.users))
    else:
        rates = np.full((runs, world.users), 0.1)
    # A user's number in units of the users is the hash for the split; the bucket is another hash.
    bucket = rng.integers(0, BUCKETS, (runs, world.users), dtype=np.int16)
    active = np.cumsum(rng.lognormal(0.0, world.spread, world.users)) if world.spread else None
    rows, first = np.arange(runs)[:, None], np.zeros((4, runs))
    totals = np.zeros((4, runs, BUCKETS))
    for block, share in enumerate(world.shares, 1):
        if active is None:
            who = rng.integers(0, world.users, (runs, PER_BLOCK))
        else:
            who = np.searchsorted(active, rng.random((runs, PER_BLOCK)) * active[-1])
        swing = 1.0 + world.tide * math.sin(4 * math.pi * block / world.shares.size)
        # Which users the canary has is drawn per run: by turning the ring of users.
        on_canary = (who * 7919 + rows * 104_729) % world.users < share * world.users
        chance = rates[rows, who] * swing * np.where(on_canary, world.factor, 1.0)
        events = rng.random((runs, PER_BLOCK)) < chance
        place = rows * BUCKETS + bucket[rows, who]
        counts = [
            np.bincount(place[chosen], minlength=runs * BUCKETS).reshape(runs, BUCKETS)
            for chosen in (on_canary, on_canary & events, ~on_canary, ~on_canary & events)
        ]
        totals += counts
        evidence.update(*counts)
        fit = evidence.log_e_noninferior()
        assert fit is not None
        pooled = BucketEvidence(buckets=BUCKETS, shape=(runs,))
        pooled.update(*totals)
        fired = evidence.log_e(), evidence.means.log_e(), pooled.means.log_e(), fit
        for row, found in enumerate(fired):
            first[row, (first[row] == 0) & (found >= THRESHOLD)] = block
    return Seen(first[0], first[1], first[2], first[3], evidence.design_effect)


def rate(name: str, first: Floats) -> Rate:
    """How many runs ever fired."""
    return Rate(name, int((first > 0).sum()), first.size, ALPHA)


def main(runs: int = RUNS) -> None:
    """All tables, in full."""
    rows = []
    for world in healthy_worlds():
        seen = watch(world, runs)
        ours = rate(world.name, seen.buckets)
        others = [f"{rate(world.name, first).share:.3f}" for first in (seen.pooled, seen.requests)]
        rows.append([world.name, *others, f"{ours.share:.3f}", f"{seen.design_effect.mean():.2f}", _yes(ours)])
    header = [
        "healthy, 400 blocks of 100",
        "requests, pooled",
        "requests, by block",
        "buckets",
        "design effect",
        "held",
    ]
    print(table(header, rows))
    rows = []
    for factor in (1.2, 1.5):
        sick = World(f"rate x {factor}, 10,000 users, alike .1", 10_000, 0.1, constant(0.5, 400), factor=factor)
        seen = watch(sick, runs)
        found = seen.buckets > 0
        rows.append([sick.name, f"{found.mean():.3f}", f"{np.median(seen.buckets[found]) * 50:,.0f}"])
    print("\n" + table(["sick", "found in 400 blocks", "median trials per arm, where found"], rows))
    rows = []
    for users, alike in ((10_000, 0.1), (2000, 0.1)):
        sick = World(f"{users:,} users, 10 % to 12 %", users, alike, constant(0.5, 400), factor=1.2)
        fit = rate(sick.name, watch(sick, runs, margin=0.02).fit)
        rows.append([fit.stream, f"{fit.share:.3f}", _yes(fit)])
    print("\n" + table(["worse by the margin", "ever promoted", "held"], rows))


def _yes(found: Rate) -> str:
    return "yes" if found.held else "NO"


if __name__ == "__main__":
    main()
