"""A ring of sub-windows of judged time: sums over about the newest half hour in constant memory. Pure."""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field

import numpy as np

from mlcanary.stats.accumulator import Floats


@dataclass(slots=True)
class SubWindows:
    """Which of `count` slots, each `seconds` long, a time belongs to. The sums themselves are with the owner.

    >>> ring = SubWindows(6, 300.0)
    >>> ring.turn(300.0), ring.turn(310.0), ring.turn(900.0)
    ((0, [0]), (1, [1]), (2, [2]))
    >>> ring.turn(2400.0)
    (1, [0, 1])
    """

    count: InitVar[int]
    seconds: float
    numbers: Floats = field(init=False)
    """Number of the sub-window in each slot, counted from 1970; -1 for none."""

    def __post_init__(self, count: int) -> None:
        """Nothing in any slot."""
        self.numbers = np.full(count, -1.0)

    def turn(self, end: float) -> tuple[int, list[int]]:
        """Slot of a step that ended at `end`, and the slots that must be emptied before it is added there.

        Times do not fall; one that does belongs to the newest sub-window.
        """
        count = self.numbers.size
        number = max(math.ceil(end / self.seconds) - 1, int(self.numbers.max()))
        slot = number % count
        old = (self.numbers >= 0) & (self.numbers <= number - count)
        if self.numbers[slot] != number:
            old[slot] = True
        self.numbers = np.where(old, -1.0, self.numbers)
        self.numbers[slot] = number
        return slot, [int(i) for i in np.flatnonzero(old)]
