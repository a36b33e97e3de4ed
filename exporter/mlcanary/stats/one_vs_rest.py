"""Areas under the ROC curves of each class against all others, with certified bounds.

Input: per class its probabilities and whether it was the true one. Cost: O(log B) per prediction and class, 16 bytes
per class and bin. Error: per class as in `roc_auc`; a mean of areas lies within the same mean of their bounds.
Source: scikit-learn's `roc_auc_score(multi_class="ovr", average="macro" | "weighted")` over the classes whose area is
defined: those that were the truth at least once and not always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats, Vector
from mlcanary.stats.roc_auc import AucEstimate, auc_from_counts


class MeanAuc(NamedTuple):
    """Means over the classes that have an area: plain, and weighted by how often each was the truth."""

    macro: AucEstimate
    weighted: AucEstimate


class OneVsRestBins(Vector):
    """Scores per bin of each class, by whether it was the true one; classes are rows in the order they were learnt.

    A state with more classes continues one with fewer: rows that a state lacks are zeros.

    >>> bins = OneVsRestBins.empty(np.array([0.5]))
    >>> bins.update_many(0, [0.9, 0.1], [True, False])
    >>> bins.estimates()
    [AucEstimate(auc=1.0, bound=0.0)]
    """

    __slots__ = ("edges",)

    def __init__(self, values: Floats, edges: Floats) -> None:
        super().__init__(values)
        self.edges = edges

    @classmethod
    def empty(cls, edges: Floats) -> Self:
        """No class yet. `edges`: finite, strictly ascending, shape (B - 1,)."""
        return cls(np.zeros((0, 2, len(edges) + 1)), edges)

    def like(self, values: Floats) -> Self:
        """The same edges over other counts."""
        return type(self)(values, self.edges)

    def grow(self, classes: int) -> None:
        """Have at least so many classes."""
        self.values = self._grown(classes)

    def update_many(self, row: int, scores: ArrayLike, actual: ArrayLike) -> None:
        """Count probabilities of one class, shape (n,), in [0, 1], beside whether it was the true one."""
        self.grow(row + 1)
        true = np.asarray(actual, dtype=bool)
        index = np.searchsorted(self.edges, np.asarray(scores, dtype=np.float64), side="left")
        for i, chosen in enumerate((true, ~true)):
            self.values[row, i] += np.bincount(index[chosen], minlength=self.values.shape[2])

    def estimates(self) -> Sequence[AucEstimate | None]:
        """The area of every class, in the order of rows."""
        return [auc_from_counts(positives, negatives) for positives, negatives in self.values]

    def means(self) -> MeanAuc | None:
        """The mean areas; None while no class has one."""
        found = [(e, float(row[0].sum())) for e, row in zip(self.estimates(), self.values, strict=True) if e]
        if not found:
            return None
        areas = np.array([estimate for estimate, _ in found])
        weights = np.array([weight for _, weight in found])
        macro, weighted = areas.mean(axis=0), weights @ areas / weights.sum()
        return MeanAuc(AucEstimate(*macro.tolist()), AucEstimate(*weighted.tolist()))

    def merge(self, other: Self) -> Self:
        """The state that would have seen both inputs, if both learnt the classes in the same order."""
        self._demand_same_bins(other)
        classes = max(len(self.values), len(other.values))
        return self.like(self._grown(classes) + other._grown(classes))

    def minus(self, earlier: Self) -> Self:
        """What was added since `earlier`, a former state of the same counters."""
        self._demand_same_bins(earlier)
        return self.like(self.values - earlier._grown(len(self.values)))

    def load(self, dumped: Any) -> None:
        """Take over a dumped state of any number of classes. Raises ValueError if its bins are others."""
        values = np.frombuffer(dumped, dtype=np.float64)
        width = 2 * (len(self.edges) + 1)
        if values.size % width:
            raise ValueError(f"{type(self).__name__}: {values.size} saved counters do not fill rows of {width}")
        self.values = values.reshape(-1, 2, len(self.edges) + 1).copy()

    def _demand_same_bins(self, other: OneVsRestBins) -> None:
        if self.values.shape[1:] != other.values.shape[1:]:
            raise ValueError(f"{type(self).__name__}: bins {self.values.shape[2]} and {other.values.shape[2]} differ")

    def _grown(self, classes: int) -> Floats:
        more = classes - len(self.values)
        return self.values if more <= 0 else np.concatenate([self.values, np.zeros((more, *self.values.shape[1:]))])
