"""What one test needs whose size is fixed beforehand, and which knows what it looks for: the optimum beside the judge.

Requests of the canary, with as many of the baseline, for a power of 80 %; one-sided but for Kolmogorov-Smirnov. Moments
are those of the models of traffic in `judge_arms`, by their quantiles, without noise.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit, kolmogi, ndtr, ndtri
from scipy.stats import norm

from judge_arms import Arm
from mlcanary.stats.accumulator import Floats

POWER = 0.8
_NORMAL: Floats = ndtri((np.arange(20_000) + 0.5) / 20_000)


def factor(alpha: float) -> float:
    """Sum of the variances of both arms over squared effect is multiplied by this."""
    return float(norm.isf(alpha) + norm.ppf(POWER)) ** 2


def of_two_shares(one: float, other: float, alpha: float) -> float:
    """The z-test of two shares."""
    return factor(alpha) * (one * (1 - one) + other * (1 - other)) / (one - other) ** 2


def of_log_loss(one: Arm, other: Arm, alpha: float) -> float:
    """The t-test of two means."""
    (mean, variance), (mean_0, variance_0) = _losses(one), _losses(other)
    return factor(alpha) * (variance + variance_0) / (mean - mean_0) ** 2 / one.labelled


def of_auc(one: Arm, other: Arm, alpha: float) -> float:
    """DeLong's test."""
    noise = _auc_noise(one) + _auc_noise(other)
    return factor(alpha) * noise / (auc(one) - auc(other)) ** 2 / one.labelled


def auc(arm: Arm) -> float:
    """Area under the ROC curve."""
    return float(ndtr(arm.separation / math.sqrt(2)))


def of_shift(sd: float, alpha: float, runs: int, rng: np.random.Generator) -> float:
    """The two-sample Kolmogorov-Smirnov test of normal values that are shifted, by simulation and bisection."""
    edges = _NORMAL[99::100]
    shares = [np.diff(ndtr(edges - by), prepend=0.0, append=1.0) for by in (0.0, sd)]
    low, high = 8, 1_000_000
    while high > 1.01 * low + 1:
        n = round(math.sqrt(low * high))
        one, other = (rng.multinomial(n, share, runs).cumsum(axis=-1) / n for share in shares)
        found = np.abs(one - other).max(axis=-1) > kolmogi(alpha) * math.sqrt(2 / n)
        low, high = (low, n) if found.mean() >= POWER else (n, high)
    return float(high)


def _losses(arm: Arm) -> tuple[float, float]:
    """Mean and variance of the log loss of a labelled request."""
    moments = np.zeros(2)
    for positive, share in ((True, arm.positive), (False, 1 - arm.positive)):
        scores = _NORMAL + arm.separation * positive
        probability = np.clip(expit(arm.sharpness * (math.log(0.25) + 1.2 * (scores - 0.6))), 1e-7, 1 - 1e-7)
        losses = -np.log(probability if positive else 1 - probability)
        moments += share * np.array([losses.mean(), (losses**2).mean()])
    return float(moments[0]), float(moments[1] - moments[0] ** 2)


def _auc_noise(arm: Arm) -> float:
    """Variance of the AUC of one labelled request, as DeLong has it."""
    of_positives = ndtr(_NORMAL + arm.separation).var() / arm.positive
    return float(of_positives + ndtr(arm.separation - _NORMAL).var() / (1 - arm.positive))
