"""Accuracy, precision, recall and F1 from the confusion matrix of labelled predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlcanary.catalog import OTHER
from mlcanary.measures.contract import Labeled, Measure, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Sample
from mlcanary.stats.confusion import Confusion


class QualityMeasure(Measure):
    """Classes are learnt up to a cap; above it they are `other`, so accuracy stays exact for known ones."""

    families = (
        "mlcanary_labeled_predictions_total",
        "mlcanary_window_labels",
        "mlcanary_window_accuracy_ratio",
        "mlcanary_window_precision_ratio",
        "mlcanary_window_recall_ratio",
        "mlcanary_window_f1_ratio",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"confusion": Confusion()}
        self._classes: set[str] = set()

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Count pairs; every pair of known classes is born at zero so that no first count is lost."""
        pairs = [(self._known(x.actual), self._known(x.predicted)) for x in batch if x.predicted is not None]
        matrix = self.parts["confusion"].counts
        known = sorted(self._classes)
        for actual in known:
            for predicted in known:
                matrix.setdefault((actual, predicted), 0.0)
        self.parts["confusion"].update_many(pairs)

    def _known(self, name: str) -> str:
        if name not in self._classes:
            if not self._classes:
                self._classes |= {part for pair in self.parts["confusion"].counts for part in pair}
            if name not in self._classes and len(self._classes - {OTHER}) < self.plan.limits.classes:
                self._classes.add(name)
        if name in self._classes:
            return name
        self._folded.add(("classes", name))
        return OTHER

    def labels(self) -> float:
        """Labelled predictions."""
        return float(self.parts["confusion"].total())

    def counters(self) -> Iterator[Sample]:
        """The confusion matrix."""
        for pair, count in self.parts["confusion"].items():
            yield sample("labeled_predictions_total", pair, count)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Quality of the window; absent without labels."""
        matrix: Confusion = self.parts["confusion"]
        yield sample("window_labels", (), matrix.total())
        values = {"accuracy": matrix.accuracy()}
        positive = next((c for c in sorted({a for a, _ in matrix.counts}) if self.plan.is_positive(c)), None)
        if positive is not None:
            values["precision"] = matrix.precision(positive)
            values["recall"] = matrix.recall(positive)
            values["f1"] = matrix.f1(positive)
        for name, value in values.items():
            if value is not None:
                yield sample(f"window_{name}_ratio", (), value)
