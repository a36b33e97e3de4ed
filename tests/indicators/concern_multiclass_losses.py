"""Log loss and Brier score of four classes against scikit-learn and numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from indicators.concern_multiclass import table
from indicators.oracles import Concern, Oracle, Values, plain
from mlcanary.catalog import Task
from mlcanary.measures.contract import Labeled
from mlcanary.measures.losses import LossMeasure
from mlcanary.measures.plan import ModelPlan
from nasty_streams import classed


def logarithmic(rows: Sequence[Labeled]) -> Values:
    """Of the clipped probability of the true class against everything else."""
    classes, actual, p = table(rows)
    if not actual:
        return {}
    given = np.clip(p[np.arange(len(actual)), [classes.index(name) for name in actual]], 1e-7, 1 - 1e-7)
    return plain(float(log_loss(np.ones(len(actual)), given, labels=[0, 1])))


def brier(rows: Sequence[Labeled]) -> Values:
    """The sum over all classes, in [0, 2]."""
    classes, actual, p = table(rows)
    if not actual:
        return {}
    return plain(float(brier_score_loss(actual, p, labels=classes, scale_by_half=False)))


CONCERN = Concern(
    lambda: LossMeasure(ModelPlan(task=Task.MULTICLASS)),
    classed,
    LossMeasure.on_labeled,  # type: ignore[arg-type]
    {
        "log loss of a multiclass model": Oracle(logarithmic),
        "Brier score of a multiclass model": Oracle(brier),
    },
)
