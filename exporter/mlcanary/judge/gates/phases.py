"""When a canary's share of the traffic changed: periods of constant weight, in which cumulative counts may be compared.

Guarantee: the cuts are a function of trials and time, never of outcomes, so evidence kept by phase stays valid whatever
the clock does. A wrong cut costs a little power, a missed one mixes hours of unlike traffic (Simpson).
Input: requests of both arms in each step, see `PhaseClock.update`. Cost: 6 comparisons per step; 71 numbers of state.
Error: a ramp is cut once about 50 requests of the smaller arm have come at its new weight; a constant weight is cut by
chance less than once in 1e14 looks for independent requests, and once in 1e4 for users who send five in a row.
Source: two-sample score test of `stats.share_change` over windows of 1, 2, 4, ... 32 steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.share_change import share_change

LONGEST = 86400.0
"""A phase ends after a day: figures such as AUC drift with the traffic, at both arms."""

FACTOR = 1.5
"""A smaller change of either arm's share is not worth a phase."""

BEYOND_CHANCE = 8.0
"""Standard errors. Far out, since users send several requests each and every step is looked at six times."""

_STEPS = 32
_WINDOWS = (1, 2, 4, 8, 16, 32)


@dataclass(slots=True)
class PhaseClock:
    """Number of the present phase, from 0.

    >>> clock = PhaseClock()
    >>> [clock.update(30.0 * i, 50.0 if i < 20 else 250.0, 950.0 if i < 20 else 750.0) for i in (18, 19, 20, 21)]
    [0, 0, 1, 1]
    """

    phase: int = 0
    began: float | None = None
    totals: Floats = field(init=False)
    """Requests of the phase: canary, baseline."""
    recent: Floats = field(init=False)
    """Requests of the newest steps of the phase, newest first; shape (32, 2)."""
    steps: int = 0
    """Rows of `recent` that belong to the phase."""

    def __post_init__(self) -> None:
        """No step yet."""
        self.totals, self.recent = np.zeros(2), np.zeros((_STEPS, 2))

    def update(self, end: float, n_c: float, n_b: float) -> int:
        """The phase that the step belongs to. Input: end of the step, in judged time; requests of canary, baseline."""
        if self.began is None:
            self.began = end
        self.recent = np.concatenate([[[n_c, n_b]], self.recent[:-1]])
        self.steps = min(self.steps + 1, _STEPS)
        self.totals = self.totals + self.recent[0]
        window = self._changed_within()
        if window:
            self._begin(end, window)
        elif end - self.began >= LONGEST:
            self._begin(end, 1)
        return self.phase

    def _begin(self, end: float, window: int) -> None:
        """A new phase, to which the newest `window` steps are counted."""
        self.phase += 1
        self.began, self.steps = end, window
        self.totals = self.recent[:window].sum(axis=0)

    def _changed_within(self) -> int:
        """The shortest window of newest steps that got another share than the phase before it; 0 if none did."""
        for window in _WINDOWS:
            if window > self.steps:
                return 0
            now = self.recent[:window].sum(axis=0)
            if _differ(now, self.totals - now):
                return window
        return 0


def _differ(now: Floats, before: Floats) -> bool:
    """Whether the canary's share changed by the factor, or the baseline's, clearly beyond chance."""
    c, b, c0, b0 = (float(v) for v in (*now, *before))
    n, m = c + b, c0 + b0
    if n <= 0 or m <= 0 or not (_factor(c / n, c0 / m) >= FACTOR or _factor(b / n, b0 / m) >= FACTOR):
        return False
    return 0 < c + c0 < n + m and abs(share_change(c, n, c0, m)) >= BEYOND_CHANCE


def _factor(one: float, other: float) -> float:
    low, high = min(one, other), max(one, other)
    return math.inf if low <= 0 < high else high / low if low > 0 else 1.0
