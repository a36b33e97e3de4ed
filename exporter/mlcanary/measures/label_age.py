"""How late labels come: delay of those that came, and coverage of a cohort by its age."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from mlcanary.catalog import LABEL_AGES, LABEL_DELAY_BUCKETS
from mlcanary.columns import NONE, OutcomeColumns
from mlcanary.measures.contract import Labeled, Matured, Measure, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.traffic import histogram_samples
from mlcanary.records import Sample
from mlcanary.stats.age_coverage import AgeCoverage
from mlcanary.stats.bucket_histogram import BucketHistogram


class LabelAgeMeasure(Measure):
    """A label cannot come before its prediction, whatever the clocks say; an assumed label never came.

    The curve ends at the wait of the plan: nobody knows what came later.
    """

    families = (
        "mlcanary_label_delay_seconds",
        "mlcanary_label_age_predictions_total",
        "mlcanary_label_age_labeled_total",
        "mlcanary_window_label_delay_seconds",
        "mlcanary_window_label_coverage_ratio",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {
            "delay": BucketHistogram.empty(LABEL_DELAY_BUCKETS),
            "ages": AgeCoverage.empty(LABEL_AGES),
        }

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Observe the delays."""
        if delays := [max(0.0, x.delay) for x in batch if not x.assumed]:
            self.parts["delay"].update_many(delays)

    def on_matured(self, batch: Sequence[Matured]) -> None:
        """Note at which age each got its label."""
        if batch:
            self.parts["ages"].update_many([_age(x.labeled) for x in batch])

    def on_labeled_columns(self, batch: OutcomeColumns) -> None:
        """Observe the delays."""
        came = ~batch.assumed
        if came.any():
            self.parts["delay"].update_many(np.maximum(batch.delay[came], 0.0))

    def on_matured_columns(self, batch: OutcomeColumns) -> None:
        """Note at which age each got its label."""
        never = batch.assumed | (batch.actual == NONE)
        self.parts["ages"].update_many(np.where(never, np.inf, np.maximum(batch.delay, 0.0)))

    def counters(self) -> Iterator[Sample]:
        """A histogram of delays; the cohort and its labelled part by age."""
        yield from histogram_samples("label_delay_seconds", self.parts["delay"])
        curve: AgeCoverage = self.parts["ages"]
        yield sample("label_age_predictions_total", (), curve.cohort)
        for age, labeled in self._known(curve):
            yield sample("label_age_labeled_total", (age,), labeled)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Median delay, and coverage at each age."""
        median = self.parts["delay"].quantile(0.5)
        if median is not None:
            yield sample("window_label_delay_seconds", ("50",), median)
        else:
            yield undefined("label_delay", "no_labels")
        curve: AgeCoverage = self.parts["ages"]
        if curve.cohort < 1:
            yield undefined("label_coverage", "no_mature_predictions")
            return
        for age, labeled in self._known(curve):
            yield sample("window_label_coverage_ratio", (age,), labeled / curve.cohort)

    def _known(self, curve: AgeCoverage) -> Iterator[tuple[str, float]]:
        for age, labeled in zip(curve.ages.tolist(), curve.labeled.tolist(), strict=True):
            if age <= self.plan.join.wait:
                yield f"{age:.0f}", labeled


def _age(labeled: Labeled | None) -> float:
    return math.inf if labeled is None or labeled.assumed else max(0.0, labeled.delay)
