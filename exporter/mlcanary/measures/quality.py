"""What the confusion matrix of labelled predictions tells: accuracy, precision, recall, F1 and their kin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mlcanary.catalog import OTHER, Task
from mlcanary.columns import NONE, OutcomeColumns
from mlcanary.measures.contract import Labeled, Measure, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Sample
from mlcanary.stats.confusion import OTHER_WRONG, ByClass, Confusion


class QualityMeasure(Measure):
    """Classes are learnt up to a cap; above it they are `other`, and accuracy stays exact.

    Two folded classes that differ are not `other` predicted as `other`: the prediction is then `other (wrong)`.
    """

    families = (
        "mlcanary_labeled_predictions_total",
        "mlcanary_window_labels",
        "mlcanary_window_accuracy_ratio",
        "mlcanary_window_precision_ratio",
        "mlcanary_window_recall_ratio",
        "mlcanary_window_f1_ratio",
        "mlcanary_window_lift_ratio",
        "mlcanary_window_f1_macro_ratio",
        "mlcanary_window_f1_weighted_ratio",
        "mlcanary_window_balanced_accuracy_ratio",
        "mlcanary_window_matthews_correlation",
        "mlcanary_window_class_precision_ratio",
        "mlcanary_window_class_recall_ratio",
        "mlcanary_window_class_f1_ratio",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"confusion": Confusion()}
        self._classes: set[str] = set()

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Count pairs; every pair of known classes is born at zero so that no first count is lost."""
        self._count(Counter(self._pair(x.actual, x.predicted) for x in batch if x.predicted is not None))

    def on_labeled_columns(self, batch: OutcomeColumns) -> None:
        """Count pairs of codes."""
        known = np.flatnonzero(batch.predicted != NONE)
        names = batch.classes.names
        pairs = batch.actual[known] * len(names) + batch.predicted[known]
        counts: Counter[tuple[str, str]] = Counter()
        cells, first, numbers = np.unique(pairs, return_index=True, return_counts=True)
        for i in np.argsort(first):
            actual, predicted = divmod(int(cells[i]), len(names))
            counts[self._pair(names[actual], names[predicted])] += int(numbers[i])
        self._count(counts)

    def _count(self, pairs: Mapping[tuple[str, str], int]) -> None:
        matrix = self.parts["confusion"].counts
        known = sorted(self._classes)
        full = len(self._classes - {OTHER}) >= self.plan.limits.classes
        for actual in (*known, OTHER) if full else known:
            for predicted in (*known, OTHER) if full else known:
                matrix.setdefault((actual, predicted), 0.0)
        if full:
            matrix.setdefault((OTHER, OTHER_WRONG), 0.0)
        for pair, count in pairs.items():
            self.parts["confusion"].add(pair, float(count))

    def _pair(self, actual: str, predicted: str) -> tuple[str, str]:
        truth, answer = self._known(actual), self._known(predicted)
        return truth, OTHER_WRONG if truth == answer and actual != predicted else answer

    def _known(self, name: str) -> str:
        if name not in self._classes:
            if not self._classes:
                self._classes |= {part for pair in self.parts["confusion"].counts for part in pair} - {OTHER_WRONG}
            if name != OTHER_WRONG and len(self._classes - {OTHER}) < self.plan.limits.classes:
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
        """Quality of the window; what is not defined is absent, with its reason."""
        found: ByClass = self.parts["confusion"].by_class()
        yield sample("window_labels", (), float(found.actual.sum()))
        figures: list[tuple[str, float | None, str]] = [
            ("accuracy", found.accuracy(), "no_labels"),
            ("f1_macro", found.macro_f1(), "no_labels"),
            ("f1_weighted", found.weighted_f1(), "no_labels"),
            ("balanced_accuracy", found.balanced_accuracy(), "no_labels"),
            ("matthews_correlation", found.matthews(), "one_class" if found.actual.any() else "no_labels"),
        ]
        if self.plan.task is Task.BINARY:
            figures += self._of_positive(found)
        for name, value, reason in figures:
            if value is None:
                yield undefined(name, reason)
            else:
                yield sample(f"window_{name}" if name == "matthews_correlation" else f"window_{name}_ratio", (), value)
        for name in found.names:
            of_class = {"precision": found.precision(name), "recall": found.recall(name), "f1": found.f1(name)}
            for figure, value in of_class.items():
                if value is not None:
                    yield sample(f"window_class_{figure}_ratio", (name,), value)

    def _of_positive(self, found: ByClass) -> Iterator[tuple[str, float | None, str]]:
        """Figures of the positive class, each with the reason that holds if it is None."""
        positive = next((name for name in found.names if self.plan.is_positive(name)), "")
        missing = ""
        if not found.actual.any():
            missing = "no_labels"
        elif not positive and any(self.plan.is_positive(name) is None for name in found.names):
            missing = "unknown_positive_class"
        precision, recall = found.precision(positive), found.recall(positive)
        yield "precision", precision, missing or "no_positive_prediction"
        yield "recall", recall, missing or "no_positive_label"
        yield "f1", found.f1(positive), missing or "no_positive_label"
        reason = "no_positive_label" if recall is None else "no_positive_prediction"
        yield "lift", found.lift(positive), missing or reason
