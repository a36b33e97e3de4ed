"""What a score ranks and how well it is calibrated, from score bins: AUC, average precision, KS, calibration error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.columns import OutcomeColumns, PredictionColumns
from mlcanary.measures.contract import Labeled, Measure, crossed, run, sample, undefined
from mlcanary.measures.losses import left_out, scored_columns, why_absent, why_left_out
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import edge_labels
from mlcanary.records import Prediction, Sample, Shown, one_by_one
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.average_precision import average_precision_from_counts
from mlcanary.stats.calibration import calibration_error
from mlcanary.stats.ks import ks_from_counts
from mlcanary.stats.roc_auc import ScoreBins, below


class ScoreMeasure(Measure):
    """Needs a score and a label whose class is known to be positive or negative; others are left out."""

    families = (
        "mlcanary_labeled_score_bin_total",
        "mlcanary_labeled_score_below_total",
        "mlcanary_labeled_score_bin_score_total",
        "mlcanary_window_auc_ratio",
        "mlcanary_window_auc_error_bound_ratio",
        "mlcanary_window_average_precision_ratio",
        "mlcanary_window_average_precision_lower_ratio",
        "mlcanary_window_average_precision_upper_ratio",
        "mlcanary_window_score_ks_ratio",
        "mlcanary_window_score_ks_upper_bound_ratio",
        "mlcanary_window_calibration_error_ratio",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        bins = ScoreBins.empty(plan.score_edges)
        self.parts = {"bins": bins, "scored": Tally({("predictions",): 0.0}), "left_out": left_out()}
        self._labels = edge_labels(plan.score_edges)

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Note that there are scores: their bins are then born at zero, so that no first label is lost to rate()."""
        self.parts["scored"].add(("predictions",), float(sum(p.score is not None for p in batch)))

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Note that there are scores."""
        self.parts["scored"].add(("predictions",), float(np.count_nonzero(~np.isnan(batch.score))))

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Bin the scores."""
        reasons = [why_left_out(x, self.plan.task) for x in batch]
        for reason in filter(None, reasons):
            self.parts["left_out"].add((reason,))
        usable = [x for x, reason in zip(batch, reasons, strict=True) if reason is None]
        if usable:
            self.parts["bins"].update_many(
                np.array([x.score for x in usable], dtype=np.float64), np.array([x.positive for x in usable])
            )

    def on_labeled_columns(self, batch: OutcomeColumns) -> None:
        """Bin the scores."""
        usable, positive = scored_columns(batch, self.plan, self.parts["left_out"])
        if len(usable):
            self.parts["bins"].update_many(batch.score[usable], positive)

    def labels(self) -> float:
        """Labelled predictions with a score."""
        bins: ScoreBins = self.parts["bins"]
        return float(bins.positives.sum() + bins.negatives.sum())

    def counters(self) -> Iterator[Sample]:
        """In-bin and below counts per class, and score sums."""
        return one_by_one(self.counter_runs())

    def counter_runs(self) -> Iterator[Shown]:
        """The same, a run for each family."""
        bins: ScoreBins = self.parts["bins"]
        if self.parts["scored"].total() == 0:
            return
        labels, counts = crossed((POSITIVE, NEGATIVE), self._labels), np.stack([bins.positives, bins.negatives])
        yield from run("labeled_score_bin_total", labels, counts.ravel())
        yield from run("labeled_score_below_total", labels, below(counts).ravel())
        yield from run("labeled_score_bin_score_total", crossed(self._labels), bins.score_sums)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Every figure with its bound or bracket; what is not defined is absent, with its reason."""
        bins: ScoreBins = self.parts["bins"]
        reason = why_absent(self.parts["left_out"], bins.positives.sum() + bins.negatives.sum())
        auc = bins.estimate()
        precision = average_precision_from_counts(bins.positives, bins.negatives)
        ks = ks_from_counts(bins.positives, bins.negatives)
        error = calibration_error(bins.positives, bins.negatives, bins.score_sums)
        if auc is not None:
            yield sample("window_auc_ratio", (), auc.auc)
            yield sample("window_auc_error_bound_ratio", (), auc.bound)
        else:
            yield undefined("auc", reason or "one_class")
        if precision is not None:
            yield sample("window_average_precision_ratio", (), precision.value)
            yield sample("window_average_precision_lower_ratio", (), precision.lower)
            yield sample("window_average_precision_upper_ratio", (), precision.upper)
        else:
            yield undefined("average_precision", reason or "no_positive_label")
        if ks is not None:
            yield sample("window_score_ks_ratio", (), ks.statistic)
            yield sample("window_score_ks_upper_bound_ratio", (), ks.upper_bound)
        else:
            yield undefined("score_ks", reason or "one_class")
        if error is not None:
            yield sample("window_calibration_error_ratio", (), error)
        else:
            yield undefined("calibration_error", reason)
