"""Mean log loss and what its standard error needs.

Input: P(positive) in [0, 1] and whether the class was positive. Cost: O(1) per prediction, 24 bytes.
Error: none, except that probabilities are clipped to [1e-7, 1 - 1e-7]: one certain mistake costs 16 nats
instead of infinitely many, in both arms alike. Source: Bernoulli negative log-likelihood.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Vector

CLIP = 1e-7


class LogLoss(Vector):
    """Count, sum and sum of squares of per-prediction losses, in nats.

    >>> loss = LogLoss.empty()
    >>> loss.update_many([0.5, 0.5], [True, False])
    >>> round(loss.mean(), 6), loss.count
    (0.693147, 2.0)
    """

    __slots__ = ()

    @classmethod
    def empty(cls) -> Self:
        """No predictions yet."""
        return cls(np.zeros(3))

    def update_many(self, scores: ArrayLike, positive: ArrayLike) -> None:
        """Add predictions: scores, shape (n,); whether positive, shape (n,), bool."""
        p = np.clip(np.asarray(scores, dtype=np.float64), CLIP, 1.0 - CLIP)
        losses = -np.log(np.where(np.asarray(positive, dtype=bool), p, 1.0 - p))
        self.values += np.array([losses.size, losses.sum(), losses @ losses])

    @property
    def count(self) -> float:
        """Predictions seen."""
        return float(self.values[0])

    @property
    def sum(self) -> float:
        """Sum of losses, nats."""
        return float(self.values[1])

    @property
    def squares(self) -> float:
        """Sum of squared losses."""
        return float(self.values[2])

    def mean(self) -> float | None:
        """Mean loss, nats; None without predictions."""
        return self.sum / self.count if self.count > 0 else None
