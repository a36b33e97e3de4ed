"""Accuracy, precision, recall and F1 that calibrated scores promise, before any label has come, with their noise.

If each score p is the true probability of its prediction, outcomes are independent Bernoulli(p): the expected confusion
matrix is a sum of p and 1 - p, and its variance a sum of p (1 - p), separately for both predicted classes.

Input: P(positive) in [0, 1] and whether the prediction was positive. Cost: O(1) per prediction, 64 bytes. Error: the
half-widths are 1.96 standard errors; those of accuracy and precision come from exact variances, those of recall and F1
from the delta method. They cover how outcomes vary given the scores, not scores that are wrong. Source: confidence-
based performance estimation (CBPE), Kivimäki et al. 2024 (arXiv 2407.08649); Poisson-binomial variance.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Vector

Z95 = 1.959963984540054
"""Half-width of a 95 % interval in standard errors."""

LEAST = 1e-9
"""Expected positives or negatives under this are none: sums of scores are rounded where windows subtract them."""


class Estimated(NamedTuple):
    """The realised figure lies in value ± error in 95 % of cases."""

    value: float
    error: float


class ExpectedConfusion(Vector):
    """Per predicted class, positive then negative: predictions, sum of p, of 1 - p, and of p (1 - p).

    The second and third are summed apart: their rounded difference to the first could fall, and so could a counter.

    >>> matrix = ExpectedConfusion.empty()
    >>> matrix.update_many([0.9, 0.8, 0.3, 0.0], [True, True, False, False])
    >>> round(matrix.accuracy().value, 12), round(matrix.precision().value, 12), round(matrix.recall().value, 12)
    (0.85, 0.85, 0.85)
    >>> round(matrix.accuracy().error, 12)
    0.332328062455
    """

    __slots__ = ()

    @classmethod
    def empty(cls) -> Self:
        """No predictions yet."""
        return cls(np.zeros((2, 4)))

    def update_many(self, scores: ArrayLike, predicted_positive: ArrayLike) -> None:
        """Add predictions: scores, shape (n,); whether predicted positive, shape (n,), bool."""
        p = np.asarray(scores, dtype=np.float64)
        chosen = np.asarray(predicted_positive, dtype=bool)
        for row, mask in enumerate((chosen, ~chosen)):
            q = p[mask]
            self.values[row] += (q.size, q.sum(), (1.0 - q).sum(), (q * (1.0 - q)).sum())

    def count(self, predicted_positive: bool) -> float:
        """Predictions of a class."""
        return float(self.values[0 if predicted_positive else 1, 0])

    def positives(self, predicted_positive: bool) -> float:
        """Positives to expect among the predictions of a class."""
        return float(self.values[0 if predicted_positive else 1, 1])

    def negatives(self, predicted_positive: bool) -> float:
        """Negatives to expect among them."""
        return float(self.values[0 if predicted_positive else 1, 2])

    def right(self) -> float:
        """Right predictions to expect."""
        return self.positives(True) + self.negatives(False)

    def variance(self, predicted_positive: bool) -> float:
        """Variance of the number of those positives."""
        return float(self.values[0 if predicted_positive else 1, 3])

    def accuracy(self) -> Estimated | None:
        """Share of right predictions; None without any."""
        n = self.count(True) + self.count(False)
        if n < 1:
            return None
        return Estimated(self.right() / n, Z95 * _root(self.variance(True) + self.variance(False)) / n)

    def precision(self) -> Estimated | None:
        """Of those predicted positive, the share that is; None if none was."""
        n = self.count(True)
        return Estimated(self.positives(True) / n, Z95 * _root(self.variance(True)) / n) if n >= 1 else None

    def recall(self) -> Estimated | None:
        """Of the positives, the share predicted so; None if none is to be expected."""
        hits, missed = self.positives(True), self.positives(False)
        both = hits + missed
        if both <= LEAST:
            return None
        spread = missed * missed * self.variance(True) + hits * hits * self.variance(False)
        return Estimated(hits / both, Z95 * _root(spread) / (both * both))

    def f1(self) -> Estimated | None:
        """2 TP / (predicted positives + positives); None if there is neither."""
        hits, missed, chosen = self.positives(True), self.positives(False), self.count(True)
        both = chosen + hits + missed
        if both <= LEAST:
            return None
        spread = (chosen + missed) ** 2 * self.variance(True) + hits * hits * self.variance(False)
        return Estimated(2.0 * hits / both, 2.0 * Z95 * _root(spread) / (both * both))


def _root(variance: float) -> float:
    return sqrt(max(variance, 0.0))
