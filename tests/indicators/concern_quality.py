"""Figures of the confusion matrix against scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    recall_score,
)

from indicators.oracles import Concern, Oracle, Values, per_label, plain
from mlcanary.measures.contract import Labeled
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.quality import QualityMeasure
from nasty_streams import scored

Pairs = tuple[list[str], list[str]]


def pairs(rows: Sequence[Labeled]) -> Pairs:
    """Actual and predicted classes of the rows that were answered."""
    answered = [(row.actual, row.predicted) for row in rows if row.predicted is not None]
    return [actual for actual, _ in answered], [predicted for _, predicted in answered]


def overall(figure: Callable[[list[str], list[str]], float]) -> Oracle:
    """A figure of all classes, defined once there is a label."""

    def expected(rows: Sequence[Labeled]) -> Values:
        actual, predicted = pairs(rows)
        return plain(float(figure(actual, predicted)) if actual else None)

    return Oracle(expected)


def averaged(average: str) -> Oracle:
    """A mean F1 of scikit-learn."""
    return overall(lambda actual, predicted: f1_score(actual, predicted, average=average))


def matthews(rows: Sequence[Labeled]) -> Values:
    """scikit-learn says 0 where the correlation is not defined."""
    actual, predicted = pairs(rows)
    varied = len(set(actual)) > 1 and len(set(predicted)) > 1
    return plain(float(matthews_corrcoef(actual, predicted)) if varied else None)


def balanced(actual: list[str], predicted: list[str]) -> float:
    """scikit-learn warns of a single class, and of one that is only an answer: the same figure by its definition."""
    known = sorted(set(actual))
    if len(known) > 1 and set(predicted) <= set(known):
        return float(balanced_accuracy_score(actual, predicted))
    return float(recall_score(actual, predicted, labels=known, average="macro"))


def by_class(position: int) -> Callable[[Sequence[Labeled]], dict[str, float | None]]:
    """Precision (0), recall (1) or F1 (2) of each class."""

    def expected(rows: Sequence[Labeled]) -> dict[str, float | None]:
        actual, predicted = pairs(rows)
        names = sorted({*actual, *predicted})
        if not names:
            return {}
        parts = precision_recall_fscore_support(actual, predicted, labels=names, zero_division=math.nan)
        found = dict(zip(names, parts[position].tolist(), strict=True))
        if position == 2:  # scikit-learn takes F1 for undefined already where precision or recall is
            found = dict(zip(names, f1_score(actual, predicted, labels=names, average=None).tolist(), strict=True))
        return {name: None if math.isnan(value) else value for name, value in found.items()}

    return expected


def of_positive(position: int) -> Oracle:
    """The figure of class 1; nobody has said which one is positive where classes have other names."""
    return Oracle(lambda rows: plain(by_class(position)(rows).get("1")))


def of_each(position: int) -> Oracle:
    """The figure of every class."""
    return Oracle(lambda rows: per_label(by_class(position)(rows)))


def lift(rows: Sequence[Labeled]) -> Values:
    """Precision over the share of class 1."""
    actual, _ = pairs(rows)
    precision, share = by_class(0)(rows).get("1"), actual.count("1")
    return plain(precision * len(actual) / share if precision is not None and share else None)


CONCERN = Concern(
    lambda: QualityMeasure(ModelPlan()),
    scored,
    QualityMeasure.on_labeled,  # type: ignore[arg-type]
    {
        "accuracy": overall(accuracy_score),
        "micro F1": averaged("micro"),
        "macro F1": averaged("macro"),
        "weighted F1": averaged("weighted"),
        "balanced accuracy": overall(balanced),
        "Matthews correlation (MCC)": Oracle(matthews),
        "precision": of_positive(0),
        "recall": of_positive(1),
        "F1": of_positive(2),
        "precision per class": of_each(0),
        "recall per class": of_each(1),
        "F1 per class": of_each(2),
        "lift": Oracle(lift),
    },
)
