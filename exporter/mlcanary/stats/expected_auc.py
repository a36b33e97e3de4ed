"""Area under the ROC curve that calibrated scores promise, before any label has come, with its noise.

In bin i with n_i scores of sum s_i, s_i positives are to be expected and n_i - s_i negatives; the area follows as from
labelled bins. Each outcome moves the realised area A, were it positive instead of negative, by

    g_i = (negatives under it - positives above it) / (P N) - A (1 / P - 1 / N),   ties counted 1/2,

the derivative of the Mann-Whitney statistic over P N, and outcomes are independent, so Var(A) = sum_i g_i^2 v_i with
v_i the sum of p (1 - p) in the bin. v_i = s_i - s_i^2 / n_i is the most that it can be (Jensen), and as good as equal
in a narrow bin.

Input: P(positive) in [0, 1]. Cost: O(log B) per score, O(B) per estimate, 16 bytes per bin. Error: the half-width is
1.96 standard errors, first-order (delta method), of the realised area over the same bins; the exact area lies within
`auc_error_bound` of that one. Source: Hanley & McNeil 1982 for the area; delta method on Poisson-binomial bins.
"""

from __future__ import annotations

from math import sqrt
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats, Vector
from mlcanary.stats.expected_confusion import LEAST, Z95, Estimated
from mlcanary.stats.roc_auc import below


class UnlabeledBins(Vector):
    """Scores per bin: how many, and their sum. Bin i holds edges[i-1] < s <= edges[i]; the last one is open above.

    >>> bins = UnlabeledBins.empty(np.array([0.25, 0.5, 0.75]))
    >>> bins.update_many([0.1, 0.4, 0.6, 0.9])
    >>> round(bins.estimate().value, 6)
    0.825
    """

    __slots__ = ("edges",)

    def __init__(self, values: Floats, edges: Floats) -> None:
        super().__init__(values)
        self.edges = edges

    @classmethod
    def empty(cls, edges: Floats) -> Self:
        """No scores yet. `edges`: finite, strictly ascending, shape (B - 1,)."""
        return cls(np.zeros((2, len(edges) + 1)), edges)

    def like(self, values: Floats) -> Self:
        """The same edges over other counts."""
        return type(self)(values, self.edges)

    def update_many(self, scores: ArrayLike) -> None:
        """Count scores, shape (n,), in [0, 1]."""
        score = np.asarray(scores, dtype=np.float64)
        index, size = np.searchsorted(self.edges, score, side="left"), self.values.shape[1]
        self.values[0] += np.bincount(index, minlength=size)
        self.values[1] += np.bincount(index, weights=score, minlength=size)

    @property
    def counts(self) -> Floats:
        """Scores per bin, shape (B,)."""
        row: Floats = self.values[0]
        return row

    @property
    def sums(self) -> Floats:
        """Sum of scores per bin, shape (B,): the positives to expect."""
        row: Floats = self.values[1]
        return row

    def estimate(self) -> Estimated | None:
        """The area to expect; None if no positive, or no negative, is."""
        count, up = self.counts, self.sums
        down = count - up
        positives, negatives = float(up.sum()), float(down.sum())
        if positives <= LEAST or negatives <= LEAST:
            return None
        pairs = positives * negatives
        under = below(down) + down / 2
        above = positives - below(up) - up / 2
        area = float(up @ under) / pairs
        slope = (under - above) / pairs - area * (1 / positives - 1 / negatives)
        used = count > 0
        spread = np.maximum(up[used] - up[used] ** 2 / count[used], 0.0)
        return Estimated(area, Z95 * sqrt(float(spread @ slope[used] ** 2)))
