"""Joint drift against scikit-learn: terms, discriminant, out-of-fold scores and their AUC."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from indicators.oracles import Concern, Oracle, Values, plain
from joint_oracle import BLOCK, Block, blocks
from mlcanary.measures.contract import Measure
from mlcanary.measures.joint_drift import JointDriftMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.measures.reference import Reference
from mlcanary.records import ModelKey, Prediction
from nasty_streams import categories, numbers

KEY = ModelKey("m", "v")
NAMES = ("amount", "country", "late", "share")
SAMPLE = 600


@lru_cache(maxsize=1)
def reference() -> Reference:
    """A healthy profile with a sample of its 2,000 rows; `share` follows `amount`."""
    rng = np.random.default_rng(5)
    amount = rng.normal(3.0, 2.0, 2000)
    columns = {
        "amount": amount.tolist(),
        "country": rng.choice(["DE", "FR", "PL", "IT"], 2000, p=[0.5, 0.3, 0.1, 0.1]).tolist(),
        "late": [None if i % 9 == 0 else float(i % 7) for i in range(2000)],
        "share": (0.5 * amount + rng.normal(0, 1, 2000)).tolist(),
    }
    return profile_columns(columns, ProfileOptions(bins=12, sample_rows=SAMPLE))


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


@lru_cache(maxsize=12)
def of_stream(stream: str) -> tuple[Block, ...]:
    """All blocks of a stream."""
    return blocks(reference(), [p.features for p in rows(stream) if p.error is None])


def seen(prefix: Sequence[Prediction]) -> list[Block]:
    """The blocks of the prefix, the last one as far as it is filled."""
    left = sum(p.error is None for p in prefix) - BLOCK
    found = []
    for block in of_stream(str(prefix[0].id)):
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
    n, m = sum(len(b.live) for b in seen(prefix)), SAMPLE // 2
    return plain(float(stats.norm.isf(1e-5, 0.5, np.sqrt((n + m) / (12 * n * m)))) if n else None)


def shifts_of(prefix: Sequence[Prediction]) -> Values:
    """Mean over the rows."""
    found = seen(prefix)
    if not found:
        return {}
    means = np.vstack([b.shifts for b in found]).mean(axis=0).tolist()
    return {(name,): value for name, value in zip(NAMES, means, strict=True)}


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
