"""Total variation from counts over common bins: the share of values that would have to move to undo a change.

Input: two count vectors over the same bins. Cost: O(B). Error: exact for the bins; what happens inside a bin can only
add to it. An effect, not a test: it does not grow with n, and noise adds about
sqrt((1 / n + 1 / m) / (2 pi)) sum sqrt(p (1 - p)) to it. Source: half the L1 distance of the shares (Levin & Peres
2017, proposition 4.2).
"""

from __future__ import annotations

import numpy as np

from mlcanary.stats.accumulator import Floats


def total_variation_from_counts(current: Floats, reference: Floats) -> float | None:
    """The distance of two binned samples, in [0, 1]; None if one is empty.

    >>> total_variation_from_counts(np.array([6.0, 4.0]), np.array([5.0, 5.0])) == 0.09999999999999998
    True
    """
    n, m = float(current.sum()), float(reference.sum())
    if n <= 0 or m <= 0:
        return None
    return float(np.abs(current / n - reference / m).sum()) / 2
