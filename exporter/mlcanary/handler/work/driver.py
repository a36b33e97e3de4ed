"""The release of a target in mode drive: steps, holds, soak, promotion. One task, the target's worker, runs it.

Guarantee: where a release goes is decided by `core.stepping` alone, and stands in the ledger before the target is
written; every split is an action under the crash protocol of `effect`. After a crash the ledger tells what is missing:
a step whose action was confirmed is begun, one whose action never went out is set again on fresh evidence, one that
ended in a third state is stuck. A rollback is the incident's: while it runs, nothing is done here.

Another writer that changes the split of a step is undone twice; then the release is stuck and the target frozen. A
candidate whose share another writer lowered gets it back only while nothing speaks against the release.
"""

from __future__ import annotations

import logging
import math

from mlcanary.handler.core import stepping
from mlcanary.handler.core.incidents import HANDLER, ActionKind
from mlcanary.handler.core.judgement import Judgement
from mlcanary.handler.core.machines import OPEN_RELEASES, ActionState, ReleaseState
from mlcanary.handler.core.releases import FreezeLevel, Release
from mlcanary.handler.core.stepping import (
    UNCOUNTED,
    Advance,
    Against,
    Count,
    Decision,
    Drop,
    Hold,
    Prove,
    Resume,
    Soak,
    Standing,
    Stay,
)
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State
from mlcanary.handler.work.effect import Effector, Environment
from mlcanary.handler.work.release_orders import ReleaseOrders
from mlcanary.handler.work.sight import WITH_SPLIT, Sight

log = logging.getLogger(__name__)

MAX_REASSERTS = 2
"""How often the split of one step is set again after another writer."""

_DRIVEN = (ReleaseState.STAGED, ReleaseState.STEP, ReleaseState.HOLD, ReleaseState.SOAK)


