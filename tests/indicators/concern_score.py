"""Figures of a score from its bins against scikit-learn and scipy on the raw scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, roc_auc_score

from indicators.oracles import Concern, Oracle, Values, plain
from mlcanary.measures.contract import Labeled
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.score import ScoreMeasure
from nasty_streams import scored

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def columns(rows: Sequence[Labeled]) -> tuple[Bools, Floats]:
    """Whether positive, and the score, of the rows that have one."""
    found = [(row.positive, row.score) for row in rows if row.score is not None]
    return np.array([y for y, _ in found], dtype=bool), np.array([s for _, s in found], dtype=np.float64)


def two_classes(figure: Callable[[Bools, Floats], float]) -> Callable[[Sequence[Labeled]], Values]:
    """A figure that needs a positive and a negative."""

    def expected(rows: Sequence[Labeled]) -> Values:
        positive, score = columns(rows)
        return plain(float(figure(positive, score)) if positive.any() and not positive.all() else None)

    return expected


def average_precision(rows: Sequence[Labeled]) -> Values:
    """Defined once there is a positive."""
    positive, score = columns(rows)
    return plain(float(average_precision_score(positive, score)) if positive.any() else None)


def calibration_error(rows: Sequence[Labeled]) -> Values:
    """Over the 100 equally spaced logits of a model without a reference, six digits as they are exported."""
    positive, score = columns(rows)
    if not positive.size:
        return {}
    edges = [float(f"{1 / (1 + np.exp(-x)):.6g}") for x in np.linspace(-8, 8, 101)[1:-1]]
    index = np.searchsorted(edges, score)
    gaps = [abs(score[index == i].sum() - positive[index == i].sum()) for i in np.unique(index)]
    return plain(float(sum(gaps) / positive.size))


def distance(positive: Bools, score: Floats) -> float:
    """Of the two samples; the asymptotic p-value, which nobody reads, is not defined beside a single one."""
    ups, downs = score[positive], score[~positive]
    method = "asymp" if min(ups.size, downs.size) > 1 else "exact"
    return float(ks_2samp(ups, downs, method=method).statistic)


CONCERN = Concern(
    lambda: ScoreMeasure(ModelPlan()),
    scored,
    ScoreMeasure.on_labeled,  # type: ignore[arg-type]
    {
        "ROC AUC": Oracle(two_classes(roc_auc_score), bound="window_auc_error_bound_ratio"),
        "average precision (PR AUC)": Oracle(
            average_precision,
            lower="window_average_precision_lower_ratio",
            upper="window_average_precision_upper_ratio",
        ),
        "score KS": Oracle(
            two_classes(distance),
            lower="window_score_ks_ratio",
            upper="window_score_ks_upper_bound_ratio",
        ),
        "expected calibration error": Oracle(calibration_error),
    },
)
