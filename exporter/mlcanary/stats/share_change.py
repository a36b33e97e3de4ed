"""Change of a share between two samples in standard errors, by scores that chance does not carry too far out.

Input: counts and sample sizes. Cost: O(1); O(B) for the largest of B bins, given as a vector or as rows of them. Error:
see each function; both are defined, and next to 0, where both shares are 0 or both are 1. Source: Anscombe (1948), the
binomial case, for each sample, of which rises by chance are no farther out than normal; Pearson's pooled z-score, of
which falls are not.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.sample_size import figure, sample_size


def share_change(count: float, n: float, reference_count: float, m: float) -> float:
    """z-score of `count` of `n` against `reference_count` of `m`, positive where the share has grown.

    The smaller of both scores: |z| > 4.26, by chance 2.0e-5, has 2.1e-5 at most for any share up to a half, samples of
    50 to 20,000 against 1,000 to 10,000, computed exactly. Alone, Anscombe's has 3.1e-4 and the pooled one 2.5e-2.

    >>> share_change(30.0, 100.0, 30.0, 100.0)
    0.0
    """
    angles = (_angle(count, n) - _angle(reference_count, m)) / math.sqrt(1 / (n + 0.5) + 1 / (m + 0.5))
    both = (count + reference_count + 0.75) / (n + m + 1.5)
    neither = (n - count + m - reference_count + 0.75) / (n + m + 1.5)  # 1 - both would round to 0 for huge counts
    pooled = (count / n - reference_count / m) / math.sqrt(both * neither * (1 / n + 1 / m))
    return angles if abs(angles) <= abs(pooled) else pooled


def largest_rise(current: Floats, reference: Floats, bins: NDArray[np.bool_] | None = None) -> Floats:
    """Largest z-score of a rise, Anscombe's, of any bin, along the last axis; NaN if one sample is empty.

    Sees a spike or a new category where chi-square does not yet, and unlike it is not deceived by a bin that expects
    less than one value. Falls do not count: an empty bin lies too far out, and what it lost has risen elsewhere.
    `bins`: which places are bins; an empty bin has a score of its own, so what fills up a row must be told from one.
    """
    n, m = sample_size(current), sample_size(reference)
    one = np.arcsin(np.sqrt((current + 0.375) / (n + 0.75)))
    other = np.arcsin(np.sqrt((reference + 0.375) / (m + 0.75)))
    highest = (one - other).max(axis=-1, initial=-math.inf, where=True if bins is None else bins)
    found: Floats = 2 * highest / np.sqrt(1 / (n + 0.5) + 1 / (m + 0.5))[..., 0]
    return found


def largest_share_change(current: Floats, reference: Floats) -> float | None:
    """The largest rise of two binned samples; None if one is empty."""
    return figure(largest_rise(current, reference))


@lru_cache(maxsize=4096)
def largest_change_critical(bins: int, tail: float) -> float:
    """What the largest z-score of `bins` exceeds with probability `tail` (Bonferroni).

    Computed exactly for 1e-5, 20 or 50 bins that all have the worst share: 1.3e-5 at most for 200 values and more
    against no fewer; 1.2e-4 for 20,000 against 10,000, 3.6e-4 for 5,000 against 1,000.

    >>> round(largest_change_critical(1, 0.025), 6)
    1.959964
    """
    return -NormalDist().inv_cdf(tail / bins)


def _angle(count: float, n: float) -> float:
    return 2 * math.asin(math.sqrt((count + 0.375) / (n + 0.75)))
