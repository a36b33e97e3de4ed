"""Log loss of probabilities: what the true class was given.

Input: P(positive) in [0, 1] and whether the class was positive, or the probability of the true class. Cost: O(1) per
prediction, 24 bytes. Error: none, except that probabilities are clipped to [1e-7, 1 - 1e-7]: one certain mistake
costs 16 nats instead of infinitely many, in both arms alike. Source: negative log-likelihood; scikit-learn's
`log_loss` of the clipped probabilities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.loss_sums import LossSums

CLIP = 1e-7


class LogLoss(LossSums):
    """Count, sum and sum of squares of per-prediction losses, in nats.

    >>> loss = LogLoss.empty()
    >>> loss.update_many([0.5, 0.5], [True, False])
    >>> round(loss.mean(), 6), loss.count
    (0.693147, 2.0)
    """

    __slots__ = ()

    def update_many(self, scores: ArrayLike, positive: ArrayLike) -> None:
        """Add predictions: scores, shape (n,); whether positive, shape (n,), bool."""
        p = np.asarray(scores, dtype=np.float64)
        self.update_true(np.where(np.asarray(positive, dtype=bool), p, 1.0 - p))

    def update_true(self, probabilities: ArrayLike) -> None:
        """Add predictions by the probability of the class that was true, shape (n,)."""
        self.add(-np.log(np.clip(np.asarray(probabilities, dtype=np.float64), CLIP, 1.0 - CLIP)))
