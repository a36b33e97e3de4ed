"""What first labels say, beside requests of which a third is still without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score

from indicators.oracles import Concern, Oracle, Values, per_label, plain
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.contract import Labeled, Measure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.provisional import ProvisionalMeasure
from mlcanary.records import ModelKey, Prediction
from nasty_streams import scored

KEY = ModelKey("m", "v")
Row = tuple[Prediction, Labeled | None]


def requests(stream: str) -> list[Row]:
    """Every eleventh request failed; every third of the others has no label yet."""
    rows: list[Row] = []
    for i, x in enumerate(scored(stream)):
        failed = i % 11 == 6
        request = Prediction(KEY, float(i), error="503" if failed else None, predicted=None if failed else x.predicted)
        rows.append((request, None if failed or i % 3 == 1 or stream == "all missing" else x))
    return rows


def take(measure: Measure, rows: Sequence[Row]) -> None:
    """Requests, then the labels that came."""
    measure.on_predictions([request for request, _ in rows])
    measure.on_provisional([label for _, label in rows if label is not None])


def _labels(rows: Sequence[Row]) -> list[Labeled]:
    return [label for _, label in rows if label is not None]


def count(rows: Sequence[Row]) -> Values:
    """Labels so far."""
    return plain(float(len(_labels(rows))) if _labels(rows) else None)


def accuracy(rows: Sequence[Row]) -> Values:
    """scikit-learn over the labels so far."""
    found = _labels(rows)
    return plain(accuracy_score([x.actual for x in found], [str(x.predicted) for x in found]) if found else None)


def positive_rate(rows: Sequence[Row]) -> Values:
    """Positives so far, among the labelled and among all that were answered."""
    positives = [float(bool(x.positive)) for x in _labels(rows)]
    answered = sum(request.error is None for request, _ in rows)
    return per_label(
        {
            "labeled": float(np.mean(positives)) if positives else None,
            "all": sum(positives) / answered if answered else None,
        }
    )


CONCERN = Concern(
    make=lambda: ProvisionalMeasure(ModelPlan(join=JoinPolicy(3600.0, 86_400.0))),
    rows=requests,
    take=take,
    oracles={
        "provisional labels": Oracle(count),
        "provisional accuracy": Oracle(accuracy),
        "provisional positive rate": Oracle(positive_rate),
    },
)
