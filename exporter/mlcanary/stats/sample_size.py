"""How many values stand behind counts, in a form that carries through arithmetic.

Guarantee: every statistic of counts that divides by it is NaN for an empty sample, and for no other reason, without a
warning. Input: counts over bins along the last axis, of any leading shape: one row per sample. Empty bins beside them
change nothing, so that rows of different lengths may be filled up with zeros. Cost: O(size). Error: none for whole
counts. Source: none needed.
"""

from __future__ import annotations

import math

import numpy as np

from mlcanary.stats.accumulator import Floats


def sample_size(counts: Floats) -> Floats:
    """Sum of each row, kept as an axis of length 1; NaN where it is not above 0.

    >>> sample_size(np.array([[2.0, 3.0], [0.0, 0.0]])).tolist()
    [[5.0], [nan]]
    """
    size: Floats = np.add.reduce(counts, axis=-1, dtype=np.float64, keepdims=True)
    size[~(size > 0)] = math.nan
    return size


def figure(found: Floats) -> float | None:
    """A single figure as a number; None where it is NaN.

    >>> figure(np.array(0.5)), figure(np.array(math.nan))
    (0.5, None)
    """
    value = float(found)
    return None if math.isnan(value) else value
