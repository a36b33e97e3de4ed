"""Each check of the invariants against a handler that was broken on purpose: one that cannot fail proves nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from handler.invariants.machine import HandlerMachine
from handler.invariants.memory_router import Answer
from handler.invariants.world import BAD, GOOD
from mlcanary.handler.core import policy, staging, stepping
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.core.verification import Verdict
from mlcanary.handler.ledger.audit import append
from mlcanary.handler.ledger.dispatch import Dispatch
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.service import HandlerService
from mlcanary.handler.targets.contract import Guard
from mlcanary.handler.work import decider, effect, shift, verifier

Break = Callable[[pytest.MonkeyPatch], None]
Story = Callable[[HandlerMachine], None]


def found(story: Story, scene: tuple[str, ...]) -> set[int]:
    """The invariants that a story of a few rules violates."""
    machine = type("Told", (HandlerMachine,), {"scenes": (scene,), "numbers": frozenset()})()
    machine.begin(scene=0, readable=True)
    checks = machine.w.checks
    try:
        story(machine)
        machine.holds()
        machine.w.run(0.5)
        machine.holds()
    finally:
        machine._end()
    return {number for number, _ in checks.violations}


def accuse(m: HandlerMachine, number: int = 0, answer: Any = Answer.OK, share: int = 10) -> None:
    m.accuse(number=number, kind=("accuracy", "5m"), repeats=1, answer=answer, share=share, then="")


def a_rollback(m: HandlerMachine) -> None:
    accuse(m)
    m.time_passes(60.0)


def two_rollbacks(m: HandlerMachine) -> None:
    accuse(m)
    m.time_passes(27.0)  # it is resolved, and the bad version still counts as serving
    accuse(m)
    m.time_passes(2.0)


def a_quarantined_destination(m: HandlerMachine) -> None:
    m.person(what="quarantine good", number=0)
    accuse(m)


def a_dead_destination(m: HandlerMachine) -> None:
    m.breaks(number=0, what="good dies")
    m.time_passes(35.0)
    m.w.truths["alpha"].quality = {GOOD: 0.9, BAD: 0.5}
    m.webhook(number=0, kind=("accuracy", "5m"), start=1)
    m.time_passes(10.0)


def a_shared_cause(m: HandlerMachine) -> None:
    m.breaks(number=0, what="good falls")
    m.webhook(number=0, kind=("accuracy", "5m"), start=1)
    m.time_passes(10.0)


def a_freeze(m: HandlerMachine) -> None:
    accuse(m, answer="open")
    m.person(what="freeze", number=0)
    m.next_call_meets(Answer.HANG)
    m.time_passes(12.0)


def a_release(m: HandlerMachine) -> None:
    m.release(number=0, then="")
    for _ in range(4):
        m.judge_says(number=0, word="no_data")
        m.time_passes(35.0)


def a_shift_without_room(m: HandlerMachine) -> None:
    accuse(m, share=50)
    m.time_passes(6.0)


def a_storm(m: HandlerMachine) -> None:
    for number in range(4):
        accuse(m, number)
        m.time_passes(0.5)


def a_crash(m: HandlerMachine) -> None:
    accuse(m, answer="crash, landed")
    m.start(0.0)
    m.time_passes(2.0)


def a_lie(m: HandlerMachine) -> None:
    accuse(m, answer=Answer.PRETEND)
    m.time_passes(35.0)
    m.time_passes(12.0)


def a_bad_end(m: HandlerMachine) -> None:
    accuse(m, answer=Answer.PARTIAL)
    m.time_passes(2.0)
    m.crash(landed=False)
    m.start(0.0)
    m.time_passes(0.5)


def a_stale_metric(m: HandlerMachine) -> None:
    accuse(m)
    m.breaks(number=0, what="scraping")
    for _ in range(8):
        m.time_passes(100.0)


def an_observer(m: HandlerMachine) -> None:
    accuse(m)
    m.time_passes(2.0)


def a_reload(m: HandlerMachine) -> None:
    accuse(m, answer="open")
    m.operation(what="reload", number=0)
    m.time_passes(2.0)


def no_freeze(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_held", lambda _self, _action: False)


def no_quarantine(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_quarantined", lambda _self, _target, _digests: False)
    real = policy._unfit

    def unfit(chosen: Any, question: Any, view: Any, evidence: Any) -> Any:
        return real(chosen, question, dataclasses.replace(view, quarantined=frozenset()), evidence)

    patch.setattr(policy, "_unfit", unfit)


def any_destination(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policy, "_unfit", lambda *_: None)


def no_limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policy, "_limits", lambda *_: None)


def no_brake(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "_brake", lambda *_: None)


def no_shared_cause(patch: pytest.MonkeyPatch) -> None:
    real = policy.decide

    def decide(question: Any, view: Any, found: Any, now: float) -> Any:
        blind = dataclasses.replace(found, shared_cause=False) if found is not None else None
        return real(question, view, blind, now)

    patch.setattr(decider, "decide", decide)


def step_on_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stepping, "_evidence", lambda release, _judgement, _steps: stepping.Advance(release.step + 1, "!"))
    patch.setattr(stepping, "_objection", lambda *_, **__: None)


def all_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shift, "next_stage", lambda _now, desired, **_: staging.Stage(desired, 0.0))


def do_it_again(patch: pytest.MonkeyPatch) -> None:
    real = effect.Effector._finish

    def finish(self: Any, action: Any, result: Any) -> Any:
        if action.kind == "rollback":
            twin = dataclasses.replace(action, id=f"{action.id}-again", state=ActionState.PLANNED)
            self._env.ledger._db.execute("DROP INDEX IF EXISTS action_stage")
            self._env.ledger.plan_stage(twin, self._env.clock())
        return real(self, action, result)

    patch.setattr(effect.Effector, "_finish", finish)


def believe_the_target(patch: pytest.MonkeyPatch) -> None:
    def judge(progress: Any, _reading: Any, _plan: Any, **_: Any) -> Any:
        return dataclasses.replace(progress, verdict=Verdict.PROVEN)

    patch.setattr(verifier, "advance", judge)


def forget_the_page(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "ended_badly", lambda _self, _since: [])


def no_deadline(patch: pytest.MonkeyPatch) -> None:
    real = verifier.Verifier._close

    def close(self: Any, incident: Any, state: Any, note: str) -> None:
        if state is IncidentState.RESOLVED:
            real(self, incident, state, note)

    patch.setattr(verifier.Verifier, "_close", close)


def write_in_a_dry_run(patch: pytest.MonkeyPatch) -> None:
    async def rehearse(self: Any, desired: Any, expected: Any) -> str:
        await self._target.apply(desired, Guard("rehearsal", expected))
        return ""

    patch.setattr(effect.Effector, "rehearse", rehearse)


def no_effect_row(patch: pytest.MonkeyPatch) -> None:
    def quiet(self: Any, now: float, kind: str, target: str, body: Any, *, actor: str = "handler") -> None:
        if kind != "effect":
            append(self._db, now=now, actor=actor, kind=kind, target=target, body=body)

    patch.setattr(Ledger, "_audit", quiet)


def cancel_workers(patch: pytest.MonkeyPatch) -> None:
    real = HandlerService._stop_worker

    async def stop(self: Any, name: str) -> None:
        self._tasks[name].cancel()
        await real(self, name)

    patch.setattr(HandlerService, "_stop_worker", stop)


def apply_undispatched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "dispatch", lambda *_, **__: Dispatch.OUT)
    patch.setattr(Ledger, "finish", lambda *_, **__: None)


BITES: tuple[tuple[int, tuple[str, ...], Break, Story], ...] = (
    (1, ("react",), no_quarantine, a_quarantined_destination),
    (2, ("react",), any_destination, a_dead_destination),
    (3, ("capacity",), all_at_once, a_shift_without_room),
    (4, ("react",), do_it_again, a_rollback),
    (5, ("react",), apply_undispatched, a_rollback),
    (6, ("react",), no_limits, two_rollbacks),
    (6, ("react",) * 4, no_brake, a_storm),
    (7, ("drive",), step_on_anything, a_release),
    (8, ("react",), no_shared_cause, a_shared_cause),
    (9, ("react",), cancel_workers, a_reload),
    (10, ("react",), no_deadline, a_stale_metric),
    (10, ("react",), forget_the_page, a_bad_end),
    (11, ("react",), believe_the_target, a_lie),
    (12, ("react",), no_freeze, a_freeze),
    (13, ("observe",), write_in_a_dry_run, an_observer),
    (14, ("react",), no_effect_row, a_rollback),
)


@pytest.mark.parametrize(
    ("number", "scene", "broken", "story"),
    BITES,
    ids=[f"{number:02}_{broken.__name__}" for number, _, broken, _ in BITES],
)
def test_a_handler_that_was_broken_on_purpose_is_found_out(
    monkeypatch: pytest.MonkeyPatch, number: int, scene: tuple[str, ...], broken: Break, story: Story
) -> None:
    assert number not in found(story, scene)
    broken(monkeypatch)
    assert number in found(story, scene)
