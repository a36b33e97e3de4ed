"""A canary under judgement: the same steps give the same bits, faults are found and named, verdicts stay."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from judge_arms import KEY, START, Arm, Release, plan
from mlcanary.catalog import Family, Verdict
from mlcanary.judge.canary import Canary, fold
from mlcanary.judge.contract import Assessment, Facts, Step, Structure, change_threshold
from mlcanary.judge.evidence_curve import CURVE_POINTS

FAULTS = {
    "errors": (Arm(errors=0.05), "errors"),
    "latency": (Arm(latency=0.08), "slow"),
    "auc": (Arm(separation=0.6), ""),
    "CTR": (Arm(ctr=0.06), "ctr"),
    "a shifted feature": (Arm(shift=(0.4, 0.0, 0.0)), "f0"),
    "a feature that goes missing": (Arm(missing=(0.01, 0.06, 0.01)), "f1"),
    "a category": (Arm(shift=(0.0, 0.0, 0.08)), "colour"),
}


def judged(release: Release, seconds: float) -> Assessment:
    """What is said at the end."""
    return fold(KEY, plan(), list(release.steps(seconds)))


@pytest.mark.parametrize(("name", "fault"), FAULTS.items())
def test_a_fault_of_the_canary_is_found_and_named(name: str, fault: tuple[Arm, str]) -> None:
    arm, leading = fault
    found = judged(Release(11, canary=lambda t: arm if t >= 300 else Arm(), share=lambda _t: 0.3, interval=60.0), 2400)
    assert (found.verdict, found.reason) == (Verdict.ROLLBACK, "worse"), found.text
    assert leading in {found.leading, ""}
    assert found.since >= START + 300
    assert not found.may_expand


def test_a_healthy_canary_is_promoted_and_never_rolled_back() -> None:
    release = Release(12, share=lambda _t: 0.5, rate=lambda _t: 100.0, interval=120.0)
    found = fold(KEY, plan(min_age=1800.0), list(release.steps(4800)))
    assert found.verdict is Verdict.PROMOTE, found.text
    assert all((m.log_e_noninferior or np.inf) >= found.promote_threshold for m in found.measures)


def test_a_rollback_stays_though_the_canary_recovers() -> None:
    bad, good = Arm(errors=0.2), Arm(errors=0.001)
    release = Release(13, canary=lambda t: bad if t < 600 else good, share=lambda _t: 0.3, interval=120.0)
    canary, verdicts = Canary(KEY, plan()), []
    for step in release.steps(3600):
        canary.advance(step)
        verdicts.append(canary.assess().verdict)
    first = verdicts.index(Verdict.ROLLBACK)
    assert set(verdicts[first:]) == {Verdict.ROLLBACK}
    assert canary.assess().since == START + 120.0 * (first + 1)


def test_a_restart_at_any_step_changes_no_bit() -> None:
    steps = list(Release(14, canary=lambda _t: Arm(ctr=0.09)).steps(750))
    undisturbed = msgspec.json.encode(fold(KEY, plan(), steps))
    for at in (0, 1, 7, 13, 24):
        canary = Canary(KEY, plan())
        for step in steps[:at]:
            canary.advance(step)
        again = Canary.from_state(canary.state(), KEY, plan())
        assert again.skipped == canary.skipped
        assert again.curve == canary.curve
        for step in steps[at:]:
            again.advance(step)
        assert msgspec.json.encode(again.assess()) == undisturbed, at


def test_asking_changes_nothing() -> None:
    steps = list(Release(15).steps(900))
    asked, silent = Canary(KEY, plan()), Canary(KEY, plan())
    for step in steps:
        asked.advance(step)
        asked.assess()
        silent.advance(step)
    assert asked.assess() == silent.assess()
    assert asked.state() == silent.state()


def test_steps_that_prove_nothing_are_left_out_and_counted() -> None:
    def facts(t: float) -> Facts:
        if 600 <= t < 900:
            return Facts(conflict="v1 is baseline and canary")
        return Facts(sources_broken=("labels.jsonl",)) if 900 <= t < 1200 else Facts()

    release = Release(16, lambda t: Arm(errors=0.5) if 600 <= t < 1200 else Arm(), interval=60.0, facts=facts)
    canary = Canary(KEY, plan(warm_up=300.0))
    for step in release.steps(2400):
        canary.advance(step)
    assert canary.skipped == {"warm_up": 5, "role_conflict": 5, "source_broken": 5}
    assert canary.assess().verdict is not Verdict.ROLLBACK, canary.assess().text


def test_a_step_from_the_past_is_refused() -> None:
    first, second = list(Release(17).steps(60))
    canary = Canary(KEY, plan())
    canary.advance(second)
    with pytest.raises(ValueError, match="comes after"):
        canary.advance(first)


def test_the_mean_over_a_family_is_settled_at_its_first_block() -> None:
    steps = list(Release(18).steps(300))
    late = {"log_loss", "scores"}
    held_back = [
        msgspec.structs.replace(step, born={n: s for n, s in step.born.items() if (n in late) == (i == 5)})
        if i == 0
        else msgspec.structs.replace(step, born={n: steps[0].born[n] for n in late})
        if i == 5
        else step
        for i, step in enumerate(steps)
    ]
    canary = Canary(KEY, plan())
    for step in held_back:
        canary.advance(step)
    found = {m.name: m.log_e for m in canary.assess().measures}
    quality = next(f for f in canary.assess().families if f.name is Family.QUALITY)
    weights = {"accuracy": 1.0, "recall": 1 / 3, "precision": 1 / 3, "jaccard": 1 / 3}
    mean = np.log(sum(w * np.exp(found[name]) for name, w in weights.items()) / 2.0)
    assert quality.log_e == pytest.approx(mean, abs=1e-12)
    assert {"log_loss", "auc"} <= set(found), "they are shown all the same"


def test_without_traffic_of_an_arm_there_is_no_data() -> None:
    steps = [msgspec.structs.replace(step, canary={}) for step in Release(19, interval=120.0).steps(1200)]
    assert fold(KEY, plan(), steps).reason == "no_canary_traffic"
    steps = [msgspec.structs.replace(step, baseline={}) for step in Release(19, interval=120.0).steps(1200)]
    assert fold(KEY, plan(), steps).reason == "no_baseline_traffic"


def test_curves_keep_the_whole_time_in_a_bounded_number_of_points() -> None:
    canary = Canary(KEY, plan())
    for i in range(3 * CURVE_POINTS):
        canary.advance(Step(START + i, START + i + 1, {"requests": (5.0, 0.0)}, {"requests": (5.0, 0.0)}))
    assert CURVE_POINTS / 3 <= len(canary.curve) < CURVE_POINTS
    assert canary.curve[0].at < START + 10
    assert canary.curve[-1].at > START + 3 * CURVE_POINTS - 10


def test_an_excluded_feature_and_the_models_own_output_are_not_judged() -> None:
    release = Release(20, canary=lambda _t: Arm(shift=(2.0, 0.0, 0.0)))
    found = fold(KEY, plan(exclude=("f0",)), list(release.steps(900)))
    assert {f.name for f in found.features} == {"f1", "colour"}
    assert found.verdict is not Verdict.ROLLBACK


def test_a_change_after_a_long_time_is_told_beside_the_evidence_of_all_the_past() -> None:
    faulty = Arm(errors=0.03)
    release = Release(21, canary=lambda t: faulty if t >= 20_000 else Arm(), share=lambda _t: 0.3, interval=200.0)
    canary, told = Canary(KEY, plan()), []
    for step in release.steps(24_000):
        canary.advance(step)
        found = canary.assess()
        errors = next(m for m in found.measures if m.name == "errors")
        told.append((errors.change_log_r or 0.0) >= change_threshold(canary.plan, found))
    assert not any(told[:100]), "no change, no alarm"
    assert any(told[100:])
    assert change_threshold(canary.plan, found) == pytest.approx(np.log(30 * 432), rel=1e-3), "steps in 30 days"


@pytest.mark.parametrize("failing", [0.3, 1.0])
def test_a_sudden_outage_is_no_cluster(failing: float) -> None:
    """However large the jump, it must neither temper the evidence away nor close a gate."""
    broken = Arm(errors=failing)
    release = Release(22, canary=lambda t: broken if t >= 1200 else Arm(), share=lambda _t: 0.3)
    canary, found = Canary(KEY, plan()), []
    for step in release.steps(1500):
        canary.advance(step)
        found.append(canary.verdict)
    assert Verdict.ROLLBACK not in found[:40]
    assert found[42] is Verdict.ROLLBACK, canary.assess().text


@pytest.mark.parametrize("configured", [True, False])
def test_what_is_counted_while_the_split_is_wrong_is_no_evidence_later(configured: bool) -> None:
    """Users of another kind come to the canary for a while; nobody can tell where no share is configured."""

    def wrong(t: float) -> bool:
        return 600 <= t < 3000

    release = Release(
        23,
        canary=lambda t: Arm(ctr=0.05 if wrong(t) else 0.1),
        share=lambda t: 0.4 if wrong(t) else 0.1,
        interval=60.0,
        facts=lambda _t: Facts(expected_share=0.1 if configured else None),
    )
    canary, said = Canary(KEY, plan()), []
    for step in release.steps(9000):
        canary.advance(step)
        said.append(canary.verdict)
    assert (Verdict.ROLLBACK in said) is not configured
    if configured:
        assert canary.skipped["split_mismatch"] >= 30
        assert canary.assess().gates == (), "the split is right again"


def test_precision_and_recall_name_the_class_that_their_figures_are_of() -> None:
    """Of class `no` the canary finds half, of class `yes` all: `no` has the evidence."""
    structure = Structure(("no", "yes", "other"), (450.0, 50.0, 0.0, 0.0, 50.0, 450.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    good = (45.0, 5.0, 0.0, 0.0, 5.0, 45.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    bad = (20.0, 30.0, 0.0, 0.0, 5.0, 45.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    canary = Canary(KEY, plan())
    for i in range(40):
        born = {} if i else {"confusion": structure}
        of_canary, of_baseline = ({"requests": (50.0, 0.0), "confusion": counts} for counts in (bad, good))
        canary.advance(Step(START + 60 * i, START + 60 * i + 60, of_canary, of_baseline, born))
    found = {m.name: m for m in canary.assess().measures}
    assert {name: m.of_class for name, m in found.items()} == {
        "accuracy": "",
        "recall": "no",
        "precision": "yes",
        "jaccard": "no",
    }
    assert found["recall"].canary == pytest.approx(0.4, abs=0.01)
    assert found["precision"].canary == pytest.approx(0.6, abs=0.01)
    again = Canary.from_state(canary.state(), KEY, plan())
    assert again.assess() == canary.assess()
