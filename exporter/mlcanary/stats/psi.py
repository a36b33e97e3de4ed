"""Population stability index from counts over common bins, and what it is without any drift.

Input: two count vectors over the same bins, or rows of them. Cost: O(B). Error: exact for shares of at least `FLOOR`;
smaller ones are raised to it, since the logarithm of an empty bin is infinite. Without drift the mean is (bins - 1) (1
/ n + 1 / m) to first order, not 0: that is the noise floor to read it against. Source: Jeffreys (1946), the sum of both
Kullback-Leibler divergences in nats; noise: PSI is chi-square times (1 / n + 1 / m) to second order in the differences
(Yurdakul & Naranjo 2020).
"""

from __future__ import annotations

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.sample_size import figure, sample_size

FLOOR = 1e-4
"""Least share of a bin, of both samples."""


def psi(current: Floats, reference: Floats) -> Floats:
    """The index along the last axis, one for each row; NaN if one sample is empty."""
    p = np.maximum(current / sample_size(current), FLOOR)
    q = np.maximum(reference / sample_size(reference), FLOOR)
    found: Floats = ((p - q) * np.log(p / q)).sum(axis=-1)
    return found


def psi_from_counts(current: Floats, reference: Floats) -> float | None:
    """The index of two binned samples, in [0, 18.5]; None if one is empty.

    >>> psi_from_counts(np.array([5.0, 5.0]), np.array([9.0, 9.0]))
    0.0
    """
    return figure(psi(current, reference))
