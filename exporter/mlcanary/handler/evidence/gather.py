"""What the handler finds out by itself before it acts. An alert only says where to look.

Every query is a template below or in `verdicts`, chosen by the measure and the window and filled with configured
names; no text of a payload gets here. What cannot be had raises EvidenceError, and nobody acts on that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mlcanary.catalog import ACTION_ROLLBACK
from mlcanary.handler.core.policy import Evidence, Finding
from mlcanary.handler.evidence import capacity, verdicts
from mlcanary.handler.evidence.prometheus import Prometheus, Sample, only_value, selector
from mlcanary.handler.evidence.recorded import PAST_OFFSET, RECORDED, Change, Matchers, change, reference
from mlcanary.handler.evidence.sources import sources_up
from mlcanary.handler.intake.payload import Measure, Window
from mlcanary.handler.settings import TargetPlan

Z_LIMIT = {Window.FAST: 6.0, Window.SLOW: 4.26}
"""Significance of the rules that fire (their own text): weaker evidence than that is no evidence."""


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
    baseline: Change


async def gather(prometheus: Prometheus, plan: TargetPlan, case: Case, bad_weight: int | None) -> Evidence:
    """The evidence on a case, as of now. Raises EvidenceError.

    Input: `bad_weight` is the weight that the target gives the version, None if it cannot be observed.
    """
    of_model = (("model", plan.model), *plan.labels)
    by_verdict = case.measure is Measure.VERDICT
    accusation = verdicts.queries(of_model, case.version) if by_verdict else _measure(of_model, case)
    answers = await prometheus.query_all({**_situation(plan, case), **accusation})
    roles = tuple(sorted((s.label("version"), s.label("role")) for s in answers["roles"]))
    baseline = next((version for version, role in roles if role == "baseline"), "")
    max_age = plan.evidence.max_age
    found = verdicts.find(answers, baseline, max_age) if by_verdict else _find(answers, case, baseline, max_age)
    return Evidence(
        sources_up=only_value(answers["up"], "mlcanary_up") == 1.0,
        roles=roles,
        firing=(only_value(answers["firing"], "ALERTS") or 0.0) > 0,
        violated=found.violated,
        fresh=found.fresh,
        serving=frozenset(s.label("version") for s in answers["serving"] if s.value > 0),
        bad_weight=bad_weight,
        shared_cause=found.shared_cause,
        judged=not by_verdict and bool(answers["judged"]),
        warm=frozenset(s.label("version") for s in answers["servers"] if s.value > 0),
        values=found.values,
        recovery=found.recovery,
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
    return {
        "firing": f"count({selector('ALERTS', alerts)})",
        "roles": f"group by (version, role) ({info})",
        "serving": capacity.load(plan),
        "servers": capacity.servers(plan),
        "up": sources_up(info),
        # The same series that makes the windowed rules inform, so that both change over at once.
        "judged": selector("model_version:mlcanary_judge:active", (*of_model, ("version", case.version))),
    }


def _measure(of_model: Matchers, case: Case) -> dict[str, str]:
    series, window = RECORDED[case.measure], case.window
    # AUC does not add up over versions; log loss does, so recovery from an AUC fall is read from it.
    recovery = RECORDED[Measure.LOG_LOSS] if case.measure is Measure.AUC else series
    accused = (*of_model, ("version", case.version))
    delta = selector(f"{series.prefix}{series.figure}_delta{window}", accused)
    past = f" offset {PAST_OFFSET[window]}"
    return {
        "limit": series.limit(of_model, window),
        "delta": delta,
        "age": f"time() - timestamp({delta})",
        "zscore": selector(f"{series.prefix}{series.figure}_zscore{window}", accused),
        "now": series.value(of_model, window),
        "now_stderr": series.stderr(of_model, window),
        "past": series.value(of_model, window, past),
        "past_stderr": series.stderr(of_model, window, past),
        "reference": recovery.value(of_model, window),
        "reference_stderr": recovery.stderr(of_model, window),
    }


def _find(answers: Mapping[str, list[Sample]], case: Case, baseline: str, max_age: float) -> Finding:
    """What the windowed figures say."""
    figures = _figures(answers, case, baseline)
    worse = RECORDED[case.measure].worse
    return Finding(
        violated=figures.delta is not None
        and figures.zscore is not None
        and figures.delta * worse > figures.limit
        and figures.zscore * worse > Z_LIMIT[case.window],
        fresh=figures.age is not None and figures.age <= max_age,
        shared_cause=figures.baseline.shared(figures.limit),
        values=_values(figures) + reference(answers["reference"], answers["reference_stderr"], baseline),
    )


def _figures(answers: Mapping[str, list[Sample]], case: Case, baseline: str) -> _Figures:
    series = RECORDED[case.measure]
    return _Figures(
        delta=only_value(answers["delta"], "delta"),
        zscore=only_value(answers["zscore"], "z-score"),
        limit=series.limit_of(answers["limit"], case.window),
        age=only_value(answers["age"], "age"),
        baseline=change(answers, ("now", "now_stderr", "past", "past_stderr"), baseline, series.worse),
    )


def _values(figures: _Figures) -> tuple[tuple[str, float], ...]:
    named = {
        "delta": figures.delta,
        "zscore": figures.zscore,
        "limit": figures.limit,
        "age": figures.age,
        "baseline_rise": figures.baseline.rise,
    }
    return tuple((name, value) for name, value in named.items() if value is not None and math.isfinite(value))
