"""A Gaussian score against a grid of effects: the mixture behind the evidence on means, AUC and buckets of users.

Guarantee: for a Brownian motion S with drift d per unit of information t, and the null d <= 0, exp(log_mixture) is an
e-process (a mixture of likelihood ratios over positive effects), so it ever reaches 1 / alpha with chance <= alpha.
Input: the score S (shape (...)), its information t >= 0 (same shape), a grid of positive effects. Cost: O(J) per
element. Error: rounding in the mixture; `boundary` to a few units in the last place. Statistics that are only
asymptotically Gaussian inherit the guarantee asymptotically. Source: Robbins 1970; Howard, Ramdas, McAuliffe and
Sekhon, Ann. Stat. 2021, section 3 (mixtures on the scale of intrinsic time), here with a discrete prior.
"""

from __future__ import annotations

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.evidence import log_sum_exp

NEWTON_STEPS = 8
"""At most; from the start below six settle all but the last bits."""


def log_mixture(grid: EffectGrid, score: Floats, information: Floats) -> Floats:
    """log sum_j w_j exp(d_j S - d_j^2 t / 2). `score` S and `information` t: shape (...).

    >>> one = EffectGrid(np.array([0.5]), np.array([0.0]))
    >>> float(log_mixture(one, np.array(10.0), np.array(8.0)))
    4.0
    """
    score, information = np.asarray(score)[..., None], np.asarray(information)[..., None]
    return log_sum_exp(grid.log_weights + (grid.effects * score - grid.effects**2 * information / 2))


def boundary(grid: EffectGrid, information: Floats, log_threshold: float) -> Floats:
    """The score at which the mixture reaches exp(`log_threshold`), by Newton's method; shape of `information`.

    >>> one = EffectGrid(np.array([0.5]), np.array([0.0]))
    >>> float(boundary(one, np.array(8.0), 4.0))
    10.0
    """
    information = np.asarray(information, dtype=np.float64)
    drift = grid.effects**2 * information[..., None] / 2
    # Here the largest single term reaches the threshold, so the mixture does. It is convex and rises with the score:
    # Newton's steps come down from there to the root and never pass it, but for rounding, which ends them. An element
    # that has ended stays, so that its bits are free of its neighbours.
    score: Floats = ((log_threshold - grid.log_weights + drift) / grid.effects).min(axis=-1)
    falling = np.ones(score.shape, dtype=np.bool_)
    for _ in range(NEWTON_STEPS):
        terms = grid.log_weights + (grid.effects * score[..., None] - drift)
        reached = log_sum_exp(terms)
        slope = (np.exp(terms - reached[..., None]) * grid.effects).sum(axis=-1)
        lower = score - (reached - log_threshold) / slope
        falling &= lower < score
        if not falling.any():
            break
        score = np.where(falling, lower, score)
    return score
