"""Oracles of regression: scikit-learn on the pairs of numbers that can be used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    mean_squared_error,
    r2_score,
    root_mean_squared_error,
)

from indicators.oracles import Concern, Oracle, Values, plain
from mlcanary.catalog import Task
from mlcanary.measures.contract import Labeled
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.regression import RegressionMeasure
from nasty_streams import Floats, measured

QUANTILE = 0.9


@lru_cache(maxsize=10_000)
def number(text: str | None) -> float:
    """What a text says, NaN for what is no number that may be summed."""
    try:
        value = float(text or "")
    except ValueError:
        return math.nan
    return value if -1e15 <= value <= 1e15 else math.nan


def pairs(rows: Sequence[Labeled]) -> tuple[Floats, Floats]:
    """Actual and predicted numbers of the rows that have both."""
    both = np.array([(number(x.actual), number(x.predicted)) for x in rows])
    both = both[~np.isnan(both).any(axis=1)]
    return both[:, 0], both[:, 1]


def of_pairs(library: Callable[[Floats, Floats], float]) -> Callable[[Sequence[Labeled]], Values]:
    """A figure that is absent without pairs."""

    def expected(rows: Sequence[Labeled]) -> Values:
        y, f = pairs(rows)
        return plain(float(library(y, f)) if y.size else None)

    return expected


def r2(rows: Sequence[Labeled]) -> Values:
    """Absent where the target is constant, or varies by less than a thousandth of its distance from the center."""
    y, f = pairs(rows)
    if y.size == 0 or y.var() <= 1e-6 * np.mean((y - f[0]) ** 2):
        return {}
    return plain(float(r2_score(y, f)))


CONCERN = Concern(
    make=lambda: RegressionMeasure(ModelPlan(task=Task.REGRESSION, quantile=QUANTILE)),
    rows=measured,
    take=lambda measure, rows: measure.on_labeled(rows),
    oracles={
        "MAE": Oracle(of_pairs(mean_absolute_error)),
        "MSE": Oracle(of_pairs(mean_squared_error)),
        "RMSE": Oracle(of_pairs(root_mean_squared_error)),
        "bias": Oracle(of_pairs(lambda y, f: float(np.mean(f - y)))),
        "R2": Oracle(r2),
        "quantile loss": Oracle(of_pairs(lambda y, f: float(mean_pinball_loss(y, f, alpha=QUANTILE)))),
    },
)
