"""One-vs-rest areas of four classes against scikit-learn on the raw probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from indicators.oracles import Concern, Oracle, Values, per_label, plain
from mlcanary.catalog import Task
from mlcanary.measures.contract import Labeled
from mlcanary.measures.multiclass import MulticlassMeasure
from mlcanary.measures.plan import ModelPlan
from nasty_streams import classed

Floats = NDArray[np.float64]


def table(rows: Sequence[Labeled]) -> tuple[list[str], list[str], Floats]:
    """Classes, the true one of each row, and normalised probabilities; rows without probabilities left out."""
    given = [(row.actual, row.scores) for row in rows if row.scores is not None and sum(row.scores.values()) > 0]
    classes = sorted({name for actual, scores in given for name in (actual, *scores)})
    p = np.array([[scores.get(name, 0.0) for name in classes] for _, scores in given]).reshape(len(given), len(classes))
    return classes, [actual for actual, _ in given], p / p.sum(axis=1, keepdims=True)


def areas(rows: Sequence[Labeled]) -> dict[str, float]:
    """The area of each class that was the truth at least once and not always, by Mann and Whitney's ranks."""
    classes, actual, p = table(rows)
    found = {}
    for i, name in enumerate(classes):
        truth = np.array([a == name for a in actual])
        n, others = truth.sum(), (~truth).sum()
        if n and others:
            found[name] = float((rankdata(p[:, i])[truth].sum() - n * (n + 1) / 2) / (n * others))
    return found


def mean(average: str, rows: Sequence[Labeled]) -> Values:
    """scikit-learn's own mean where all classes came; over those that have an area otherwise."""
    classes, actual, p = table(rows)
    found = areas(rows)
    if not found:
        return {}
    if len(found) == len(classes) > 2:
        return plain(float(roc_auc_score(actual, p, labels=classes, multi_class="ovr", average=average)))
    weights = None if average == "macro" else [actual.count(name) for name in found]
    return plain(float(np.average(list(found.values()), weights=weights)))


CONCERN = Concern(
    lambda: MulticlassMeasure(ModelPlan(task=Task.MULTICLASS)),
    classed,
    MulticlassMeasure.on_labeled,  # type: ignore[arg-type]
    {
        "one-vs-rest AUC per class": Oracle(
            lambda rows: per_label(dict(areas(rows))), bound="window_class_auc_error_bound_ratio"
        ),
        "one-vs-rest AUC, macro": Oracle(lambda rows: mean("macro", rows), bound="window_auc_macro_error_bound_ratio"),
        "one-vs-rest AUC, weighted": Oracle(
            lambda rows: mean("weighted", rows), bound="window_auc_weighted_error_bound_ratio"
        ),
    },
)
