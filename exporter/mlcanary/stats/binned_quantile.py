"""A quantile from counts over fixed bins, with the bracket that holds the exact one.

Guarantee: `lower` <= exact quantile of the raw numbers <= `upper`, and `value` lies between them. Input: inner edges,
counts per bin, the least and the greatest number, which close the two open bins. Cost: O(B). Error: at most
upper - lower. Source: inverse of the empirical distribution function (Hyndman & Fan 1996, definition 1) for the exact
one; linear interpolation inside the bin, as PromQL's `histogram_quantile`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats


class BinnedQuantile(NamedTuple):
    """An interpolated quantile, and the bounds between which the exact one lies."""

    value: float
    lower: float
    upper: float


def binned_quantile(edges: Floats, counts: Floats, q: float, least: float, greatest: float) -> BinnedQuantile | None:
    """The q-quantile, 0 < q <= 1, of numbers of which bin i holds edges[i-1] < x <= edges[i]; None without any.

    >>> binned_quantile(np.array([0.0, 10.0, 20.0]), np.array([0.0, 5.0, 5.0, 0.0]), 0.5, 1.0, 19.0)
    BinnedQuantile(value=10.0, lower=1.0, upper=10.0)
    """
    total = float(counts.sum())
    if total <= 0:
        return None
    reached = np.cumsum(counts)
    rank = q * total
    i = int(np.searchsorted(reached, math.ceil(rank - 1e-9), side="left"))
    first, last = i == 0, i == len(edges)
    low = least if first else float(edges[i - 1])
    high = greatest if last else float(edges[i])
    share = (rank - float(reached[i] - counts[i])) / float(counts[i])
    value = low * (1.0 - share) + high * share
    lower, upper = max(low, least), min(high, greatest)
    return BinnedQuantile(min(max(value, lower), upper), lower, upper)
