"""Counts of a feature over the fixed bins of a reference.

Input: finite numbers (numeric) or category names (categorical). Cost: O(log B) per number, O(1) per category,
8 bytes per bin. Error: none at the edges; nothing is known inside a bin. Source: histogram over fixed edges, closed
above as Prometheus buckets are (`le`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlcanary.stats.accumulator import Floats, Vector


class NumericBins(Vector):
    """Values per bin; bin i holds edges[i-1] < x <= edges[i], the last bin is open above.

    >>> bins = NumericBins.empty(np.array([0.0, 1.0]))
    >>> bins.update_many([-5, 0, 0.5, 9])
    >>> bins.values.tolist()
    [2.0, 1.0, 1.0]
    """

    __slots__ = ("edges",)

    def __init__(self, values: Floats, edges: Floats) -> None:
        super().__init__(values)
        self.edges = edges

    @classmethod
    def empty(cls, edges: Floats) -> Self:
        """No values yet. `edges`: finite, strictly ascending, shape (B - 1,)."""
        return cls(np.zeros(len(edges) + 1), edges)

    def like(self, values: Floats) -> Self:
        """The same edges over other counts."""
        return type(self)(values, self.edges)

    def update_many(self, numbers: ArrayLike) -> None:
        """Count finite numbers, shape (n,)."""
        self.add(np.searchsorted(self.edges, np.asarray(numbers, dtype=np.float64), side="left"))

    def add(self, bin_numbers: NDArray[np.intp]) -> None:
        """Count bins by their number, each 0 or more, shape (n,)."""
        self.values += np.bincount(bin_numbers, minlength=self.values.size)


class CategoryBins(Vector):
    """Values per category of a fixed list; everything else falls into the last bin.

    A list that grew with the data would not be predictable, so a new category is `other` by design.

    >>> bins = CategoryBins.empty(["a", "b"])
    >>> bins.update_many(["a", "z", "b", "a"])
    >>> bins.values.tolist()
    [2.0, 1.0, 1.0]
    """

    __slots__ = ("index",)

    def __init__(self, values: Floats, index: dict[str, int]) -> None:
        super().__init__(values)
        self.index = index

    @classmethod
    def empty(cls, categories: Sequence[str]) -> Self:
        """No values yet over `categories`, distinct names."""
        return cls(np.zeros(len(categories) + 1), {name: i for i, name in enumerate(categories)})

    def like(self, values: Floats) -> Self:
        """The same categories over other counts."""
        return type(self)(values, self.index)

    def update_many(self, names: Iterable[str]) -> None:
        """Count category names."""
        other, find = len(self.index), self.index.get
        self.add(np.fromiter((find(name, other) for name in names), dtype=np.intp))

    def add(self, bin_numbers: NDArray[np.intp]) -> None:
        """Count bins by their number, each 0 or more, shape (n,)."""
        self.values += np.bincount(bin_numbers, minlength=self.values.size)
