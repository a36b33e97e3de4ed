"""The reference profile of a model: what its features and scores looked like when all was well.

Edges belong to the model, never to a version: canary and baseline are only comparable over the same bins.
Counts are kept beside the edges, so that the reference's own noise is known; no reference rows are kept, unless a
`sample` was asked for: that holds rows of bin numbers, never of values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlcanary.catalog import OTHER
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.bin_counts import CategoryBins, NumericBins
from mlcanary.stats.bin_edges import quantile_edges


@dataclass(frozen=True)
class NumericReference:
    """Bins of a number: inner `edges`, shape (B - 1,); `counts` and `means` of the rows, shape (B,)."""

    edges: Floats
    counts: Floats
    means: Floats
    stddev: float
    missing: float = 0.0

    @property
    def bins(self) -> tuple[str, ...]:
        """Label values: each bin's upper edge."""
        return edge_labels(self.edges)

    def empty(self) -> NumericBins:
        """Counts of live values over the same bins."""
        return NumericBins.empty(self.edges)

    @property
    def gaps(self) -> Floats:
        """Distance of each bin's mean from the previous one, in reference standard deviations; first 0."""
        scale = self.stddev if self.stddev > 0 else 1.0
        gaps: Floats = np.diff(self.means, prepend=self.means[:1]) / scale
        return gaps


@dataclass(frozen=True)
class CategoricalReference:
    """Bins of names: `categories` and their `counts`, the last count standing for all other names."""

    categories: tuple[str, ...]
    counts: Floats
    missing: float = 0.0

    @property
    def bins(self) -> tuple[str, ...]:
        """Label values: the categories and `other`."""
        return (*self.categories, OTHER)

    def empty(self) -> CategoryBins:
        """Counts of live values over the same bins."""
        return CategoryBins.empty(self.categories)


FeatureReference = NumericReference | CategoricalReference


@dataclass(frozen=True)
class Reference:
    """All features of a model, and its scores where the profile had them.

    `sample`: bin numbers of some rows in random order by feature, -1 where the value is missing; columns of one length.
    """

    features: Mapping[str, FeatureReference] = field(default_factory=dict)
    score: NumericReference | None = None
    rows: int = 0
    model: str | None = None
    sample: Mapping[str, NDArray[np.int32]] | None = None


SAMPLE_FEATURES = 30
"""Features that a sample covers, the first of the reference: joint drift costs the square of their number."""


def edge_labels(edges: Floats) -> tuple[str, ...]:
    """Label values of the bins over inner edges: canonical floats and `+Inf`.

    >>> edge_labels(np.array([0.05, 1.0]))
    ('0.05', '1.0', '+Inf')
    """
    return (*(repr(float(edge)) for edge in edges), "+Inf")


def numeric_reference(values: ArrayLike, bins: int, missing: float = 0.0) -> NumericReference:
    """Profile finite numbers, shape (n,), n >= 1, into about `bins` bins."""
    x = np.asarray(values, dtype=np.float64)
    edges = quantile_edges(x, bins)
    index = np.searchsorted(edges, x, side="left")
    counts = np.bincount(index, minlength=len(edges) + 1).astype(np.float64)
    sums = np.bincount(index, weights=x, minlength=len(edges) + 1)
    uppers = np.append(edges, x.max())
    means = np.where(counts > 0, sums / np.maximum(counts, 1.0), uppers)
    return NumericReference(edges, counts, means, float(x.std()), missing)


def categorical_reference(names: Sequence[str], limit: int, missing: float = 0.0) -> CategoricalReference:
    """Profile names: the `limit` most frequent ones, ties by name; the rest is `other`."""
    found, counts = np.unique(np.asarray(names, dtype=object).astype(str), return_counts=True)
    order = sorted(range(len(found)), key=lambda i: (-counts[i], found[i]))
    kept = [i for i in order if found[i] != OTHER][:limit]
    rest = counts.sum() - counts[kept].sum()
    return CategoricalReference(
        tuple(str(found[i]) for i in kept), np.append(counts[kept], rest).astype(np.float64), missing
    )


def edges_hash(score_edges: Floats, reference: Reference | None) -> str:
    """Twelve hex digits over every edge and category: equal hashes mean mergeable series."""
    digest = hashlib.sha256(score_edges.tobytes())
    for name, feature in sorted(reference.features.items() if reference else ()):
        digest.update(name.encode() + b"\0" + "\0".join(feature.bins).encode() + b"\1")
    return digest.hexdigest()[:12]
