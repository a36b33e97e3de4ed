"""When the exporter falls behind it looks at fewer rows' features, in steps, and says so. Pure: time is an argument.

Guarantee: only what needs features is shed, in the order of `STEPS`; every other figure counts every row. A step is
taken when the bytes waiting have been above the limit for `patience` and would not be read within `CATCH_UP` at the
pace of that time; one is taken back when they have been under a quarter of the limit for `CALM`. So a backlog that is
being worked off, such as a first start on an old log, sheds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Step(NamedTuple):
    """What is still looked at: `features` the share of rows, `joint` whether joint drift takes rows."""

    features: float
    joint: bool


STEPS: tuple[Step, ...] = (Step(1.0, True), *(Step(share, False) for share in (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16)))

CALM = 30.0
CATCH_UP = 600.0
"""Seconds."""


@dataclass(frozen=True)
class SheddingPlan:
    """`lag_bytes`: unread bytes above which the exporter is behind; `patience`: seconds for which it must be."""

    enabled: bool = True
    lag_bytes: int = 64 * 1024 * 1024
    patience: float = 5.0


class Shedding:
    """The step that is in force.

    >>> shedding = Shedding(SheddingPlan(lag_bytes=1000))
    >>> for second in range(12):
    ...     _ = shedding.observe(2000.0 + second, float(second))
    >>> shedding.number, shedding.step
    (2, Step(features=0.5, joint=False))
    """

    def __init__(self, plan: SheddingPlan) -> None:
        self.plan = plan
        self.number = 0
        self.more, self.less = 0, 0
        self._behind: tuple[float, float] | None = None
        self._calm: float | None = None

    @property
    def step(self) -> Step:
        """What is looked at now."""
        return STEPS[self.number]

    def replan(self, plan: SheddingPlan) -> None:
        """Go on under another plan; what is shed comes back at once where nothing is to be shed any more."""
        self.plan = plan
        self._behind = self._calm = None
        if not plan.enabled and self.number:
            self.number, self.less = 0, self.less + 1

    def observe(self, lag: float, now: float) -> bool:
        """Take note of the bytes that wait at `now`, in seconds; True if another step is in force from here on."""
        if not self.plan.enabled:
            return False
        if lag > self.plan.lag_bytes:
            self._calm = None
            return self._while_behind(lag, now)
        self._behind = None
        if lag * 4 > self.plan.lag_bytes or not self.number:
            self._calm = None
            return False
        self._calm = now if self._calm is None else self._calm
        if now - self._calm < CALM:
            return False
        self._calm = now
        self.number, self.less = self.number - 1, self.less + 1
        return True

    def _while_behind(self, lag: float, now: float) -> bool:
        if self._behind is None:
            self._behind = (now, lag)
        since, before = self._behind
        elapsed = now - since
        if elapsed < self.plan.patience:
            return False
        self._behind = (now, lag)
        catches_up = (before - lag) / elapsed * CATCH_UP >= lag - self.plan.lag_bytes
        if catches_up or self.number + 1 >= len(STEPS):
            return False
        self.number, self.more = self.number + 1, self.more + 1
        return True
