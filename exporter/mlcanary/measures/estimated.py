"""Quality before labels: what the scores promise if they are calibrated, and whether labelled predictions kept it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.columns import Floats, Mask, OutcomeColumns, PredictionColumns
from mlcanary.measures.contract import Labeled, Measure, crossed, positive_of, run, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import edge_labels
from mlcanary.records import Prediction, Sample, Shown, one_by_one
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.expected_auc import UnlabeledBins
from mlcanary.stats.expected_confusion import ExpectedConfusion
from mlcanary.stats.expected_log_loss import ExpectedLogLoss
from mlcanary.stats.roc_auc import below

_CLASSES = ((POSITIVE, True), (NEGATIVE, False))
ESTIMATED, ACTUAL = "estimated", "actual"


class EstimatedMeasure(Measure):
    """Takes every answered prediction with a score and a class known to be positive or negative; others are left out.

    The check takes the labelled ones of these: right answers that their scores promised, and that their labels gave.
    """

    budget = "estimates"
    families = (
        "mlcanary_expected_labeled_predictions_total",
        "mlcanary_expected_labeled_predictions_variance_total",
        "mlcanary_expected_log_loss",
        "mlcanary_expected_log_loss_variance_total",
        "mlcanary_score_bin_total",
        "mlcanary_score_bin_score_total",
        "mlcanary_score_below_total",
        "mlcanary_score_below_score_total",
        "mlcanary_estimate_check_predictions_total",
        "mlcanary_estimate_check_correct_total",
        "mlcanary_estimate_check_variance_total",
        "mlcanary_window_estimated_accuracy_ratio",
        "mlcanary_window_estimated_accuracy_error_ratio",
        "mlcanary_window_estimated_precision_ratio",
        "mlcanary_window_estimated_precision_error_ratio",
        "mlcanary_window_estimated_recall_ratio",
        "mlcanary_window_estimated_recall_error_ratio",
        "mlcanary_window_estimated_f1_ratio",
        "mlcanary_window_estimated_f1_error_ratio",
        "mlcanary_window_estimated_auc_ratio",
        "mlcanary_window_estimated_auc_error_ratio",
        "mlcanary_window_estimated_log_loss_nats",
        "mlcanary_window_estimated_log_loss_error_nats",
        "mlcanary_window_estimated_minus_actual_ratio",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {
            "confusion": ExpectedConfusion.empty(),
            "log_loss": ExpectedLogLoss.empty(),
            "bins": UnlabeledBins.empty(plan.score_edges),
            "checked": ExpectedConfusion.empty(),
            "right": Tally({(ACTUAL,): 0.0}),
            "scored": Tally({("predictions",): 0.0}),
        }
        self._labels = edge_labels(plan.score_edges)

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Add up what the scores promise."""
        is_positive = self.plan.is_positive
        classes = {p.predicted for p in batch}
        known = {name: None if name is None else is_positive(name) for name in classes}
        usable = [
            (p.score, positive)
            for p in batch
            if p.error is None and p.score is not None and (positive := known.get(p.predicted)) is not None
        ]
        if usable:
            scores, positive = np.array(usable, dtype=np.float64).T
            self._promise(scores, positive > 0)

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Add up what the scores promise."""
        positive = positive_of(batch.predicted, batch.classes, self.plan)
        usable = ~(np.isnan(batch.score) | np.isnan(positive))
        if usable.any():
            self._promise(batch.score[usable], positive[usable] > 0)

    def _promise(self, scores: Floats, positive: Mask) -> None:
        self.parts["scored"].add(("predictions",), float(len(scores)))
        self.parts["confusion"].update_many(scores, positive)
        self.parts["log_loss"].update_many(scores)
        self.parts["bins"].update_many(scores)

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Hold the promise against labels that came; an assumed one is no evidence."""
        is_positive = self.plan.is_positive
        usable = [
            (x.score, chosen, x.positive)
            for x in batch
            if not (x.assumed or x.score is None or x.positive is None or x.predicted is None)
            and (chosen := is_positive(x.predicted)) is not None
        ]
        if usable:
            scores, chosen, positive = np.array(usable, dtype=np.float64).T
            self.parts["checked"].update_many(scores, chosen > 0)
            self.parts["right"].add((ACTUAL,), float((chosen == positive).sum()))

    def on_labeled_columns(self, batch: OutcomeColumns) -> None:
        """Hold the promise against labels that came."""
        chosen = positive_of(batch.predicted, batch.classes, self.plan)
        positive = positive_of(batch.actual, batch.classes, self.plan)
        usable = ~(batch.assumed | np.isnan(batch.score) | np.isnan(positive) | np.isnan(chosen))
        if usable.any():
            self.parts["checked"].update_many(batch.score[usable], chosen[usable] > 0)
            self.parts["right"].add((ACTUAL,), float((chosen[usable] == positive[usable]).sum()))

    def counters(self) -> Iterator[Sample]:
        """Nothing until there are scores; then all, at zero where nothing came."""
        return one_by_one(self.counter_runs())

    def counter_runs(self) -> Iterator[Shown]:
        """The same, a run for each family of bins."""
        if self.parts["scored"].total() == 0:
            return
        matrix: ExpectedConfusion = self.parts["confusion"]
        for predicted, chosen in _CLASSES:
            yield sample("expected_labeled_predictions_total", (POSITIVE, predicted), matrix.positives(chosen))
            yield sample("expected_labeled_predictions_total", (NEGATIVE, predicted), matrix.negatives(chosen))
            yield sample("expected_labeled_predictions_variance_total", (predicted,), matrix.variance(chosen))
        loss: ExpectedLogLoss = self.parts["log_loss"]
        yield sample("expected_log_loss", (), loss.sum, "_sum")
        yield sample("expected_log_loss", (), loss.count, "_count")
        yield sample("expected_log_loss_variance_total", (), loss.variance)
        bins: UnlabeledBins = self.parts["bins"]
        for family, values in (
            ("score_bin_total", bins.counts),
            ("score_bin_score_total", bins.sums),
            ("score_below_total", below(bins.counts)),
            ("score_below_score_total", below(bins.sums)),
        ):
            yield from run(family, crossed(self._labels), values)
        checked: ExpectedConfusion = self.parts["checked"]
        yield sample("estimate_check_predictions_total", (), checked.count(True) + checked.count(False))
        yield sample("estimate_check_correct_total", (ESTIMATED,), checked.right())
        yield sample("estimate_check_correct_total", (ACTUAL,), self.parts["right"].total())
        yield sample("estimate_check_variance_total", (), checked.variance(True) + checked.variance(False))

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Each estimate with the half-width of its interval, and how far the check is off."""
        matrix: ExpectedConfusion = self.parts["confusion"]
        figures = {
            "accuracy": ("ratio", matrix.accuracy(), "no_scores"),
            "precision": ("ratio", matrix.precision(), "no_positive_prediction"),
            "recall": ("ratio", matrix.recall(), "no_expected_positive"),
            "f1": ("ratio", matrix.f1(), "no_expected_positive"),
            "auc": ("ratio", self.parts["bins"].estimate(), "one_expected_class"),
            "log_loss": ("nats", self.parts["log_loss"].mean(), "no_scores"),
        }
        for name, (unit, estimate, reason) in figures.items():
            if estimate is None:
                yield undefined(f"estimated_{name}", reason)
                continue
            yield sample(f"window_estimated_{name}_{unit}", (), estimate.value)
            yield sample(f"window_estimated_{name}_error_{unit}", (), estimate.error)
        checked: ExpectedConfusion = self.parts["checked"]
        n = checked.count(True) + checked.count(False)
        if n < 1:
            yield undefined("estimated_minus_actual", "no_labels")
            return
        yield sample("window_estimated_minus_actual_ratio", (), (checked.right() - self.parts["right"].total()) / n)
