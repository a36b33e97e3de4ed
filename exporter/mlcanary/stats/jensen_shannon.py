"""Jensen-Shannon divergence in nats from counts over common bins; finite where bins are empty.

Input: two count vectors over the same bins, or rows of them. Cost: O(B). Error: exact for the bins, 1e-16 absolute;
what happens inside a bin can only add to it (data processing inequality). Source: Lin (1991). In nats, in [0, ln 2];
its square root is `scipy.spatial.distance.jensenshannon`. Without drift 8 JSD / (1 / n + 1 / m) is about chi-square on
bins - 1 degrees: the second-order term of every f-divergence (Csiszar & Shields 2004, theorem 4.1).
"""

from __future__ import annotations

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.sample_size import figure, sample_size


def jensen_shannon(current: Floats, reference: Floats) -> Floats:
    """The divergence along the last axis, one for each row; NaN if one sample is empty."""
    p, q = current / sample_size(current), reference / sample_size(reference)
    middle = (p + q) / 2
    found: Floats = np.maximum((_towards(p, middle) + _towards(q, middle)) / 2, 0.0)
    return found


def jensen_shannon_from_counts(current: Floats, reference: Floats) -> float | None:
    """The divergence of two binned samples; None if one is empty.

    >>> round(jensen_shannon_from_counts(np.array([4.0, 0.0]), np.array([0.0, 7.0])), 9)      # ln 2
    0.693147181
    """
    return figure(jensen_shannon(current, reference))


def _towards(p: Floats, middle: Floats) -> Floats:
    ratio = np.divide(p, middle, out=np.ones(p.shape), where=p > 0)  # an empty bin adds nothing: 0 log 1
    towards: Floats = (p * np.log(ratio)).sum(axis=-1)
    return towards
