"""Joint drift by scikit-learn, row by row: terms, discriminant, out-of-fold scores and their AUC.

Nothing is incremental here: each block is scored by a discriminant that is solved afresh from all rows before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import PolynomialFeatures

from indicators.oracles import Concern, Oracle, Values, plain
from mlcanary.measures.contract import Measure
from mlcanary.measures.joint_drift import JointDriftMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import CategoricalReference, Reference
from mlcanary.records import ModelKey, Prediction, canonical_class
from mlcanary.stats.accumulator import Floats
from nasty_streams import categories, numbers

BLOCK, FADING = 100, 15 / 16
KEY = ModelKey("m", "v")
NAMES = ("amount", "country", "late", "share")


@lru_cache(maxsize=1)
def reference() -> Reference:
    """A healthy profile with a sample of 600 of its 2,000 rows; `share` follows `amount`."""
    rng = np.random.default_rng(5)
    amount = rng.normal(3.0, 2.0, 2000)
    columns = {
        "amount": amount.tolist(),
        "country": rng.choice(["DE", "FR", "PL", "IT"], 2000, p=[0.5, 0.3, 0.1, 0.1]).tolist(),
        "late": [None if i % 9 == 0 else float(i % 7) for i in range(2000)],
        "share": (0.5 * amount + rng.normal(0, 1, 2000)).tolist(),
    }
    return profile_columns(columns, ProfileOptions(bins=12, sample_rows=600))


@lru_cache(maxsize=12)
def rows(stream: str) -> tuple[Prediction, ...]:
    """One request a second, some failed; its id is the name of the stream."""
    amounts, countries = numbers(stream), categories(stream)
    shares = [1.5 if i % 5 else None for i in range(len(amounts))]
    return tuple(
        Prediction(
            KEY,
            float(i),
            stream,
            {"amount": a, "country": c, "late": i % 7, "share": a if i % 3 else s},
            error="503" if i % 13 == 4 else None,
        )
        for i, (a, c, s) in enumerate(zip(amounts, countries, shares, strict=True))
    )


def take(measure: Measure, batch: Sequence[Prediction]) -> None:
    """Requests as they come."""
    measure.on_predictions(batch)


class Block(NamedTuple):
    """Scores of the rows of a block and of half B, and per row what each feature adds."""

    live: Floats
    half_b: Floats
    shifts: Floats


def bin_of(name: str, value: object) -> int:
    """Bin number by comparison with every edge, -1 for what is missing or no number."""
    feature = reference().features[name]
    if isinstance(feature, CategoricalReference):
        text = canonical_class(value)
        places = [i for i, known in enumerate(feature.categories) if known == text]
        return -1 if text is None else places[0] if places else len(feature.categories)
    if not isinstance(value, int | float) or not np.isfinite(value):
        return -1
    return sum(value > edge for edge in feature.edges.tolist())


def terms(bins: Sequence[Sequence[int]]) -> Floats:
    """Rank scores, their products and the missing indicators of rows of bin numbers."""
    columns = []
    for name, column in zip(NAMES, np.array(bins).T, strict=True):
        counts = reference().features[name].counts
        population = np.repeat(np.arange(len(counts)), counts.astype(int))
        ranks = [stats.percentileofscore(population, i, kind="mean") / 50 - 1 for i in range(len(counts))]
        columns.append([0.0 if i < 0 else round(ranks[i] * 1024) / 1024 for i in column])
    products = PolynomialFeatures(degree=2, include_bias=False).fit_transform(np.array(columns).T)
    return np.hstack([products, np.array(bins) < 0]).astype(np.float64)


def discriminant(half_a: Floats, mean: Floats) -> Floats:
    """Weights of Fisher's discriminant with the shrunk covariance of half A alone: the live class weighs nothing."""
    x, y = np.vstack([half_a, half_a[:2] + 1.0]), np.repeat([0, 1], [len(half_a), 2])
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[1 - 1e-15, 1e-15])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
    return np.asarray(np.linalg.solve(model.covariance_, mean - half_a.mean(axis=0)))


@lru_cache(maxsize=12)
def blocks(stream: str) -> tuple[Block, ...]:
    """Every block of a stream but the first, scored by what came before it."""
    sample = np.array([reference().sample[name] for name in NAMES]).T  # type: ignore[index]
    half_a, half_b = terms(sample[::2]), terms(sample[1::2])
    answered = [p for p in rows(stream) if p.error is None]
    live = terms([[bin_of(name, p.features[name]) for name in NAMES] for p in answered])
    owners = np.vstack(
        [np.eye(4), [(np.eye(4)[i] + np.eye(4)[j]) / 2 for i in range(4) for j in range(i, 4)], np.eye(4)]
    )
    found = []
    for start in range(BLOCK, len(live), BLOCK):
        past, block = live[:start], live[start : start + BLOCK]
        age = (start - 1 - np.arange(start)) // BLOCK
        weights = discriminant(half_a, np.average(past, axis=0, weights=FADING**age))
        weights /= (half_b @ weights).std()
        parts = (block - half_b.mean(axis=0)) * weights @ owners
        found.append(Block(np.round(block @ weights, 9), np.round(half_b @ weights, 9), parts))
    return tuple(found)


def seen(prefix: Sequence[Prediction]) -> list[Block]:
    """The blocks of the prefix, the last one as far as it is filled."""
    left = sum(p.error is None for p in prefix) - BLOCK
    found = []
    for block in blocks(str(prefix[0].id)):
        if left > 0:
            found.append(Block(block.live[:left], block.half_b, block.shifts[:left]))
        left -= BLOCK
    return found


def auc_of(prefix: Sequence[Prediction]) -> Values:
    """Mean over the rows of each block's area against half B."""
    found = seen(prefix)
    if not found:
        return {}
    areas = [
        roc_auc_score(np.repeat([1, 0], [len(b.live), len(b.half_b)]), np.concatenate([b.live, b.half_b]))
        for b in found
    ]
    return plain(float(np.average(areas, weights=[len(b.live) for b in found])))


def count_of(prefix: Sequence[Prediction]) -> Values:
    """Answered requests after the first block."""
    return plain(float(sum(len(b.live) for b in seen(prefix))) or None)


def critical_of(prefix: Sequence[Prediction]) -> Values:
    """Normal approximation of the Mann-Whitney statistic, over its pairs; n + m for n + m + 1."""
    n, m = sum(len(b.live) for b in seen(prefix)), 300
    return plain(float(stats.norm.isf(1e-5, 0.5, np.sqrt((n + m) / (12 * n * m)))) if n else None)


def shifts_of(prefix: Sequence[Prediction]) -> Values:
    """Mean over the rows."""
    found = seen(prefix)
    if not found:
        return {}
    return {
        (name,): value
        for name, value in zip(NAMES, np.vstack([b.shifts for b in found]).mean(axis=0).tolist(), strict=True)
    }


CONCERN = Concern(
    make=lambda: JointDriftMeasure(ModelPlan(reference=reference())),
    rows=rows,
    take=take,
    oracles={
        "joint drift: C2ST AUC": Oracle(auc_of),
        "joint drift: C2ST null quantile": Oracle(critical_of, within=1e-5),
        "joint drift: rows scored": Oracle(count_of),
        "joint drift: features that drive it": Oracle(shifts_of, within=1e-6),
    },
)
