"""Where the measures of an alert are recorded, as query templates: filled with configured names only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlcanary.handler.payload import Measure, Window
from mlcanary.handler.prometheus import Sample, only_value, selector

WINDOW_SECONDS = {Window.FAST: 300.0, Window.SLOW: 3600.0}
Matchers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Series:
    """Where a measure is recorded. `worse` is the sign of a change for the worse."""

    prefix: str
    figure: str
    worse: float
    objective: str

    def value(self, of_model: Matchers, window: Window, offset: str = "") -> str:
        """The measure by version."""
        return selector(f"{self.prefix}{self.figure}{window}", of_model) + offset

    def stderr(self, of_model: Matchers, window: Window, offset: str = "") -> str:
        """Its standard error by version."""
        if self.figure != "ratio":
            return selector(f"{self.prefix}{self.figure}_stderr{window}", of_model) + offset
        # Of a share of failures; one failure more than there were, as none would leave no room for noise.
        share = self.value(of_model, window, offset)
        requests = selector(f"model_version:mlcanary_predictions:rate{window}", of_model) + offset
        n = f"({requests} * {WINDOW_SECONDS[window]:g} > 0)"
        return f"sqrt(({share} * (1 - {share}) + 1 / {n}) / {n})"


RECORDED = {
    Measure.ACCURACY: Series("model_version:mlcanary_labeled_predictions:", "accuracy", -1.0, "accuracy_drop"),
    Measure.AUC: Series("model_version:mlcanary_labeled_score:", "auc", -1.0, "auc_drop"),
    Measure.LOG_LOSS: Series("model_version:mlcanary_log_loss:", "mean", 1.0, "log_loss_rise"),
    Measure.ERRORS: Series("model_version:mlcanary_prediction_errors:", "ratio", 1.0, "error_rise"),
}
"""Every measure of a windowed rule."""


def of_version(samples: Sequence[Sample], version: str) -> float | None:
    """The value of a version, None without one. Raises EvidenceError for several and for NaN."""
    return only_value([s for s in samples if s.label("version") == version], version)


def reference(value: Sequence[Sample], stderr: Sequence[Sample], baseline: str) -> tuple[tuple[str, float], ...]:
    """The baseline's quality at the decision, which the traffic must reach again after the effect; empty if unknown."""
    quality, error = of_version(value, baseline), of_version(stderr, baseline)
    return () if quality is None or error is None else (("reference", quality), ("reference_stderr", error))
