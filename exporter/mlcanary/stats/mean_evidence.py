"""Evidence that the canary's mean is worse, block by block: log loss, latency, money per request.

Guarantee: for a canary that is not worse by more than the tolerance, exp(log_e) ever reaches 1 / alpha with chance
about alpha at most, whatever drifts for both arms and however the traffic is split from block to block. Asymptotic:
each arm's mean is taken for Gaussian, so nothing is said before 200 trials of each. Likewise `log_e_noninferior` for a
canary that is worse by the margin or more. Input: per block and arm the number of trials, the sum and the sum of
squares of finite values, higher = worse, about one fixed centre (else the squares cancel). Cost: O(1) per block, O(18)
per look. Error: rounding. Source: Mantel-Haenszel weights h = n_c n_b / N; mixture of Howard, Ramdas, McAuliffe and
Sekhon, Ann. Stat. 2021; variances estimated: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Ann. Stat. 2024.
"""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.evidence import Estimate
from mlcanary.stats.gaussian_mixture import boundary, log_mixture

GRID = EffectGrid.geometric(0.005, math.sqrt(2.0), 18, 0.1)
"""Standardised effects, difference of means over the deviation of one trial: 0.005 to 1.8, mostly about 0.1."""

BURN_IN = 200
"""Trials of each arm before the mean of a skewed value may be taken for Gaussian."""

LEAST = 2
"""Trials per arm from which a block has a variance."""


@dataclass(slots=True)
class MeanEvidence:
    """Canary mean minus baseline mean, stratified by block. `shape`: of a batch of independent comparisons.

    Two variances are kept and the larger one counts. That of a permutation within blocks is right if the arms are
    alike but for a shift; that of Welch if only the means agree. With a small canary and skewed values each alone
    fails.
    """

    tolerance: float = 0.0
    """What the canary may be worse by, in the unit of the measure, >= 0."""
    margin: float | None = None
    """What it must not be worse by if it is to be promoted, in the unit of the measure."""
    shape: InitVar[tuple[int, ...]] = ()
    trials_c: Floats = field(init=False)
    trials_b: Floats = field(init=False)
    sum_c: Floats = field(init=False)
    sum_b: Floats = field(init=False)
    moment: Floats = field(init=False)
    """M = sum of h (mean_c - mean_b)."""
    information: Floats = field(init=False)
    """H = sum of h."""
    spread: Floats = field(init=False)
    """Permutation variance of M; with the next two fields that of M - delta H after the canary is shifted by -delta."""
    spread_slope: Floats = field(init=False)
    spread_curve: Floats = field(init=False)
    welch: Floats = field(init=False)
    """Welch's variance of M, the same for every shift."""

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """All sums at zero."""
        self.trials_c, self.trials_b = np.zeros(shape), np.zeros(shape)
        self.sum_c, self.sum_b = np.zeros(shape), np.zeros(shape)
        self.moment, self.information = np.zeros(shape), np.zeros(shape)
        self.spread, self.spread_slope, self.spread_curve = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.welch = np.zeros(shape)

    def update(
        self,
        n_c: ArrayLike,
        sum_c: ArrayLike,
        squares_c: ArrayLike,
        n_b: ArrayLike,
        sum_b: ArrayLike,
        squares_b: ArrayLike,
    ) -> None:
        """One block of either arm, of the batch's shape. Fewer than 2 trials in an arm: no change (carry them over)."""
        canary, baseline = _Arm.of(n_c, sum_c, squares_c), _Arm.of(n_b, sum_b, squares_b)
        counts = (canary.n >= LEAST) & (baseline.n >= LEAST)
        canary, baseline = canary.where(counts), baseline.where(counts)
        total = canary.n + baseline.n
        weight = canary.n * baseline.n / total
        difference = canary.mean - baseline.mean
        ratio = weight / (total - 1.0)
        within = canary.scatter + baseline.scatter
        welch = weight * weight * (canary.variance_of_mean + baseline.variance_of_mean)
        self.trials_c += np.where(counts, canary.n, 0.0)
        self.trials_b += np.where(counts, baseline.n, 0.0)
        self.sum_c += np.where(counts, canary.sum, 0.0)
        self.sum_b += np.where(counts, baseline.sum, 0.0)
        self.moment += np.where(counts, weight * difference, 0.0)
        self.information += np.where(counts, weight, 0.0)
        # The scatter of both arms together is within + weight difference^2; shifted, (difference - delta)^2.
        self.spread += np.where(counts, ratio * (within + weight * difference * difference), 0.0)
        self.spread_slope += np.where(counts, ratio * weight * difference, 0.0)
        self.spread_curve += np.where(counts, ratio * weight, 0.0)
        self.welch += np.where(counts, welch, 0.0)

    @property
    def trials(self) -> tuple[Floats, Floats]:
        """Trials of the canary and of the baseline."""
        return self.trials_c.copy(), self.trials_b.copy()

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the burn-in is over."""
        return (self.trials_c >= BURN_IN) & (self.trials_b >= BURN_IN)

    def variance(self, shift: float | Floats = 0.0) -> Floats:
        """Of M - shift H under the null that the canary is worse by `shift`: the larger of permutation and Welch.

        The permutation's variance is that of canary values less the shift: the null makes those exchangeable with the
        baseline's. Left about zero it would hold the shift itself and test every margin too timidly.
        """
        deviation = self.moment - shift * self.information
        permutation = self.spread + (shift * self.spread_curve - 2.0 * self.spread_slope) * shift
        # Cauchy-Schwarz; only rounding can get below.
        least = deviation * deviation / np.maximum(self.trials_c + self.trials_b, 1.0)
        larger: Floats = np.maximum(np.maximum(permutation, least), self.welch)
        return larger

    def log_e(self) -> Floats:
        """Against the null that the canary is not worse by more than the tolerance; 0 during the burn-in."""
        return self._against(self.tolerance, 1.0)

    def log_e_noninferior(self) -> Floats | None:
        """Against the null that it is worse by the margin or more; 0 during the burn-in, None without a margin."""
        return None if self.margin is None else self._against(self.margin, -1.0)

    def _against(self, shift: float, sign: float) -> Floats:
        deviations = sign * standardised(self.moment - shift * self.information, self.variance(shift))
        found = log_mixture(GRID, deviations * np.sqrt(self.information), self.information)
        return np.where(self.known, found, 0.0)

    def interval(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper end for the difference, at all looks at once; infinite during the burn-in.

        The shifts that neither direction's evidence rejects at (1 - confidence) / 2. So a rollback at alpha shows an
        interval of confidence 1 - 2 alpha or less that lies above the tolerance.
        """
        lower, upper = self.bounds(deviations_at(self.information, confidence))
        return np.where(self.known, lower, -np.inf), np.where(self.known, upper, np.inf)

    def bounds(self, deviations: Floats) -> tuple[Floats, Floats]:
        """The shifts delta with |M - delta H| <= `deviations` times the root of `variance(delta)`; ends of that set."""
        with np.errstate(divide="ignore", invalid="ignore"):
            square = deviations * deviations
            curve = self.information * self.information - square * self.spread_curve
            slope = self.moment * self.information - square * self.spread_slope
            level = self.moment * self.moment - square * self.spread
            root = np.sqrt(np.maximum(slope * slope - curve * level, 0.0))
            centre, half = self.moment / self.information, deviations * np.sqrt(self.welch) / self.information
            lower = np.minimum((slope - root) / curve, centre - half)
            upper = np.maximum((slope + root) / curve, centre + half)
        bounded = curve > 0
        return np.where(bounded, lower, -np.inf), np.where(bounded, upper, np.inf)

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """Means of both arms over all trials, the difference by block, its interval. Of a batch of shape () only."""
        return self.beside(self.interval(confidence))

    def beside(self, ends: tuple[Floats, Floats]) -> Estimate:
        """The estimate with the ends of an interval found elsewhere. Of a batch of shape () only."""
        with np.errstate(divide="ignore", invalid="ignore"):
            canary, baseline = self.sum_c / self.trials_c, self.sum_b / self.trials_b
            difference = self.moment / self.information
        return Estimate(float(canary), float(baseline), float(difference), float(ends[0]), float(ends[1]))


