"""How many of a cohort had their label by each age: the delay curve of labels, free of the bias of what came sooner.

Input: the age of its label, in seconds, of each member of the cohort, infinite for a member without one. Cost: O(log A)
per member, 8 bytes per age. Error: none at the ages. Source: empirical distribution function of the delay, over a
cohort that has been observed to its end, so that nothing is censored (Lawless 2003, 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats, Vector


class AgeCoverage(Vector):
    """Members of a cohort, and those with a label at each of the ages.

    >>> curve = AgeCoverage.empty([60.0, 3600.0])
    >>> curve.update_many([5.0, 60.0, 90.0, float("inf")])
    >>> curve.cohort, curve.labeled.tolist()
    (4.0, [2.0, 3.0])
    """

    __slots__ = ("ages",)

    def __init__(self, values: Floats, ages: Floats) -> None:
        super().__init__(values)
        self.ages = ages

    @classmethod
    def empty(cls, ages: Sequence[float]) -> Self:
        """No members yet. `ages`: seconds, ascending, finite."""
        return cls(np.zeros(len(ages) + 1), np.asarray(ages, dtype=np.float64))

    def like(self, values: Floats) -> Self:
        """The same ages over other counts."""
        return type(self)(values, self.ages)

    def update_many(self, label_ages: ArrayLike) -> None:
        """Count members, shape (n,)."""
        reached = np.searchsorted(self.ages, np.asarray(label_ages, dtype=np.float64), side="left")
        per_age = np.bincount(reached, minlength=len(self.ages) + 1)
        self.values[0] += reached.size
        self.values[1:] += np.cumsum(per_age[:-1])

    @property
    def cohort(self) -> float:
        """Members, labelled or not."""
        return float(self.values[0])

    @property
    def labeled(self) -> Floats:
        """Members whose label had come by each age, shape (A,)."""
        return self.values[1:]
