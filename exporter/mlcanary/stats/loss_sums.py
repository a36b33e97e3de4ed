"""Mean of a loss per prediction and what its standard error needs.

Input: finite losses. Cost: O(1) per loss, 24 bytes. Error: rounding of sums only. Source: sample mean; the sum of
squares gives the standard error of the mean, sqrt((mean of squares - mean^2) / (n - 1)).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Vector


class LossSums(Vector):
    """Count, sum and sum of squares.

    >>> losses = LossSums.empty()
    >>> losses.add([1.0, 3.0])
    >>> losses.mean(), losses.count, losses.squares
    (2.0, 2.0, 10.0)
    """

    __slots__ = ()

    @classmethod
    def empty(cls) -> Self:
        """No losses yet."""
        return cls(np.zeros(3))

    def add(self, losses: ArrayLike) -> None:
        """Add losses, shape (n,)."""
        each = np.asarray(losses, dtype=np.float64)
        self.values += np.array([each.size, each.sum(), each @ each])

    @property
    def count(self) -> float:
        """Losses seen."""
        return float(self.values[0])

    @property
    def sum(self) -> float:
        """Sum of losses."""
        return float(self.values[1])

    @property
    def squares(self) -> float:
        """Sum of squared losses."""
        return float(self.values[2])

    def mean(self) -> float | None:
        """Mean loss; None without any."""
        return self.sum / self.count if self.count > 0 else None
