"""The reference profile of a model: what its features and scores looked like when all was well.

Edges belong to the model, never to a version: canary and baseline are only comparable over the same bins.
Counts are kept beside the edges, so that the reference's own noise is known; no reference rows are kept, unless a
`sample` was asked for: that holds rows of bin numbers, never of values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from types import NoneType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlcanary.catalog import OTHER, PREDICTION_FEATURE
from mlcanary.records import canonical_class
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.bin_counts import CategoryBins, NumericBins
from mlcanary.stats.bin_edges import points, quantile_edges
from mlcanary.stats.moments import LIMIT

Bins = NDArray[np.intp]
"""A bin number per row, -1 where the row has none."""

TAIL_NAMES = 10_000
"""Names that a profile keeps beyond those with a bin, to tell a rare category from one that was never seen."""


@dataclass(frozen=True)
class NumericReference:
    """Bins of a number: inner `edges`, shape (B - 1,); `counts` and `means` of the rows, shape (B,).

    `min` and `max` of the rows are None in a profile of an older version.
    """

    edges: Floats
    counts: Floats
    means: Floats
    stddev: float
    missing: float = 0.0
    min: float | None = None
    max: float | None = None

    @property
    def bins(self) -> tuple[str, ...]:
        """Label values: each bin's upper edge."""
        return edge_labels(self.edges)

    def empty(self) -> NumericBins:
        """Counts of live values over the same bins."""
        return NumericBins.empty(self.edges)

    def bin_numbers(self, column: Sequence[object]) -> Bins:
        """The bin of each value, row by row; -1 for what is missing or no finite number."""
        return self.place(numbers_of(column))

    def place(self, numbers: Floats) -> Bins:
        """The bin of each number; -1 for NaN."""
        found: Bins = np.searchsorted(self.edges, numbers, side="left")
        absent = np.isnan(numbers)
        if absent.any():
            found[absent] = -1
        return found

    @cached_property
    def points(self) -> NDArray[np.bool_]:
        """Bins that can hold one number only, shape (B,)."""
        return points(self.edges)

    @cached_property
    def mean(self) -> float:
        """Mean of the rows; infinite or NaN only where the rows themselves are as good as that."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float((self.counts * self.means).sum() / self.counts.sum())

    @cached_property
    def center(self) -> float:
        """What live deviations are taken from: the mean, held within the limit of the moments."""
        mean = self.mean
        return 0.0 if math.isnan(mean) else min(max(mean, -LIMIT), LIMIT)

    @property
    def gaps(self) -> Floats:
        """Distance of each bin's mean from the previous one, in reference standard deviations; first 0."""
        scale = self.stddev if self.stddev > 0 else 1.0
        gaps: Floats = np.diff(self.means, prepend=self.means[:1]) / scale
        return gaps

    @property
    def positions(self) -> Floats:
        """Place of each bin's mean, in reference standard deviations from the mean of them all."""
        along = np.cumsum(self.gaps)
        positions: Floats = along - float(self.counts @ along) / float(self.counts.sum())
        return positions

    @property
    def missing_ratio(self) -> float:
        """Share of the reference's rows that lack the feature."""
        return self.missing / (float(self.counts.sum()) + self.missing)


