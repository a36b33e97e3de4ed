"""Where to cut: edges at quantiles of a reference, and logit-spaced edges where there is none.

Quantile edges keep every bin about equally filled, so a bin-wise figure loses least. A value that holds a large share
of the reference (a default, a zero, a constant) gets a bin that holds nothing else at all, so that a change of its
share shows (a decile PSI over a spike reads 0 whatever happens) and nothing about it is uncertain; the other edges
are quantiles of what remains. What lies under the least or over the greatest value of the reference has a bin of its
own, and a heavy tail is cut once more at 0.99 and 0.999.

Input: finite numbers of the reference, at least one. Cost: one sort. Error: no bin holds more than n / bins values,
rounded up, and a value that repeats without being a spike; equal values can never be parted. Source: inverse of the
empirical distribution function (Hyndman & Fan 1996, definition 1).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlcanary.stats.accumulator import Floats

SPIKE_SHARE = 0.05
"""A single value with more than this share of the reference gets its own bin."""

HEAVY_TAIL = 2.5
"""A tail is heavy if its 0.999 quantile lies this many times as far from the median as the 0.95 one (normal: 1.9)."""


def quantile_edges(values: ArrayLike, bins: int) -> Floats:
    """Finite, strictly ascending inner edges for about `bins` bins; the last bin is open above.

    `values`: finite numbers, shape (n,), n >= 1. Fewer edges come back where values repeat, two more per spike.

    >>> quantile_edges(range(1, 101), 4).tolist()
    [0.9999999999999999, 25.0, 50.0, 75.0, 100.0]
    >>> quantile_edges([0.0] * 90 + list(range(1, 11)), 4).tolist()      # the zero stands alone
    [-5e-324, 0.0, 4.0, 7.0, 10.0]
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    distinct, counts = np.unique(x, return_counts=True)
    spikes = distinct[counts > SPIKE_SHARE * x.size]
    edges = {_before(x[0]), float(x[-1])} | {_before(spike) for spike in spikes} | set(spikes.tolist())
    if distinct.size <= bins:  # every value on its own
        edges |= set(distinct.tolist())
    else:
        rest = x[~np.isin(x, spikes)]
        if rest.size:
            wanted = max(math.ceil(rest.size * bins / x.size), bins - spikes.size)
            edges |= set(_quantiles(rest, np.arange(1, wanted) / wanted)) | _tails(rest)
    return np.array(sorted(edge for edge in edges if math.isfinite(edge)))


def points(edges: Floats) -> NDArray[np.bool_]:
    """Which bins, shape (B,), can hold one number only: those of the spikes.

    >>> points(quantile_edges([0.0] * 90 + list(range(1, 11)), 4)).tolist()
    [False, True, False, False, False, False]
    """
    alone = np.nextafter(edges[:-1], np.inf) == edges[1:]
    return np.concatenate([[False], alone, [False]])[: len(edges) + 1]


def _before(number: float) -> float:
    """The largest number under it."""
    return float(np.nextafter(number, -np.inf))


def _quantiles(ordered: Floats, shares: Floats) -> list[float]:
    ranks = np.ceil(shares * ordered.size).astype(int) - 1
    found: list[float] = ordered[ranks].tolist()
    return found


def _tails(ordered: Floats) -> set[float]:
    """Edges at 0.99 and 0.999 of a heavy upper tail, at 0.01 and 0.001 of a heavy lower one."""
    found = _quantiles(ordered, np.array([0.001, 0.01, 0.05, 0.5, 0.95, 0.99, 0.999]))
    outer_low, body_low, median, body_high, outer_high = (found[i] / 4 for i in (0, 2, 3, 4, 6))  # / 4: no overflow
    upper = outer_high - median > HEAVY_TAIL * (body_high - median)
    lower = median - outer_low > HEAVY_TAIL * (median - body_low)
    return {*(found[5:] if upper else ()), *(found[:2] if lower else ())}


def logit_edges(bins: int = 100, limit: float = 8.0) -> Floats:
    """Inner edges of probabilities, equally spaced in the logit between -limit and limit, shape (bins - 1,).

    For scores of which no reference is known: resolves rare positives, where uniform edges put nearly all
    scores into the first bin.

    >>> [round(e, 4) for e in logit_edges(4).tolist()]
    [0.018, 0.5, 0.982]
    """
    logits = np.linspace(-limit, limit, bins + 1)[1:-1]
    return np.array([float(f"{p:.6g}") for p in 1.0 / (1.0 + np.exp(-logits))])
