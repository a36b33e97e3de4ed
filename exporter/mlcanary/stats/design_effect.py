"""By how much events that come in clusters vary more than independent ones, from blocks of a comparison.

Guarantee: at least 1; before blocks have been seen, what is assumed. A lasting difference between the arms does not
inflate it, since only differences between successive blocks count. Tempered evidence is nowhere above the untempered:
what is exact for independent events stays so, however phi comes out.
Input: one standardised difference z per block, mean 0 and variance 1 if the events were independent, see `update`.
Cost: O(1) per block; 3 numbers.
Error: relative standard error about sqrt(3 / (K + 4)) after K blocks; with clusters, evidence divided by it is an
e-process to second order, later: if nothing was assumed, a few blocks may deceive it (`tests/sim/proportions.py`).
Source: von Neumann's successive differences (Ann. Math. Stat. 1941); Kish, Survey Sampling 1965, for the design effect.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.evidence import log_sum_exp

ASSUMED_BLOCKS = 4.0
"""The assumption counts as that many blocks: with fewer, chance would temper the evidence of the first minutes."""


@dataclass(slots=True)
class DesignEffect:
    """phi = max(1, (sum (z_k - z_(k-1))^2 / 2 + 4 assumed) / (K - 1 + 4)) over K blocks, for every place of `shape`.

    `assumed`: phi >= 1 as found in earlier canaries or when equal versions were compared; 1: independent events.

    >>> effect = DesignEffect()
    >>> for z in [3.0, -3.0] * 10:
    ...     effect.update(z)
    >>> round(float(effect.phi), 3)
    15.043
    """

    shape: InitVar[tuple[int, ...]] = ()
    assumed: float = 1.0
    state: Floats = field(init=False)
    """Blocks, sum of squared differences, last z; shape (*shape, 3)."""

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """Nothing seen yet. Raises ValueError if the assumption is below 1."""
        if not self.assumed >= 1.0:
            raise ValueError(f"a design effect is at least 1, {self.assumed} was assumed")
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
        pooled = (squares / 2.0 + ASSUMED_BLOCKS * self.assumed) / (np.maximum(blocks - 1.0, 0.0) + ASSUMED_BLOCKS)
        return np.maximum(pooled, 1.0)


def tempered(log_weights: Floats, log_ratios: Floats, phi: Floats) -> Floats:
    """log E of a mixture whose log likelihood ratios, shape (*S, J), are divided by phi, of shape S.

    Division lifts what is below 1: the smaller of divided and undivided keeps the expected value.
    """
    divided = log_sum_exp(log_weights + log_ratios / phi[..., None])
    return np.minimum(divided, log_sum_exp(log_weights + log_ratios))