class Driver:
    """See the module. `note` says what the open release waits for."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment) -> None:
        self.note = ""
        self._plan = plan
        self._effector = effector
        self._env = environment
        self._sight = Sight(plan, effector, environment)
        self._orders = ReleaseOrders(plan, self._sight, environment, self.set_split)
        self._next_look = 0.0
        self._watched = ""

    async def step(self) -> float:
        """Carry out orders and what is due for the open release; gives the seconds until something else may be.

        Raises StateError.
        """
        if await self._orders.carry_out_pending():
            self._wake()
        release = self._env.ledger.open_release(self._plan.name)
        self._show(release)
        if release is None or release.state not in _DRIVEN:
            self.note = ""
            return math.inf
        now, every = self._env.clock(), self._plan.evidence.recheck
        if now < self._next_look <= now + every:  # later than that: the clock went back
            return self._next_look - now
        self._next_look = now + every
        if not self._env.ledger.unfinished(self._plan.name):  # else the target cannot be looked at
            await self._look(release)
        self._show(self._env.ledger.open_release(self._plan.name))
        return max(0.0, self._next_look - self._env.clock())

    def _wake(self) -> None:
        self._next_look = 0.0

    # --- one look

    async def _look(self, release: Release) -> None:
        if not self._settle(release):
            self._wake()
            return
        judgement, seen = await self._sight.judge(release), await self._sight.seen()
        standing, ground = self._sight.standing(release), await self._sight.ground(release, seen)
        decision = stepping.decide(release, judgement, standing, ground, self._plan.release, self._env.clock())
        if (
            seen is not None
            and self._sight.undone(release, seen)
            and await self._set_again(release, seen, decision, standing)
        ):
            return
        await self._go(release, decision, judgement, seen)

    def _settle(self, release: Release) -> bool:
        """Take up a step whose action has ended; False if that changed the release."""
        action = self._env.ledger.step_under_way(release)
        if release.state is not ReleaseState.STEP or release.effect or action is None or action.stage != release.step:
            return True
        self._ended(release, action.state, action.note)
        return False

    def _ended(self, release: Release, ended: ActionState, note: str) -> None:
        """Go on from an action of the release that has ended."""
        if ended is ActionState.CONFIRMED:
            share = f"{stepping.share(release, self._plan.release):.0%}"
            self._env.ledger.begin_step(release, trials=UNCOUNTED, now=self._env.clock(), share=share)
            self._wake()
        elif ended is ActionState.FAILED:
            self._move(release, ReleaseState.HOLD, f"the split could not be set: {note}")
        else:
            self._stick(release, f"{ended}: {note}")

    async def _go(self, release: Release, decision: Decision, judgement: Judgement | None, seen: State | None) -> None:
        self.note = getattr(decision, "text", "")
        match decision:
            case Stay():
                self._wait(release)
            case Advance(step, text):
                if seen is not None:
                    await self.set_split(release, step, seen, text, judgement)
            case Count(trials):
                self._env.ledger.begin_step(release, trials=trials, now=release.effect)
                self._wake()
            case Hold(against, text):
                self._move(release, ReleaseState.HOLD, f"{against}: {text}")
            case Resume(state):
                self._move(release, state, "nothing speaks against it any more")
                self._wake()
            case Soak():
                self._move(release, ReleaseState.SOAK, f"all traffic; soaks for {self._plan.release.soak:g} s")
            case Drop(text):
                self._move(release, ReleaseState.WITHDRAWN, text)
            case Prove():
                self._prove(release, judgement)

    def _wait(self, release: Release) -> None:
        if stepping.overdue(release, self._plan.release, self._env.clock()):
            self._env.ledger.tell_release(release, why=self.note, now=self._env.clock())
            log.error("a release waits for too long", extra={"release": release.id, "why": self.note})

    async def set_split(
        self,
        release: Release,
        step: int,
        seen: State,
        text: str,
        judgement: Judgement | None,
        *,
        actor: str = HANDLER,
    ) -> ActionState:
        """Plan the split of a step, carry it out and begin the step."""
        action = self._effector.plan_split(release, step, self._sight.split(release, step), seen, actor=actor)
        facts = judgement.facts() if judgement is not None else {}
        gone = self._env.ledger.plan_step(release, action, note=text, evidence=facts, now=self._env.clock())
        ended = await self._effector.carry_out(action)
        self._ended(gone, ended, self._env.ledger.actions_of_release(release.id)[-1].note)
        return ended

    # --- another writer

    async def _set_again(self, release: Release, seen: State, decision: Decision, standing: Standing) -> bool:
        """Set the split of the step again; False if that must wait."""
        desired = self._sight.begun(release)
        raises = seen.share(release.candidate) < desired.share(release.candidate)
        against = isinstance(decision, Hold) or (
            isinstance(decision, Stay)
            and (release.state is ReleaseState.HOLD or decision.against is Against.NO_EVIDENCE)
        )
        if not standing.drives or standing.incident or standing.level is FreezeLevel.ALL or (raises and against):
            return False
        ledger = self._env.ledger
        again = [a for a in ledger.actions_of_release(release.id) if a.kind is ActionKind.REASSERT]
        if sum(action.stage == release.step for action in again) >= MAX_REASSERTS:
            self._stick(release, f"another writer changes the split again and again: found {seen.to_json()}")
            return True
        action = self._effector.plan_split(release, release.step, desired, seen, actor=HANDLER)
        ledger.plan_reassert(action, self._env.clock())
        ended = await self._effector.carry_out(action)
        if ended is not ActionState.CONFIRMED and ended is not ActionState.FAILED:
            self._stick(release, f"set again: {ended}")
        elif ended is ActionState.CONFIRMED and release.state is ReleaseState.STEP:
            ledger.begin_step(release, trials=UNCOUNTED, now=self._env.clock())  # what came meanwhile does not count
        return True

    def _stick(self, release: Release, why: str) -> None:
        """Keep the weights, stop everything and call a person."""
        now, name = self._env.clock(), self._plan.name
        self._env.ledger.freeze(name, reason=f"release of {release.candidate}: {why}", actor=HANDLER, now=now)
        self._env.metrics.set("frozen", 1.0, name)
        self._move(release, ReleaseState.STUCK, why)
        log.error("release is stuck, target is frozen", extra={"release": release.id, "why": why})

    # --- moves and gauges

    def _prove(self, release: Release, judgement: Judgement | None) -> None:
        facts = judgement.facts() if judgement is not None else {}
        note, stable = f"soaked for {self._plan.release.soak:g} s", self._plan.digest(release.stable)
        self._env.ledger.prove(release, stable=stable, evidence=facts, note=note, now=self._env.clock())

    def _move(self, release: Release, state: ReleaseState, note: str) -> None:
        self._env.ledger.move_release(release, state, note=note, now=self._env.clock())
        log.info("release goes on", extra={"release": release.id, "state": state, "why": note})

    def _show(self, release: Release | None) -> None:
        """Keep the gauges, and count a release that has ended, by whomever."""
        name, model, metrics = self._plan.name, self._plan.model, self._env.metrics
        if self._watched and (release is None or release.id != self._watched):
            ended = next((r for r in self._env.ledger.releases(name, 10) if r.id == self._watched), None)
            if ended is not None:
                metrics.add("releases_total", name, model, ended.state)
        self._watched = release.id if release is not None else ""
        for state in OPEN_RELEASES:
            metrics.set("release_state", float(release is not None and release.state is state), name, model, state)
        share = 0.0
        if release is not None:
            metrics.set("release_state_timestamp_seconds", release.since, name, model)
            share = stepping.share(release, self._plan.release) if release.state in WITH_SPLIT else 0.0
        metrics.set("release_share_ratio", share, name, model)
