"""How far a shift of traffic may go at once: pure.

Guarantee: no version is given more traffic than its servers can take with the headroom, the total is never 0, and the
last healthy version never loses weight. What does not fit is left for a later stage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlcanary.handler.targets.contract import MAX_WEIGHT, State

_FINE = 100
"""A total of weights of which one is at most a percent of the traffic."""


@dataclass(frozen=True, slots=True)
class Room:
    """Load of all versions in requests per second, servers that are up by version, what one server can take."""

    load: float
    servers: tuple[tuple[str, int], ...]
    requests_per_second: float
    headroom: float

    def share(self, version: str) -> float:
        """The share of all traffic that a version can take; may be above 1.

        >>> Room(200.0, (("v1", 3),), 100.0, 1.2).share("v1")
        1.25
        """
        limit = dict(self.servers).get(version, 0) * self.requests_per_second
        return limit / (self.load * self.headroom) if self.load > 0 else math.inf if limit > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The next state, None if nothing may be moved now; `missing` is the part of the shift that has no capacity."""

    state: State | None
    missing: float

    @property
    def whole(self) -> bool:
        """Whether the shift ends with it."""
        return self.state is not None and self.missing == 0.0


def next_stage(now: State, desired: State, *, bad: str, good: str, room: Room | None, weighted: bool) -> Stage:
    """As much of the way from `now` to `desired` as `good` has room for.

    Input: `room` is None where nobody declared a capacity. A target that is not `weighted` moves as a whole or not.
    """
    if desired.total <= 0:
        return Stage(None, 1.0)
    if room is None:
        return Stage(desired, 0.0)
    limit, wanted = room.share(good), desired.share(good) - now.share(good)
    if desired.share(good) <= limit or wanted <= 0:
        return Stage(desired, 0.0)
    missing = 1.0 - max(0.0, limit - now.share(good)) / wanted
    return Stage(_part(now, bad, good, limit) if weighted else None, missing)


def _part(now: State, bad: str, good: str, limit: float) -> State | None:
    """The state in which `good` has its limit and `bad` what is left; None if that moves nothing."""
    factor = min(math.ceil(_FINE / now.total), MAX_WEIGHT // max(w for _, w in now.weights)) if now.total else 0
    if factor < 1:
        return None
    fine = {version: weight * factor for version, weight in now.weights}
    total = sum(fine.values())
    raised = min(math.floor(limit * total + 1e-9), MAX_WEIGHT)
    moved = min(raised - fine.get(good, 0), fine.get(bad, 0) - 1)
    if moved <= 0:
        return None
    return State.of({**fine, good: fine.get(good, 0) + moved, bad: fine[bad] - moved})
