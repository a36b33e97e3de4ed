"""A router in memory that does what it is told, or pretends to, and remembers who wrote what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State, Unobservable, check_guard

TIMEOUT = 5.0
"""Seconds after which a call to the router gives up."""

OTHER = "another writer"


class Answer(StrEnum):
    """How the router takes one call."""

    OK = "ok"
    REFUSE = "refuse"
    HANG = "hang"
    HANG_DONE = "done, then silence"
    LATE = "silence, done later"
    LIE = "accepted, not done"
    PRETEND = "accepted, shown, not done"
    PARTIAL = "half done"
    SLOW = "done, shown later"
    BLIND = "cannot be read"
    OVERTAKEN = "another writer was faster"


APPLY_ANSWERS = tuple(a for a in Answer if a is not Answer.BLIND)
OBSERVE_ANSWERS = (Answer.OK, Answer.HANG, Answer.REFUSE)


@dataclass(frozen=True)
class Write:
    """One change of the true weights. `action` is empty for another writer."""

    at: float
    target: str
    action: str
    before: State
    after: State
    desired: State | None = None


@dataclass
class Router:
    """The truth at one target: survives every crash of the handler."""

    name: str
    weights: State
    readable: bool = True
    observable: bool = True
    obeys: bool = True
    shown: State | None = None
    shown_until: float = 0.0
    owned_by: str = ""
    writes: list[Write] = field(default_factory=list)
    late: list[tuple[float, State, Guard]] = field(default_factory=list)

    def show(self, now: float) -> State:
        """What a reader is told."""
        if self.shown is not None and now < self.shown_until:
            return self.shown
        self.shown = None
        return self.weights

    def write(self, now: float, after: State, action: str, desired: State | None = None) -> None:
        """Change the truth."""
        if after != self.weights:
            self.writes.append(Write(now, self.name, action, self.weights, after, desired))
            self.weights = after


Gate = Callable[[str, str], Awaitable[Answer]]
"""Waits until the test decides how a call (its kind, the target's name) is taken."""


class FakeTarget:
    """See `contract.Target`: the handler's side of a router. `told` hears of every call that may change something."""

    weighted = True

    def __init__(
        self,
        router: Router,
        gate: Gate,
        clock: Callable[[], float],
        told: Callable[[str, str, State, Guard], None],
        changed: Callable[[], None],
    ) -> None:
        self._router = router
        self._gate = gate
        self._clock = clock
        self._told = told
        self._changed = changed

    async def observe(self) -> State | Unobservable:
        if not self._router.observable:
            return Unobservable("this router cannot be read")
        answer = await self._gate("observe", self._router.name)
        if answer is Answer.HANG:
            await asyncio.sleep(TIMEOUT)
            raise ActionError("no answer in time")
        if answer is not Answer.OK or not self._router.readable:
            raise ActionError("cannot be read")
        return self._router.show(self._clock())

    async def apply(self, desired: State, guard: Guard) -> None:
        self._told("apply", self._router.name, desired, guard)
        try:
            await self._apply(desired, guard)
        finally:
            self._told("ended", self._router.name, desired, guard)

    async def _apply(self, desired: State, guard: Guard) -> None:
        answer = await self._gate("apply", self._router.name)
        router = self._router
        if answer is Answer.REFUSE:
            raise RefusedError("the router says no")
        if answer is Answer.HANG:
            await asyncio.sleep(TIMEOUT)
            raise ActionError("no answer in time")
        if answer is Answer.LATE:
            router.late.append((self._clock() + 2 * TIMEOUT, desired, guard))
            await asyncio.sleep(TIMEOUT)
            raise ActionError("no answer in time")
        if answer is Answer.OVERTAKEN:
            self._changed()
            moved = State.of({v: w + 1 for v, w in router.weights.weights})
            router.write(self._clock(), moved, "")
        before = router.weights
        if not check_guard(before, desired, guard) or answer is Answer.LIE or not router.obeys:
            return
        if answer is Answer.PRETEND:
            router.shown, router.shown_until = desired, self._clock() + 60.0
            return
        self._changed()
        if answer is Answer.PARTIAL:
            raised = {v: max(w, desired.weight(v)) for v, w in before.weights}
            router.write(self._clock(), State.of(raised), guard.action_id, desired)
            raise ActionError("the connection broke half way")
        router.write(self._clock(), desired, guard.action_id, desired)
        if answer is Answer.SLOW:
            router.shown, router.shown_until = before, self._clock() + 1.5
        if answer is Answer.HANG_DONE:
            await asyncio.sleep(TIMEOUT)
            raise ActionError("no answer in time")

    async def complete(self, desired: State, guard: Guard) -> None:
        self._told("complete", self._router.name, desired, guard)
        if await self._gate("complete", self._router.name) is not Answer.OK:
            raise ActionError("the reload failed")

    async def rehearse(self, desired: State, guard: Guard) -> None:
        if await self._gate("rehearse", self._router.name) is not Answer.OK:
            raise RefusedError("the router would say no")
        check_guard(self._router.show(self._clock()), desired, guard)

    async def owner(self) -> str:
        return self._router.owned_by


def land(router: Router, now: float) -> bool:
    """Let writes that were sent long ago arrive; whether one did. Like every router here it checks the guard."""
    due = [late for late in router.late if late[0] <= now]
    router.late = [late for late in router.late if late[0] > now]
    for _, desired, guard in due:
        try:
            if check_guard(router.weights, desired, guard):
                router.write(now, desired, guard.action_id, desired)
        except ConflictError:
            continue
    return bool(due)
