"""How many requests the rows stand for, and how many of them had their features looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlcanary.columns import PredictionColumns
from mlcanary.measures.contract import Measure, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.row_choice import sampling_error

_WEIGHT, _ROWS, _ANSWERED, _LOOKED = (("weight",), ("rows",), ("answered",), ("looked",))


class SamplingMeasure(Measure):
    """Counts rows, answered rows, and those of them that are looked at; sums up weights."""

    families = (
        "mlcanary_sampling_weight_total",
        "mlcanary_feature_rows_total",
        "mlcanary_window_sampling_weight_ratio",
        "mlcanary_window_sampling_error_ratio",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"sampling": Tally(dict.fromkeys((_WEIGHT, _ROWS, _ANSWERED, _LOOKED), 0.0))}

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count rows, those that failed only among all rows."""
        answered = [p for p in batch if p.error is None]
        weight = sum(p.weight for p in batch)
        self._count(weight, len(batch), len(answered), sum(p.sampled for p in answered))

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count rows, none of which failed or has a weight."""
        looked = len(batch) if batch.sampled is None else int(np.count_nonzero(batch.sampled))
        self._count(len(batch), len(batch), len(batch), looked)

    def _count(self, weight: float, rows: float, answered: float, looked: float) -> None:
        gains = ((_WEIGHT, weight), (_ROWS, rows), (_ANSWERED, answered), (_LOOKED, looked))
        for name, gain in gains:
            self.parts["sampling"].add(name, float(gain))

    def counters(self) -> Iterator[Sample]:
        """Requests behind the rows, and rows behind the counters of features."""
        counts = self.parts["sampling"].counts
        yield sample("sampling_weight_total", (), counts[_WEIGHT])
        yield sample("feature_rows_total", (), counts[_LOOKED])

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Requests that a row stands for, and how far bin shares may be off as not every row was looked at."""
        counts = dict(self.parts["sampling"].items())
        if counts.get(_ROWS, 0.0) > 0:
            yield sample("window_sampling_weight_ratio", (), counts[_WEIGHT] / counts[_ROWS])
        if counts.get(_ANSWERED, 0.0) > 0:
            yield sample("window_sampling_error_ratio", (), sampling_error(counts[_LOOKED], counts[_ANSWERED]))
