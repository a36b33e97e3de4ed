"""By how much events that come in clusters vary more than independent ones, from blocks of a comparison.

Guarantee: at least 1; before blocks have been seen, what is assumed. A lasting difference between the arms does not
inflate it, since only differences between successive blocks count; nor does the moment at which one begins, be it at a
border of blocks or inside of one, since the two largest of these are left out. Tempered evidence is nowhere above the
untempered: what is exact for independent events stays so, however phi comes out.
Input: one standardised difference z per block, mean 0 and variance 1 if the events were independent, see `update`.
Cost: O(1) per block; 5 numbers.
Error: relative standard error about sqrt(3 / (K + 3)) after K blocks; with clusters, evidence divided by it is an
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

_TAIL = 1.66
"""Of n squared standard normal variables the largest is about 1.66 log(n + 1) on average, the next 1.66 log(n / 2)."""


@dataclass(slots=True)
class DesignEffect:
    """phi = 1 + w (r (1 + s c) - 1) for every place of `shape`, r = (sum (z_k - z_(k-1))^2 / 2 + 4 assumed) / (n + 4),
    s = sqrt(3 / (n + 4)) its relative standard error, w = (r - 1) / s and c = (r - 1) / s - 1, both within 0 and 1.

    The sum is over K blocks without its two largest terms, and n is K - 1 less what these are on average if all are
    alike. As long as r may well be 1 it hardly counts, and once it is clearly more, its upper bound does.
    `assumed`: phi >= 1 as found in earlier canaries or when equal versions were compared; 1: independent events.

    >>> effect = DesignEffect()
    >>> for z in [3.0, -3.0] * 10:
    ...     effect.update(z)
    >>> round(float(effect.phi), 2)
    31.63
    """

    shape: InitVar[tuple[int, ...]] = ()
    assumed: float = 1.0
    state: Floats = field(init=False)
    """Blocks, sum of squared differences, last z, the largest square and the next; shape (*shape, 5)."""

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """Nothing seen yet. Raises ValueError if the assumption is below 1."""
        if not self.assumed >= 1.0:
            raise ValueError(f"a design effect is at least 1, {self.assumed} was assumed")
        self.state = np.zeros((*shape, 5))

    def update(self, z: ArrayLike) -> None:
        """Add one block. Input: z of `shape`; NaN where the block says nothing (no event, or nothing but events)."""
        now = np.asarray(z, dtype=np.float64)
        blocks, squares, last, first, second = (self.state[..., i] for i in range(5))
        known = ~np.isnan(now)
        step = np.where(known & (blocks > 0), now - last, 0.0)
        square = step * step
        kept = [blocks + known, squares + square, np.where(known, now, last)]
        largest = [np.maximum(first, square), np.maximum(second, np.minimum(first, square))]
        self.state = np.stack([*kept, *largest], axis=-1)

    @property
    def phi(self) -> Floats:
        """The design effect, of `shape`."""
        return design_effects(self.state, self.assumed)


def design_effects(state: Floats, assumed: ArrayLike) -> Floats:
    """`phi` of states of shape (*S, 5), each with its assumption; of shape S."""
    blocks, squares, _, first, second = (state[..., i] for i in range(5))
    steps = np.maximum(blocks - 1.0, 0.0)
    left_out = _TAIL * (np.log(steps + 1.0) + np.log(np.maximum(steps / 2.0, 1.0)))
    weight = np.maximum(steps - left_out, 0.0) + ASSUMED_BLOCKS
    rest = np.maximum(squares - first - second, 0.0)
    ratio = (rest / 2.0 + ASSUMED_BLOCKS * np.asarray(assumed)) / weight
    error = np.sqrt(3.0 / weight)
    errors_above = np.maximum((ratio - 1.0) / error, 0.0)
    clearly = np.minimum(np.maximum(errors_above - 1.0, 0.0), 1.0)
    return 1.0 + np.minimum(errors_above, 1.0) * (ratio * (1.0 + error * clearly) - 1.0)


def tempered(log_weights: Floats, log_ratios: Floats, phi: Floats) -> Floats:
    """log E of a mixture whose log likelihood ratios, shape (*S, J), are divided by phi, of shape S.

    Division lifts what is below 1: the smaller of divided and undivided keeps the expected value.
    """
    divided = log_sum_exp(log_weights + log_ratios / phi[..., None])
    return np.minimum(divided, log_sum_exp(log_weights + log_ratios))
