"""Log loss that calibrated scores promise, before any label has come, with its noise.

If the score p is the true probability, the expected loss of a prediction is the entropy of p, and its variance
p (1 - p) (ln p - ln (1 - p))^2. Scores are clipped inside the logarithms as for the realised loss.

Input: P(positive) in [0, 1]. Cost: O(1) per prediction, 24 bytes. Error: the half-width is 1.96 standard errors, from
the exact variance of independent outcomes. Source: entropy and varentropy of a Bernoulli variable.
"""

from __future__ import annotations

from math import sqrt
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Vector
from mlcanary.stats.expected_confusion import Z95, Estimated
from mlcanary.stats.log_loss import CLIP


class ExpectedLogLoss(Vector):
    """Count, sum of expected losses and sum of their variances, in nats and squared nats.

    >>> loss = ExpectedLogLoss.empty()
    >>> loss.update_many([0.5, 0.5])
    >>> round(loss.mean().value, 6), loss.mean().error                # whatever happens, it costs the same
    (0.693147, 0.0)
    """

    __slots__ = ()

    @classmethod
    def empty(cls) -> Self:
        """No predictions yet."""
        return cls(np.zeros(3))

    def update_many(self, scores: ArrayLike) -> None:
        """Add predictions: scores, shape (n,)."""
        p = np.asarray(scores, dtype=np.float64)
        clipped = np.clip(p, CLIP, 1.0 - CLIP)
        if_positive, if_negative = -np.log(clipped), -np.log(1.0 - clipped)
        expected = p * if_positive + (1.0 - p) * if_negative
        spread = p * (1.0 - p) * (if_positive - if_negative) ** 2
        self.values += np.array([p.size, expected.sum(), spread.sum()])

    @property
    def count(self) -> float:
        """Predictions seen."""
        return float(self.values[0])

    @property
    def sum(self) -> float:
        """Sum of expected losses, nats."""
        return float(self.values[1])

    @property
    def variance(self) -> float:
        """Variance of the sum of losses."""
        return float(self.values[2])

    def mean(self) -> Estimated | None:
        """Mean loss to expect; None without predictions."""
        if self.count < 1:
            return None
        return Estimated(self.sum / self.count, Z95 * sqrt(max(self.variance, 0.0)) / self.count)
