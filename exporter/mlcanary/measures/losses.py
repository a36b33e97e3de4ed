"""What a probability costs when the truth comes: log loss and Brier score, of two classes or more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog import Task
from mlcanary.columns import Mask, OutcomeColumns, PredictionColumns
from mlcanary.measures.contract import Labeled, Measure, positive_of, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.brier import BrierScore
from mlcanary.stats.log_loss import LogLoss
from mlcanary.stats.loss_sums import LossSums

NO_SCORES, UNKNOWN_POSITIVE = "no_scores", "unknown_positive_class"
"""Why a labelled prediction has no part in figures of the score."""


def left_out() -> Tally:
    """Labelled predictions without a part in figures of the score, by reason, born at zero."""
    return Tally({(NO_SCORES,): 0.0, (UNKNOWN_POSITIVE,): 0.0})


def why_left_out(row: Labeled, task: Task) -> str | None:
    """Why a labelled prediction cannot be scored; None if it can."""
    if task is Task.MULTICLASS:
        return None if row.scores and sum(row.scores.values()) > 0 else NO_SCORES
    if row.score is None:
        return NO_SCORES
    return UNKNOWN_POSITIVE if row.positive is None else None


def why_absent(without: Tally, scored: float) -> str:
    """Why there is no figure of the score: what most labelled predictions lack; "" if some could be scored."""
    if scored > 0:
        return ""
    (reason,), most = max(without.items(), key=lambda item: item[1])
    return reason if most > 0 else "no_labels"


def scored_columns(batch: OutcomeColumns, plan: ModelPlan, without: Tally) -> tuple[NDArray[np.intp], Mask]:
    """Rows of a binary model that can be scored, and whether each is positive; the others are counted in `without`."""
    if plan.task is Task.MULTICLASS:  # class probabilities do not travel as columns
        without.add((NO_SCORES,), float(len(batch)))
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=bool)
    unscored = np.isnan(batch.score)
    positive = positive_of(batch.actual, batch.classes, plan)
    unknown = np.isnan(positive) & ~unscored
    for reason, rows in ((NO_SCORES, unscored), (UNKNOWN_POSITIVE, unknown)):
        without.add((reason,), float(np.count_nonzero(rows)))
    usable = np.flatnonzero(~(unscored | unknown))
    return usable, positive[usable] > 0


class LossMeasure(Measure):
    """Probabilities of a multiclass model are divided by their sum; a true class that they lack was given 0."""

    families = (
        "mlcanary_log_loss",
        "mlcanary_log_loss_squares_total",
        "mlcanary_brier_score",
        "mlcanary_brier_score_squares_total",
        "mlcanary_labeled_score_left_out_total",
        "mlcanary_window_log_loss_nats",
        "mlcanary_window_brier_score",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        self.parts = {
            "log_loss": LogLoss.empty(),
            "brier_score": BrierScore.empty(),
            "scored": Tally({("predictions",): 0.0}),
            "left_out": left_out(),
        }

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Note that there are scores: their sums are then born at zero."""
        count = sum(p.score is not None or p.scores is not None for p in batch)
        self.parts["scored"].add(("predictions",), float(count))

    def on_prediction_columns(self, batch: PredictionColumns) -> None:
        """Note that there are scores."""
        self.parts["scored"].add(("predictions",), float(np.count_nonzero(~np.isnan(batch.score))))

    def on_labeled_columns(self, batch: OutcomeColumns) -> None:
        """Add up the losses."""
        usable, positive = scored_columns(batch, self.plan, self.parts["left_out"])
        if len(usable):
            for name in ("log_loss", "brier_score"):
                self.parts[name].update_many(batch.score[usable], positive)

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Add up the losses."""
        reasons = [why_left_out(x, self.plan.task) for x in batch]
        for reason in filter(None, reasons):
            self.parts["left_out"].add((reason,))
        usable = [x for x, reason in zip(batch, reasons, strict=True) if reason is None]
        if not usable:
            return
        if self.plan.task is Task.MULTICLASS:
            given = np.array([_given(x) for x in usable])
            self.parts["log_loss"].update_true(given[:, 0])
            self.parts["brier_score"].update_classes(given[:, 0], given[:, 1])
            return
        scores = np.array([x.score for x in usable], dtype=np.float64)
        positive = np.array([x.positive for x in usable], dtype=bool)
        self.parts["log_loss"].update_many(scores, positive)
        self.parts["brier_score"].update_many(scores, positive)

    def labels(self) -> float:
        """Labelled predictions with a loss."""
        return float(self.parts["log_loss"].count)

    def counters(self) -> Iterator[Sample]:
        """Sums of losses and of their squares, and who had no part."""
        for name, count in self.parts["left_out"].items():
            yield sample("labeled_score_left_out_total", name, count)
        if self.parts["scored"].total() == 0:
            return
        for name in ("log_loss", "brier_score"):
            losses: LossSums = self.parts[name]
            yield sample(name, (), losses.sum, "_sum")
            yield sample(name, (), losses.count, "_count")
            yield sample(f"{name}_squares_total", (), losses.squares)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Mean losses; without any they are absent, with the reason."""
        for name, figure in (("log_loss", "log_loss_nats"), ("brier_score", "brier_score")):
            losses: LossSums = self.parts[name]
            mean = losses.mean()
            if mean is None:
                yield undefined(name, why_absent(self.parts["left_out"], 0.0))
            else:
                yield sample(f"window_{figure}", (), mean)


def _given(row: Labeled) -> tuple[float, float]:
    """Probability of the true class, and the sum of squares of all."""
    scores = row.scores or {}
    total = sum(scores.values())
    return scores.get(row.actual, 0.0) / total, sum(p * p for p in scores.values()) / total**2
