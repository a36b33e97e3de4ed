"""Carry out one action on one target, through crashes, refusals, silence and lies.

Order: commit the intent, call, look, commit the result. What the target answers is never believed: the state
that is read back decides.

    read back              answer    action        incident
    desired, any weights   any       confirmed     verifying
    as before              any       dispatched    acting (again, same id), in the end failed
    something else         any       conflict      failed
    on its way, if slow    any       unknown       stuck, after `settle` of the target
    cannot be read         ok        unknown       verifying (only traffic can tell)
    cannot be read         refused   failed        failed
    cannot be read         silence   unknown       stuck: never repeated

After a restart the same table holds for what was under way; an action that was only planned is dropped and
its events are decided afresh, on fresh evidence.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mlcanary.errors import ActionError
from mlcanary.handler.core.incidents import Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.core.plans import Plan
from mlcanary.handler.core.releases import Release
from mlcanary.handler.evidence.prometheus import Prometheus
from mlcanary.handler.evidence.silences import Alertmanager
from mlcanary.handler.ledger.incidents import Dispatch
from mlcanary.handler.ledger.store import Checkpoint, Ledger
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State, Target, Unobservable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently a target is treated; seconds.

    An action is tried `attempts` times with `pause` between; a target may take `settle` to show a new state,
    looked at every `look`.
    """

    attempts: int = 3
    pause: float = 1.0
    settle: float = 3.0
    look: float = 0.1


PATIENT = Pace()
_LOOKS_WHILE_SETTLING = 60
_LONGEST_LOOK = 5.0


@dataclass(frozen=True, slots=True)
class Environment:
    """What the workers share. `clock` gives Unix seconds, `new_id` a fresh random name, `sleep` waits for seconds.

    `tell` queues a message to people: its kind (`notices.SENTENCES`), the target, and what there is to say. Without an
    `alertmanager` nobody asks for silences.
    """

    ledger: Ledger
    prometheus: Prometheus
    metrics: HandlerMetrics
    clock: Callable[[], float]
    new_id: Callable[[], str]
    checkpoint: Checkpoint
    pace: Pace = PATIENT
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    tell: Callable[[str, str, Mapping[str, object]], None] = lambda _kind, _target, _body: None
    alertmanager: Alertmanager | None = None


@dataclass(frozen=True, slots=True)
class _Result:
    """How an attempt ended. `again` asks for another one."""

    action: ActionState
    incident: IncidentState
    note: str
    again: bool = False
    seen: State | None = None