def as_share(total: ArrayLike, squares: ArrayLike, ratio: float) -> tuple[Floats, Floats]:
    """Sum and sum of squares, about zero, of the canary's values over `ratio`: for a margin as a share of the mean.

    With these, evidence for promotion at a margin of 0 is against the null that the canary's mean is `ratio` times the
    baseline's or worse. Hazard: for values that are few and large, with a margin of 30 % or more, use this and not a
    margin in their unit: there skewness does not cancel, since an arm's variance is small just when its mean is.
    """
    return np.asarray(total, dtype=np.float64) / ratio, np.asarray(squares, dtype=np.float64) / (ratio * ratio)


def standardised(deviation: Floats, variance: Floats) -> Floats:
    """Deviation over its standard error; 0 where there is no variance, since then nothing is known."""
    some = variance > 0
    return np.where(some, deviation, 0.0) / np.sqrt(np.where(some, variance, 1.0))


def deviations_at(information: Floats, confidence: float, grid: EffectGrid = GRID) -> Floats:
    """Standard errors to each side of an interval that holds at all looks; infinite without information."""
    safe = np.where(information > 0, information, 1.0)
    found = boundary(grid, safe, math.log(2.0 / (1.0 - confidence))) / np.sqrt(safe)
    return np.where(information > 0, found, np.inf)


@dataclass(frozen=True, slots=True)
class _Arm:
    """One arm in one block."""

    n: Floats
    sum: Floats
    squares: Floats

    @classmethod
    def of(cls, n: ArrayLike, total: ArrayLike, squares: ArrayLike) -> _Arm:
        return cls(*(np.asarray(value, dtype=np.float64) for value in (n, total, squares)))

    def where(self, counts: ArrayLike) -> _Arm:
        """The same, and two trials of zero where the block does not count."""
        return _Arm(np.where(counts, self.n, 2.0), np.where(counts, self.sum, 0.0), np.where(counts, self.squares, 0.0))

    @property
    def mean(self) -> Floats:
        return self.sum / self.n

    @property
    def scatter(self) -> Floats:
        """Sum of squares about the mean; rounding must not make it negative."""
        return np.maximum(self.squares - self.sum * self.sum / self.n, 0.0)

    @property
    def variance_of_mean(self) -> Floats:
        return self.scatter / (self.n * (self.n - 1.0))
