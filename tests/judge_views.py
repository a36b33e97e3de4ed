"""Canaries as the judge shows them: one bad, one good, one that is held, one that knows nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from mlcanary.catalog import Family, Gate, Verdict
from mlcanary.judge.contract import (
    Assessment,
    CanaryKey,
    CurvePoint,
    FamilyAssessment,
    FeatureAssessment,
    GateAssessment,
    MeasureAssessment,
    Plan,
    family_threshold,
    promote_threshold,
)
from mlcanary.judge.publish.view import JudgedCanary, View

START = 1_800_000_000.0
PLAN = Plan(
    weights=dict.fromkeys(Family, 0.2), margins={"errors": 0.01, "accuracy": 0.02, "auc": 0.02, "log_loss": 0.02}
)
BAD = CanaryKey("", "", "clicks", "v2", "v1", START)
GOOD = CanaryKey("eu", "prod", "fraud", "2026-11-24", "2026-11-01", START - 7200.0)
HELD = CanaryKey("us", "prod", "fraud", "2026-11-24", "2026-11-01", START + 60.0)
NEW = CanaryKey("", "", "ranker", "b", "a", START + 1700.0)


def families(log_e: Mapping[Family, float], plan: Plan = PLAN) -> tuple[FamilyAssessment, ...]:
    """All families, 0 where nothing is said."""
    return tuple(FamilyAssessment(f, log_e.get(f, 0.0), family_threshold(plan, f)) for f in Family)


def measure(
    name: str,
    family: Family,
    arms: tuple[float, float],
    half: float,
    log_e: float,
    noninferior: float | None = None,
    unit: str = "ratio",
    trials: tuple[float, float] = (5210.0, 46_890.0),
) -> MeasureAssessment:
    """A measure whose interval is `half` wide on each side; of accuracy less is worse."""
    difference = (arms[1] - arms[0]) if name == "accuracy" else arms[0] - arms[1]
    return MeasureAssessment(
        name=name,
        family=family,
        unit=unit,
        log_e=log_e,
        log_e_noninferior=noninferior,
        canary=arms[0],
        baseline=arms[1],
        difference=difference,
        lower=difference - half,
        upper=difference + half,
        tolerance=0.005 if name == "errors" else 0.0,
        margin=PLAN.margins.get(name),
        trials_canary=trials[0],
        trials_baseline=trials[1],
        blocks=58,
        design_effect=1.37,
        change_log_r=log_e + 2.0,
    )


UNKNOWN = MeasureAssessment(
    name="auc",
    family=Family.QUALITY,
    unit="ratio",
    log_e=0.0,
    log_e_noninferior=None,
    canary=None,
    baseline=None,
    difference=None,
    lower=None,
    upper=None,
    tolerance=0.0,
    margin=None,
    trials_canary=0.0,
    trials_baseline=0.0,
    blocks=0,
    design_effect=1.0,
)


def assessment(key: CanaryKey, verdict: Verdict, **changes: object) -> Assessment:
    """An assessment with little in it, and what is to differ."""
    plain = Assessment(
        key=key,
        verdict=verdict,
        reason="collecting",
        text="Evidence is being collected.",
        leading="",
        since=START + 600.0,
        judged=START + 1770.0,
        steps=59,
        may_expand=False,
        eta_seconds=None,
        promote_threshold=promote_threshold(PLAN),
    )
    return msgspec.structs.replace(plain, **changes)


def curve(
    start: float, steps: int, growth: Mapping[Family, float], noninferior: float | None
) -> tuple[CurvePoint, ...]:
    """Lines that rise (or fall) evenly, with waves."""
    points = []
    for k in range(steps):
        log_e = {f: growth.get(f, -0.01) * k + 0.4 * math.sin(k / (3.0 + i)) for i, f in enumerate(Family)}
        points.append(CurvePoint(start + 30.0 * k, log_e, None if noninferior is None else noninferior * k - 0.3))
    return tuple(points)


FEATURES = (
    FeatureAssessment("device_type", 9.71, "tablet", 0.212, 0.081, guilty=True, reference_log_e=-1.2),
    FeatureAssessment("session_seconds", 5.02, "(30, 45]", 0.071, 0.049, guilty=False, reference_log_e=2.4),
    FeatureAssessment("age", -0.62, "missing", 0.013, 0.012),
)


def bad() -> JudgedCanary:
    """Worse in quality and in a feature; some steps were left out."""
    found = assessment(
        BAD,
        Verdict.ROLLBACK,
        reason="worse",
        text="The log loss of v2 is 0.4512, of v1 0.4021: +0.0491 nats (+0.0290 to +0.0692), from 5,210 and 46,890 "
        "predictions. The evidence of quality is over its threshold: log E 8.31 of 6.21.",
        leading="log_loss",
        since=START + 1500.0,
        families=families({Family.QUALITY: 8.31, Family.ERRORS: -0.4, Family.FEATURES: 5.1, Family.LATENCY: 1.2}),
        measures=(
            measure("errors", Family.ERRORS, (0.0011, 0.0012), 0.004, -0.41, 4.2),
            measure("slow", Family.LATENCY, (0.055, 0.05), 0.02, 1.2),
            measure("accuracy", Family.QUALITY, (0.786, 0.82), 0.021, 6.4, -4.0),
            measure("log_loss", Family.QUALITY, (0.4512, 0.4021), 0.0201, 8.9, -6.5, "nats"),
            UNKNOWN,
        ),
        features=FEATURES,
    )
    growth = {Family.QUALITY: 0.15, Family.FEATURES: 0.085, Family.LATENCY: 0.02}
    return JudgedCanary(found, PLAN, curve(START, 59, growth, -0.05), {"warm_up": 10, "source_broken": 2})


def good() -> JudgedCanary:
    """Not worse by any margin."""
    found = assessment(
        GOOD,
        Verdict.PROMOTE,
        reason="not_worse",
        text="2026-11-24 is not worse than 2026-11-01 by the margin in any of 2 measures, after 41,800 requests.",
        leading="accuracy",
        since=START + 120.0,
        may_expand=True,
        families=families(dict.fromkeys(Family, -1.0)),
        measures=(
            measure("errors", Family.ERRORS, (0.0009, 0.0012), 0.002, -2.1, 9.1, trials=(41_800.0, 41_750.0)),
            measure("accuracy", Family.QUALITY, (0.9688, 0.9682), 0.006, -1.4, 3.4, trials=(4_180.0, 4_175.0)),
        ),
    )
    return JudgedCanary(found, PLAN, curve(START - 7200.0, 299, {}, 0.0125))


def held() -> JudgedCanary:
    """Suspended by two gates."""
    gates = (
        GateAssessment(Gate.SPLIT_MISMATCH, "The canary gets 9.1 % of the traffic where 5.0 % is configured."),
        GateAssessment(Gate.SHARED_CAUSE, "The baseline degrades too: its error share is 4.1 % after 0.1 % before."),
    )
    found = assessment(
        HELD,
        Verdict.HOLD,
        reason="split_mismatch",
        text="Decisions are suspended: the traffic is not split as configured.",
        leading="errors",
        eta_seconds=5400.0,
        families=families({Family.ERRORS: 2.2}),
        measures=(measure("errors", Family.ERRORS, (0.043, 0.041), 0.012, 2.2, -0.6),),
        gates=gates,
    )
    return JudgedCanary(found, PLAN, curve(START + 60.0, 57, {Family.ERRORS: 0.04}, 0.01))


def new() -> JudgedCanary:
    """Nothing is known of it yet."""
    found = assessment(NEW, Verdict.NO_DATA, reason="warm_up", text="The first 5 minutes are not judged.", steps=0)
    return JudgedCanary(found, PLAN)


def view(**changes: object) -> View:
    """The judge with the four canaries."""
    values: dict[str, object] = {
        "leader": True,
        "read_at": START + 1770.0,
        "canaries": {BAD: bad(), GOOD: good(), HELD: held(), NEW: new()},
        "readings": {"ok": 300, "unreachable": 4},
        "resets": 3,
        "cycle_seconds": 0.42,
        "series": 18_211,
        **changes,
    }
    return View(**values)  # type: ignore[arg-type]
