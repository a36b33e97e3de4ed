"""Share of the target's variance that a model explains, from sums that add up over any number of processes.

Input: finite targets within ±1e15, and the sum of squared errors. Cost: O(1) per target, O(centers) per estimate.
Error: rounding only, about 1e-16 * (mean - center)^2 / variance of the result: sums of squares about 0 would lose
every digit of a target near 1e9 that varies by 10. So the sums are taken about a center near the data, and a sum
belongs to its center: processes that chose other ones still add up, as variance within and between centers. Where the
target varies by less than a thousandth of its distance from the centers, what is left is rounding and there is no
estimate.
Source: R2 = 1 - SSE / SST, as scikit-learn's `r2_score`; Chan, Golub & LeVeque (1983) for the sums of squares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Tally

OBSERVATIONS, ABOVE, BELOW, SQUARES = "observations", "above", "below", "squares"
"""Per center: targets, sum of what lies above it, sum of what lies below it, sum of squared distances."""

RESOLUTION = 1e-6
"""Variance that is no larger a share of the mean square about the centers says nothing."""

_FAR = 0.01


class TargetSums(Tally):
    """Sums of targets by (center, moment); a center is a number in its shortest spelling.

    >>> sums = TargetSums()
    >>> sums.update_many([1e9 + 3, 1e9 - 1, 1e9 + 1, 1e9 + 5], "1000000000.0")
    >>> sums.squares_about_mean(), sums.r_squared(5.0)
    (20.0, 0.75)
    """

    __slots__ = ()

    def begin(self, center: str) -> None:
        """Have the counters of a center born at zero."""
        for moment in (OBSERVATIONS, ABOVE, BELOW, SQUARES):
            self.counts.setdefault((center, moment), 0.0)

    @property
    def centers(self) -> tuple[str, ...]:
        """Centers in order of first sight."""
        return tuple(name[0] for name in self.counts if name[1] == OBSERVATIONS)

    def update_many(self, targets: ArrayLike, center: str) -> None:
        """Add targets, shape (n,), to the sums about one center."""
        self.begin(center)
        distance = np.asarray(targets, dtype=np.float64) - float(center)
        self.add((center, OBSERVATIONS), float(distance.size))
        self.add((center, ABOVE), float(np.maximum(distance, 0.0).sum()))
        self.add((center, BELOW), float(np.maximum(-distance, 0.0).sum()))
        self.add((center, SQUARES), float(distance @ distance))

    def is_far(self, center: str) -> bool:
        """Whether what was summed about a center lies more than ten standard deviations away from it."""
        n, squares = self.counts[center, OBSERVATIONS], self.counts[center, SQUARES]
        shift = self.counts[center, ABOVE] - self.counts[center, BELOW]
        return n > 0 and squares - shift * shift / n < _FAR * squares

    def squares_about_mean(self) -> float | None:
        """Sum of squared distances from the mean of all targets; None where the target is constant or absent."""
        used = [center for center in self.centers if self.counts[center, OBSERVATIONS] > 0]
        if not used:
            return None
        lowest = min(map(float, used))
        n = np.array([self.counts[center, OBSERVATIONS] for center in used])
        shift = np.array([self.counts[center, ABOVE] - self.counts[center, BELOW] for center in used])
        squares = np.array([self.counts[center, SQUARES] for center in used])
        means = np.array([float(center) - lowest for center in used]) + shift / n
        mean = float(n @ means) / float(n.sum())
        total = float(np.maximum(squares - shift * shift / n, 0.0).sum() + n @ (means - mean) ** 2)
        return total if total > RESOLUTION * float(squares.sum()) else None

    def r_squared(self, squared_error: float) -> float | None:
        """1 - `squared_error` / squares about the mean, at most 1; None where that is undefined."""
        squares = self.squares_about_mean()
        return None if squares is None else 1.0 - squared_error / squares