class Effector:
    """Carries out actions on one target: for the target's worker, which alone changes it.

    Guarantee: at most one call to the target is under way, also where a person asks for a plan meanwhile.
    """

    def __init__(self, plan: TargetPlan, target: Target, environment: Environment) -> None:
        self._plan = plan
        self._target = target
        self._env = environment
        self._calling = asyncio.Lock()
        self._slowness = float(getattr(plan.kind, "settle", 0.0))  # of a kind whose changes take their time

    async def observe(self) -> State | Unobservable:
        """The state of the target; keeps its gauges. Raises ActionError."""
        try:
            async with self._calling:
                seen = await self._target.observe()
        except ActionError:
            self._env.metrics.set("target_up", 0.0, self._plan.name)
            raise
        self._env.metrics.set("target_up", 1.0, self._plan.name)
        if isinstance(seen, State):
            for version, _ in seen.weights:
                labels = (self._plan.name, self._plan.model, version)
                self._env.metrics.set("target_share_ratio", seen.share(version), *labels)
        return seen

    @property
    def weighted(self) -> bool:
        """Whether the target can split traffic in any proportion."""
        return self._target.weighted

    async def rehearse(self, desired: State, expected: State | None) -> str:
        """Why the target would refuse the state now, empty if it would not. Writes nothing."""
        try:
            async with self._calling:
                await self._target.rehearse(desired, Guard("rehearsal", expected))
        except ActionError as error:
            return str(error)
        return ""

    async def carry_out(self, action: Action, *, force: bool = False) -> ActionState:
        """Dispatch a planned or cut-off action, record how it ended and give that. Raises StateError.

        `force` passes the quarantine, as a person ordered.
        """
        storm = (self._plan.storm.targets, float(self._plan.storm.window))
        unknown = [version for version, _ in action.desired.weights if version not in self._plan.versions]
        if unknown:  # renamed or removed since: the target has no place to write it to
            note = f"{', '.join(unknown)} is no longer configured on the target"
            return self._finish(action, _Result(ActionState.FAILED, IncidentState.FAILED, note))
        for left in reversed(range(self._env.pace.attempts)):
            sent = self._env.ledger.dispatch(
                action, self._env.clock(), gaining=self._gaining(action), force=force, storm=storm
            )
            if sent is not Dispatch.OUT:
                return self._finish(action, _Result(ActionState.FAILED, IncidentState.ABANDONED, sent))
            action = dataclasses.replace(action, attempt=action.attempt + 1)
            result = await self._attempt(action)
            if not result.again or left == 0:
                break
            log.warning("action is tried again", extra={"action": action.id, "why": result.note})
            await self._env.sleep(self._env.pace.pause)
        return self._finish(action, result)

    async def resume(self, action: Action) -> None:
        """Take up an action that a crash cut off. Raises ActionError while the target cannot be looked at."""
        if action.state is ActionState.PLANNED:
            note = "cut off before the dispatch"
            self._finish(action, _Result(ActionState.FAILED, IncidentState.ABANDONED, note))
            return
        age = self._env.clock() - action.dispatched  # a clock that went far back makes it late, else it waits for ever
        late = abs(age) > self._plan.verification.deadline
        late = late or not self._plan.acts
        try:
            seen = await self.observe()
        except ActionError as error:
            if not late:
                raise
            note = f"cut off under way, and the target cannot be read: {error}"
            self._finish(action, _Result(ActionState.UNKNOWN, IncidentState.STUCK, note))
            return
        if isinstance(seen, Unobservable):
            note = f"cut off under way, and the target cannot be read back: {seen.reason}"
            self._finish(action, _Result(ActionState.UNKNOWN, IncidentState.STUCK, note))
        elif _done(action, seen):
            await self._complete(action, seen)
        elif seen != action.expected and not self._on_its_way(seen, action):
            self._finish(action, _conflict(seen))
        elif late:
            note = "cut off under way; too long ago to act on the same evidence, or no longer in mode react"
            self._finish(action, _Result(ActionState.FAILED, IncidentState.FAILED, note))
        else:
            await self.carry_out(action)

    async def _complete(self, action: Action, seen: State) -> None:
        try:
            async with self._calling:
                await self._target.complete(action.desired, Guard(action.id, action.expected))
            note = "found done after a restart"
        except ActionError as error:
            note = f"found done after a restart, but: {error}"
        self._finish(action, _Result(ActionState.CONFIRMED, IncidentState.VERIFYING, note, seen=seen))

    async def _attempt(self, action: Action) -> _Result:
        error: ActionError | None = None
        self._env.checkpoint("before call apply")
        try:
            async with self._calling:
                await self._target.apply(action.desired, Guard(action.id, action.expected))
        except ConflictError as conflict:
            return _Result(ActionState.CONFLICT, IncidentState.FAILED, str(conflict))
        except ActionError as refusal:
            error = refusal
        self._env.checkpoint("after call apply")
        seen = await self._settled(action, wait=error is None)
        note = str(error) if error is not None else "confirmed by reading back"
        if isinstance(seen, Unobservable):
            return _unseen(error, seen)
        on_its_way = seen is not None and self._on_its_way(seen, action)
        if seen is None or (on_its_way and error is None):
            late = f"still on its way after {self._slowness:g} s" if seen else f"the target cannot be read back: {note}"
            return _Result(ActionState.UNKNOWN, IncidentState.STUCK, late)
        if _done(action, seen):
            return _Result(ActionState.CONFIRMED, IncidentState.VERIFYING, note, seen=seen)
        if seen == action.expected or on_its_way:
            note = str(error) if error is not None else "the target accepted the order and did not change"
            return _Result(ActionState.FAILED, IncidentState.FAILED, note, again=True, seen=seen)
        return _conflict(seen)

    async def _settled(self, action: Action, *, wait: bool) -> State | Unobservable | None:
        """The state once it is no longer as before, or the last one seen; None if it could not be read."""
        pace = self._env.pace
        settle = max(pace.settle, self._slowness)
        look = max(pace.look, min(settle / _LOOKS_WHILE_SETTLING, _LONGEST_LOOK))
        deadline, looks = self._env.clock() + settle, math.ceil(settle / look) if wait else 0
        seen: State | Unobservable | None = None
        while True:
            try:
                seen = await self.observe()
            except ActionError as error:
                log.warning("target cannot be read", extra={"action": action.id, "error": str(error)})
            waiting = seen is None or (seen == action.expected and seen != action.desired)
            waiting = waiting or (isinstance(seen, State) and self._on_its_way(seen, action))
            if not waiting or looks == 0 or self._env.clock() >= deadline:
                return seen
            looks -= 1  # a clock that went back must not make this long
            await self._env.sleep(look)

    def _on_its_way(self, seen: State, action: Action) -> bool:
        """Whether a slow target that serves one version at a time is between the state before and the desired one."""
        if self._slowness == 0.0 or self._target.weighted or action.expected is None:
            return False
        known = {v for state in (action.expected, action.desired) for v, weight in state.weights if weight}
        between = seen != action.expected and not action.desired.fulfilled_by(seen)
        return between and all(v in known for v, weight in seen.weights if weight)

    def _gaining(self, action: Action) -> tuple[str, ...]:
        """Digests of the versions that get more traffic than they had."""
        before, after = action.expected or State.of({}), action.desired
        return tuple(self._plan.digest(v) for v, _ in after.weights if after.share(v) > before.share(v))

    def _finish(self, action: Action, result: _Result) -> ActionState:
        now, ledger, name = self._env.clock(), self._env.ledger, self._plan.name
        proof: dict[str, object] = {"seen": dict(result.seen.weights)} if result.seen is not None else {}
        if action.kind is not ActionKind.ROLLBACK:
            ledger.finish_beside(action, result.action, note=result.note, now=now, proof=proof)
        else:
            ended = self._goes(action, result)
            ledger.finish(action, result.action, ended, note=result.note, now=now, proof=proof)
        level = logging.INFO if result.action is ActionState.CONFIRMED else logging.ERROR
        log.log(level, "action ended", extra={"action": action.id, "state": result.action, "why": result.note})
        if result.incident is IncidentState.ABANDONED:
            return result.action
        self._env.metrics.add("effects_total", name, result.action)
        if result.action is ActionState.CONFIRMED and action.kind is not ActionKind.STEP:
            self._env.metrics.set("rollback_last_timestamp_seconds", now, name)
        lost = result.incident in (IncidentState.FAILED, IncidentState.STUCK)
        if lost and action.kind is ActionKind.ROLLBACK:  # the others leave an incident as it is
            self._env.metrics.add("rollbacks_total", name, self._plan.model, result.incident)
        return result.action

    def _goes(self, action: Action, result: _Result) -> IncidentState:
        """Where the incident goes: one whose bad version keeps some traffic for the next stage goes on acting.

        So does one that a freeze or a crash kept from its next stage: it has changed the target already.
        """
        incident = self._env.ledger.incident(action.incident)
        partial = incident is not None and action.desired.weight(incident.bad) > 0
        staged = result.incident is IncidentState.ABANDONED and action.stage > 0
        goes_on = staged or (partial and result.incident is IncidentState.VERIFYING)
        return IncidentState.ACTING if goes_on else result.incident

    def plan_rollback(
        self,
        incident: Incident,
        desired: State,
        expected: State | None,
        now: float,
        *,
        stage: int = 0,
        actor: str = "",
    ) -> Action:
        """The rollback of an incident, or a stage of it, not yet stored; by `actor` if not by who opened it."""
        action = self._action(ActionKind.ROLLBACK, incident.bad, incident.good, desired, expected, now)
        return dataclasses.replace(action, incident=incident.id, stage=stage, actor=actor or incident.actor)

    def plan_reassert(self, incident: Incident, desired: State, expected: State, now: float) -> Action:
        """The state of an incident once more, not yet stored."""
        action = self._action(ActionKind.REASSERT, incident.bad, incident.good, desired, expected, now)
        return dataclasses.replace(action, incident=incident.id)

    def plan_split(self, release: Release, step: int, desired: State, expected: State, *, actor: str) -> Action:
        """The split of a step of a release, not yet stored; of the step under way: to be set again."""
        again = step == release.step and release.effect > 0
        kind, now = ActionKind.REASSERT if again else ActionKind.STEP, self._env.clock()
        action = self._action(kind, release.candidate, release.stable, desired, expected, now)
        return dataclasses.replace(action, release=release.id, stage=step, actor=actor)

    async def owner(self) -> str:
        """Another controller of the target, "" if none is seen. Raises ActionError."""
        async with self._calling:
            return await self._target.owner()

    def plan_hash(self, kind: ActionKind, bad: str, good: str, desired: State, expected: State | None) -> str:
        """The name of what is about to be done: see `core.plans`."""
        plan = Plan(self._plan.name, kind, bad, good, desired, expected, self._plan.configuration)
        return plan.hash

    def _action(
        self, kind: ActionKind, version: str, other: str, desired: State, expected: State | None, now: float
    ) -> Action:
        """About a version whose traffic the other one gets or gives; it belongs to nothing yet."""
        return Action(
            id=self._env.new_id(),
            incident="",
            target=self._plan.name,
            kind=kind,
            desired=desired,
            expected=expected,
            state=ActionState.PLANNED,
            attempt=0,
            planned=now,
            dispatched=0.0,
            note="",
            plan=self.plan_hash(kind, version, other, desired, expected),
        )


def _done(action: Action, seen: State) -> bool:
    """An action of a release or a stage of a rollback asks for its split, a rollback for who serves: routers round."""
    same = action.expected is not None and action.desired.fulfilled_by(action.expected)
    split = bool(action.release) or same
    return action.desired.reached_by(seen) if split else action.desired.fulfilled_by(seen)


def _conflict(seen: State) -> _Result:
    note = f"found {seen.to_json()}: another writer changes the target"
    return _Result(ActionState.CONFLICT, IncidentState.FAILED, note, seen=seen)


def _unseen(error: ActionError | None, seen: Unobservable) -> _Result:
    if error is None:
        note = f"the target answered, but cannot be read back: {seen.reason}"
        return _Result(ActionState.UNKNOWN, IncidentState.VERIFYING, note)
    if isinstance(error, RefusedError):
        return _Result(ActionState.FAILED, IncidentState.FAILED, str(error))
    return _Result(ActionState.UNKNOWN, IncidentState.STUCK, f"not repeated: {error}")
