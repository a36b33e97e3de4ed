"""The faults of the matrix: what each does to a cell, and how a cell with it may end.

`ends` says it as the specification does: `resolved` with so many effects, or `failed`, `stuck`, `none` with a page. The
oracle in `cells` holds for every cell besides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from handler.matrix.rigs import DIE, HANG, LIE, OBEY, PARTLY, REFUSE, Rig
from handler_service import Handle
from handler_world import BAD, Release, alert, payload, until

HOUR = 3600.0
QUICKLY = "1500ms"


@dataclass(frozen=True)
class End:
    """How a cell ends: the incident's state (`none`: it has none), effects at the part, whether the target is frozen.

    `effects` counts what the part has seen; with `undone` of them undone by somebody else, all but one must be.
    """

    state: str
    effects: int
    undone: int = 0
    frozen: bool = False


RESOLVED, FAILED, STUCK = End("resolved", 1), End("failed", 0), End("stuck", 1)


@dataclass
class Moments:
    """What happens at checkpoints of the handler, and the clock it is given."""

    rig: Rig
    offset: float = 0.0
    passed: list[str] = field(default_factory=list)

    def clock(self) -> float:
        """Unix seconds as the handler sees them."""
        return time.time() + self.offset

    def first(self, name: str, point: str) -> bool:
        """Whether this is the first time at a point."""
        return name == point and self.passed.count(point) == 1


class Fault:
    """One column. The base class is the cell without a fault."""

    name = "none"
    mode = OBEY
    end = RESOLVED
    ends: ClassVar[Mapping[str, End]] = {}
    """Where a target differs, by its name; why is told beside it."""
    impossible: ClassVar[Mapping[str, str]] = {}
    """Targets that cannot have the fault, and why."""

    def end_of(self, rig: str) -> End:
        """How the cell of a rig ends."""
        return self.ends.get(rig, self.end)

    def configured(self, text: str, end: End) -> str:
        """The configuration. What ends by a deadline gets a short one; what must not be late gets a long one."""
        return text.replace("deadline: 40s", f"deadline: {QUICKLY}") if end.state == "stuck" else text

    def begin(self, rig: Rig, release: Release) -> None:
        """Before the handler starts."""

    def at(self, name: str, moments: Moments) -> None:
        """At a checkpoint of the handler."""

    async def deliver(self, handler: Handle) -> None:
        """The webhook."""
        await handler.post(payload())

    def over(self, handler: Handle, end: End) -> bool:
        """Whether nothing more is to come."""
        return handler.state() not in ("", "acting", "verifying")


class Refuses(Fault):
    """The part says no."""

    name, mode, end = "refuses", REFUSE, FAILED


class Hangs(Fault):
    """The part takes the order and never answers."""

    name, mode, end = "hangs", HANG, FAILED
    ends: ClassVar[Mapping[str, End]] = {
        "file": End("stuck", 0)
    }  # the link is moved, the server does not reload: only traffic tells


class Lies(Fault):
    """The part answers ok and changes nothing."""

    name, mode, end = "lies", LIE, FAILED
    ends: ClassVar[Mapping[str, End]] = {"file": End("stuck", 0)}  # as above


class TrafficStays(Fault):
    """The part does and shows what it shall, and the traffic stays with the bad version."""

    name, end = "lies to the read-back too", STUCK

    def begin(self, rig: Rig, release: Release) -> None:
        """Nobody follows."""
        rig.deaf = True


class Partial(Fault):
    """A part of the order is done."""

    name, mode, end = "does a part", PARTLY, FAILED
    ends: ClassVar[Mapping[str, End]] = {
        "file": End("stuck", 0),  # one of two servers behind the link reloads
        "mlflow": STUCK,  # the alias is one row; what can be missing is the reload of the servers
    }


class Reverted(Fault):
    """Another writer sets the state before, once, right after it was confirmed."""

    name, end = "reverted once by another writer", End("resolved", 2, undone=1)

    def at(self, name: str, moments: Moments) -> None:
        """The moment right after the commit."""
        if moments.first(name, "after commit finish"):
            moments.rig.revert()

    def over(self, handler: Handle, end: End) -> bool:
        """Set again and proven."""
        return handler.state() != "verifying" and len(handler.audit("reassert")) == 1 and _quiet(handler)


class RevertedAlways(Fault):
    """Another writer sets the state before, again and again."""

    name, end = "reverted for ever by another writer", End("stuck", 3, undone=3, frozen=True)

    def at(self, name: str, moments: Moments) -> None:
        """After each confirmed effect."""
        if name == "after commit finish":
            moments.rig.revert()

    def over(self, handler: Handle, end: End) -> bool:
        """Given up: frozen, and the deadline over."""
        return handler.state() != "verifying" and bool(handler.audit("freeze")) and _quiet(handler)


def _quiet(handler: Handle) -> bool:
    return handler.state() not in ("", "acting") and not handler.service.ledger.unfinished("router")


class Restarted(Fault):
    """The part is killed and started again after it answered and before the handler looks."""

    name = "restarted in the middle"
    ends: ClassVar[Mapping[str, End]] = {
        "haproxy": End("resolved", 2, undone=1)
    }  # a new HAProxy has the weights of its file
    impossible: ClassVar[Mapping[str, str]] = {
        "command": "it has no process between two calls; `dies before it answers` is its restart in the middle of one"
    }

    def at(self, name: str, moments: Moments) -> None:
        """Between the answer and the look."""
        if moments.first(name, "after call apply"):
            moments.rig.restart()


class DiesInside(Fault):
    """The part does what it shall, and the connection or the command dies before it answers."""

    name, mode = "dies before it answers", DIE
    impossible: ClassVar[Mapping[str, str]] = {
        "haproxy": "success is an empty answer there, so a cut connection after the order looks the same as one",
        "nginx": "the order is a file and a signal, and a signal has no answer",
    }


class NoGoodVersion(Fault):
    """The baseline is a version that the target does not have: nothing is done, and a person is called."""

    name, end = "no good version", End("none", 0)

    def begin(self, rig: Rig, release: Release) -> None:
        """Another baseline."""
        release.roles = [("v0", "baseline"), (BAD, "canary")]

    def over(self, handler: Handle, end: End) -> bool:
        """Suppressed for this reason."""
        return handler.count("decisions_total", "router", "suppress", "no_good_version") >= 1


class NoCapacity(Fault):
    """The good version has no room at all for more traffic: the weights stay, and a person is called."""

    name, end = "no capacity", End("stuck", 0)

    def configured(self, text: str, end: End) -> str:
        """Room for less than it has."""
        return text + "  capacity: {requests_per_second: 1, stage_wait: 100ms, deadline: 500ms}\n"


class Duplicates(Fault):
    """The webhook comes 200 times, most of it at once, and the rest when all is over."""

    name = "200 duplicates"

    async def deliver(self, handler: Handle) -> None:
        """Half of them name the alert otherwise, as two Alertmanagers with other labels do."""
        bodies = (payload(), payload(alert(fingerprint="feedfeedfeedfeed")))
        for part in (160, 40):
            await asyncio.gather(*(handler.post(bodies[number % 2]) for number in range(part)))
            await until(lambda: Fault.over(self, handler, self.end))


class ClockJumps(Fault):
    """The clock of the machine jumps once, at a checkpoint."""

    def __init__(self, name: str, point: str, by: float, end: End) -> None:
        self.name, self.end = name, end
        self._point, self._by = point, by

    def at(self, name: str, moments: Moments) -> None:
        """The jump."""
        if moments.first(name, self._point):
            moments.offset += self._by


DISPATCHED, CONFIRMED = "after commit dispatch", "after commit finish"
FAULTS: tuple[Fault, ...] = (
    Fault(),
    Refuses(),
    Hangs(),
    Lies(),
    TrafficStays(),
    Partial(),
    Reverted(),
    RevertedAlways(),
    Restarted(),
    DiesInside(),
    NoGoodVersion(),
    NoCapacity(),
    Duplicates(),
    ClockJumps("clock +1 h before the effect", DISPATCHED, HOUR, RESOLVED),
    ClockJumps("clock -1 h before the effect", DISPATCHED, -HOUR, STUCK),  # newest bad prediction in the future
    ClockJumps("clock +1 h after the effect", CONFIRMED, HOUR, STUCK),  # past every deadline at once
    ClockJumps("clock -1 h after the effect", CONFIRMED, -HOUR, STUCK),  # before the effect: nothing can be proven
)
