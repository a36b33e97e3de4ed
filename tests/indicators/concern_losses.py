"""Log loss and Brier score of two classes against scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import brier_score_loss, log_loss

from indicators.concern_score import columns
from indicators.oracles import Concern, Oracle, Values, plain
from mlcanary.measures.contract import Labeled
from mlcanary.measures.losses import LossMeasure
from mlcanary.measures.plan import ModelPlan
from nasty_streams import scored


def logarithmic(rows: Sequence[Labeled]) -> Values:
    """Of clipped probabilities."""
    positive, score = columns(rows)
    clipped = np.clip(score, 1e-7, 1 - 1e-7)
    return plain(float(log_loss(positive, clipped, labels=[False, True])) if positive.size else None)


def brier(rows: Sequence[Labeled]) -> Values:
    """Of the positive class."""
    positive, score = columns(rows)
    return plain(float(brier_score_loss(positive, score, labels=[False, True])) if positive.size else None)


CONCERN = Concern(
    lambda: LossMeasure(ModelPlan()),
    scored,
    LossMeasure.on_labeled,  # type: ignore[arg-type]
    {"log loss": Oracle(logarithmic), "Brier score": Oracle(brier)},
)
