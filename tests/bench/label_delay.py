"""`python tests/bench/label_delay.py [REPLAYS]`: late labels and a healthy canary, a thousand replays per maturity.

Prints what a person would have read, how often the mature comparison's 95 % interval held the truth, and whether any
alert fired; ends with an error where one of them is not as promised. `tests/monitor/test_label_delay.py` is its small
form, and holds the replays against the real monitor.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parents[1]))

from label_delay_world import arms, read, silent_but_for_the_broken_one

REPLAYS = 1000
BATCH = 100
MATURITIES = (1800.0, 3600.0)


def main(replays: int) -> None:
    """Both maturities; AssertionError where an alert fires or the interval does not hold its rate."""
    for maturity in MATURITIES:
        found = [read(arms(np.random.default_rng([7, i]), maturity), maturity) for i in range(replays)]
        inside = sum(abs(x.delta) <= 1.96 * x.stderr for x in found)
        rate = binomtest(inside, replays, 0.95)
        print(f"maturity {maturity / 60:.0f} min, {replays} replays, canary 2 h old, true CVR 5 %")
        for name in ("so_far", "provisional", "mature"):
            values = [100 * getattr(x, name) for x in found]
            print(f"  {name:12} {np.mean(values):.3f} %   from {min(values):.3f} to {max(values):.3f} %")
        print(f"  canary minus baseline, mature: {100 * np.mean([x.delta for x in found]):+.4f} points on average")
        print(f"  interval holds the truth in {inside} of {replays}, p = {rate.pvalue:.2f}", flush=True)
        assert rate.pvalue > 0.01
        for first in range(0, replays, BATCH):
            with tempfile.TemporaryDirectory() as folder:
                chosen = range(first, min(first + BATCH, replays))
                silent_but_for_the_broken_one(Path(folder), maturity, chosen)
            print(f"  no alert fired in replays {first} to {chosen[-1]}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else REPLAYS)
