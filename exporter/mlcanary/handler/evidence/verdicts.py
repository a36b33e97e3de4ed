"""Evidence on an alert of the judge: whether its verdict stands right now.

Guarantee: a verdict counts only of a judge that leads, whose figures are young and which has read Prometheus lately.
What the judge says is taken from its series, never from the alert. Gates do not hold a verdict that stands: they were
open to the family that asked, and later a fault may close one by itself, as failures in bursts do with the design
effect. They are noted; whether sources and roles are sound, and whether the baseline fell too, the handler asks anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mlcanary.catalog import Verdict
from mlcanary.handler.core.policy import Finding
from mlcanary.handler.evidence.prometheus import Sample, only_value, selector
from mlcanary.handler.evidence.recorded import PAST_OFFSET, RECORDED, Change, Matchers, change, reference
from mlcanary.handler.intake.payload import Measure, Window

READ_SECONDS = 300.0
"""A judge that has read nothing for longer has no verdict: the limit of the rules in judge.alerts.yml."""

_LEADS = "and on (job, instance) mlcanary_judge_leader == 1"
_WINDOW = Window.FAST
_RECOVERIES = (Measure.LOG_LOSS, Measure.ACCURACY, Measure.ERRORS)
"""What recovery is read from, the first that the model has; log loss also stands for AUC, which does not add up."""


def queries(of_model: Matchers, version: str) -> dict[str, str]:
    """Query templates of a verdict, by name."""
    accused = (*of_model, ("version", version))
    rollback = selector("mlcanary_judge_verdict", (*accused, ("verdict", Verdict.ROLLBACK)))
    evidence = selector("mlcanary_judge_family_log_evalue", accused)
    threshold = selector("mlcanary_judge_family_log_evalue_threshold", accused)
    asked = {
        "verdict": f"max by (cluster, namespace) ({rollback} {_LEADS})",
        "age": f"max(time() - timestamp({rollback}))",
        "read": f"min(time() - mlcanary_judge_read_timestamp_seconds and on (job, instance) ({rollback} {_LEADS}))",
        "gates": f"max by (gate) ({selector('mlcanary_judge_gate', accused)}) == 1",
        "families": f"max by (family) ({evidence})",
        "thresholds": f"max by (family) ({threshold})",
        "measures": f"max by (measure) ({selector('mlcanary_judge_measure_log_evalue', accused)})",
    }
    for measure in _RECOVERIES:
        series, past = RECORDED[measure], f" offset {PAST_OFFSET[_WINDOW]}"
        asked[f"{measure}"] = series.value(of_model, _WINDOW)
        asked[f"{measure}_stderr"] = series.stderr(of_model, _WINDOW)
        asked[f"{measure}_past"] = series.value(of_model, _WINDOW, past)
        asked[f"{measure}_past_stderr"] = series.stderr(of_model, _WINDOW, past)
        asked[f"{measure}_limit"] = series.limit(of_model, _WINDOW)
    return asked


def find(answers: Mapping[str, list[Sample]], baseline: str, max_age: float) -> Finding:
    """What the answers say. Raises EvidenceError for what is ambiguous."""
    age, read = only_value(answers["age"], "age of the verdict"), only_value(answers["read"], "time of the judge")
    gates = {sample.label("gate") for sample in answers["gates"]}
    recovery, quality = _recovery(answers, baseline)
    fall, limit = _fall(answers, recovery, baseline)
    times = {"age": age, "read_age": read}
    return Finding(
        violated=only_value(answers["verdict"], "verdict") == 1.0,
        fresh=age is not None and age <= max_age and read is not None and read <= READ_SECONDS,
        shared_cause=fall.shared(limit),
        values=(
            *((name, value) for name, value in times.items() if value is not None),
            *((f"gate_{gate}", 1.0) for gate in sorted(gates)),
            *_figures("log_e", "family", answers["families"]),
            *_figures("threshold", "family", answers["thresholds"]),
            ("baseline_rise", fall.rise),
            *quality,
        ),
        recovery=recovery,
    )


def _figures(what: str, label: str, samples: Sequence[Sample]) -> list[tuple[str, float]]:
    return sorted((f"{what}_{s.label(label)}", s.value) for s in samples if math.isfinite(s.value))


def _recovery(answers: Mapping[str, list[Sample]], baseline: str) -> tuple[str, tuple[tuple[str, float], ...]]:
    """Which measure tells of recovery, and the baseline's figure of it. One that itself asks for the rollback first."""
    least = min((s.value for s in answers["thresholds"]), default=math.inf)
    asking = {s.label("measure") for s in answers["measures"] if s.value >= least}
    for measure in sorted(_RECOVERIES, key=lambda m: m not in asking):
        if quality := reference(answers[measure], answers[f"{measure}_stderr"], baseline):
            return measure, quality
    return "", ()


def _fall(answers: Mapping[str, list[Sample]], measure: str, baseline: str) -> tuple[Change, float]:
    """How the baseline has changed in a measure, and by how much it may."""
    if not measure:
        return Change(0.0, 0.0), math.inf
    names = (measure, f"{measure}_stderr", f"{measure}_past", f"{measure}_past_stderr")
    series = RECORDED[Measure(measure)]
    return change(answers, names, baseline, series.worse), series.limit_of(answers[f"{measure}_limit"], _WINDOW)
