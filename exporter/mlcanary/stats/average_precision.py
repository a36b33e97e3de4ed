"""Average precision from score bins, with a certified bracket of what the bins hide.

Input: positives and negatives per bin, in ascending order of score. Cost: O(B). Error: the average precision of the
raw scores, whatever their order and ties inside the bins, lies in [lower, upper]. Source: scikit-learn's
`average_precision_score`. In a bin with p positives and q negatives under T positives and F negatives, one threshold
for the whole bin gives p (T + p) / (T + F + p + q). At best all its positives lie at one score above its negatives:
p (T + p) / (T + F + p). At worst each lies alone under all its negatives: p - (F + q) sum_i 1 / (c + i), i = 1 .. p,
c = T + F + q, and the sum is at most ln((c + p + 1/2) / (c + 1/2)), as 1 / x is convex (midpoint inequality).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats


class PrecisionEstimate(NamedTuple):
    """`lower` <= exact <= `upper`, all in [0, 1]; `value` takes the scores of a bin for ties."""

    value: float
    lower: float
    upper: float


def average_precision_from_counts(positives: Floats, negatives: Floats) -> PrecisionEstimate | None:
    """Average precision and its bracket; None without a positive.

    >>> average_precision_from_counts(np.array([0.0, 1.0]), np.array([3.0, 0.0]))
    PrecisionEstimate(value=1.0, lower=1.0, upper=1.0)
    """
    total = float(positives.sum())
    if total <= 0:
        return None
    own, wrong = positives[positives > 0], negatives[positives > 0]
    hits_from = (total - np.cumsum(positives) + positives)[positives > 0]
    misses_from = (negatives.sum() - np.cumsum(negatives) + negatives)[positives > 0]
    before = hits_from - own + misses_from
    value = own @ (hits_from / (hits_from + misses_from))
    upper = own @ (hits_from / (hits_from + misses_from - wrong))
    lower = np.maximum(own - misses_from * np.log((before + own + 0.5) / (before + 0.5)), 0.0).sum()
    return PrecisionEstimate(float(value) / total, float(lower) / total, float(upper) / total)
