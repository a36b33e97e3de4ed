"""Planning: the formula of the specification, and times to a decision that come true."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from mlcanary.catalog import Family
from mlcanary.judge.contract import CanaryKey, CurvePoint, FamilyAssessment, MeasureAssessment, Plan, family_threshold
from mlcanary.judge.planning import eta_seconds, needed_trials, planning_table
from mlcanary.stats.proportion_evidence import ProportionEvidence
from sim.bars import SEED

KEY = CanaryKey("", "", "churn", "v2", "v1", 1000.0)
PLAN = Plan(weights=dict.fromkeys(Family, 0.2), min_age=0.0, min_trials=0.0)
HOUR = 3600.0


def measure(log_e_noninferior: float | None, **changes: object) -> MeasureAssessment:
    """Errors of a canary."""
    usual = MeasureAssessment(
        name="errors",
        family=Family.ERRORS,
        unit="ratio",
        log_e=0.0,
        log_e_noninferior=log_e_noninferior,
        canary=0.1,
        baseline=0.1,
        difference=0.0,
        lower=None,
        upper=None,
        tolerance=0.0,
        margin=0.01,
        trials_canary=1000.0,
        trials_baseline=9000.0,
        blocks=10,
        design_effect=1.0,
    )
    return msgspec.structs.replace(usual, **changes)


def family(log_e: float, threshold: float | None = 6.2) -> FamilyAssessment:
    """The family of errors."""
    return FamilyAssessment(Family.ERRORS, log_e, threshold)


def eta(families: list[FamilyAssessment], measures: list[MeasureAssessment], *curve: CurvePoint) -> float | None:
    """An hour after the start."""
    return eta_seconds(PLAN, KEY, KEY.start + HOUR, families, measures, curve)


@pytest.mark.parametrize(
    ("alpha", "p", "rise", "share", "expected"),
    [(0.01, 0.10, 0.02, 0.5, 5500), (0.01, 0.03, -0.006, 0.5, 16_800), (0.05, 0.10, 0.02, 0.5, 1.25 * 3023)],
)
def test_the_formula_gives_the_examples_of_the_specification(
    alpha: float, p: float, rise: float, share: float, expected: float
) -> None:
    assert needed_trials(alpha, p, rise, share) == pytest.approx(expected, rel=0.05)


def test_a_small_canary_needs_about_half_the_requests_and_many_features_more() -> None:
    assert needed_trials(0.01, 0.1, 0.02, 0.05) / needed_trials(0.01, 0.1, 0.02, 0.5) == pytest.approx(0.56, abs=0.02)
    more = needed_trials(0.01, 0.1, 0.02, 0.5, features=200) / needed_trials(0.01, 0.1, 0.02, 0.5)
    assert more == pytest.approx((11.5 + 2 * math.log(200)) / 11.5)


@pytest.mark.parametrize(
    ("p", "rise", "share"), [(0.0, 0.1, 0.5), (0.1, 0.9, 0.5), (0.1, 0.0, 0.5), (0.1, 0.1, 1.0), (0.1, -0.2, 0.5)]
)
def test_what_is_no_share_is_refused(p: float, rise: float, share: float) -> None:
    with pytest.raises(ValueError, match="need shares inside"):
        needed_trials(0.01, p, rise, share)


def test_what_was_planned_is_what_it_takes() -> None:
    """Mean delay of E1 at an error share of 10 % that rises to 15 %; one canary in five of the traffic."""
    rng, runs, alpha = np.random.default_rng(SEED), 60, 0.01
    evidence = ProportionEvidence(shape=(runs,), with_interval=False)
    found = np.zeros(runs)
    for look in range(1, 200):
        evidence.update(
            np.full(runs, 20.0),
            rng.binomial(20, 0.15, size=runs).astype(float),
            np.full(runs, 80.0),
            rng.binomial(80, 0.10, size=runs).astype(float),
        )
        found = np.where((found == 0) & (evidence.log_e() >= -np.log(alpha)), 20.0 * look, found)
        if found.all():
            break
    taken = found[found > 0]
    assert len(taken) == runs
    assert float(taken.mean()) == pytest.approx(needed_trials(alpha, 0.10, 0.05, 0.2), rel=0.25)


def test_the_table_has_a_row_per_change_and_a_column_per_alpha() -> None:
    lines = planning_table((0.05, 0.01), 0.5).splitlines()
    assert lines[0] == "| canary gets 50 % | alpha 0.05 | alpha 0.01 |"
    assert "| errors 10 % -> 12 % | 3,900 | 5,600 |" in lines
    assert {line.count("|") for line in lines} == {4}


def test_growing_evidence_for_a_rollback_is_carried_on() -> None:
    half = CurvePoint(KEY.start + HOUR / 2, {Family.ERRORS: 1.0}, None)
    assert eta([family(3.6)], [], half) == pytest.approx(HOUR / 2)
    assert eta([family(3.1)], []) == pytest.approx(HOUR)


def test_the_sooner_of_rollback_and_promotion_counts() -> None:
    half = CurvePoint(KEY.start + HOUR / 2, {Family.ERRORS: 1.0}, 0.5)
    assert eta([family(3.6)], [measure(2.5)], half) == pytest.approx((-math.log(0.05) - 2.5) * HOUR / 2 / 2.0)


def test_a_promotion_waits_for_its_least_sure_measure_its_age_and_its_requests() -> None:
    measures = [measure(9.0), measure(2.0, name="accuracy", family=Family.QUALITY)]
    plain = eta([], measures)
    assert plain == pytest.approx((-math.log(0.05) - 2.0) * HOUR / 2.0)
    for plan, expected in ((Plan(min_age=3 * HOUR, min_trials=0.0), 2 * HOUR), (Plan(min_trials=4000.0), 3 * HOUR)):
        assert eta_seconds(plan, KEY, KEY.start + HOUR, [], measures) == pytest.approx(expected)


def test_without_growth_the_plan_tells() -> None:
    threshold = family_threshold(PLAN, Family.ERRORS)
    needed = needed_trials(0.002, 0.1, 0.01, 0.1)
    assert eta([family(0.2, threshold)], [measure(0.1)]) == pytest.approx((needed - 1000.0) * HOUR / 1000.0)
    falls = measure(0.1, name="accuracy", family=Family.QUALITY, canary=0.9, baseline=0.9)
    less = needed_trials(0.002, 0.9, -0.01, 0.1)
    assert eta([], [falls]) == pytest.approx((less - 1000.0) * HOUR / 1000.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"unit": "nats"},
        {"name": "auc"},
        {"margin": None},
        {"baseline": None},
        {"baseline": 0.0},
        {"trials_canary": 0.0},
        {"trials_canary": 1e9, "trials_baseline": 9e9},
        {"family": Family.FEATURES, "baseline": 0.005},
    ],
)
def test_what_cannot_be_planned_is_not_known(changes: dict[str, object]) -> None:
    assert eta([family(0.2)], [measure(0.1, **changes)]) is None


def test_nothing_seen_is_nothing_known() -> None:
    assert eta([], []) is None
    assert eta([FamilyAssessment(Family.LATENCY, 50.0, None)], []) is None
    assert eta_seconds(PLAN, KEY, KEY.start, [family(0.0)], [measure(0.0)]) is None
