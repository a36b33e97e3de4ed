"""Counts of feature columns: what `FeatureMeasure` adds for a batch whose types are known beforehand.

Guarantee: the same counts as value by value. Cost: sorting beats looking up each value in its bins, as all edges are
then found at once; it gives the extremes and what lies out of range on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mlcanary.measures.reference import CategoricalReference, NumericReference
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.moments import LIMIT, moment_sums, plain_moment_sums


class NumberColumns(NamedTuple):
    """Numbers of F features and n rows: sorted, shape (F, n), NaN last; sums of moments; rows without or not finite."""

    ordered: Floats
    sums: Floats
    missing: Floats
    infinite: Floats

    @classmethod
    def of(cls, matrix: Floats, centers: Floats) -> NumberColumns:
        """`matrix`, shape (F, n) with n > 0, NaN where missing; `centers`, shape (F,)."""
        ordered = np.sort(matrix, axis=1)
        if (np.abs(ordered[:, [0, -1]]) <= LIMIT).all():  # NaN would be last, and compares false
            none = np.zeros(len(matrix))
            return cls(ordered, plain_moment_sums(matrix, centers), none, none)
        missing = np.isnan(matrix).sum(axis=1)
        infinite = np.isinf(matrix)
        if infinite.any():
            matrix = np.where(infinite, np.nan, matrix)
            ordered = np.sort(matrix, axis=1)
        return cls(ordered, moment_sums(matrix, centers), missing.astype(float), infinite.sum(axis=1).astype(float))

    def present(self, i: int) -> Floats:
        """The finite numbers of a feature, ascending."""
        values: Floats = self.ordered[i, : self.ordered.shape[1] - int(self.missing[i] + self.infinite[i])]
        return values


def bin_counts(ordered: Floats, reference: NumericReference) -> Floats:
    """Numbers per bin of the reference, of numbers in ascending order."""
    under = np.searchsorted(ordered, reference.edges, side="right")
    counts = np.empty(len(under) + 1)
    counts[:-1] = under
    counts[-1] = len(ordered)
    counts[1:] -= counts[:-1].copy()
    return counts


def outside(ordered: Floats, low: float, high: float) -> int:
    """How many of these ascending numbers lie under `low` or above `high`."""
    if ordered[0] >= low and ordered[-1] <= high:
        return 0
    return int(np.searchsorted(ordered, low, side="left") + len(ordered) - np.searchsorted(ordered, high, side="right"))


class NameCounts(NamedTuple):
    """A categorical column: counts per bin of its reference, rows without a value, names the reference never had."""

    bins: Floats
    missing: int
    unseen: int

    @classmethod
    def of(cls, counts: Mapping[str | None, int], reference: CategoricalReference) -> NameCounts:
        """`counts`: rows by name, None for a missing one."""
        names: Sequence[str] = [name for name in counts if name is not None]
        rows = np.array([counts[name] for name in names], dtype=np.float64)
        places = reference.bin_numbers(names)
        bins = np.bincount(places, weights=rows, minlength=len(reference.counts)) if names else None
        rare = np.flatnonzero(places == len(reference.categories)).tolist() if reference.complete else ()
        unseen = sum(counts[names[i]] for i in rare if reference.is_unseen(names[i]))
        empty = np.zeros(len(reference.counts))
        return cls(empty if bins is None else bins.astype(np.float64), counts.get(None, 0), unseen)


def kept_range(reference: NumericReference) -> tuple[float, float]:
    """What the reference has seen, within the limit of the moments."""
    if reference.min is None or reference.max is None:
        return -np.inf, np.inf
    return max(reference.min, -LIMIT), min(reference.max, LIMIT)
