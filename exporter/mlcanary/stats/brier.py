"""Brier score: squared error of probabilities.

Input: P(positive) in [0, 1] and whether the class was positive; for more classes, the probability of the true class
and the sum of squared probabilities of all. Cost: O(1) per prediction, 24 bytes. Error: rounding only. Source: Brier
(1950), the sum over all classes, in [0, 2]; for two classes the squared error of the positive one alone, in [0, 1],
as scikit-learn's `brier_score_loss`, which calls the first `scale_by_half=False` and the second its default.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.loss_sums import LossSums


class BrierScore(LossSums):
    """Count, sum and sum of squares of per-prediction squared errors.

    >>> score = BrierScore.empty()
    >>> score.update_many([0.5, 1.0], [True, True])
    >>> score.mean()
    0.125
    """

    __slots__ = ()

    def update_many(self, scores: ArrayLike, positive: ArrayLike) -> None:
        """Add predictions of two classes: scores, shape (n,); whether positive, shape (n,), bool."""
        self.add((np.asarray(scores, dtype=np.float64) - np.asarray(positive, dtype=bool)) ** 2)

    def update_classes(self, probabilities: ArrayLike, squares: ArrayLike) -> None:
        """Add predictions of any classes: that of the true class and the sum of squares of all, shape (n,) each."""
        p = np.asarray(probabilities, dtype=np.float64)
        self.add(np.asarray(squares, dtype=np.float64) - 2.0 * p + 1.0)
