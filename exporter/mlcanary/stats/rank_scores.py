"""Rank scores of bins: where a bin's values stand in the reference, from -1 for the least to 1 for the greatest.

Input: counts of the reference per bin, and bin numbers, -1 for a missing value. Cost: one look-up per value. Error:
scores are rounded to multiples of 2**-10, so that sums of products over fewer than 2**31 rows are exact in float64,
whatever the order of addition. Source: mid-distribution function (Parzen 2004), centred: its mean over the reference
is 0. A monotone transformation of a feature changes no score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlcanary.stats.accumulator import Floats

Bins = NDArray[np.int32]
"""Bin numbers, shape (rows, features), -1 for a missing value."""

_STEPS = 1024.0


def score_table(counts: Floats, order: NDArray[np.intp] | None = None) -> Floats:
    """Score of each bin, shape (B + 1,); the last, which -1 finds, is 0: a missing value stands in the middle.

    `order`: the bins from the least to the greatest, where that is not the order of their numbers.

    >>> score_table(np.array([2.0, 1.0, 1.0])).tolist()
    [-0.5, 0.25, 0.75, 0.0]
    """
    places = np.arange(len(counts)) if order is None else order
    ordered = counts[places]
    middle = 2.0 * (np.cumsum(ordered) - ordered / 2.0) / counts.sum() - 1.0
    table = np.zeros(len(counts) + 1)
    table[places] = np.rint(middle * _STEPS) / _STEPS
    return table


def scores_of(bins: Bins, tables: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Scores and missing indicators, both of shape (rows, features)."""
    scores = np.empty(bins.shape)
    for column, table in enumerate(tables):
        scores[:, column] = table[bins[:, column]]
    return scores, (bins < 0).astype(np.float64)
