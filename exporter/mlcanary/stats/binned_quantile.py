"""A quantile from counts over fixed bins, with the bracket that holds the exact one.

Guarantee: `lower` <= exact quantile of the raw numbers <= `upper`, and `value` lies between them. Input: inner edges,
counts per bin, the least and the greatest number, which close the two open bins. Cost: O(B). Error: at most
upper - lower. Source: inverse of the empirical distribution function (Hyndman & Fan 1996, definition 1) for the exact
one; linear interpolation inside the bin, as PromQL's `histogram_quantile`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.sample_size import sample_size


class BinnedQuantiles(NamedTuple):
    """A `BinnedQuantile` per row and quantile, field by field."""

    value: Floats
    lower: Floats
    upper: Floats


class BinnedQuantile(NamedTuple):
    """An interpolated quantile, and the bounds between which the exact one lies."""

    value: float
    lower: float
    upper: float


def binned_quantiles(
    edges: Floats, counts: Floats, qs: Sequence[float], least: Floats, greatest: Floats
) -> BinnedQuantiles:
    """The quantiles `qs`, shape (Q,), along the last axis: edges (..., B - 1), counts (..., B), results (..., Q).

    Edges of infinity fill up a row: what ends at one is the open bin. NaN for a row without numbers.
    """
    open_end = np.full((*edges.shape[:-1], 1), math.inf)
    closed = np.concatenate([-open_end, edges, open_end], axis=-1)
    ranks = np.asarray(qs) * sample_size(counts)
    reached = np.cumsum(counts, axis=-1)
    wanted = np.minimum(np.ceil(ranks - 1e-9), reached[..., -1:])  # fractions of counts end before the next whole one
    at = (reached[..., None, :] < wanted[..., :, None]).sum(axis=-1)
    low, high = np.take_along_axis(closed, at, axis=-1), np.take_along_axis(closed, at + 1, axis=-1)
    least, greatest = least[..., None], greatest[..., None]
    low, high = np.where(np.isinf(low), least, low), np.where(np.isinf(high), greatest, high)
    inside = np.take_along_axis(counts, at, axis=-1)
    share = (ranks - (np.take_along_axis(reached, at, axis=-1) - inside)) / inside
    value = low * (1.0 - share) + high * share
    lower, upper = np.maximum(low, least), np.minimum(high, greatest)
    return BinnedQuantiles(np.minimum(np.maximum(value, lower), upper), lower, upper)


def binned_quantile(edges: Floats, counts: Floats, q: float, least: float, greatest: float) -> BinnedQuantile | None:
    """The q-quantile, 0 < q <= 1, of numbers of which bin i holds edges[i-1] < x <= edges[i]; None without any.

    >>> binned_quantile(np.array([0.0, 10.0, 20.0]), np.array([0.0, 5.0, 5.0, 0.0]), 0.5, 1.0, 19.0)
    BinnedQuantile(value=10.0, lower=1.0, upper=10.0)
    """
    found = binned_quantiles(edges, counts, (q,), np.array(least), np.array(greatest))
    if np.isnan(found.value[0]):
        return None
    return BinnedQuantile(float(found.value[0]), float(found.lower[0]), float(found.upper[0]))