@dataclass(frozen=True)
class CategoricalReference:
    """Bins of names: `categories` and their `counts`, the last count standing for all other names.

    `tail` are those other names, as far as they were kept; `complete` says that they all were.
    """

    categories: tuple[str, ...]
    counts: Floats
    missing: float = 0.0
    tail: tuple[str, ...] = ()
    complete: bool = False

    @property
    def bins(self) -> tuple[str, ...]:
        """Label values: the categories and `other`."""
        return (*self.categories, OTHER)

    def empty(self) -> CategoryBins:
        """Counts of live values over the same bins."""
        return CategoryBins.empty(self.categories)

    def bin_numbers(self, column: Sequence[object]) -> Bins:
        """The bin of each value, row by row; -1 for what is missing or cannot be a name.

        A boolean is a name only where the reference has it, as 1 or 0: it then was made from booleans or numbers.
        """
        if not set(map(type, column)) <= _NAMES:
            column = [self._name(value) for value in column]
        return np.fromiter(map(self._index.__getitem__, column), dtype=np.intp, count=len(column))  # type: ignore[arg-type]

    def unseen(self, column: Sequence[object], bins: Bins) -> int:
        """How many values of a column, of which `bins` are the numbers, have a name that the reference never had."""
        rare = np.flatnonzero(bins == len(self.categories)).tolist()
        return sum(self.is_unseen(canonical_class(column[i])) for i in rare)

    def is_unseen(self, name: str | None) -> bool:
        """Whether a name of the last bin was not in the reference; only a `complete` one can tell."""
        return name not in self._rare

    @property
    def missing_ratio(self) -> float:
        """Share of the reference's rows that lack the feature."""
        return self.missing / (float(self.counts.sum()) + self.missing)

    def _name(self, value: object) -> str | None:
        name = canonical_class(value)
        return None if isinstance(value, bool) and name not in self._index and name not in self._rare else name

    @cached_property
    def _rare(self) -> frozenset[str]:
        return frozenset(self.tail)

    @cached_property
    def _index(self) -> _BinOf:
        found = _BinOf({name: i for i, name in enumerate(self.categories)})
        found[None] = -1
        found.other = len(self.categories)
        return found


class _BinOf(dict[str | None, int]):
    """Bins by name, every unknown name in the last one."""

    other = 0

    def __missing__(self, name: str | None) -> int:
        return self.other


FeatureReference = NumericReference | CategoricalReference


@dataclass(frozen=True)
class Reference:
    """All features of a model, and its outputs where the profile had them.

    `score` are P(positive) of a binary classifier; `prediction` are the numbers or classes that any other model
    predicted, `target_mean` the mean label of a regression model. `sample`: bin numbers of some rows in random order by
    feature, -1 where the value is missing; columns of one length.
    """

    features: Mapping[str, FeatureReference] = field(default_factory=dict)
    score: NumericReference | None = None
    rows: int = 0
    model: str | None = None
    prediction: FeatureReference | None = None
    target_mean: float | None = None
    sample: Mapping[str, NDArray[np.int32]] | None = None

    @property
    def output(self) -> FeatureReference | None:
        """What the model itself gave."""
        return self.prediction if self.prediction is not None else self.score

    @property
    def watched(self) -> dict[str, FeatureReference]:
        """The features, and under its reserved name the output."""
        return {**self.features, **({} if self.output is None else {PREDICTION_FEATURE: self.output})}


SAMPLE_FEATURES = 30
"""Features that a sample covers, the first of the reference: joint drift costs the square of their number."""


def edge_labels(edges: Floats) -> tuple[str, ...]:
    """Label values of the bins over inner edges: canonical floats and `+Inf`.

    >>> edge_labels(np.array([0.05, 1.0]))
    ('0.05', '1.0', '+Inf')
    """
    return (*(repr(float(edge)) for edge in edges), "+Inf")


_NUMBERS = frozenset({int, float, bool, NoneType})
_NAMES = frozenset({str, NoneType})


def numbers_of(column: Sequence[object]) -> Floats:
    """The column as numbers, shape (n,): NaN for what is missing or no finite number. Booleans count as 0 and 1.

    >>> numbers_of([1, None, "2", True, 10**400]).tolist()
    [1.0, nan, nan, 1.0, nan]
    """
    numbers = floats_of(column, set(map(type, column)))
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        numbers[wrong] = np.nan
    return numbers


def floats_of(column: Sequence[object], types: Set[type]) -> Floats:
    """`numbers_of`, but infinities stay; `types` are those in the column."""
    if types <= _NUMBERS:
        try:
            return np.array(column, dtype=np.float64)
        except OverflowError:  # an integer of hundreds of digits
            pass
    return np.array([_number(value) for value in column])


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def numeric_reference(values: ArrayLike, bins: int, missing: float = 0.0) -> NumericReference:
    """Profile finite numbers, shape (n,), n >= 1, into about `bins` bins."""
    x = np.asarray(values, dtype=np.float64)
    edges = quantile_edges(x, bins)
    index = np.searchsorted(edges, x, side="left")
    counts = np.bincount(index, minlength=len(edges) + 1).astype(np.float64)
    sums = np.bincount(index, weights=x, minlength=len(edges) + 1)
    uppers = np.append(edges, x.max())
    means = np.where(counts > 0, sums / np.maximum(counts, 1.0), uppers)
    spread = float(x.std()) if x.min() < x.max() else 0.0  # rounding: equal values have a deviation of 1e-17
    return NumericReference(edges, counts, means, spread, missing, float(x.min()), float(x.max()))


