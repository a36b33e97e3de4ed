"""Jensen-Shannon divergence in nats from counts over common bins; finite where bins are empty.

Input: two count vectors over the same bins. Cost: O(B). Error: exact for the bins, 1e-16 absolute; what happens inside
a bin can only add to it (data processing inequality). Source: Lin (1991). In nats, in [0, ln 2]; its square root is
`scipy.spatial.distance.jensenshannon`. Without drift 8 JSD / (1 / n + 1 / m) is about chi-square on bins - 1 degrees:
the second-order term of every f-divergence (Csiszar & Shields 2004, theorem 4.1).
"""

from __future__ import annotations

import numpy as np

from mlcanary.stats.accumulator import Floats


def jensen_shannon_from_counts(current: Floats, reference: Floats) -> float | None:
    """The divergence of two binned samples; None if one is empty.

    >>> round(jensen_shannon_from_counts(np.array([4.0, 0.0]), np.array([0.0, 7.0])), 9)      # ln 2
    0.693147181
    """
    n, m = float(current.sum()), float(reference.sum())
    if n <= 0 or m <= 0:
        return None
    p, q = current / n, reference / m
    middle = (p + q) / 2
    divergence = (_towards(p, middle) + _towards(q, middle)) / 2
    return max(0.0, divergence)


def _towards(p: Floats, middle: Floats) -> float:
    some = p > 0
    return float((p[some] * np.log(p[some] / middle[some])).sum())
