"""The references of all watched features as matrices: a row per feature, filled up with zeros to the longest.

What figures need of a reference and no live count changes is made here, once per reference and not once per page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import compress
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from mlcanary.measures.reference import FeatureReference, NumericReference
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.wasserstein import wasserstein_unit_critical

PERCENTILES = (5, 25, 50, 75, 95)

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
Labels = tuple[str, ...]


class Cells(NamedTuple):
    """Bins of some features, one after the other: where they are in a matrix, and their labels."""

    rows: Places
    columns: Places
    labels: Sequence[Labels]

    def of(self, matrix: Floats) -> Floats:
        """Their numbers, shape (len(labels),)."""
        numbers: Floats = matrix[self.rows, self.columns]
        return numbers

    def among(self, rows: Mask) -> Cells:
        """Those of the features whose row is chosen."""
        kept = rows[self.rows]
        return self if kept.all() else Cells(self.rows[kept], self.columns[kept], chosen(self.labels, kept))


def chosen(labels: Sequence[Labels], mask: Mask) -> Sequence[Labels]:
    """The labels where the mask is true; the same list where it is everywhere, so that its text is not sought again."""
    return labels if mask.all() else list(compress(labels, mask.tolist()))


class FeatureStack:
    """Watched features in their order. `numeric` and `categorical` are rows; numeric matrices have `numeric`'s rows."""

    def __init__(self, watched: Mapping[str, FeatureReference], *, profiled: bool = True) -> None:
        """`watched`: references by feature. `profiled`: there is a profile, be it an empty one."""
        self.watched = watched
        self.profiled = profiled
        self.names = tuple(watched)
        references = list(watched.values())
        self.labels: Sequence[Labels] = [(name,) for name in self.names]
        sizes = np.array([each.counts.size for each in references], dtype=np.intp)
        self.width = int(sizes.max(initial=1))
        self.bins: Mask = np.arange(self.width) < sizes[:, None]
        self.counts = self.filled([each.counts for each in references])
        self.missing = np.array([each.missing for each in references])
        self.missing_ratio = np.array([each.missing_ratio for each in references])
        numbers = [(i, each) for i, each in enumerate(references) if isinstance(each, NumericReference)]
        self.numeric = np.array([i for i, _ in numbers], dtype=np.intp)
        self.numeric_labels = [self.labels[i] for i, _ in numbers]
        self.percentile_labels = [(name, str(each)) for (name,) in self.numeric_labels for each in PERCENTILES]
        self.stddev = np.array([each.stddev for _, each in numbers])
        self.edges = self._rows([each.edges for _, each in numbers], self.width - 1, np.inf)
        self.gaps = self._rows([each.gaps for _, each in numbers], self.width, 0.0)
        # What fills up a row is no bin, so nothing happens inside of it.
        self.points = self._rows([each.points for _, each in numbers], self.width, 1.0) > 0
        self.cells = self._cells()
        numeric = np.array([isinstance(each, NumericReference) for each in references], dtype=bool)
        self.numeric_cells, self.categorical_cells = self.cells.among(numeric), self.cells.among(~numeric)

    def filled(self, counts: Sequence[Floats]) -> Floats:
        """Counts over the bins of each feature as a matrix, shape (F, width)."""
        matrix = np.zeros((len(counts), self.width))
        if counts:
            matrix[self.bins] = np.concatenate(counts)
        return matrix

    @cached_property
    def wasserstein_units(self) -> Mapping[float, Floats]:
        """Critical distances for a noise of 1 by false alarm rate, made when they are first asked for."""
        return _Units(self.counts[self.numeric], self.gaps)

    def _rows(self, rows: Sequence[Floats] | Sequence[Mask], width: int, rest: float) -> Floats:
        matrix = np.full((len(rows), width), rest)
        for place, row in zip(matrix, rows, strict=True):
            place[: row.size] = row
        return matrix

    def _cells(self) -> Cells:
        rows, columns = np.nonzero(self.bins)
        return Cells(rows, columns, [(name, label) for name, each in self.watched.items() for label in each.bins])


def stack_of(watched: Mapping[str, FeatureReference], *, profiled: bool = True) -> FeatureStack:
    """The stack of these references: one for all versions of a model, since its labels are many."""
    key = (profiled, *((name, id(each)) for name, each in watched.items()))
    found = _STACKS.get(key)
    if found is None:
        found = _STACKS[key] = FeatureStack(watched, profiled=profiled)
    return found


_STACKS: WeakValueDictionary[tuple[object, ...], FeatureStack] = WeakValueDictionary()
"""By the identities of references, which a stack that is still there keeps alive."""


class _Units(dict[float, Floats]):
    def __init__(self, counts: Floats, gaps: Floats) -> None:
        super().__init__()
        self._of = counts, gaps

    def __missing__(self, tail: float) -> Floats:
        found = self[tail] = wasserstein_unit_critical(*self._of, tail)
        return found
