"""What scores promise, from the raw scores: expectations over all outcomes, and their noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.metrics import accuracy_score

from indicators.oracles import Concern, Oracle, Values, plain
from mlcanary.measures.contract import Labeled, Measure
from mlcanary.measures.estimated import EstimatedMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey, Prediction
from nasty_streams import scored

KEY = ModelKey("m", "v")
PLAN = ModelPlan()
Floats = NDArray[np.float64]


def rows(stream: str) -> list[Labeled]:
    """The stream; classes that nobody can know to be positive are left out by the measure."""
    return scored(stream)


def take(measure: Measure, batch: Sequence[Labeled]) -> None:
    """All as requests, one in nine failed; every second one with its label."""
    requests = [
        Prediction(KEY, 0.0, predicted=x.predicted, score=x.score, error="503" if _failed(x) else None) for x in batch
    ]
    measure.on_predictions(requests)
    measure.on_labeled([x for x in batch if _labeled(x)])


def _failed(x: Labeled) -> bool:
    return x.delay % 9 == 4


def _labeled(x: Labeled) -> bool:
    return not _failed(x) and x.delay % 2 == 0


def _raw(batch: Sequence[Labeled]) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores and whether predicted positive, of what can be used."""
    used = [x for x in batch if not _failed(x) and x.score is not None and x.predicted in {"0", "1"}]
    return np.array([x.score for x in used], dtype=float), np.array([x.predicted == "1" for x in used], dtype=bool)


def accuracy(batch: Sequence[Labeled]) -> Values:
    """Mean probability of being right."""
    p, chosen = _raw(batch)
    return plain(float(np.where(chosen, p, 1 - p).mean()) if p.size else None)


def precision(batch: Sequence[Labeled]) -> Values:
    """Mean score of those predicted positive."""
    p, chosen = _raw(batch)
    return plain(float(p[chosen].mean()) if chosen.any() else None)


def recall(batch: Sequence[Labeled]) -> Values:
    """Share of the expected positives that was predicted positive."""
    p, chosen = _raw(batch)
    return plain(float(p[chosen].sum() / p.sum()) if p.sum() > 1e-9 else None)


def f1(batch: Sequence[Labeled]) -> Values:
    """Of the expected counts."""
    p, chosen = _raw(batch)
    whole = chosen.sum() + p.sum()
    return plain(float(2 * p[chosen].sum() / whole) if whole > 1e-9 else None)


def log_loss(batch: Sequence[Labeled]) -> Values:
    """scipy's entropy of each score where nothing is clipped, cross-entropy with the clipped score elsewhere."""
    p, _ = _raw(batch)
    if not p.size:
        return {}
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    pairs, used = np.stack([p, 1 - p]), np.stack([clipped, 1 - clipped])
    return plain(float(np.mean(entropy(pairs) + entropy(pairs, used))))


def auc(batch: Sequence[Labeled]) -> Values:
    """Over all pairs of predictions: how likely one is positive, the other not, and the first one's bin the higher."""
    p, _ = _raw(batch)
    if not p.size or p.sum() <= 1e-9 or (1 - p).sum() <= 1e-9:
        return {}
    index = np.searchsorted(PLAN.score_edges, p, side="left")
    up, down = (np.bincount(index, weights=w, minlength=index.max() + 1) for w in (p, 1 - p))
    order = np.subtract.outer(np.arange(up.size), np.arange(up.size))
    wins = np.where(order > 0, 1.0, np.where(order == 0, 0.5, 0.0))
    return plain(float(up @ wins @ down / (up.sum() * down.sum())))


def minus_actual(batch: Sequence[Labeled]) -> Values:
    """Mean probability of being right, minus scikit-learn's accuracy, over the labelled ones."""
    used = [x for x in batch if _labeled(x) and x.score is not None and x.predicted in {"0", "1"}]
    if not used:
        return {}
    p, chosen = _raw(used)
    actual = accuracy_score([x.actual for x in used], [str(x.predicted) for x in used])
    return plain(float(np.where(chosen, p, 1 - p).mean() - actual))


CONCERN = Concern(
    make=lambda: EstimatedMeasure(PLAN),
    rows=rows,
    take=take,
    oracles={
        "estimated accuracy": Oracle(accuracy),
        "estimated precision": Oracle(precision),
        "estimated recall": Oracle(recall),
        "estimated F1": Oracle(f1),
        "estimated AUC": Oracle(auc),
        "estimated log loss": Oracle(log_loss),
        "estimated minus actual accuracy": Oracle(minus_actual),
    },
)
