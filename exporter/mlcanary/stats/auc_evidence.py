"""Evidence that the canary ranks worse: AUC from score bins, DeLong's variance, one difference per phase of a ramp.

Guarantee: for a canary whose AUC is not lower by more than the tolerance, exp(log_e) ever reaches 1 / alpha with chance
about alpha at most, also while the AUC of both arms drifts and the split changes from phase to phase. Asymptotic: a
phase counts once both arms have 50 positives and 50 negatives. Input: labelled scores per bin, arm and class, shape
(..., B), ascending, the same edges in both arms. Cost: O(B) per block and look. Error: none against the definition with
ties in a bin counted 1/2; what bins hide is bounded by `roc_auc`, and mostly the same in both arms. Source: DeLong,
DeLong and Clarke-Pearson 1988; inverse-variance pooling of phases; the mixture of Howard, Ramdas, McAuliffe and Sekhon,
Ann. Stat. 2021.
"""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.evidence import Estimate
from mlcanary.stats.gaussian_mixture import log_mixture
from mlcanary.stats.mean_evidence import deviations_at

GRID = EffectGrid.geometric(0.002, math.sqrt(2.0), 15, 0.03)
"""Differences of AUC: 0.002 to 0.26, mostly about 0.03."""

LEAST = 50
"""Positives, and negatives, of either arm from which a phase counts."""

CANARY_POSITIVES, CANARY_NEGATIVES, BASELINE_POSITIVES, BASELINE_NEGATIVES = range(4)
PRECISION, CANARY, BASELINE = range(3)


def auc_variance(positives: ArrayLike, negatives: ArrayLike) -> tuple[Floats, Floats]:
    """AUC and DeLong's variance of it from counts per bin, shape (..., B), ascending in score; NaN below 2 of a class.

    >>> auc, variance = auc_variance([1, 2], [2, 0])
    >>> round(float(auc), 12), round(float(variance), 12)
    (0.833333333333, 0.027777777778)
    """
    arm = _Placements.of(positives, negatives)
    with np.errstate(divide="ignore", invalid="ignore"):
        among_p = arm.scatter_p / (arm.positives * (arm.positives - 1.0))
        among_q = arm.scatter_q / (arm.negatives * (arm.negatives - 1.0))
    return arm.auc, among_p + among_q


