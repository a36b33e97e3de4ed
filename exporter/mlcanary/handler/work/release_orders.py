"""Orders of people about releases: submit, withdraw, promote now. The target's own worker carries them out.

Each is done once, also if a crash comes between doing it and noting that: what the order did is recognised by its id,
or by its actor and time. An order that names a plan is refused if that plan is another one by now.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from mlcanary.handler.core import stepping
from mlcanary.handler.core.incidents import ActionKind
from mlcanary.handler.core.machines import ActionState, ReleaseState
from mlcanary.handler.core.plans import Plan
from mlcanary.handler.core.releases import Order, OrderKind, OrderState, Release
from mlcanary.handler.core.stepping import UNCOUNTED
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.targets.contract import State
from mlcanary.handler.work.effect import Environment
from mlcanary.handler.work.sight import Sight

log = logging.getLogger(__name__)

SetSplit = Callable[..., Awaitable[ActionState]]
"""`Driver.set_split`."""

_KINDS = (OrderKind.SUBMIT, OrderKind.WITHDRAW, OrderKind.PROMOTE)


class ReleaseOrders:
    """See the module. Each method gives why the order is refused, "" if it is done. All raise StateError."""

    def __init__(self, plan: TargetPlan, sight: Sight, environment: Environment, set_split: SetSplit) -> None:
        self._plan = plan
        self._sight = sight
        self._env = environment
        self._set_split = set_split

    async def carry_out_pending(self) -> bool:
        """Every waiting order about releases, oldest first; whether there was one."""
        waiting = [order for order in self._env.ledger.pending_orders(self._plan.name) if order.kind in _KINDS]
        for order in waiting:
            refused = await self._carry_out(order)
            state = OrderState.REFUSED if refused else OrderState.DONE
            self._env.ledger.end_order(order, state, note=refused, now=self._env.clock())
            self._env.metrics.add("orders_total", self._plan.name, order.kind, state)
            log.info("order ended", extra={"order": order.id, "state": state, "why": refused})
        return bool(waiting)

    async def _carry_out(self, order: Order) -> str:
        if order.kind is OrderKind.SUBMIT:
            return await self.submit(order)
        return await self.withdraw(order) if order.kind is OrderKind.WITHDRAW else await self.promote(order)

    # --- submit

    async def submit(self, order: Order) -> str:
        """Stage a release of the order's version, with the order's id."""
        plan, ledger, now = self._plan, self._env.ledger, self._env.clock()
        if any(release.id == order.id for release in ledger.releases(plan.name, 10)):
            return ""  # a crash came before the order was ended
        refused = self._unfit(order.version)
        seen = None if refused else await self._sight.seen()
        refused = refused or self._unready(order, seen)
        if refused or seen is None:
            return refused
        release = Release(
            id=order.id,
            target=plan.name,
            model=plan.model,
            candidate=order.version,
            digest=plan.digest(order.version),
            stable=_most(seen),
            state=ReleaseState.STAGED,
            step=-1,
            submitted=now,
            since=now,
            effect=0.0,
            trials=UNCOUNTED,
            resume="",
            closed=0.0,
            actor=order.actor,
            note="",
        )
        ledger.submit(release, now)
        return ""

    def _unfit(self, version: str) -> str:
        plan, running = self._plan, self._env.ledger.open_release(self._plan.name)
        if plan.mode != "drive":
            return f"target {plan.name} has mode {plan.mode}: only mode drive makes releases"
        if version not in plan.versions:
            return f"version {version} is not configured; configured: {', '.join(plan.versions)}"
        if running is not None:
            return f"the release of {running.candidate} is open ({running.state}): withdraw it or wait for its end"
        view = self._sight.view()
        if view.open_version is not None:
            return f"an incident about {view.open_version} is open: wait for its end"
        if plan.digest(version) in view.quarantined:
            return f"artefact {plan.digest(version)} of {version} is quarantined, and stays so until a person says"
        return ""

    def _unready(self, order: Order, seen: State | None) -> str:
        plan, version = self._plan, order.version
        if seen is None or not seen.total:
            return f"the target does not tell who serves: {self._sight.unseen or 'nobody has traffic'}"
        stable = _most(seen)
        if stable == version:
            return f"version {version} has most of the traffic: it is the stable one"
        if plan.destination not in (None, stable):
            return f"destination is {plan.destination}, but {stable} serves: a rollback would go to another version"
        first = State.split(version, plan.release.steps[0] / 100, stable, plan.versions)
        return self._another_plan(order, stable, first, seen)

    # --- withdraw

    async def withdraw(self, order: Order) -> str:
        """End a release without traffic. One with traffic is rolled back, by an order of its own."""
        ledger, now = self._env.ledger, self._env.clock()
        newest = next(iter(ledger.releases(self._plan.name, 1)), None)
        if newest is None or newest.candidate != order.version:
            return f"no release of {order.version} is open"
        if newest.state is ReleaseState.WITHDRAWN and newest.closed >= order.received:
            return ""  # a crash came before the order was ended
        if not newest.open:
            return f"the release of {order.version} has ended: {newest.state}"
        if newest.state is ReleaseState.STAGED or await self._without_traffic(newest):
            ledger.move_release(newest, ReleaseState.WITHDRAWN, note=f"withdrawn by {order.actor}", now=now)
            return ""
        name = f"{order.id}-rollback"
        if ledger.order(name) is None:
            reason = order.reason or "the release is withdrawn"
            kind, pending = OrderKind.ROLLBACK, OrderState.PENDING
            ledger.give_order(
                Order(name, order.target, kind, order.version, "", reason, False, order.actor, now, pending, "")
            )
        return ""

    async def _without_traffic(self, release: Release) -> bool:
        """Whether there is nothing to roll back: the split was never set, or another writer took the share away."""
        idle = release.state in (ReleaseState.STEP, ReleaseState.HOLD) and not (
            self._sight.view().open_version or self._env.ledger.unfinished(self._plan.name)
        )
        seen = await self._sight.seen() if idle else None
        return seen is not None and seen.total > 0 and seen.weight(release.candidate) == 0

    # --- promote

    async def promote(self, order: Order) -> str:
        """Give the candidate of the open release all traffic now, as its last step; the soak follows.

        In the other modes somebody else promotes: the handler never writes beside them. The judge is asked unless
        the order is forced, with a reason; a freeze does not stop a person.
        """
        plan, release = self._plan, self._env.ledger.open_release(self._plan.name)
        if plan.mode != "drive":
            return f"target {plan.name} has mode {plan.mode}: others promote there, the handler only rolls back"
        if release is None or release.candidate != order.version:
            return f"no release of {order.version} is open: submit it first"
        last = len(plan.release.steps) - 1
        if self._promoted(release, order, last):
            return ""
        judgement, seen = await self._sight.judge(release), await self._sight.seen()
        ground, forced = await self._sight.ground(release, seen), order.force and bool(order.reason)
        standing = self._sight.standing(release)
        refused = stepping.refuse_promotion(release, judgement, standing, ground, plan.release, forced=forced)
        if not refused and (
            seen is None or self._sight.undone(release, seen) or self._env.ledger.unfinished(plan.name)
        ):
            refused = f"the split is not the one of the step: {self._sight.unseen or 'something else is at work'}"
        if not refused and seen is not None:
            refused = self._another_plan(order, release.stable, self._sight.split(release, last), seen)
        if refused or seen is None:
            return refused
        text = f"promoted by {order.actor}: {order.reason}"
        ended = await self._set_split(release, last, seen, text, judgement, actor=order.actor)
        return "" if ended is ActionState.CONFIRMED else f"the split could not be set: {ended}"

    def _promoted(self, release: Release, order: Order, last: int) -> bool:
        """Whether a crash came between doing it and ending the order."""
        action = self._env.ledger.step_under_way(release)
        ours = action is not None and action.stage == last and action.actor == order.actor
        return ours and action is not None and action.planned >= order.received

    def _another_plan(self, order: Order, stable: str, desired: State, seen: State) -> str:
        """Why the plan that the person has seen is no longer the one; "" if it is, or none was named."""
        plan = self._plan
        now = Plan(plan.name, ActionKind.STEP, order.version, stable, desired, seen, plan.configuration).hash
        return "" if order.plan in ("", now) else f"the plan is another one by now: {now}"


def _most(seen: State) -> str:
    return max(seen.weights, key=lambda pair: pair[1])[0]
