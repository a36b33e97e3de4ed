"""Errors of predicted numbers: mean absolute and squared error, bias, and quantile loss at any quantile.

Input: pairs of finite numbers, actual and predicted, each within ±1e15. Cost: O(1) per pair, 48 bytes. Error: none but
the rounding of sums. Source: definitions as in scikit-learn's `mean_absolute_error`, `mean_squared_error` and
`mean_pinball_loss`; over- and under-prediction are kept apart, and pinball(q) = q * under + (1 - q) * over
(Koenker & Bassett 1978), so that the quantile can be chosen when the figure is read. Bias: mean of predicted - actual.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Vector


class Residuals(Vector):
    """Count, absolute and squared errors by sign, and fourth powers, which give the standard error of the MSE.

    >>> errors = Residuals.empty()
    >>> errors.update_many([10.0, 20.0], [13.0, 19.0])
    >>> errors.absolute_error(), errors.squared_error(), errors.bias(), errors.quantile_loss(0.9)
    (2.0, 5.0, 1.0, 0.6)
    """

    __slots__ = ()

    @classmethod
    def empty(cls) -> Self:
        """No pairs yet."""
        return cls(np.zeros(6))

    def update_many(self, actual: ArrayLike, predicted: ArrayLike) -> None:
        """Add pairs: two arrays of shape (n,)."""
        error = np.asarray(predicted, dtype=np.float64) - np.asarray(actual, dtype=np.float64)
        over, under, squares = np.maximum(error, 0.0), np.maximum(-error, 0.0), error * error
        self.values += np.array(
            [error.size, over.sum(), under.sum(), over @ over, under @ under, squares @ squares], dtype=np.float64
        )

    @property
    def count(self) -> float:
        """Pairs seen."""
        return float(self.values[0])

    @property
    def over(self) -> float:
        """Sum of predicted - actual where it is positive."""
        return float(self.values[1])

    @property
    def under(self) -> float:
        """Sum of actual - predicted where it is positive."""
        return float(self.values[2])

    @property
    def over_squares(self) -> float:
        """Sum of squared errors of predictions above the actual number."""
        return float(self.values[3])

    @property
    def under_squares(self) -> float:
        """Sum of squared errors of predictions under the actual number."""
        return float(self.values[4])

    @property
    def fourth_powers(self) -> float:
        """Sum of fourth powers of errors."""
        return float(self.values[5])

    @property
    def squares(self) -> float:
        """Sum of squared errors."""
        return self.over_squares + self.under_squares

    def absolute_error(self) -> float | None:
        """Mean absolute error; None without pairs, like all means here."""
        return self._mean(self.over + self.under)

    def squared_error(self) -> float | None:
        """Mean squared error."""
        return self._mean(self.squares)

    def bias(self) -> float | None:
        """Mean of predicted - actual: above 0 the model says too much."""
        return self._mean(self.over - self.under)

    def quantile_loss(self, q: float) -> float | None:
        """Mean pinball loss of predictions of the quantile `q`, in (0, 1); half the absolute error at 0.5."""
        return self._mean(q * self.under + (1.0 - q) * self.over)

    def _mean(self, total: float) -> float | None:
        return total / self.count if self.count > 0 else None
