"""Errors of predicted numbers, and the share of the target's variance that is explained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from mlcanary.measures.contract import Labeled, Measure, sample, undefined
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.r_squared import ABOVE, BELOW, OBSERVATIONS, SQUARES, TargetSums
from mlcanary.stats.residuals import Residuals

BROKEN_LABEL, BROKEN_PREDICTION, NO_PREDICTION_MADE = "broken_label", "broken_prediction", "no_prediction"
LARGEST = 1e15
"""Beyond it a number is broken input: its square would drown all others."""

TRIAL, CENTERS = 20, 4
"""Targets after which a center is judged, and how many centers there may be."""


class RegressionMeasure(Measure):
    """Needs two finite numbers; other labelled rows are left out and counted by reason.

    Squares of the target are summed about the first number that the model says: a value near the data, known before
    any label comes, so that the counters are born at zero. A first number from a warm-up request, far off, is replaced.
    """

    families = (
        "mlcanary_residual_observations_total",
        "mlcanary_residual_absolute_total",
        "mlcanary_residual_squares_total",
        "mlcanary_residual_fourth_powers_total",
        "mlcanary_target_observations_total",
        "mlcanary_target_distance_total",
        "mlcanary_target_distance_squares_total",
        "mlcanary_target_center",
        "mlcanary_regression_quantile",
        "mlcanary_regression_unusable_total",
        "mlcanary_window_mean_absolute_error",
        "mlcanary_window_mean_squared_error",
        "mlcanary_window_root_mean_squared_error",
        "mlcanary_window_bias",
        "mlcanary_window_r2_ratio",
        "mlcanary_window_quantile_loss",
        "mlcanary_window_undefined",
    )

    def __init__(self, plan: ModelPlan) -> None:
        super().__init__(plan)
        reasons = (BROKEN_LABEL, BROKEN_PREDICTION, NO_PREDICTION_MADE)
        self.parts = {
            "residuals": Residuals.empty(),
            "target": TargetSums(),
            "unusable": Tally({(reason,): 0.0 for reason in reasons}),
        }

    def on_predictions(self, batch: Sequence[Prediction]) -> None:
        """Learn the center from the first number."""
        target: TargetSums = self.parts["target"]
        if not target.counts:
            numbers = (usable(p.predicted) for p in batch if p.predicted is not None)
            first = next((number for number in numbers if number is not None), None)
            if first is not None:
                target.begin(repr(first))

    def on_labeled(self, batch: Sequence[Labeled]) -> None:
        """Add up errors and targets; count what cannot be used."""
        actual: list[float] = []
        predicted: list[float] = []
        for x in batch:
            y, f = usable(x.actual), None if x.predicted is None else usable(x.predicted)
            if y is not None and f is not None:
                actual.append(y)
                predicted.append(f)
            else:
                reason = BROKEN_PREDICTION if x.predicted is not None else NO_PREDICTION_MADE
                self.parts["unusable"].add((BROKEN_LABEL if y is None else reason,))
        if actual:
            self.parts["residuals"].update_many(actual, predicted)
            self._add_targets(actual, predicted[0])

    def _add_targets(self, actual: Sequence[float], predicted: float) -> None:
        """Sum about the newest center; after `TRIAL` targets it gives way to the last of them if it lies far off."""
        target: TargetSums = self.parts["target"]
        center = target.centers[-1] if target.counts else repr(predicted)
        target.begin(center)
        begin = 0
        while begin < len(actual):
            trial = TRIAL - int(target.counts[center, OBSERVATIONS])
            end = begin + trial if trial > 0 else len(actual)
            target.update_many(actual[begin:end], center)
            if target.counts[center, OBSERVATIONS] == TRIAL and len(target.centers) < CENTERS and target.is_far(center):
                center = repr(actual[end - 1])
                target.begin(center)
            begin = end

    def facts(self, now: float) -> Iterator[Sample]:
        """The quantile whose loss is shown, and the value of each center, which a rule cannot read off a label."""
        yield sample("regression_quantile", (), self.plan.quantile)
        for center in self.parts["target"].centers:
            yield sample("target_center", (center,), float(center))

    def labels(self) -> float:
        """Predictions with a usable label."""
        return float(self.parts["residuals"].count)

    def counters(self) -> Iterator[Sample]:
        """Sums of errors by sign, sums of the target by center, and unusable rows."""
        errors: Residuals = self.parts["residuals"]
        yield sample("residual_observations_total", (), errors.count)
        yield sample("residual_absolute_total", ("over",), errors.over)
        yield sample("residual_absolute_total", ("under",), errors.under)
        yield sample("residual_squares_total", ("over",), errors.over_squares)
        yield sample("residual_squares_total", ("under",), errors.under_squares)
        yield sample("residual_fourth_powers_total", (), errors.fourth_powers)
        target: TargetSums = self.parts["target"]
        for center in target.centers:
            yield sample("target_observations_total", (center,), target.counts[center, OBSERVATIONS])
            yield sample("target_distance_total", (center, "positive"), target.counts[center, ABOVE])
            yield sample("target_distance_total", (center, "negative"), target.counts[center, BELOW])
            yield sample("target_distance_squares_total", (center,), target.counts[center, SQUARES])
        for reason, count in self.parts["unusable"].items():
            yield sample("regression_unusable_total", reason, count)

    def gauges(self, seconds: float) -> Iterator[Sample]:
        """Every error of the window; R2 also needs a target that varies."""
        errors: Residuals = self.parts["residuals"]
        squared = errors.squared_error()
        figures = {
            "mean_absolute_error": errors.absolute_error(),
            "mean_squared_error": squared,
            "root_mean_squared_error": None if squared is None else math.sqrt(squared),
            "bias": errors.bias(),
            "r2_ratio": self.parts["target"].r_squared(errors.squares),
            "quantile_loss": errors.quantile_loss(self.plan.quantile),
        }
        for name, value in figures.items():
            if value is not None:
                yield sample(f"window_{name}", (), value)
            else:
                yield undefined(name.removesuffix("_ratio"), "no_labels" if squared is None else "constant_target")


def usable(text: str) -> float | None:
    """The number that a text spells, None if it is none that can go into a sum.

    >>> usable("2.5"), usable("nan"), usable("1e16"), usable("cat")
    (2.5, None, None, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) <= LARGEST else None
