"""What every e-process of the judge has in common.

An e-process is a non-negative process that starts at 1 and has an expected value of at most 1 at every stopping time as
long as its null hypothesis is true. Ville: the chance that it EVER reaches 1 / alpha is then at most alpha, however
often one looks.
Input: log e-values; figures in the unit of their measure. Cost: none of its own. Error: rounding only.
Source: Ville 1939; Howard, Ramdas, McAuliffe and Sekhon, Ann. Stat. 2021.

Classes that carry one are plain mutable dataclasses, so that `judge.snapshots` can save and restore them: their
fields are numbers, text, None, NumPy arrays, other such dataclasses, and lists or dicts (with text as keys) of these;
which fields there are and how long the arrays are is settled by the constructor. `update` is a deterministic function
of its input: the same blocks in the same order give the same bits, on any grouping into batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcanary.stats.accumulator import Floats


@dataclass(frozen=True, slots=True)
class Estimate:
    """Canary minus baseline with an interval that holds at every look at once. Positive: the canary is worse.

    `canary`, `baseline`: the figure of each arm over all blocks. `difference` lies within `lower` and `upper` (infinite
    while nothing is known) with the stated confidence, for ever. All in the unit of the measure.
    """

    canary: float
    baseline: float
    difference: float
    lower: float
    upper: float


def log_sum_exp(values: Floats) -> Floats:
    """log of the sum of exp over the last axis; -inf where all are -inf.

    >>> round(float(log_sum_exp(np.array([-1000.0, -1000.0 + np.log(3.0)]))), 12)
    -998.61370563888
    """
    top = values.max(axis=-1, keepdims=True)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total: NDArray[np.float64] = np.log(np.exp(values - safe).sum(axis=-1))
    return total + safe[..., 0]
