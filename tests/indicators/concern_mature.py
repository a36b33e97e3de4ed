"""Positive rate of mature predictions, labelled and not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indicators.concern_labels import cohort, take
from indicators.oracles import Concern, Oracle, Values, per_label
from mlcanary.measures.contract import Matured
from mlcanary.measures.mature import MatureMeasure
from mlcanary.measures.plan import ModelPlan


def positive_rate(rows: Sequence[Matured]) -> Values:
    """Means over the labelled, and over all with a missing label as no positive one."""
    labeled = [x.labeled.positive for x in rows if x.labeled is not None and x.labeled.positive is not None]
    everyone = [x.labeled is not None and bool(x.labeled.positive) for x in rows]
    return per_label(
        {
            "labeled": float(np.mean(np.array(labeled, dtype=float))) if labeled else None,
            "all": float(np.mean(everyone)),
        }
    )


CONCERN = Concern(
    make=lambda: MatureMeasure(ModelPlan()),
    rows=cohort,
    take=take,
    oracles={"mature positive rate": Oracle(positive_rate)},
)
