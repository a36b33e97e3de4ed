"""Total variation from counts over common bins: the share of values that would have to move to undo a change.

Input: two count vectors over the same bins, or rows of them. Cost: O(B). Error: exact for the bins; what happens inside
a bin can only add to it. An effect, not a test: it does not grow with n, and noise adds about sqrt((1 / n + 1 / m) / (2
pi)) sum sqrt(p (1 - p)) to it. Source: half the L1 distance of the shares (Levin & Peres 2017, proposition 4.2).
"""

from __future__ import annotations

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.sample_size import figure, sample_size


def total_variation(current: Floats, reference: Floats) -> Floats:
    """The distance along the last axis, one for each row; NaN if one sample is empty."""
    apart = current / sample_size(current) - reference / sample_size(reference)
    found: Floats = np.abs(apart).sum(axis=-1) / 2
    return found


def total_variation_from_counts(current: Floats, reference: Floats) -> float | None:
    """The distance of two binned samples, in [0, 1]; None if one is empty.

    >>> total_variation_from_counts(np.array([6.0, 4.0]), np.array([5.0, 5.0])) == 0.09999999999999998
    True
    """
    return figure(total_variation(current, reference))
