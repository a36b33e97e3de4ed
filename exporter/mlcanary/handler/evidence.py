"""What the handler finds out by itself before it acts. An alert only says where to look.

Every query is a template below, chosen by the measure and the window and filled with configured names; no
text of a payload gets here. What cannot be had raises EvidenceError, and nobody acts on that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlcanary.catalog import ACTION_ROLLBACK, OBJECTIVES
from mlcanary.handler.payload import Measure, Window
from mlcanary.handler.policy import Evidence
from mlcanary.handler.prometheus import Prometheus, Sample, only_value, selector
from mlcanary.handler.settings import TargetPlan

WINDOW_SECONDS = {Window.FAST: 300.0, Window.SLOW: 3600.0}
Z_LIMIT = {Window.FAST: 6.0, Window.SLOW: 4.26}
"""Significance of the rules that fire (their own text): weaker evidence than that is no evidence."""

PAST_OFFSET = {Window.FAST: "30m", Window.SLOW: "3h"}
SHARED_Z = 3.0
_DEFAULTS = {objective.name: objective.default for objective in OBJECTIVES}
_PREDICTIONS = "mlcanary_predictions_total"


@dataclass(frozen=True, slots=True)
class _Series:
    """Where a measure is recorded. `worse` is the sign of a change for the worse."""

    prefix: str
    value: str
    worse: float
    objective: str


_RECORDED = {
    Measure.ACCURACY: _Series("model_version:mlcanary_labeled_predictions:", "accuracy", -1.0, "accuracy_drop"),
    Measure.AUC: _Series("model_version:mlcanary_labeled_score:", "auc", -1.0, "auc_drop"),
    Measure.LOG_LOSS: _Series("model_version:mlcanary_log_loss:", "mean", 1.0, "log_loss_rise"),
    Measure.ERRORS: _Series("model_version:mlcanary_prediction_errors:", "ratio", 1.0, "error_rise"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Which version of which model is accused of what."""

    version: str
    measure: Measure
    window: Window


@dataclass(frozen=True, slots=True)
class _Figures:
    """A measure now: the canary against the baseline, and the baseline against its own past."""

    delta: float | None
    zscore: float | None
    limit: float
    age: float | None
    baseline_rise: float
    baseline_zscore: float


async def gather(prometheus: Prometheus, plan: TargetPlan, case: Case, bad_weight: int | None) -> Evidence:
    """The evidence on a case, as of now. Raises EvidenceError.

    Input: `bad_weight` is the weight that the target gives the version, None if it cannot be observed.
    """
    of_model = (("model", plan.model), *plan.labels)
    answers = await prometheus.query_all({**_situation(plan, case), **_measure(of_model, case)})
    roles = tuple(sorted((s.label("version"), s.label("role")) for s in answers["roles"]))
    baseline = next((version for version, role in roles if role == "baseline"), "")
    figures = _figures(answers, case, baseline)
    worse = _RECORDED[case.measure].worse
    violated = (
        figures.delta is not None
        and figures.zscore is not None
        and figures.delta * worse > figures.limit
        and figures.zscore * worse > Z_LIMIT[case.window]
    )
    return Evidence(
        sources_up=only_value(answers["up"], "mlcanary_up") == 1.0,
        roles=roles,
        firing=(only_value(answers["firing"], "ALERTS") or 0.0) > 0,
        violated=violated,
        fresh=figures.age is not None and figures.age <= plan.evidence.max_age,
        serving=frozenset(s.label("version") for s in answers["serving"] if s.value > 0),
        bad_weight=bad_weight,
        shared_cause=figures.baseline_rise > figures.limit and figures.baseline_zscore > SHARED_Z,
        values=_values(figures) + _reference(answers, baseline),
    )


def _situation(plan: TargetPlan, case: Case) -> dict[str, str]:
    of_model = (("model", plan.model), *plan.labels)
    info = selector("mlcanary_model_info", of_model)
    alerts = (
        ("alertstate", "firing"),
        ("action", ACTION_ROLLBACK),
        *of_model,
        ("version", case.version),
        ("measure", case.measure),
        ("window", case.window),
    )
    window = f"{max(1, int(plan.evidence.serving_window * 1000))}ms"
    return {
        "firing": f"count({selector('ALERTS', alerts)})",
        "roles": f"group by (version, role) ({info})",
        "serving": f"sum by (version) (rate({selector(_PREDICTIONS, of_model)}[{window}]))",
        "up": f"min(mlcanary_up and on (job, instance) group by (job, instance) ({info}))",
    }


