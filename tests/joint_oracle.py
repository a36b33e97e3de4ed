"""The classifier two-sample test by scikit-learn and scipy, block by block, from raw rows.

Nothing is incremental here: each block is scored by a discriminant that is solved afresh from all rows before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import PolynomialFeatures

from mlcanary.measures.reference import CategoricalReference, Reference
from mlcanary.records import canonical_class
from mlcanary.stats.accumulator import Floats

BLOCK, FADING = 100, 15 / 16


class Block(NamedTuple):
    """Scores of the rows of a block and of half B, and per row what each feature adds, shape (rows, F)."""

    live: Floats
    half_b: Floats
    shifts: Floats


def halves(reference: Reference) -> tuple[Floats, Floats]:
    """Terms of the even and of the odd rows of the sample."""
    sample = np.array(list((reference.sample or {}).values())).T
    return terms(reference, sample[::2].tolist()), terms(reference, sample[1::2].tolist())


def terms(reference: Reference, bins: Sequence[Sequence[int]]) -> Floats:
    """Rank scores, their products and the missing indicators of rows of bin numbers."""
    rows = np.array(bins)
    columns = [[table[i] for i in column] for table, column in zip(tables(reference), rows.T, strict=True)]
    products = PolynomialFeatures(degree=2, include_bias=False).fit_transform(np.array(columns).T)
    return np.hstack([products, rows < 0]).astype(np.float64)


def tables(reference: Reference) -> list[dict[int, float]]:
    """Score of each bin number by feature; categories in the order of the first principal component of their means."""
    sample = reference.sample or {}
    first = {name: ranks(reference.features[name].counts) for name in sample}
    found = []
    for name in sample:
        feature, half_a = reference.features[name], sample[name][::2]
        if not isinstance(feature, CategoricalReference):
            found.append(first[name])
            continue
        others = np.array([[first[other][i] for i in sample[other][::2]] for other in sample if other != name]).T
        others = others[half_a >= 0] - others[half_a >= 0].mean(axis=0)
        present = half_a[half_a >= 0]
        means = {i: others[present == i].mean(axis=0) for i in set(present.tolist())}
        component = PCA(n_components=1).fit([means[i] for i in present.tolist()]).components_[0]
        along = [float(means[i] @ component) if i in means else 0.0 for i in range(len(feature.counts))]
        if along[int(np.bincount(present).argmax())] > 0:
            along = [-value for value in along]
        found.append(ranks(feature.counts, sorted(range(len(along)), key=lambda i: along[i])))
    return found


def ranks(counts: Floats, order: Sequence[int] | None = None) -> dict[int, float]:
    """Centred mid-ranks over the reference's values, in steps of 1 / 1024; 0 for a missing value."""
    places = {b: place for place, b in enumerate(order or range(len(counts)))}
    population = np.repeat(list(places.values()), counts[list(places)].astype(int))
    found = {b: stats.percentileofscore(population, place, kind="mean") / 50 - 1 for b, place in places.items()}
    return {-1: 0.0, **{b: round(rank * 1024) / 1024 for b, rank in found.items()}}


def live_terms(reference: Reference, rows: Sequence[Mapping[str, object]]) -> Floats:
    """Terms of rows of raw values."""
    return terms(
        reference, [[bin_of(reference, name, row.get(name)) for name in reference.sample or {}] for row in rows]
    )


def bin_of(reference: Reference, name: str, value: object) -> int:
    """Bin number by comparison with every edge, -1 for what is missing or no number."""
    feature = reference.features[name]
    if isinstance(feature, CategoricalReference):
        text = canonical_class(value)
        places = [i for i, known in enumerate(feature.categories) if known == text]
        return -1 if text is None else places[0] if places else len(feature.categories)
    if not isinstance(value, int | float) or not np.isfinite(value):
        return -1
    return sum(value > edge for edge in feature.edges.tolist())


def fitted(half_a: Floats, live: Floats, live_share: float = 1e-15) -> LinearDiscriminantAnalysis:
    """Fisher's discriminant of two samples, Ledoit and Wolf's shrinkage; the covariance is half A's, all but for a
    `live_share` of it."""
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[1 - live_share, live_share])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(np.vstack([half_a, live]), np.repeat([0, 1], [len(half_a), len(live)]))


def blocks(reference: Reference, rows: Sequence[Mapping[str, object]]) -> tuple[Block, ...]:
    """Every block of a stream but the first, scored by what came before it."""
    half_a, half_b = halves(reference)
    if len(rows) <= BLOCK:
        return ()
    live, features = live_terms(reference, rows), len(reference.sample or {})
    covariance = fitted(half_a, half_a[:2] + 1.0).covariance_
    own = np.eye(features)
    pairs = [(own[i] + own[j]) / 2 for i in range(features) for j in range(i, features)]
    owners = np.vstack([own, pairs, own])
    found = []
    for start in range(BLOCK, len(live), BLOCK):
        past, block = live[:start], live[start : start + BLOCK]
        age = (start - 1 - np.arange(start)) // BLOCK
        weights = np.linalg.solve(covariance, np.average(past, axis=0, weights=FADING**age) - half_a.mean(axis=0))
        weights /= (half_b @ weights).std()
        parts = (block - half_b.mean(axis=0)) * weights @ owners
        found.append(Block(np.round(block @ weights, 9), np.round(half_b @ weights, 9), parts))
    return tuple(found)


def placements(block: Block) -> list[float]:
    """Share of half B under each row, ties half."""
    return [float(stats.percentileofscore(block.half_b, score, kind="mean")) / 100 for score in block.live]
