"""Verdicts: the table of precedence, totality, and what is said in words."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.catalog import Family, Gate, Verdict
from mlcanary.judge.contract import (
    CanaryKey,
    FamilyAssessment,
    FeatureAssessment,
    GateAssessment,
    MeasureAssessment,
    Plan,
    family_threshold,
    promote_threshold,
)
from mlcanary.judge.verdict import QUIET_SECONDS, Decision, Reason, Situation, decide, may_expand

PLAN = Plan(weights=dict.fromkeys(Family, 0.2))
KEY = CanaryKey("", "", "churn", "v2", "v1", 1_000_000.0)
HOUR = 3600.0


def measure(name: str = "errors", family: Family = Family.ERRORS, **changes: object) -> MeasureAssessment:
    """A measure that says nothing yet."""
    usual = MeasureAssessment(
        name=name,
        family=family,
        unit="ratio",
        log_e=0.0,
        log_e_noninferior=0.0,
        canary=0.12,
        baseline=0.10,
        difference=0.02,
        lower=-0.001,
        upper=0.041,
        tolerance=0.0,
        margin=0.01,
        trials_canary=5000.0,
        trials_baseline=95_000.0,
        blocks=100,
        design_effect=1.0,
    )
    return msgspec.structs.replace(usual, **changes)


def family(name: Family, log_e: float) -> FamilyAssessment:
    """A family held against its threshold."""
    return FamilyAssessment(name, log_e, family_threshold(PLAN, name))


def situation(age: float = 2 * HOUR, **changes: object) -> Situation:
    """A canary with traffic in both arms and no evidence."""
    judged = KEY.start + age
    usual = Situation(
        plan=PLAN,
        key=KEY,
        judged=judged,
        last_traffic=(judged, judged),
        families=tuple(family(name, 0.0) for name in Family),
        measures=(measure(),),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # names are those of the fields


WORSE = (family(Family.ERRORS, 7.0), *(family(name, 0.0) for name in list(Family)[1:]))
GOOD = (measure(log_e_noninferior=3.5), measure("accuracy", Family.QUALITY, log_e_noninferior=3.1))
FEW = tuple(msgspec.structs.replace(m, trials_canary=999.0) for m in GOOD)
ROLLED_BACK = Decision(Verdict.ROLLBACK, Reason.WORSE, "It was worse.", "errors")
PROMOTED = Decision(Verdict.PROMOTE, Reason.NOT_WORSE, "It was good.", "errors")
LATE = PLAN.deadline + 1
SILENT = QUIET_SECONDS + 1


def gated(*gates: Gate) -> tuple[GateAssessment, ...]:
    """Gates in force."""
    return tuple(GateAssessment(gate, "because.") for gate in gates)


UNLABELLED = (GateAssessment(Gate.LABEL_COVERAGE, "few labels.", (Family.QUALITY, Family.BUSINESS)),)


def traffic(canary: float, baseline: float, age: float = 2 * HOUR) -> tuple[float, float]:
    """Last traffic, so many seconds ago."""
    return KEY.start + age - canary, KEY.start + age - baseline


TABLE = [
    ("latched", situation(latched=ROLLED_BACK, gates=gated(Gate.SOURCE_BROKEN)), ROLLED_BACK.reason),
    ("latched, no traffic", situation(latched=ROLLED_BACK, last_traffic=(None, None)), Reason.WORSE),
    ("latched after a promotion", situation(latched=ROLLED_BACK, promoted=PROMOTED), Reason.WORSE),
    ("warm-up", situation(age=200.0, families=WORSE), Reason.WARM_UP),
    ("worse", situation(families=WORSE), Reason.WORSE),
    ("worse and young", situation(age=301.0, families=WORSE), Reason.WORSE),
    ("worse after a promotion", situation(families=WORSE, promoted=PROMOTED), Reason.WORSE),
    ("worse and as good", situation(families=WORSE, measures=GOOD), Reason.WORSE),
    ("worse, past the deadline", situation(age=LATE, families=WORSE), Reason.WORSE),
    ("worse, gate", situation(families=WORSE, gates=gated(Gate.SHARED_CAUSE)), Reason.SHARED_CAUSE),
    ("worse, not by labels", situation(families=WORSE, gates=UNLABELLED), Reason.WORSE),
    ("worse, no canary", situation(families=WORSE, last_traffic=traffic(SILENT, 0)), Reason.NO_CANARY_TRAFFIC),
    ("promoted", situation(promoted=PROMOTED), Reason.NOT_WORSE),
    ("promoted, no baseline", situation(promoted=PROMOTED, last_traffic=traffic(0, SILENT)), Reason.NOT_WORSE),
    ("promoted, gate", situation(promoted=PROMOTED, gates=gated(Gate.SOURCE_BROKEN)), Reason.NOT_WORSE),
    ("no canary yet", situation(last_traffic=(None, KEY.start)), Reason.NO_CANARY_TRAFFIC),
    ("no canary, good", situation(measures=GOOD, last_traffic=traffic(SILENT, 0)), Reason.NO_CANARY_TRAFFIC),
    ("no baseline", situation(last_traffic=traffic(0, SILENT)), Reason.NO_BASELINE_TRAFFIC),
    ("no traffic, gate", situation(last_traffic=(None, None), gates=gated(*Gate)), Reason.NO_CANARY_TRAFFIC),
    ("first gate", situation(gates=gated(Gate.SHARED_CAUSE, Gate.SPLIT_MISMATCH)), Reason.SPLIT_MISMATCH),
    ("good, gate", situation(measures=GOOD, gates=gated(Gate.LABEL_COVERAGE)), Reason.LABEL_COVERAGE),
    ("good", situation(measures=GOOD), Reason.NOT_WORSE),
    ("good, past the deadline", situation(age=LATE, measures=GOOD), Reason.NOT_WORSE),
    ("good, young", situation(age=HOUR - 1, measures=GOOD), Reason.TOO_EARLY),
    ("good, few", situation(measures=FEW), Reason.TOO_EARLY),
    ("one of two good", situation(measures=(GOOD[0], measure("auc", Family.QUALITY))), Reason.COLLECTING),
    ("only latency", situation(measures=(measure("slow", Family.LATENCY, log_e_noninferior=9.0),)), Reason.NO_OUTCOMES),
    ("no labels", situation(measures=GOOD[:1]), Reason.NO_OUTCOMES),
    ("no margin", situation(measures=(measure(log_e_noninferior=None, margin=None),)), Reason.COLLECTING),
    ("nothing measured", situation(measures=()), Reason.COLLECTING),
    ("deadline", situation(age=LATE), Reason.INCONCLUSIVE),
]

VERDICTS = {Reason.WORSE: Verdict.ROLLBACK, Reason.NOT_WORSE: Verdict.PROMOTE} | dict.fromkeys(
    (Reason.WARM_UP, Reason.NO_CANARY_TRAFFIC, Reason.NO_BASELINE_TRAFFIC), Verdict.NO_DATA
)


@pytest.mark.parametrize(("now", "reason"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_first_row_that_matches_decides(now: Situation, reason: Reason) -> None:
    found = decide(now)
    assert (found.reason, found.verdict) == (reason, VERDICTS.get(reason, Verdict.HOLD))


def test_every_reason_is_in_the_table_or_is_a_gate() -> None:
    assert {gate.value for gate in Gate} < {reason.value for reason in Reason}
    assert {row[2] for row in TABLE} | {Reason(gate.value) for gate in Gate} == set(Reason)


@pytest.mark.parametrize("gate", list(Gate))
def test_a_gate_alone_holds_and_says_why(gate: Gate) -> None:
    found = decide(situation(measures=GOOD, gates=gated(gate)))
    assert (found.verdict, found.reason.value) == (Verdict.HOLD, gate.value)
    assert "because." in found.text


@pytest.mark.parametrize("concerned", [(), (Family.QUALITY, Family.BUSINESS)])
@pytest.mark.parametrize("gate", list(Gate))
@pytest.mark.parametrize("accused", list(Family))
def test_a_gate_suspends_the_families_that_it_concerns(
    gate: Gate, accused: Family, concerned: tuple[Family, ...]
) -> None:
    held = tuple(msgspec.structs.replace(one, families=concerned) for one in gated(gate))
    found = decide(situation(families=(family(accused, 9.0),), gates=held))
    if not concerned or accused in concerned or gate is Gate.DESIGN_EFFECT:
        assert (found.verdict, found.reason.value) == (Verdict.HOLD, gate.value)
        assert f"evidence for a rollback ({accused} with e-value 8,103, 500 needed), held by {gate}." in found.text
    else:
        assert found.verdict is Verdict.ROLLBACK


def test_clusters_in_one_family_do_not_suspend_another() -> None:
    clustered = measure("ctr", Family.BUSINESS, design_effect=4.0)
    gates = gated(Gate.DESIGN_EFFECT)
    errors = situation(families=(family(Family.ERRORS, 9.0),), measures=(measure(), clustered), gates=gates)
    business = replace(errors, families=(family(Family.BUSINESS, 9.0),))
    assert decide(errors).verdict is Verdict.ROLLBACK
    assert decide(business).reason is Reason.DESIGN_EFFECT


def test_evidence_before_the_traffic_stopped_is_said() -> None:
    assert "There is evidence for a rollback (errors" in decide(TABLE_BY_NAME["worse, no canary"]).text


TABLE_BY_NAME = {name: now for name, now, _ in TABLE}


def test_gates_are_said_beside_a_promotion_and_beside_missing_traffic() -> None:
    for name in ("promoted, gate", "no traffic, gate"):
        assert "Source broken: because." in decide(TABLE_BY_NAME[name]).text


def test_a_family_without_a_part_of_alpha_only_informs() -> None:
    latency = FamilyAssessment(Family.LATENCY, 50.0, None)
    assert decide(situation(families=(latency,))).reason is Reason.COLLECTING


def test_a_rollback_tells_the_measure_its_figures_and_its_evidence() -> None:
    worst = measure(log_e=7.5)
    found = decide(situation(families=WORSE, measures=(measure("slow", Family.LATENCY, log_e=9.0), worst)))
    assert found.leading == "errors"
    assert found.text == (
        "Roll back v2 of churn: it is worse than v1 in errors. Errors: canary 12.00 %, baseline 10.00 %, worse by "
        "2.00 points (between -0.10 points and 4.10 points), from 5,000 and 95,000 observations. The evidence: "
        "e-value 1,097, 500 needed."
    )


def test_a_rollback_on_features_names_the_guilty_ones() -> None:
    features = (
        FeatureAssessment("age", 3.0, "missing", 0.4, 0.01),
        FeatureAssessment("income", 12.0, "<= 10", 0.25, 0.05, guilty=True),
        FeatureAssessment("city", 14.0, "other", 0.5, 0.02, guilty=True),
    )
    found = decide(situation(families=(family(Family.FEATURES, 11.0), family(Family.ERRORS, 8.0)), features=features))
    assert found.leading == "city"
    assert "city has 50.00 % of its values in other, 2.00 % at the baseline; income has 25.00 %" in found.text
    assert "age" not in found.text
    assert found.text.endswith("Also over its threshold: errors.")


def test_a_promotion_tells_the_measure_that_is_least_sure() -> None:
    found = decide(situation(measures=GOOD))
    assert found.leading == "accuracy"
    assert "Worse by 1.00 points is excluded with e-value 22, 20 needed." in found.text


def test_what_is_still_asked_is_said() -> None:
    young = decide(situation(age=HOUR - 600, measures=FEW)).text
    assert young.endswith("before a promotion it needs another 10 min and another 1 requests of the canary.")


@pytest.mark.parametrize(("eta", "words"), [(None, "It is not known when"), (7200.0, "A decision takes about 2.0 h.")])
def test_the_time_to_a_decision_is_said(eta: float | None, words: str) -> None:
    assert words in decide(situation(eta=eta)).text


def test_units_are_those_of_the_measure() -> None:
    loss = measure("log_loss", Family.QUALITY, unit="nats", log_e=1.0, canary=0.41, baseline=0.4, difference=0.01)
    assert "canary 0.41 nats, baseline 0.4 nats, worse by 0.01 nats" in decide(situation(measures=(loss,))).text
    area = measure("auc", Family.QUALITY, log_e=1.0, canary=0.81, baseline=0.8, difference=-0.01)
    assert "canary 0.8100, baseline 0.8000, better by 0.0100" in decide(situation(measures=(area,))).text


def test_more_traffic_needs_more_than_no_rollback() -> None:
    usual = situation()
    assert may_expand(usual, decide(usual))
    half = 0.5 * (family_threshold(PLAN, Family.ERRORS) or math.nan)
    for other in (
        situation(families=WORSE),
        situation(latched=ROLLED_BACK),
        situation(gates=gated(Gate.SPLIT_MISMATCH)),
        situation(last_traffic=traffic(SILENT, 0)),
        situation(measures=(measure(trials_canary=99.0),)),
        situation(families=(family(Family.ERRORS, half + 0.01),)),
        situation(age=100.0),
    ):
        assert not may_expand(other, decide(other))


finite = st.floats(-50.0, 800.0)
figures = st.none() | st.floats(-1e6, 1e6)
measures = st.builds(
    measure,
    st.sampled_from(["errors", "slow", "auc", "log_loss", "value"]),
    st.sampled_from(Family),
    unit=st.sampled_from(["ratio", "nats", "per prediction", ""]),
    log_e=finite,
    log_e_noninferior=st.none() | finite,
    canary=figures,
    baseline=figures,
    difference=figures,
    lower=figures,
    upper=figures,
    margin=st.none() | st.floats(0.0, 1.0),
    trials_canary=st.floats(0.0, 1e9),
    design_effect=st.floats(1.0, 50.0),
)
families = st.builds(FamilyAssessment, st.sampled_from(Family), finite, st.none() | st.floats(0.1, 20.0))
shares = st.floats(0.0, 1.0)
features = st.builds(FeatureAssessment, st.text(max_size=3), finite, st.just("x"), shares, shares, st.booleans())
since = st.none() | st.floats(0.0, 1e6)


@given(
    age=st.floats(0.0, 1e6),
    silent=st.tuples(since, since),
    measures=st.lists(measures, max_size=3).map(tuple),
    families=st.lists(families, max_size=5, unique_by=lambda f: f.name).map(tuple),
    features=st.lists(features, max_size=3).map(tuple),
    gates=st.lists(st.sampled_from(Gate), unique=True).map(lambda found: gated(*found)),
    promoted=st.sampled_from([None, PROMOTED]),
    eta=st.none() | st.floats(0.0, 1e9),
)
def test_decisions_are_total_and_keep_the_promises(
    age: float, silent: tuple[float | None, float | None], **changes: object
) -> None:
    judged = KEY.start + age
    canary, baseline = (None if ago is None else judged - ago for ago in silent)
    now = situation(age, last_traffic=(canary, baseline), **changes)
    found = decide(now)
    assert found == decide(now)
    assert found.text.endswith(".")
    assert found.text[0].isupper() or found.text.startswith(KEY.version)
    quiet = any(ago is None or ago >= QUIET_SECONDS for ago in silent)
    over = [f for f in now.families if f.threshold is not None and f.log_e >= f.threshold]
    if found.verdict is Verdict.ROLLBACK:
        assert over
        assert not quiet
        assert age >= PLAN.warm_up
    if found.verdict is Verdict.PROMOTE and now.promoted is None:
        assert not quiet
        assert not now.gates
        assert age >= PLAN.min_age
        assert now.trials >= PLAN.min_trials
        assert all((m.log_e_noninferior or 0.0) >= promote_threshold(PLAN) for m in now.with_margin)
    if over and found.verdict is not Verdict.ROLLBACK and found.reason is not Reason.WARM_UP:
        assert "evidence for a rollback" in found.text
