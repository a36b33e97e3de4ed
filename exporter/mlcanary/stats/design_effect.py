"""By how much events that come in clusters vary more than independent ones, from blocks of a comparison.

Guarantee: at least 1; 1 until 20 blocks have been seen. A lasting difference between the arms does not inflate it,
since only differences between successive blocks count.
Input: one standardised difference z per block, mean 0 and variance 1 if the events were independent, see `update`.
Cost: O(1) per block; 3 numbers.
Error: relative standard error about sqrt(3 / K) after K blocks; evidence divided by it is an e-process to second order.
Source: von Neumann's successive differences (Ann. Math. Stat. 1941); Kish, Survey Sampling 1965, for the design effect.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats

ENOUGH_BLOCKS = 20


@dataclass(slots=True)
class DesignEffect:
    """phi = max(1, sum (z_k - z_(k-1))^2 / (2 (K - 1))) over the K blocks so far, for every place of `shape`.

    >>> effect = DesignEffect()
    >>> for z in [3.0, -3.0] * 10:
    ...     effect.update(z)
    >>> float(effect.phi)
    18.0
    """

    shape: InitVar[tuple[int, ...]] = ()
    state: Floats = field(init=False)
    """Blocks, sum of squared differences, last z; shape (*shape, 3)."""

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """Nothing seen yet."""
        self.state = np.zeros((*shape, 3))

    def update(self, z: ArrayLike) -> None:
        """Add one block. Input: z of `shape`; NaN where the block says nothing (no event, or nothing but events)."""
        now = np.asarray(z, dtype=np.float64)
        blocks, squares, last = (self.state[..., i] for i in range(3))
        known = ~np.isnan(now)
        step = np.where(known & (blocks > 0), now - last, 0.0)
        self.state = np.stack([blocks + known, squares + step * step, np.where(known, now, last)], axis=-1)

    @property
    def phi(self) -> Floats:
        """The design effect, of `shape`."""
        blocks, squares = self.state[..., 0], self.state[..., 1]
        ratio = squares / (2.0 * np.maximum(blocks - 1.0, 1.0))
        return np.where(blocks >= ENOUGH_BLOCKS, np.maximum(ratio, 1.0), 1.0)
