"""Where a release goes next: every row of the table, and laws that hold for any input."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.handler.core.judgement import Judgement, Word
from mlcanary.handler.core.machines import RELEASE, ReleaseState
from mlcanary.handler.core.releases import FreezeLevel, Release
from mlcanary.handler.core.staging import Room
from mlcanary.handler.core.stepping import (
    UNCOUNTED,
    Advance,
    Against,
    Count,
    Decision,
    Drop,
    Ground,
    Hold,
    Prove,
    Resume,
    Soak,
    Standing,
    Stay,
    decide,
    overdue,
    refuse_promotion,
    share,
    split,
)
from mlcanary.handler.settings import Steps
from mlcanary.handler.targets.contract import State

NOW = 10_000.0
STEPS = Steps(steps=(1, 10, 50, 100), min_trials=500, hold_deadline=3600.0, soak=600.0)
LAST = len(STEPS.steps) - 1
FULL = State.of({"v1": 100, "v2": 0, "v3": 0})


def release(state: str = "step", step: int = 1, **changes: Any) -> Release:
    begun = {"effect": NOW - 1000.0 if step >= 0 else 0.0, "trials": 1000.0, "since": NOW - 1000.0}
    fixed: dict[str, Any] = {
        "id": "r1", "target": "router", "model": "clicks", "candidate": "v2", "digest": "d2", "stable": "v1",
        "submitted": 1.0, "resume": "", "closed": 0.0, "actor": "ann", "note": "",
    }  # fmt: skip
    return Release(**{**fixed, **begun, "state": ReleaseState(state), "step": step, **changes})


def judgement(**changes: Any) -> Judgement:
    sound: dict[str, Any] = {
        "word": Word.INCONCLUSIVE, "why": "", "known": True, "may_expand": True, "trials": 1500.0, "judged": NOW - 10.0,
        "eta": None, "gates": (), "sources_up": True, "roles": (("v1", "baseline"), ("v2", "canary")),
        "serving": frozenset({"v1", "v2"}), "firing": (),
    }  # fmt: skip
    return Judgement(**{**sound, **changes})


def decided(row: Release, told: Judgement | None, standing: Standing | None = None, **ground: Any) -> Decision:
    return decide(row, told, standing or Standing(), Ground(**{"seen": FULL, **ground}), STEPS, NOW)


def against(decision: Decision) -> tuple[str, str]:
    assert isinstance(decision, Hold | Stay), decision
    assert decision.text
    return type(decision).__name__, decision.against


SILENT = judgement(word=Word.NO_DATA, why="the verdict is old", known=False, may_expand=False, trials=0.0, judged=0.0)

OBJECTIONS: list[tuple[Against, Judgement | None, Standing]] = [
    (Against.MODE, judgement(), Standing(drives=False)),
    (Against.FROZEN, judgement(), Standing(level=FreezeLevel.PROMOTE)),
    (Against.FROZEN, judgement(), Standing(level=FreezeLevel.ALL)),
    (Against.QUARANTINED, judgement(), Standing(quarantined=True)),
    (Against.INCIDENT, judgement(), Standing(incident=True)),
    (Against.NO_EVIDENCE, None, Standing(silence=121.0)),
    (Against.SOURCE_BROKEN, judgement(sources_up=False), Standing()),
    (Against.ROLE_CONFLICT, judgement(roles=(("v1", "baseline"), ("v2", "baseline"))), Standing()),
    (Against.ROLE_CONFLICT, judgement(roles=(("v1", "baseline"), ("v2", "canary"), ("v2", "shadow"))), Standing()),
    (Against.ROLE_CONFLICT, judgement(roles=(("v2", "canary"),)), Standing()),
    (
        Against.ROLE_CONFLICT,
        judgement(roles=(("v1", "baseline"), ("v2", "canary"), ("v3", "baseline"))),
        Standing(),
    ),
    (Against.UNHEALTHY, judgement(word=Word.UNHEALTHY), Standing()),
    (Against.ALERT, judgement(firing=("accuracy",)), Standing()),
]
WHILE_COMPARED: list[tuple[Against, Judgement | None, Standing]] = [
    (Against.NO_DATA, SILENT, Standing()),
    (Against.NO_DATA, judgement(word=Word.NO_DATA, why="no data"), Standing()),
    (Against.SUSPENDED, judgement(gates=("label_coverage",)), Standing()),
]
AT_FULL: list[tuple[Against, Judgement | None, Standing]] = [
    (Against.NO_DATA, SILENT, Standing()),
    (Against.NOT_SERVING, judgement(serving=frozenset({"v1"})), Standing()),
]


@pytest.mark.parametrize(("reason", "told", "standing"), OBJECTIONS + WHILE_COMPARED)
def test_what_speaks_against_a_step_holds_it_and_keeps_the_hold(
    reason: Against, told: Judgement | None, standing: Standing
) -> None:
    assert against(decided(release(), told, standing)) == ("Hold", reason)
    assert against(decided(release("hold", resume="step"), told, standing)) == ("Stay", reason)


@pytest.mark.parametrize(("reason", "told", "standing"), OBJECTIONS + AT_FULL)
def test_what_speaks_against_a_soak_holds_it(reason: Against, told: Judgement | None, standing: Standing) -> None:
    assert against(decided(release("soak", LAST), told, standing)) == ("Hold", reason)
    assert against(decided(release("hold", LAST, resume="soak"), told, standing)) == ("Stay", reason)


@pytest.mark.parametrize(("reason", "told", "standing"), OBJECTIONS)
def test_what_speaks_against_a_release_lets_it_not_begin(
    reason: Against, told: Judgement | None, standing: Standing
) -> None:
    found = decided(release("staged", -1), told, standing)
    if reason is Against.QUARANTINED:
        assert isinstance(found, Drop)
    else:
        assert against(found) == ("Stay", reason)
    assert against(decided(release("hold", -1, resume="step"), told, standing)) == ("Stay", reason)


@pytest.mark.parametrize(
    ("reason", "ground"),
    [
        (Against.UNOBSERVED, {"seen": None}),
        (Against.OTHER_TRAFFIC, {"seen": State.of({"v1": 90, "v2": 0, "v3": 10})}),
        (Against.OTHER_TRAFFIC, {"seen": State.of({"v1": 90, "v2": 10})}),
        (Against.OTHER_TRAFFIC, {"seen": State.of({"v1": 0, "v2": 0})}),
        (Against.OWNED, {"owner": "rollouts-controller"}),
        (Against.NO_CAPACITY, {"room": Room(1000.0, (("v2", 0),), 100.0, 1.2)}),
        (Against.NO_CAPACITY, {"unread": "Prometheus tells of no traffic"}),
    ],
)
def test_a_target_that_is_not_ready_keeps_a_release_staged(reason: Against, ground: dict[str, Any]) -> None:
    assert against(decided(release("staged", -1), judgement(), **ground)) == ("Stay", reason)


def test_no_step_gives_a_candidate_more_than_its_servers_can_take() -> None:
    room = Room(1000.0, (("v1", 20), ("v2", 5)), 100.0, 1.0)
    found = decided(release("step", 1), judgement(), room=room)
    assert isinstance(found, Advance)
    assert found.step == 2
    found = decided(release("step", 2), judgement(word=Word.HEALTHY), room=room)
    assert against(found) == ("Stay", Against.NO_CAPACITY)
    again = decided(release("step", 2, effect=0.0), judgement(), room=dataclasses.replace(room, load=2000.0))
    assert against(again) == ("Stay", Against.NO_CAPACITY)


def test_nothing_begins_while_a_rollback_would_have_to_wait() -> None:
    assert against(decided(release("staged", -1), judgement(), Standing(resting=True))) == ("Stay", Against.COOLDOWN)
    assert isinstance(decided(release(), judgement(), Standing(resting=True)), Advance)


def test_a_staged_release_needs_no_data_of_the_candidate() -> None:
    assert decided(release("staged", -1), SILENT) == Advance(0, "the precheck passed")


def test_a_single_step_to_all_traffic_asks_for_a_healthy_candidate() -> None:
    one = dataclasses.replace(STEPS, steps=(100,))
    staged, ground = release("staged", -1), Ground(FULL)
    found = decide(staged, judgement(), Standing(), ground, one, NOW)
    assert against(found) == ("Stay", Against.NOT_YET_HEALTHY)
    assert isinstance(decide(staged, judgement(word=Word.HEALTHY), Standing(), ground, one, NOW), Advance)


@pytest.mark.parametrize(
    ("step", "told", "expected"),
    [
        (1, judgement(), 2),
        (1, judgement(word=Word.HEALTHY), 2),
        (1, judgement(trials=1499.0), Against.COLLECTING),
        (1, judgement(may_expand=False), Against.COLLECTING),
        (1, judgement(judged=NOW - 1000.0), Against.COLLECTING),
        (2, judgement(), Against.NOT_YET_HEALTHY),
        (2, judgement(word=Word.HEALTHY), 3),
        (2, judgement(word=Word.HEALTHY, gates=("shared_cause",), may_expand=False), Against.COLLECTING),
    ],
)
def test_a_step_ends_on_its_own_evidence(step: int, told: Judgement, expected: int | Against) -> None:
    found = decided(release("step", step), told)
    if isinstance(expected, Against):
        assert against(found) == ("Stay", expected)
    else:
        assert isinstance(found, Advance)
        assert found.step == expected


def test_trials_count_from_the_first_look_after_the_effect_and_anew_when_the_judge_began_anew() -> None:
    assert decided(release(trials=UNCOUNTED), judgement(trials=900.0)) == Count(900.0)
    assert decided(release(trials=1000.0), judgement(trials=20.0)) == Count(20.0)
    assert against(decided(release(trials=UNCOUNTED), judgement(judged=NOW - 1001.0)))[1] is Against.COLLECTING


def test_a_judge_is_given_time_to_see_a_new_step() -> None:
    fresh = release(effect=NOW - 100.0, since=NOW - 101.0)
    assert against(decided(fresh, SILENT)) == ("Stay", Against.COLLECTING)
    assert against(decided(fresh, judgement(), Standing(level=FreezeLevel.PROMOTE))) == ("Hold", Against.FROZEN)
    assert against(decided(release(), None, Standing(silence=119.0))) == ("Stay", Against.NO_EVIDENCE)


def test_all_traffic_soaks_and_is_proven() -> None:
    assert decided(release("step", LAST), SILENT, Standing(patience=2000.0)) == Soak()
    soaking = release("soak", LAST, since=NOW - 599.0)
    assert against(decided(soaking, judgement())) == ("Stay", Against.SOAKING)
    assert against(decided(dataclasses.replace(soaking, since=NOW + 50.0), judgement()))[1] is Against.SOAKING
    word = judgement(word=Word.NO_DATA, why="no data", may_expand=False, gates=("split_mismatch",))
    over = dataclasses.replace(soaking, since=NOW - 600.0)
    assert decided(over, word) == Prove()
    assert against(decided(over, word, seen=None)) == ("Stay", Against.UNOBSERVED)


def test_a_hold_goes_on_where_it_began() -> None:
    assert decided(release("hold", 1, resume="step"), judgement()) == Resume(ReleaseState.STEP)
    assert decided(release("hold", LAST, resume="soak"), judgement()) == Resume(ReleaseState.SOAK)


def test_a_split_that_was_not_set_is_set_again_and_not_at_once_after_a_refusal() -> None:
    assert isinstance(decided(release(effect=0.0), judgement()), Advance)
    assert against(decided(release("step", LAST, effect=0.0), judgement())) == ("Stay", Against.NOT_YET_HEALTHY)
    assert isinstance(decided(release("step", LAST, effect=0.0), judgement(word=Word.HEALTHY)), Advance)
    refused = release("hold", 1, effect=0.0, since=NOW - 119.0, resume="step")
    assert against(decided(refused, judgement())) == ("Stay", Against.REFUSED)
    assert decided(dataclasses.replace(refused, since=NOW - 120.0), judgement()) == Resume(ReleaseState.STEP)


def test_a_release_that_waits_for_too_long_is_told_once() -> None:
    held = release("hold", 1, since=NOW - 3600.0)
    assert overdue(held, STEPS, NOW)
    assert overdue(dataclasses.replace(held, state=ReleaseState.STEP), STEPS, NOW)
    assert not overdue(dataclasses.replace(held, told=NOW), STEPS, NOW)
    assert not overdue(dataclasses.replace(held, since=NOW - 3599.0), STEPS, NOW)
    assert not overdue(dataclasses.replace(held, state=ReleaseState.SOAK), STEPS, NOW)


def test_a_promotion_by_a_person_asks_the_judge_unless_forced() -> None:
    row, good = release(), judgement(word=Word.HEALTHY)
    frozen = Standing(level=FreezeLevel.ALL)
    assert refuse_promotion(row, good, frozen, Ground(FULL), STEPS, forced=False) == ""
    assert "order it with force" in refuse_promotion(row, judgement(), Standing(), Ground(FULL), STEPS, forced=False)
    assert "order it with force" in refuse_promotion(row, None, Standing(), Ground(FULL), STEPS, forced=False)
    short = Ground(FULL, room=Room(1000.0, (("v2", 5),), 100.0, 1.0))
    assert "servers for 50.0%" in refuse_promotion(row, good, Standing(), short, STEPS, forced=False)
    assert refuse_promotion(row, good, Standing(), short, STEPS, forced=True) == ""
    assert refuse_promotion(row, None, frozen, Ground(FULL), STEPS, forced=True) == ""
    assert "quarantined" in refuse_promotion(row, good, Standing(quarantined=True), Ground(FULL), STEPS, forced=True)
    assert "incident" in refuse_promotion(row, good, Standing(incident=True), Ground(FULL), STEPS, forced=True)
    assert "all traffic already" in refuse_promotion(
        release("step", LAST), good, Standing(), Ground(FULL), STEPS, forced=True
    )
    assert "staged" in refuse_promotion(release("staged", -1), good, Standing(), Ground(FULL), STEPS, forced=True)


def test_the_split_and_the_share_of_a_step() -> None:
    assert split(release(), 1, STEPS, ("v1", "v2", "v3")) == State.of({"v1": 90, "v2": 10, "v3": 0})
    assert [share(release(step=step), STEPS) for step in (-1, 0, LAST)] == [0.0, 0.01, 1.0]


# --- laws

RELEASES = st.builds(
    release,
    st.sampled_from([state.value for state in ReleaseState]),
    st.integers(-1, LAST),
    effect=st.sampled_from([0.0, NOW - 1000.0, NOW - 5.0]),
    since=st.sampled_from([NOW - 10_000.0, NOW - 500.0, NOW, NOW + 500.0]),
    trials=st.sampled_from([UNCOUNTED, 0.0, 1000.0]),
    resume=st.sampled_from(["", "step", "soak"]),
)
JUDGEMENTS = st.one_of(
    st.none(),
    st.builds(
        judgement,
        word=st.sampled_from(list(Word)),
        known=st.booleans(),
        may_expand=st.booleans(),
        trials=st.floats(0, 10_000),
        judged=st.floats(0, NOW + 100),
        gates=st.sampled_from([(), ("role_conflict",)]),
        sources_up=st.booleans(),
        serving=st.sampled_from([frozenset(), frozenset({"v1", "v2"})]),
        firing=st.sampled_from([(), ("auc",)]),
    ),
)
STANDINGS = st.builds(
    Standing,
    drives=st.booleans(),
    level=st.sampled_from(list(FreezeLevel)),
    quarantined=st.booleans(),
    incident=st.booleans(),
    resting=st.booleans(),
    silence=st.floats(0, 300),
)
GROUNDS = st.builds(
    Ground,
    st.sampled_from([None, FULL, State.of({"v1": 50, "v2": 50})]),
    st.sampled_from(["", "other"]),
    st.sampled_from([None, Room(1000.0, (("v1", 20), ("v2", 5)), 100.0, 1.0)]),
    st.sampled_from(["", "silent"]),
)


@settings(max_examples=500)
@given(RELEASES, JUDGEMENTS, STANDINGS, GROUNDS)
def test_laws(row: Release, told: Judgement | None, standing: Standing, ground: Ground) -> None:
    """Total; no step skipped; up only on sound evidence, unfrozen; all traffic only on healthy; moves of the table."""
    found = decide(row, told, standing, ground, STEPS, NOW)
    targets = {Soak: ReleaseState.SOAK, Prove: ReleaseState.PROVEN, Hold: ReleaseState.HOLD, Advance: ReleaseState.STEP}
    if type(found) in targets:
        assert RELEASE.allows(row.state, targets[type(found)])
        assert row.state in (ReleaseState.STAGED, ReleaseState.STEP, ReleaseState.HOLD, ReleaseState.SOAK)
    if isinstance(found, Resume):
        assert RELEASE.allows(row.state, found.state)
    if isinstance(found, Drop):
        assert RELEASE.allows(row.state, ReleaseState.WITHDRAWN)
    if isinstance(found, Advance | Soak | Prove | Resume):
        assert standing.drives
        assert standing.level is FreezeLevel.NONE
        assert not standing.quarantined
        assert not standing.incident
        assert told is not None
        assert told.sources_up
        assert not told.firing
        assert told.word is not Word.UNHEALTHY
    if isinstance(found, Prove):
        assert ground.seen is not None
    if isinstance(found, Advance):
        assert found.step == row.step + 1 or (found.step == row.step and row.effect == 0)
        assert told is not None
        assert found.step < LAST or told.word is Word.HEALTHY
        assert not ground.unread
        assert ground.room is None or STEPS.steps[found.step] <= 50
        if found.step > max(row.step, 0):
            assert told.judged > row.effect > 0
            assert told.trials - row.trials >= STEPS.min_trials
            assert told.may_expand