CHOOSING = 4
"""One row in so many chooses which categories get a bin, where chance could choose them; the others are counted."""

CLEAR = 5.0
"""Standard errors between the last category with a bin and the first without, from which chance has no say."""

ONCE = 3
"""Names that the rows may have only once before names that they never had are a share to count with."""

_SEED = 20_261_125


def shuffled(rows: int) -> NDArray[np.intp]:
    """The numbers of `rows` in random order, always the same; the first quarter, rounded up, are the choosing ones."""
    order: NDArray[np.intp] = np.random.default_rng(_SEED).permutation(rows)
    return order


def choosing_rows(rows: int) -> NDArray[np.bool_]:
    """Which rows choose the categories, shape (rows,).

    >>> int(choosing_rows(10).sum())
    3
    """
    chosen = np.zeros(rows, dtype=bool)
    chosen[shuffled(rows)[: choosing(rows)]] = True
    return chosen


def choosing(rows: int) -> int:
    """How many of `rows` choose the categories."""
    return -(-rows // CHOOSING)


def categorical_reference(
    names: Sequence[str], limit: int, missing: float = 0.0, chosen_by: NDArray[np.bool_] | None = None
) -> CategoricalReference:
    """Profile names: a bin for the `limit` most frequent ones, ties by name; the rest is `other`, its names kept.

    Names that were frequent, or there at all, by chance would have too high a share and `other` too low a one: no live
    window would be like the reference. So unless the cut is clear, the rows `chosen_by` (by default a quarter) say
    which names get a bin, and `counts` are those of the other rows, with `missing` in proportion: given the choice, a
    sample like any other.
    """
    found, places = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    every = counts = votes = np.bincount(places, minlength=len(found))
    named = found != OTHER
    if not _is_clear(np.sort(every[named])[::-1], limit):
        if chosen_by is None or chosen_by.all() or not chosen_by.any():
            chosen_by = choosing_rows(len(names))
        votes = np.bincount(places[chosen_by], minlength=len(found))
        counts = every - votes
    elected = sorted(np.flatnonzero(named & (votes > 0)).tolist(), key=lambda i: (-votes[i], found[i]))[:limit]
    kept = sorted(elected, key=lambda i: (-counts[i], found[i]))
    binned = set(kept)
    rare = [i for i in sorted(range(len(found)), key=lambda i: (-every[i], found[i])) if i not in binned]
    return CategoricalReference(
        tuple(str(found[i]) for i in kept),
        np.append(counts[kept], counts.sum() - counts[kept].sum()).astype(np.float64),
        missing * float(counts.sum() / every.sum()),
        tuple(str(found[i]) for i in rare[:TAIL_NAMES]),
        len(rare) <= TAIL_NAMES,
    )


def _is_clear(falling: NDArray[np.intp], limit: int) -> bool:
    """Whether any sample would choose these names; `falling` counts.

    Square roots of counts have variance 1 / 4; as many values as names seen once are to be expected of names never
    seen (Good 1953).
    """
    if len(falling) <= limit:
        return bool(np.count_nonzero(falling == 1) <= ONCE)
    last, following = math.sqrt(falling[limit - 1]), math.sqrt(falling[limit])
    return (last - following) * math.sqrt(2) > CLEAR


def edges_hash(score_edges: Floats, reference: Reference | None) -> str:
    """Twelve hex digits over every edge, category, centre and range: equal hashes mean mergeable series."""
    digest = hashlib.sha256(score_edges.tobytes())
    for name, feature in sorted(reference.watched.items() if reference else ()):
        digest.update(name.encode() + b"\0" + "\0".join(feature.bins).encode() + b"\1")
        if isinstance(feature, NumericReference):
            digest.update(f"{feature.center!r} {feature.min!r} {feature.max!r}".encode())
    return digest.hexdigest()[:12]