def _measure(of_model: Sequence[tuple[str, str]], case: Case) -> dict[str, str]:
    series = _RECORDED[case.measure]
    # AUC does not add up over versions; log loss does, so recovery from an AUC fall is read from it.
    recovery = _RECORDED[Measure.LOG_LOSS] if case.measure is Measure.AUC else series
    accused = (*of_model, ("version", case.version))
    delta = selector(f"{series.prefix}{series.value}_delta{case.window}", accused)
    objective = (("objective", _objective(case)),)
    past = f" offset {PAST_OFFSET[case.window]}"
    return {
        "limit": f"max({selector('mlcanary_objective_threshold', (*of_model, *objective))})",
        "delta": delta,
        "age": f"time() - timestamp({delta})",
        "zscore": selector(f"{series.prefix}{series.value}_zscore{case.window}", accused),
        "now": _value(series, of_model, case.window, ""),
        "now_stderr": _stderr(series, of_model, case.window, ""),
        "past": _value(series, of_model, case.window, past),
        "past_stderr": _stderr(series, of_model, case.window, past),
        "reference": _value(recovery, of_model, case.window, ""),
        "reference_stderr": _stderr(recovery, of_model, case.window, ""),
    }


def _value(series: _Series, of_model: Sequence[tuple[str, str]], window: Window, offset: str) -> str:
    return selector(f"{series.prefix}{series.value}{window}", of_model) + offset


def _stderr(series: _Series, of_model: Sequence[tuple[str, str]], window: Window, offset: str) -> str:
    if series.value != "ratio":
        return selector(f"{series.prefix}{series.value}_stderr{window}", of_model) + offset
    # Of a share of failures; one failure more than there were, as none would leave no room for noise.
    share = _value(series, of_model, window, offset)
    requests = selector(f"model_version:mlcanary_predictions:rate{window}", of_model) + offset
    n = f"({requests} * {WINDOW_SECONDS[window]:g} > 0)"
    return f"sqrt(({share} * (1 - {share}) + 1 / {n}) / {n})"


def _objective(case: Case) -> str:
    return _RECORDED[case.measure].objective + ("_fast" if case.window is Window.FAST else "")


def _figures(answers: Mapping[str, list[Sample]], case: Case, baseline: str) -> _Figures:
    now, past = _of(answers["now"], baseline), _of(answers["past"], baseline)
    errors = _of(answers["now_stderr"], baseline), _of(answers["past_stderr"], baseline)
    rise, zscore = 0.0, 0.0
    if now is not None and past is not None and None not in errors:
        rise = (now - past) * _RECORDED[case.measure].worse
        zscore = _ratio(rise, math.hypot(errors[0] or 0.0, errors[1] or 0.0))
    limit = only_value(answers["limit"], "threshold")
    return _Figures(
        delta=only_value(answers["delta"], "delta"),
        zscore=only_value(answers["zscore"], "z-score"),
        limit=limit if limit is not None else _DEFAULTS[_objective(case)],
        age=only_value(answers["age"], "age"),
        baseline_rise=rise,
        baseline_zscore=zscore,
    )


def _ratio(difference: float, error: float) -> float:
    return difference / error if error > 0 else math.copysign(math.inf, difference) if difference else 0.0


def _of(samples: Sequence[Sample], version: str) -> float | None:
    return only_value([s for s in samples if s.label("version") == version], version)


def _reference(answers: Mapping[str, list[Sample]], baseline: str) -> tuple[tuple[str, float], ...]:
    """The baseline's quality at the decision, which the traffic must reach again after the effect."""
    value, stderr = _of(answers["reference"], baseline), _of(answers["reference_stderr"], baseline)
    if value is None or stderr is None:
        return ()
    return (("reference", value), ("reference_stderr", stderr))


def _values(figures: _Figures) -> tuple[tuple[str, float], ...]:
    named = {
        "delta": figures.delta,
        "zscore": figures.zscore,
        "limit": figures.limit,
        "age": figures.age,
        "baseline_rise": figures.baseline_rise,
    }
    return tuple((name, value) for name, value in named.items() if value is not None and math.isfinite(value))
