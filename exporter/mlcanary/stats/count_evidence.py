"""E1-P: evidence that a canary has more events than its share of the traffic explains, from counts without trials.

Guarantee: while events come at most exp(tolerance) times as often per unit of traffic at the canary as at the baseline,
exp(log_e) reaches 1 / alpha with probability at most alpha, EVER: for any rate, however it changes for both arms.
Input: per block the events of both arms and the canary's share of the traffic, see `CountEvidence`.
Cost: O(20) per block. Error: rounding only; exact for Poisson events, to second order for clustered ones (phi > 1).
Source: given their total, Poisson counts are binomial; Lindon and Malek, NeurIPS 2022, arXiv 2011.03567.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.design_effect import DesignEffect, tempered
from mlcanary.stats.proportion_evidence import odds_ratio_grid


@dataclass(slots=True)
class CountEvidence:
    """Evidence from blocks of two arms. `shape`: that many comparisons side by side, with the same settings.

    `mde`: log rate ratio of the smallest effect worth acting on; `tolerance`: log rate ratio >= 0 that is no worse;
    `assumed_phi`: design effect >= 1 assumed before blocks tell it, see `DesignEffect`.

    >>> evidence = CountEvidence()
    >>> for _ in range(40):
    ...     evidence.update(x_c=10, x_b=50, share=0.1)
    >>> bool(evidence.log_e() > np.log(1 / 0.01))
    True
    """

    mde: float = 0.2
    tolerance: float = 0.0
    assumed_phi: float = 1.0
    shape: InitVar[tuple[int, ...]] = ()
    totals: Floats = field(init=False)
    """Events of canary and baseline, events the canary's share explains, blocks; shape (*shape, 4)."""
    worse: Floats = field(init=False)
    """Log likelihood ratio of each tilt against the tolerance; shape (*shape, 19)."""
    dependence: DesignEffect = field(init=False)

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """Nothing seen yet. Raises ValueError if a setting is out of range."""
        if not self.mde > 0.0 or not self.tolerance >= 0.0:
            raise ValueError(f"need mde > 0 and tolerance >= 0, got {self.mde} and {self.tolerance}")
        self.totals = np.zeros((*shape, 4))
        self.worse = np.zeros((*shape, odds_ratio_grid(self.mde).effects.size))
        self.dependence = DesignEffect(shape, self.assumed_phi)

    def update(self, x_c: ArrayLike, x_b: ArrayLike, share: ArrayLike) -> None:
        """Add one block: `x_c` and `x_b` events, `share` of the traffic at the canary, in (0, 1); each of `shape`.

        A block without share on one side changes nothing.
        """
        canary, baseline, weight = (
            np.broadcast_to(np.asarray(v, dtype=np.float64), self.totals.shape[:-1]) for v in (x_c, x_b, share)
        )
        open_ = (weight > 0) & (weight < 1)
        total = np.where(open_, canary + baseline, 0.0)
        events = np.where(open_, canary, 0.0)
        w = np.where(open_, weight, 0.5)
        tilts = odds_ratio_grid(self.mde).effects
        at_tolerance = np.log1p(w * np.expm1(self.tolerance))[..., None]
        growth = np.log1p(w[..., None] * np.expm1(self.tolerance + tilts)) - at_tolerance
        self.worse = self.worse + (tilts * events[..., None] - total[..., None] * growth)
        explained = total * w
        seen = open_.astype(np.float64)
        self.totals = self.totals + np.stack([events, total - events, explained, seen], axis=-1)
        known = total > 0
        z = (events - explained) / np.sqrt(np.where(known, explained * (1.0 - w), 1.0))
        self.dependence.update(np.where(known, z, np.nan))

    def log_e(self) -> Floats:
        """Log evidence that the canary has more events than tolerated; of `shape`. Rollback at log(1 / alpha)."""
        return tempered(odds_ratio_grid(self.mde).log_weights, self.worse, self.phi)

    @property
    def phi(self) -> Floats:
        """Design effect by which the log likelihood ratios are divided; of `shape`."""
        return self.dependence.phi
