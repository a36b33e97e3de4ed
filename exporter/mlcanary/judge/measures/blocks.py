"""Blocks: counts of both arms over the same time, closed by trials and by time, never by outcomes.

Guarantee: every count that is added is part of exactly one block, in order; when a block closes depends on how many
trials came and on when, so the evidence of the block stays an e-value. Small blocks cost nothing; one with an empty
arm would be lost, so it is carried over.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np

from mlcanary.stats.accumulator import Floats


@dataclass(slots=True)
class Pending:
    """Counts that no block has taken yet, of `width` columns. `since`: Unix seconds of the first; None: none.

    >>> pending = Pending(2)
    >>> pending.add(np.array([5.0, 1.0]), np.array([20.0, 2.0]), 0.0)
    >>> pending.closes(5.0, 20.0, 15.0, least=1.0, trials=20.0, seconds=60.0)
    True
    """

    width: InitVar[int]
    canary: Floats = field(init=False)
    baseline: Floats = field(init=False)
    since: float | None = field(init=False, default=None)

    def __post_init__(self, width: int) -> None:
        """Nothing waits."""
        self.canary, self.baseline = np.zeros(width), np.zeros(width)

    def add(self, canary: Floats, baseline: Floats, start: float) -> None:
        """Counts that came after `start`, Unix seconds."""
        self.canary = self.canary + canary
        self.baseline = self.baseline + baseline
        if self.since is None:
            self.since = start

    def closes(self, n_c: float, n_b: float, end: float, *, least: float, trials: float, seconds: float) -> bool:
        """Whether the trials of both arms make a block: `least` in each, and `trials` together or after `seconds`."""
        if min(n_c, n_b) < least or self.since is None:
            return False
        return n_c + n_b >= trials or end - self.since >= seconds

    def take(self) -> tuple[Floats, Floats]:
        """The block; nothing waits any more."""
        block = self.canary, self.baseline
        self.canary, self.baseline, self.since = np.zeros_like(block[0]), np.zeros_like(block[1]), None
        return block
