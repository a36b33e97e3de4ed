"""What labels say before they are mature: early, and biased by whatever comes sooner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlcanary.catalog import NEGATIVE, OTHER, POSITIVE, Task
from mlcanary.columns import NONE, OutcomeColumns, PredictionColumns
from mlcanary.measures.contract import Labeled, Measure, names_counted, positive_of, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.confusion import Confusion

AMONG_LABELED, AMONG_ALL = "labeled", "all"
"""Of which predictions a share is: those with a label, or all, where a missing label is no positive one."""


class ProvisionalMeasure(Measure):
    """Counts each prediction once, with the first label that comes; empty for a model without maturity.

    Classes are learnt up to a cap; above it they are `other`.
    """

    families = (
        "mlcanary_provisional_labeled_predictions_total",
        "mlcanary_provisional_labels_total",
        "mlcanary_window_provisional_labels",
        "mlcanary_window_provisional_accuracy_ratio",
        "mlcanary_window_provisional_positive_ratio",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {"confusion": Confusion(), "labels": Tally(), "answered": Tally()}
        self._classes: set[str] = set()

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Count what was answered; pairs of the classes seen are born at zero, so that no first label is lost."""
        if self.plan.join.maturity <= 0:
            return
        answered = [p.predicted for p in batch if p.error is None]
        self.parts["answered"].add(("predictions",), float(len(answered)))
        for name in dict.fromkeys(answered):
            if name is not None:
                self._known(name)
        self._be_born()

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Count what was answered."""
        if self.plan.join.maturity <= 0:
            return
        self.parts["answered"].add(("predictions",), float(len(batch)))
        for name, _ in names_counted(batch.predicted, batch.classes):
            if name is not None:
                self._known(name)
        self._be_born()

    def on_provisional(self, batch: Sequence[Labeled]) -> None:
        """Count pairs and the class of each label."""
        pairs = [(self._known(x.actual), self._known(x.predicted)) for x in batch if x.predicted is not None]
        self._be_born()
        self.parts["confusion"].update_many(pairs)
        for x in batch:
            if x.positive is not None and self.plan.task is Task.BINARY:
                self.parts["labels"].add((POSITIVE if x.positive else NEGATIVE,))

    def on_provisional_columns(self, batch: OutcomeColumns) -> None:
        """Count pairs and the class of each label."""
        names, known = batch.classes.names, np.flatnonzero(batch.predicted != NONE)
        cells, first, counts = np.unique(
            batch.actual[known] * len(names) + batch.predicted[known], return_index=True, return_counts=True
        )
        pairs = [(divmod(int(cells[i]), len(names)), int(counts[i])) for i in np.argsort(first)]
        named = [((self._known(names[actual]), self._known(names[p])), count) for (actual, p), count in pairs]
        self._be_born()
        for pair, count in named:
            self.parts["confusion"].add(pair, float(count))
        if self.plan.task is Task.BINARY:
            positive = positive_of(batch.actual, batch.classes, self.plan)
            for name, rows in ((POSITIVE, positive == 1), (NEGATIVE, positive == 0)):
                self.parts["labels"].add((name,), float(np.count_nonzero(rows)))

    def counters(self) -> Iterator[Sample]:
        """The confusion matrix so far, and the classes of the labels so far."""
        for pair, count in self.parts["confusion"].items():
            yield sample("provisional_labeled_predictions_total", pair, count)
        for name, count in self.parts["labels"].items():
            yield sample("provisional_labels_total", name, count)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Figures so far; nothing at all for a model without maturity."""
        matrix: Confusion = self.parts["confusion"]
        accuracy, total = matrix.by_class().accuracy(), matrix.total()
        if total >= 1 and accuracy is not None:
            yield sample("window_provisional_labels", (), total)
            yield sample("window_provisional_accuracy_ratio", (), accuracy)
        elif matrix.counts:
            yield undefined("provisional_accuracy", "no_labels")
        labels: Tally = self.parts["labels"]
        if not labels.counts:
            return
        positives = labels.counts.get((POSITIVE,), 0.0)
        for among, whole in ((AMONG_LABELED, labels.total()), (AMONG_ALL, self.parts["answered"].total())):
            if whole >= 1:
                yield sample("window_provisional_positive_ratio", (among,), positives / whole)
            else:
                yield undefined(f"provisional_positive_{among}", "no_predictions")

    def _be_born(self) -> None:
        counts = self.parts["confusion"].counts
        known = sorted(self._classes)
        if len(counts) < len(known) ** 2:
            for actual in known:
                for predicted in known:
                    counts.setdefault((actual, predicted), 0.0)
        if self.plan.task is Task.BINARY:
            for name in (POSITIVE, NEGATIVE):
                self.parts["labels"].counts.setdefault((name,), 0.0)

    def _known(self, name: str) -> str:
        if name in self._classes:
            return name
        if not self._classes:  # a restored state names them
            self._classes |= {part for pair in self.parts["confusion"].counts for part in pair}
        if name not in self._classes and len(self._classes - {OTHER}) >= self.plan.limits.classes:
            self._folded.add(("classes", name))
            name = OTHER
        self._classes.add(name)
        return name
