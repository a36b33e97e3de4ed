"""Bounds of a log odds ratio from sums of log M on a lattice: every null hypothesis is a table look-up.

Guarantee: the true log odds ratio is below `upper_bound` at every look at once, with the chance that belongs to the
threshold, as long as the sums are those of `hypergeometric.log_mgf` over the blocks.
Input: surplus events of the canary, and sums of log M at `NODES`, see `upper_bound`.
Cost: 1,400 interpolations per bound. Error: sixth-order interpolation, below 1e-7 of the information in the
log evidence; the bound is rounded outwards by at most .0001.
Source: confidence sequences as inverted e-processes: Howard et al., Ann. Stat. 2021; Lagrange interpolation.
"""

from __future__ import annotations

import math

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.evidence import log_sum_exp

STEP = 0.05
NODES: Floats = STEP * np.arange(-60.0, 61.0)
"""Log odds ratios -3 to 3."""

_STENCIL = 6
_PARTS: Floats = np.arange(17.0) / 16.0
_ROUNDS = 4


def upper_bound(surplus: Floats, cumulants: Floats, phi: Floats, grid: EffectGrid, threshold: float) -> Floats:
    """The least log odds ratio c for which the evidence against "at least c" has reached `threshold`; infinite if none.

    Input: `surplus`: events of the canary above its expected share, `phi`, of one shape S; `cumulants`, of shape
    (*S, 121): sums of log M at `NODES`, of the surplus as well (that is, less theta times the expected share).
    Evidence rises with c since log M is convex, so there is one such bound.
    """
    shape = (*surplus.shape, 1)
    low, high = np.full(shape, NODES[0]), np.full(shape, NODES[-1])
    bound = np.full(surplus.shape, np.inf)
    for _ in range(_ROUNDS):
        candidates = low + (high - low) * _PARTS
        reached = _against_at_least(candidates, surplus, cumulants, phi, grid) >= threshold
        first = reached.argmax(axis=-1)[..., None]
        high = np.take_along_axis(candidates, first, axis=-1)
        low = np.take_along_axis(candidates, np.maximum(first - 1, 0), axis=-1)
        bound = np.where(reached.any(axis=-1), high[..., 0], bound)
    return bound


def _against_at_least(c: Floats, surplus: Floats, cumulants: Floats, phi: Floats, grid: EffectGrid) -> Floats:
    """Log evidence against a log odds ratio of at least c, for c of shape (*S, C). Tilts off it are left out."""
    points = c[..., None] - grid.effects
    at_c = interpolated(cumulants, c)
    at_points = interpolated(cumulants, points.reshape(*c.shape[:-1], -1)).reshape(points.shape)
    gain = -grid.effects * surplus[..., None, None] - (at_points - at_c[..., None])
    inside = points >= NODES[0] - STEP / 1e6
    return log_sum_exp(np.where(inside, grid.log_weights + gain / phi[..., None, None], -np.inf))


def interpolated(values: Floats, points: Floats) -> Floats:
    """Values at `points`, shape (*S, P), from those at `NODES`, shape (*S, 121); points outside: those of the border.

    >>> float(interpolated(NODES**5, np.array([0.123])).round(12)[0]) == round(0.123**5, 12)
    True
    """
    place = np.minimum(np.maximum((points - NODES[0]) / STEP, 0.0), NODES.size - 1.0)
    first = np.minimum(np.maximum(np.floor(place) - (_STENCIL // 2 - 1), 0.0), float(NODES.size - _STENCIL))
    along, index = place - first, first.astype(np.intp)
    offsets = [along - i for i in range(_STENCIL)]
    # Lagrange's weight of node i: the product of all other offsets, those before times those after it.
    before: list[Floats] = [np.ones_like(along)]
    after: list[Floats] = [np.ones_like(along)]
    for i in range(_STENCIL - 1):
        before.append(before[-1] * offsets[i])
        after.append(after[-1] * offsets[-1 - i])
    result: Floats = np.zeros_like(place)
    for i in range(_STENCIL):
        scale = math.factorial(i) * math.factorial(_STENCIL - 1 - i) * (-1) ** (_STENCIL - 1 - i)
        result += before[i] * after[-1 - i] / scale * np.take_along_axis(values, index + i, axis=-1)
    return result
