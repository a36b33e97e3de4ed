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
BURN_RATE = 14.4
_DEFAULTS = {objective.name: objective.default for objective in OBJECTIVES}
_PREDICTIONS, _ERRORS = "mlcanary_predictions_total", "mlcanary_prediction_errors_total"


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
    figures = (_error_figures if case.measure is Measure.ERRORS else _recorded_figures)(answers, case, baseline)
    worse = 1.0 if case.measure is Measure.ERRORS else _RECORDED[case.measure].worse
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
        values=_values(figures) + _reference(answers, case, baseline),
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
    suffix = "_fast" if case.window is Window.FAST else ""
    if case.measure is Measure.ERRORS:
        objective = (("objective", "error_ratio"),)
        ratio = _error_ratio(of_model, case.window, "")
        return {
            "limit": f"max({selector('mlcanary_objective_threshold', (*of_model, *objective))})",
            "ratio": ratio,
            "past": _error_ratio(of_model, case.window, f" offset {PAST_OFFSET[case.window]}"),
            "requests": f"sum by (version) (rate({selector(_PREDICTIONS, of_model)}[{case.window}]))",
            "age": "max by (version) (time() - timestamp(" + selector(_PREDICTIONS, of_model) + "))",
        }
    series = _RECORDED[case.measure]
    names = (("objective", series.objective + suffix),)
    accused = (*of_model, ("version", case.version))
    delta = selector(f"{series.prefix}{series.value}_delta{case.window}", accused)
    value = selector(f"{series.prefix}{series.value}{case.window}", of_model)
    stderr = selector(f"{series.prefix}{series.value}_stderr{case.window}", of_model)
    past = f" offset {PAST_OFFSET[case.window]}"
    # AUC does not add up over versions; log loss does, so recovery from an AUC fall is read from it.
    recovery = _RECORDED[Measure.LOG_LOSS] if case.measure is Measure.AUC else series
    reference = recovery.prefix + recovery.value
    return {
        "limit": f"max({selector('mlcanary_objective_threshold', (*of_model, *names))})",
        "delta": delta,
        "age": f"time() - timestamp({delta})",
        "zscore": selector(f"{series.prefix}{series.value}_zscore{case.window}", accused),
        "now": value,
        "now_stderr": stderr,
        "past": value + past,
        "past_stderr": stderr + past,
        "reference": selector(f"{reference}{case.window}", of_model),
        "reference_stderr": selector(f"{reference}_stderr{case.window}", of_model),
    }


def _error_ratio(of_model: Sequence[tuple[str, str]], window: Window, offset: str) -> str:
    """Failed share of requests by version; a version without any error series has failed in none."""
    requests = f"sum by (version) (rate({selector(_PREDICTIONS, of_model)}[{window}]{offset}))"
    errors = f"sum by (version) (rate({selector(_ERRORS, of_model)}[{window}]{offset}))"
    return f"({errors} or 0 * {requests}) / ({requests} > 0)"


def _recorded_figures(answers: Mapping[str, list[Sample]], case: Case, baseline: str) -> _Figures:
    series = _RECORDED[case.measure]
    suffix = "_fast" if case.window is Window.FAST else ""
    now, past = _of(answers["now"], baseline), _of(answers["past"], baseline)
    errors = _of(answers["now_stderr"], baseline), _of(answers["past_stderr"], baseline)
    rise, zscore = 0.0, 0.0
    if now is not None and past is not None and None not in errors:
        rise = (now - past) * series.worse
        zscore = _ratio(rise, math.hypot(errors[0] or 0.0, errors[1] or 0.0))
    limit = only_value(answers["limit"], "threshold")
    return _Figures(
        delta=only_value(answers["delta"], "delta"),
        zscore=only_value(answers["zscore"], "z-score"),
        limit=limit if limit is not None else _DEFAULTS[series.objective + suffix],
        age=only_value(answers["age"], "age"),
        baseline_rise=rise,
        baseline_zscore=zscore,
    )


def _error_figures(answers: Mapping[str, list[Sample]], case: Case, baseline: str) -> _Figures:
    limit = only_value(answers["limit"], "threshold")
    burning = BURN_RATE * (limit if limit is not None else _DEFAULTS["error_ratio"])
    seconds = WINDOW_SECONDS[case.window]
    bad, good = _of(answers["ratio"], case.version), _of(answers["ratio"], baseline)
    n_bad = (_of(answers["requests"], case.version) or 0.0) * seconds
    n_good = (_of(answers["requests"], baseline) or 0.0) * seconds
    delta = zscore = None
    if bad is not None and good is not None:
        delta, zscore = bad - good, two_proportions(bad, n_bad, good, n_good)
    past = _of(answers["past"], baseline)
    rise = good - past if good is not None and past is not None else 0.0
    return _Figures(
        delta=delta,
        zscore=zscore,
        limit=burning,
        age=_of(answers["age"], case.version),
        baseline_rise=rise,
        baseline_zscore=two_proportions(good or 0.0, n_good, past or 0.0, n_good),
    )


def two_proportions(p: float, n: float, q: float, m: float) -> float:
    """z-score of p - q, pooled; 0 without data. Input: shares in [0, 1] of n and m trials."""
    if n <= 0 or m <= 0:
        return 0.0
    pooled = (p * n + q * m) / (n + m)
    return _ratio(p - q, math.sqrt(max(0.0, pooled * (1 - pooled)) * (1 / n + 1 / m)))


def _ratio(difference: float, error: float) -> float:
    return difference / error if error > 0 else math.copysign(math.inf, difference) if difference else 0.0


def _of(samples: Sequence[Sample], version: str) -> float | None:
    return only_value([s for s in samples if s.label("version") == version], version)


def _reference(answers: Mapping[str, list[Sample]], case: Case, baseline: str) -> tuple[tuple[str, float], ...]:
    """The baseline's quality at the decision, which the traffic must reach again after the effect."""
    if case.measure is not Measure.ERRORS:
        value, stderr = _of(answers["reference"], baseline), _of(answers["reference_stderr"], baseline)
    else:
        value = _of(answers["ratio"], baseline)
        trials = (_of(answers["requests"], baseline) or 0.0) * WINDOW_SECONDS[case.window]
        # A floor of one error: a baseline without any would leave no room for noise.
        share = max(value or 0.0, 1 / trials) if trials > 0 else 0.0
        stderr = math.sqrt(share * (1 - share) / trials) if trials > 1 else None
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
