"""`python tests/bench/distinct_users.py`: how far merged daily active users lie from the truth, at a million users.

Every user visits one to four of 20 sidecars; all sketches go through the document that sidecars exchange. The run fails
if one of the seeds errs by more than 2 %: 2.5 standard errors.
"""

from __future__ import annotations

import sys
import time
from functools import reduce
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from daily_users import CANARY, NOW, SALT, STABLE, Fleet, fleet, plan
from mlcanary.exposition.sketches import PeerView, decode, encode, merged_samples, union
from mlcanary.monitor.users import Sketches

USERS, SIDECARS, SEEDS = 1_000_000, 20, range(1, 11)
LIMIT = 0.02


def distinct(made: Fleet, *keys: tuple[str, str]) -> int:
    """Users of these versions over all sidecars, exactly."""
    return int(np.unique(np.concatenate([sidecar[key] for sidecar in made.sidecars for key in keys])).size)  # type: ignore[index]


def errors(seed: int) -> tuple[float, float, float, float]:
    """Relative errors of the users of baseline and canary; the miss and the stated error of their overlap."""
    made = fleet(seed, SIDECARS, USERS)
    own, *others = (decode(encode(sketches, SALT), SALT) for sketches in made.sketches())
    nobody: Sketches = {}
    shown = list(merged_samples(PeerView(sketches=reduce(union, others, nobody)), own, plan().role, NOW))
    values = {(s.name.removeprefix("mlcanary_merged_"), *s.labels): s.value for s in shown}
    stable, canary = distinct(made, STABLE), distinct(made, CANARY)
    both = stable + canary - distinct(made, STABLE, CANARY)
    return (
        values["daily_active_users", *STABLE, "today"] / stable - 1,
        values["daily_active_users", *CANARY, "today"] / canary - 1,
        values["crossover_users_ratio", "churn"] - both / canary,
        values["crossover_users_error_ratio", "churn"],
    )


def main() -> int:
    """Print a line per seed; 1 if one lies above the limit."""
    worst = 0.0
    print(f"{USERS:,} users over {SIDECARS} sidecars, each on 1 to 4 of them; a fifth on the canary")
    print("seed  DAU of baseline  DAU of canary  overlap misses by  states")
    for seed in SEEDS:
        start = time.perf_counter()
        stable, canary, missed, stated = errors(seed)
        worst = max(worst, abs(stable), abs(canary))
        seconds = time.perf_counter() - start
        print(f"{seed:4} {stable:+15.2%} {canary:+14.2%} {missed:+17.4f} {stated:9.4f}   ({seconds:.1f} s)", flush=True)
        if abs(missed) > stated:
            return 1
    print(f"largest error {worst:.2%}, limit {LIMIT:.0%}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
