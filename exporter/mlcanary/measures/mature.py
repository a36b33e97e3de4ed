"""Share of positives in cohorts of equal age: the rate that may be compared, such as a conversion rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.columns import OutcomeColumns
from mlcanary.measures.contract import Matured, Measure, positive_of, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.provisional import AMONG_ALL, AMONG_LABELED
from mlcanary.records import Sample
from mlcanary.stats.accumulator import Tally

_NO_LABEL = "no label"


class MatureMeasure(Measure):
    """A prediction counts once its wait is over, with its final label or without one.

    A label whose class is neither known to be positive nor negative counts as none. Without `maturity` the wait is the
    label_ttl.
    """

    families = (
        "mlcanary_mature_labels_total",
        "mlcanary_window_mature_positive_ratio",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"classes": Tally({(POSITIVE,): 0.0, (NEGATIVE,): 0.0, (_NO_LABEL,): 0.0})}

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Count positives, negatives, and those without a label."""
        for x in batch:
            positive = None if x.labeled is None else x.labeled.positive
            self.parts["classes"].add((_NO_LABEL if positive is None else POSITIVE if positive else NEGATIVE,))

    def on_matured_columns(self, batch: OutcomeColumns) -> None:
        """Count positives, negatives, and those without a label."""
        positive = positive_of(batch.actual, batch.classes, self.plan)
        for name, rows in ((POSITIVE, positive == 1), (NEGATIVE, positive == 0), (_NO_LABEL, np.isnan(positive))):
            self.parts["classes"].add((name,), float(np.count_nonzero(rows)))

    def counters(self) -> Iterator[Sample]:
        """Labels of mature predictions; the size of the cohort is counted elsewhere."""
        for actual in (POSITIVE, NEGATIVE):
            yield sample("mature_labels_total", (actual,), self.parts["classes"].counts[actual,])

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Positives among the labelled, and among all."""
        counts = self.parts["classes"].counts
        positives, negatives, without = (counts[name,] for name in (POSITIVE, NEGATIVE, _NO_LABEL))
        labeled = positives + negatives
        for among, whole in ((AMONG_LABELED, labeled), (AMONG_ALL, labeled + without)):
            if whole >= 1:
                yield sample("window_mature_positive_ratio", (among,), positives / whole)
            else:
                yield undefined(f"mature_positive_{among}", "no_mature_predictions")