@dataclass(frozen=True, slots=True)
class _Placements:
    """Where each class stands among the other: counts, AUC, and sums of squares of the placements about it."""

    positives: Floats
    negatives: Floats
    auc: Floats
    scatter_p: Floats
    scatter_q: Floats

    @classmethod
    def of(cls, positives: ArrayLike, negatives: ArrayLike) -> _Placements:
        p, q = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
        total_p, total_q = p.sum(axis=-1, keepdims=True), q.sum(axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            negatives_below = (np.cumsum(q, axis=-1) - q / 2) / total_q
            positives_above = 1.0 - (np.cumsum(p, axis=-1) - p / 2) / total_p
            auc = (p * negatives_below).sum(axis=-1, keepdims=True) / total_p
            scatter_p = (p * (negatives_below - auc) ** 2).sum(axis=-1)
            scatter_q = (q * (positives_above - auc) ** 2).sum(axis=-1)
        return cls(total_p[..., 0], total_q[..., 0], auc[..., 0], scatter_p, scatter_q)

    def variance_of_difference(self, other: _Placements) -> Floats:
        """DeLong's, or that with the placements of both arms together, whichever is larger.

        DeLong's own variance is small just when an arm's AUC comes out high, which makes a small canary look fit too
        often (measured: 0.053 against 0.028 ever promoted at a margin). Placements, not scores, are put together: the
        arms may score on different scales.
        """
        p, q, other_p, other_q = self.positives, self.negatives, other.positives, other.negatives
        apart = (
            self.scatter_p / (p * (p - 1.0))
            + self.scatter_q / (q * (q - 1.0))
            + other.scatter_p / (other_p * (other_p - 1.0))
            + other.scatter_q / (other_q * (other_q - 1.0))
        )
        together = (self.scatter_p + other.scatter_p) / (p + other_p - 2.0) * (1.0 / p + 1.0 / other_p)
        together = together + (self.scatter_q + other.scatter_q) / (q + other_q - 2.0) * (1.0 / q + 1.0 / other_q)
        larger: Floats = np.maximum(apart, together)
        return larger


@dataclass(slots=True)
class AUCEvidence:
    """Baseline AUC minus canary AUC, pooled over phases of constant traffic weight. `shape`: of a batch.

    Within a phase counts add up. Over a ramp they must not: the arms would hold different mixtures of hours.
    """

    bins: int
    tolerance: float = 0.0
    """What the canary's AUC may be lower by, >= 0."""
    margin: float | None = None
    """What it must not be lower by if it is to be promoted."""
    shape: InitVar[tuple[int, ...]] = ()
    phase: int | None = field(init=False, default=None)
    """Number of the running phase."""
    counts: Floats = field(init=False)
    """Of the running phase: arm and class, then batch, then bins."""
    closed: Floats = field(init=False)
    """Of closed phases: sums of 1 / v, AUC_c / v and AUC_b / v, then batch."""
    labelled: Floats = field(init=False)
    """Labelled trials of the canary and the baseline, then batch."""

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """No counts yet."""
        self.counts = np.zeros((4, *shape, self.bins))
        self.closed = np.zeros((3, *shape))
        self.labelled = np.zeros((2, *shape))

    def update(
        self,
        positives_c: ArrayLike,
        negatives_c: ArrayLike,
        positives_b: ArrayLike,
        negatives_b: ArrayLike,
        phase: int,
    ) -> None:
        """One block of counts per bin, shape (..., B), in the phase of this number; a new number closes the old one."""
        if phase != self.phase:
            self.closed += self._running()
            self.counts[:] = 0.0
            self.phase = phase
        for row, block in enumerate((positives_c, negatives_c, positives_b, negatives_b)):
            self.counts[row] += block
        self.labelled[0] += np.asarray(positives_c).sum(axis=-1) + np.asarray(negatives_c).sum(axis=-1)
        self.labelled[1] += np.asarray(positives_b).sum(axis=-1) + np.asarray(negatives_b).sum(axis=-1)

    @property
    def trials(self) -> tuple[Floats, Floats]:
        """Labelled trials of the canary and of the baseline, of all phases."""
        return self.labelled[0].copy(), self.labelled[1].copy()

    def log_e(self) -> Floats:
        """Against the null that the canary's AUC is not lower by more than the tolerance; 0 until a phase counts."""
        return _against(self._pooled(), self.tolerance, 1.0)

    def log_e_noninferior(self) -> Floats | None:
        """Against the null that it is lower by the margin or more; 0 until a phase counts, None without a margin."""
        if self.margin is None:
            return None
        pooled = self._pooled()
        return _against(pooled, self.margin, -1.0, self._null_variance(pooled, self.margin))

    def interval(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper end for the difference, at all looks at once; infinite until a phase counts."""
        return _interval(self._pooled(), confidence)

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """AUC of both arms, pooled over phases like their difference, and its interval. Of a batch of shape () only."""
        pooled = self._pooled()
        lower, upper = _interval(pooled, confidence)
        with np.errstate(divide="ignore", invalid="ignore"):
            canary, baseline = (float(pooled[arm] / pooled[PRECISION]) for arm in (CANARY, BASELINE))
        return Estimate(canary, baseline, baseline - canary, float(lower), float(upper))

    def _null_variance(self, pooled: Floats, shift: float) -> Floats:
        """The variance were the canary lower by `shift`, over the one found; at least 1.

        An AUC varies about as A (1 - A). A canary that comes out high by chance varies little, so that a margin which
        is not small beside 1 - AUC would be passed too easily.
        """
        known = pooled[PRECISION] > 0
        safe = np.where(known, pooled[PRECISION], 1.0)
        null = np.maximum(np.where(known, pooled[BASELINE] / safe, 1.0) - shift, 0.5)
        found = np.where(known, pooled[CANARY] / safe, 0.5)
        labelled = np.maximum(self.labelled, 1.0)
        ratio = null * (1.0 - null) / np.maximum(found * (1.0 - found), 1.0 / labelled[0])
        share = labelled[1] / (labelled[0] + labelled[1])
        inflation: Floats = 1.0 + share * np.maximum(ratio - 1.0, 0.0)
        return inflation

    def _pooled(self) -> Floats:
        return self.closed + self._running()

    def _running(self) -> Floats:
        """What the running phase adds to `closed`; 0 until it counts."""
        canary = _Placements.of(self.counts[CANARY_POSITIVES], self.counts[CANARY_NEGATIVES])
        baseline = _Placements.of(self.counts[BASELINE_POSITIVES], self.counts[BASELINE_NEGATIVES])
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = canary.variance_of_difference(baseline)
        # No variance: both arms rank perfectly, and how well that is known the counts do not say.
        enough = (self.counts.sum(axis=-1) >= LEAST).all(axis=0) & (variance > 0)
        safe = np.where(enough, variance, 1.0)
        return np.where(enough, np.stack((1.0 / safe, canary.auc / safe, baseline.auc / safe)), 0.0)


def _against(pooled: Floats, shift: float, sign: float, inflation: ArrayLike = 1.0) -> Floats:
    precision = pooled[PRECISION] / inflation
    score = sign * (pooled[BASELINE] - pooled[CANARY] - shift * pooled[PRECISION]) / inflation
    return np.where(precision > 0, log_mixture(GRID, score, precision), 0.0)


def _interval(pooled: Floats, confidence: float) -> tuple[Floats, Floats]:
    precision, known = pooled[PRECISION], pooled[PRECISION] > 0
    safe = np.where(known, precision, 1.0)
    half = np.where(known, deviations_at(precision, confidence, GRID), np.inf) / np.sqrt(safe)
    centre = (pooled[BASELINE] - pooled[CANARY]) / safe
    return centre - half, centre + half
