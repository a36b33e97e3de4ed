"""Evidence that a share of bad events lies below a limit, from one arm alone, valid at every look.

Guarantee: while every trial is bad with probability `limit` or more, whatever came before, exp(log_e) reaches 1 / alpha
with probability at most alpha, EVER. Against "worse than the baseline by `limit` or more" it is valid too: a rate that
exceeds another one by the limit is not below the limit. Where nothing fails at either arm it is all there is to know:
a comparison of failures has none to compare.
Input: trials and bad events of the canary so far, whole numbers. Cost: 4 logarithms.
Error: rounding only; with clustered events valid to second order, by the design effect.
Source: likelihood ratio of a Bernoulli rate with a monotone likelihood, mixed over rates below the limit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.design_effect import tempered

_PARTS = np.array([0.0, 0.125, 0.25, 0.5])
"""Rates that the mixture bets on, as parts of the limit; equal weights."""


def log_e_below(trials: ArrayLike, bad: ArrayLike, limit: float, phi: ArrayLike = 1.0) -> Floats:
    """Log evidence that the rate is below `limit`, inside (0, 1). `phi`: design effect >= 1. Of the inputs' shape.

    >>> round(float(np.exp(log_e_below(1000, 0, 0.01))), 1)
    7961.1
    """
    if not 0.0 < limit < 1.0:
        raise ValueError(f"need a limit inside (0, 1), got {limit}")
    n, x, effect = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (trials, bad, phi)))
    rates = _PARTS * limit
    with np.errstate(divide="ignore", invalid="ignore"):
        of_bad = np.where(x[..., None] > 0, x[..., None] * np.log(rates / limit), 0.0)
    ratios = of_bad + (n - x)[..., None] * (np.log1p(-rates) - np.log1p(-limit))
    return tempered(np.full(_PARTS.size, -np.log(_PARTS.size)), ratios, np.maximum(effect, 1.0))
