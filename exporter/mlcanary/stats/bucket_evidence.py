"""Evidence that the canary is worse where requests of one user are alike: users in G buckets by hash.

Guarantee: as `mean_evidence`, with whole users instead of requests as independent units, also while users stay with
their arm or move from one arm to the other in a ramp. Asymptotic in the number of buckets, so nothing is said before 20
blocks. Input: per block, arm and bucket the number of trials and the sum of values, shape (..., G), higher = worse,
a user always in the same bucket in both arms. Squares may be left out where values are 0 or 1: they are then the sums.
Cost: O(G) per block and look. Error: the variance has G - 1 degrees of freedom. Source: ratio estimator over
clusters (Cochran 1977, 6.3; Deng, Knoblich and Lu, KDD 2018) of block-wise Mantel-Haenszel differences.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.evidence import Estimate
from mlcanary.stats.gaussian_mixture import log_mixture
from mlcanary.stats.mean_evidence import GRID, LEAST, MeanEvidence, deviations_at, standardised

BLOCKS = 20
"""Blocks before users who come again show in the spread of the buckets."""


@dataclass(slots=True)
class BucketEvidence:
    """Canary mean minus baseline mean, by block, its variance from buckets. `shape`: of a batch, before the buckets.

    In each block every bucket adds to M what its trials contribute to h (mean_c - mean_b), deviations taken from the
    mean of both arms in that block: drift that both arms share cancels block by block, and the contributions of a user
    add up in one bucket over blocks and arms. M over H is then a ratio of two sums over buckets.
    """

    buckets: int
    tolerance: float = 0.0
    margin: float | None = None
    shape: InitVar[tuple[int, ...]] = ()
    blocks: Floats = field(init=False)
    means: MeanEvidence = field(init=False)
    """The same comparison with requests taken for independent."""
    score: Floats = field(init=False)
    """Share of each bucket in M, shape (..., G)."""
    weight: Floats = field(init=False)
    """Share of each bucket in H: what a shift of the canary by 1 adds to its score."""

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """All sums at zero."""
        self.blocks = np.zeros(shape)
        self.means = MeanEvidence(tolerance=self.tolerance, margin=self.margin, shape=shape)
        self.score = np.zeros((*shape, self.buckets))
        self.weight = np.zeros((*shape, self.buckets))

    def update(
        self,
        n_c: ArrayLike,
        sum_c: ArrayLike,
        n_b: ArrayLike,
        sum_b: ArrayLike,
        squares_c: ArrayLike | None = None,
        squares_b: ArrayLike | None = None,
    ) -> None:
        """One block: what it adds to each bucket, shape (..., G). Squares of either arm: summed over buckets or not."""
        trials_c, trials_b, values_c, values_b = (np.asarray(a, dtype=np.float64) for a in (n_c, n_b, sum_c, sum_b))
        total_c, total_b, all_c, all_b = (a.sum(axis=-1) for a in (trials_c, trials_b, values_c, values_b))
        self.means.update(
            total_c,
            all_c,
            all_c if squares_c is None else np.asarray(squares_c, dtype=np.float64).sum(axis=-1),
            total_b,
            all_b,
            all_b if squares_b is None else np.asarray(squares_b, dtype=np.float64).sum(axis=-1),
        )
        counts = (total_c >= LEAST) & (total_b >= LEAST)
        n_canary, n_baseline = np.where(counts, total_c, 1.0)[..., None], np.where(counts, total_b, 1.0)[..., None]
        n = n_canary + n_baseline
        mean = np.where(counts, all_c + all_b, 0.0)[..., None] / n
        score = (values_c - mean * trials_c) * n_baseline - (values_b - mean * trials_b) * n_canary
        weight = trials_c * n_baseline * n_baseline + trials_b * n_canary * n_canary
        self.score += np.where(counts[..., None], score / n, 0.0)
        self.weight += np.where(counts[..., None], weight / (n * n), 0.0)
        self.blocks += counts

    @property
    def trials(self) -> tuple[Floats, Floats]:
        """Trials of the canary and of the baseline."""
        return self.means.trials

    @property
    def design_effect(self) -> Floats:
        """Variance over buckets against that of independent requests; at least 1."""
        return self._design_effect(self._clustered())

    def log_e(self) -> Floats:
        """Against the null that the canary is not worse by more than the tolerance; 0 during the burn-in."""
        return self._against(self.tolerance, 1.0)

    def log_e_noninferior(self) -> Floats | None:
        """Against the null that it is worse by the margin or more; 0 during the burn-in, None without a margin."""
        return None if self.margin is None else self._against(self.margin, -1.0)

    def interval(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper end for the difference, at all looks at once; infinite during the burn-in."""
        clustered = self._clustered()
        deviations = deviations_at(self._information(clustered), confidence)
        lower, upper = self.means.bounds(deviations)
        with np.errstate(divide="ignore", invalid="ignore"):
            half = deviations * np.sqrt(clustered) / self.means.information
        centre, known = self._difference(), self._known()
        ends = np.minimum(lower, centre - half), np.maximum(upper, centre + half)
        return np.where(known, ends[0], -np.inf), np.where(known, ends[1], np.inf)

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """Means of both arms over all trials, the difference by block, its interval. Of a batch of shape () only."""
        return self.means.beside(self.interval(confidence))

    def _against(self, shift: float, sign: float) -> Floats:
        clustered = self._clustered()
        variance = np.maximum(self.means.variance(shift), clustered)
        deviations = sign * standardised(self.means.moment - shift * self.means.information, variance)
        information = self._information(clustered)
        return np.where(self._known(), log_mixture(GRID, deviations * np.sqrt(information), information), 0.0)

    def _known(self) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = (self.blocks >= BLOCKS) & self.means.known
        return known

    def _difference(self) -> Floats:
        some = self.means.information > 0
        return np.where(some, self.means.moment, 0.0) / np.where(some, self.means.information, 1.0)

    def _clustered(self) -> Floats:
        """Variance of M over buckets, about the ratio of its sums."""
        residual = self.score - self._difference()[..., None] * self.weight
        total: Floats = (residual * residual).sum(axis=-1)
        return total * (self.buckets / (self.buckets - 1))

    def _design_effect(self, clustered: Floats) -> Floats:
        independent = self.means.variance(self._difference())
        some = independent > 0
        return np.where(some, np.maximum(clustered, independent), 1.0) / np.where(some, independent, 1.0)

    def _information(self, clustered: Floats) -> Floats:
        """H less what users who come again do not add to it."""
        return self.means.information / self._design_effect(clustered)
