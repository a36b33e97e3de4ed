"""Where the measures of an alert are recorded, as query templates: filled with configured names only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlcanary.catalog import OBJECTIVES
from mlcanary.handler.evidence.prometheus import Sample, only_value, selector
from mlcanary.handler.intake.payload import Measure, Window

WINDOW_SECONDS = {Window.FAST: 300.0, Window.SLOW: 3600.0}
PAST_OFFSET = {Window.FAST: "30m", Window.SLOW: "3h"}
SHARED_Z = 3.0
_DEFAULTS = {objective.name: objective.default for objective in OBJECTIVES}
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

    def limit(self, of_model: Matchers, window: Window) -> str:
        """How far the canary may lie from the baseline."""
        return f"max({selector('mlcanary_objective_threshold', (*of_model, ('objective', self.limit_name(window))))})"

    def limit_name(self, window: Window) -> str:
        """The objective that is the limit."""
        return self.objective + ("_fast" if window is Window.FAST else "")

    def limit_of(self, samples: Sequence[Sample], window: Window) -> float:
        """The answer to `limit`, the objective's default without one."""
        found = only_value(samples, "threshold")
        return _DEFAULTS[self.limit_name(window)] if found is None else found


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


@dataclass(frozen=True, slots=True)
class Change:
    """By how much the baseline is worse than its own past, and that in standard errors; 0 if it is not known."""

    rise: float
    zscore: float

    def shared(self, limit: float) -> bool:
        """Whether going back to it would not help: it fell by more than a canary may lie under it."""
        return self.rise > limit and self.zscore > SHARED_Z


def change(
    answers: Mapping[str, Sequence[Sample]], names: tuple[str, str, str, str], baseline: str, worse: float
) -> Change:
    """The change of the baseline. `names` of the answers: value and standard error now, then in the past."""
    now, error, past, past_error = (of_version(answers[name], baseline) for name in names)
    if now is None or past is None or error is None or past_error is None:
        return Change(0.0, 0.0)
    rise = (now - past) * worse
    return Change(rise, _ratio(rise, math.hypot(error, past_error)))


def _ratio(difference: float, error: float) -> float:
    return difference / error if error > 0 else math.copysign(math.inf, difference) if difference else 0.0


def reference(value: Sequence[Sample], stderr: Sequence[Sample], baseline: str) -> tuple[tuple[str, float], ...]:
    """The baseline's quality at the decision, which the traffic must reach again after the effect; empty if unknown."""
    quality, error = of_version(value, baseline), of_version(stderr, baseline)
    return () if quality is None or error is None else (("reference", quality), ("reference_stderr", error))
