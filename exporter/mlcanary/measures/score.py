"""AUC from score bins, and log loss: what a probability is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mlcanary.catalog import NEGATIVE, POSITIVE
from mlcanary.measures.contract import Labeled, Measure, sample
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import edge_labels
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.log_loss import LogLoss
from mlcanary.stats.roc_auc import ScoreBins, below


class ScoreMeasure(Measure):
    """Needs a score and a label whose class is known to be positive or negative; others are left out."""

    families = (
        "mlcanary_labeled_score_bin_total",
        "mlcanary_labeled_score_below_total",
        "mlcanary_labeled_score_bin_score_total",
        "mlcanary_log_loss",
        "mlcanary_log_loss_squares_total",
        "mlcanary_window_auc_ratio",
        "mlcanary_window_auc_error_bound_ratio",
        "mlcanary_window_log_loss_nats",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        bins = ScoreBins.empty(plan.score_edges)
        self.parts = {"bins": bins, "log_loss": LogLoss.empty(), "scored": Tally({("predictions",): 0.0})}
        self._labels = edge_labels(plan.score_edges)

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Note that there are scores: their bins are then born at zero, so that no first label is lost to rate()."""
        self.parts["scored"].add(("predictions",), float(sum(p.score is not None for p in batch)))

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Bin the scores and add up the losses."""
        usable = [(x.score, x.positive) for x in batch if x.score is not None and x.positive is not None]
        if usable:
            scores = np.array([score for score, _ in usable])
            positive = np.array([p for _, p in usable], dtype=bool)
            self.parts["bins"].update_many(scores, positive)
            self.parts["log_loss"].update_many(scores, positive)

    def labels(self) -> float:
        """Labelled predictions with a score."""
        return float(self.parts["log_loss"].count)

    def counters(self) -> Iterator[Sample]:
        """In-bin and below counts per class, score sums, and the loss sums."""
        bins: ScoreBins = self.parts["bins"]
        if self.parts["scored"].total() == 0:
            return
        for actual, counts in ((POSITIVE, bins.positives), (NEGATIVE, bins.negatives)):
            for label, inside, under in zip(self._labels, counts.tolist(), below(counts).tolist(), strict=True):
                yield sample("labeled_score_bin_total", (actual, label), inside)
                yield sample("labeled_score_below_total", (actual, label), under)
        for label, total in zip(self._labels, bins.score_sums.tolist(), strict=True):
            yield sample("labeled_score_bin_score_total", (label,), total)
        loss: LogLoss = self.parts["log_loss"]
        yield sample("log_loss", (), loss.sum, "_sum")
        yield sample("log_loss", (), loss.count, "_count")
        yield sample("log_loss_squares_total", (), loss.squares)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """AUC with its bound, and mean log loss."""
        estimate = self.parts["bins"].estimate()
        if estimate is not None:
            yield sample("window_auc_ratio", (), estimate.auc)
            yield sample("window_auc_error_bound_ratio", (), estimate.bound)
        loss = self.parts["log_loss"].mean()
        if loss is not None:
            yield sample("window_log_loss_nats", (), loss)
