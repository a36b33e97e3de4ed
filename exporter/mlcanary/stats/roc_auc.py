"""Area under the ROC curve from score bins, with a certified bound on what the bins hide.

Input: scores in [0, 1] and whether the class was positive. Cost: O(log B) per score, O(B) per estimate, 24
bytes per bin. Error: |exact - estimate| <= bound = 1/2 sum_i (p_i / P)(q_i / N), computed from the same
counts: only pairs inside one bin are unknown. Source: trapezoid ROC area = Mann-Whitney statistic with ties
counted 1/2 (Hanley & McNeil 1982); the bound is the tied mass.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats, Vector


class AucEstimate(NamedTuple):
    """`auc` in [0, 1]; the exact area lies in auc ± bound."""

    auc: float
    bound: float


class ScoreBins(Vector):
    """Labelled scores per bin: positives, negatives and the sum of scores.

    Bin i holds scores s with edges[i-1] < s <= edges[i]; the last bin is open above.

    >>> bins = ScoreBins.empty(np.array([0.2, 0.4, 0.6, 0.8]))
    >>> bins.update_many([0.1, 0.3, 0.35, 0.7, 0.9], [False, False, True, True, True])
    >>> bins.estimate()                       # the exact area is 1: two scores share a bin
    AucEstimate(auc=0.9166666666666666, bound=0.08333333333333333)
    """

    __slots__ = ("edges",)

    def __init__(self, values: Floats, edges: Floats) -> None:
        super().__init__(values)
        self.edges = edges

    @classmethod
    def empty(cls, edges: Floats) -> Self:
        """No scores yet. `edges`: finite, strictly ascending, shape (B - 1,)."""
        return cls(np.zeros((3, len(edges) + 1)), edges)

    def like(self, values: Floats) -> Self:
        """The same edges over other counts."""
        return type(self)(values, self.edges)

    def update_many(self, scores: ArrayLike, positive: ArrayLike) -> None:
        """Count scores, shape (n,), in [0, 1], beside their class, shape (n,), bool."""
        score = np.asarray(scores, dtype=np.float64)
        is_positive = np.asarray(positive, dtype=bool)
        index = np.searchsorted(self.edges, score, side="left")
        size = self.values.shape[1]
        self.values[0] += np.bincount(index[is_positive], minlength=size)
        self.values[1] += np.bincount(index[~is_positive], minlength=size)
        self.values[2] += np.bincount(index, weights=score, minlength=size)

    @property
    def positives(self) -> Floats:
        """Positives per bin, shape (B,)."""
        row: Floats = self.values[0]
        return row

    @property
    def negatives(self) -> Floats:
        """Negatives per bin, shape (B,)."""
        row: Floats = self.values[1]
        return row

    @property
    def score_sums(self) -> Floats:
        """Sum of scores per bin, shape (B,)."""
        row: Floats = self.values[2]
        return row

    def estimate(self) -> AucEstimate | None:
        """The area and its bound; None while one class is missing."""
        return auc_from_counts(self.positives, self.negatives)


def auc_from_counts(positives: Floats, negatives: Floats) -> AucEstimate | None:
    """The area and its bound from counts per bin, in ascending order of score; None while one class is missing."""
    pairs = float(positives.sum()) * float(negatives.sum())
    if pairs <= 0:
        return None
    tied = float(positives @ negatives)
    won = float(positives @ below(negatives))
    return AucEstimate((won + tied / 2) / pairs, tied / pairs / 2)


def below(counts: Floats) -> Floats:
    """Sum of all counts strictly before each bin along the last axis, same shape.

    Never falls where no count does, fractions included: a rounded difference would, and read as a counter reset.
    """
    under = np.zeros(counts.shape)
    np.cumsum(counts[..., :-1], axis=-1, out=under[..., 1:])
    return under
