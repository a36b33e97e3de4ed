"""Where to cut: edges at quantiles of a reference, and logit-spaced edges where there is none.

Quantile edges keep every bin about equally filled, so a bin-wise figure loses least; a value that holds a
large share of the reference (a default, a zero, a constant) gets a bin of its own, so that a change of its
share shows (a decile PSI over a spike reads 0 whatever happens).

Input: finite numbers of the reference, at least one. Cost: one sort. Error: no bin holds more than n / bins values,
rounded up, and one spike; equal values can never be parted. Source: inverse of the empirical distribution function
(Hyndman & Fan 1996, definition 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats

SPIKE_SHARE = 0.05
"""A single value with more than this share of the reference gets its own bin."""


def quantile_edges(values: ArrayLike, bins: int) -> Floats:
    """Finite, strictly ascending inner edges for about `bins` bins; the last bin is open above.

    `values`: finite numbers, shape (n,), n >= 1. Fewer edges come back where values repeat.

    >>> quantile_edges(range(1, 101), 4).tolist()
    [25.0, 50.0, 75.0]
    >>> quantile_edges([0.0] * 90 + list(range(1, 11)), 4).tolist()      # the zero stands alone
    [-0.5, 0.0]
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    ranks = np.ceil(np.arange(1, bins) / bins * x.size).astype(int) - 1
    distinct, counts = np.unique(x, return_counts=True)
    if distinct.size <= bins:  # every value on its own, and what lies under and over all of them
        return np.unique([_before(distinct, 0), *distinct.tolist()])
    edges = set(x[ranks].tolist())
    for i in np.flatnonzero(counts > SPIKE_SHARE * x.size):
        edges |= {_before(distinct, int(i)), float(distinct[i])}
    largest = float(distinct[-1])
    spiked_top = counts[-1] > SPIKE_SHARE * x.size
    return np.array(sorted(e for e in edges if e < largest or (e == largest and spiked_top)))


def _before(distinct: Floats, i: int) -> float:
    """An edge between a spike and the value under it; under the smallest value half a gap, or next to nothing."""
    spike = float(distinct[i])
    if i > 0:
        low = float(distinct[i - 1])
    elif len(distinct) > 1:
        low = spike - float(distinct[1] - distinct[0])
    else:
        low = spike - 2e-6 * (abs(spike) or 1.0)
    return _short(low / 2 + spike / 2, low, spike)  # halved first: a sum of huge numbers would be infinite


def _short(middle: float, low: float, high: float) -> float:
    """The shortest number near the middle that still separates low from high: edges become label values."""
    for digits in range(1, 17):
        rounded = float(f"{middle:.{digits}g}")
        if low < rounded < high:
            return rounded
    return low


def logit_edges(bins: int = 100, limit: float = 8.0) -> Floats:
    """Inner edges of probabilities, equally spaced in the logit between -limit and limit, shape (bins - 1,).

    For scores of which no reference is known: resolves rare positives, where uniform edges put nearly all
    scores into the first bin.

    >>> [round(e, 4) for e in logit_edges(4).tolist()]
    [0.018, 0.5, 0.982]
    """
    logits = np.linspace(-limit, limit, bins + 1)[1:-1]
    return np.array([float(f"{p:.6g}") for p in 1.0 / (1.0 + np.exp(-logits))])
