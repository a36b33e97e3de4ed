"""Bounds of a log odds ratio from sums of log M on a lattice: every null hypothesis is a table look-up.

Guarantee: the true log odds ratio is above the lower and below the upper of the `bounds`, each at every look at once,
with the chance that belongs to the threshold, as long as the sums are those of `hypergeometric.log_mgf` over blocks.
Input: surplus events of the canary, and sums of log M at `NODES`, see `bounds`.
Cost: 520 interpolations per bound. Error: sixth-order interpolation, below 1e-7 of the information in the
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
_PARTS: Floats = np.arange(1.0, 4.0) / 4.0
_ROUNDS = 8


def bounds(
    surplus: Floats, cumulants: Floats, phi: Floats, grid: EffectGrid, threshold: float
) -> tuple[Floats, Floats]:
    """The largest log odds ratio c for which the evidence against "at most c" has reached `threshold`, and the least
    for which that against "at least c" has; infinite if none.

    Input: `surplus`: events of the canary above its expected share, `phi`, of one shape S; `cumulants`, of shape
    (*S, 121): sums of log M at `NODES`, of the surplus as well (that is, less theta times the expected share).
    """
    # The lower bound is the upper one of the mirrored law: the law of -X.
    both = np.stack([-surplus, surplus]), np.stack([cumulants[..., ::-1], cumulants]), np.stack([phi, phi])
    mirrored, upper = _upper_bound(*both, grid, threshold)
    return -mirrored, upper


def _upper_bound(surplus: Floats, cumulants: Floats, phi: Floats, grid: EffectGrid, threshold: float) -> Floats:
    """By quarters. Evidence against "at least c" rises with c, since log M is convex: there is one such bound."""
    shape = (*surplus.shape, 1)
    low, high = np.full(shape, NODES[0]), np.full(shape, NODES[-1])
    ends = _against_at_least(np.concatenate([low, high], axis=-1), surplus, cumulants, phi, grid) >= threshold
    known = ends[..., 1]
    high = np.where(ends[..., :1], low, high)
    for _ in range(_ROUNDS):
        inner = low + (high - low) * _PARTS
        reached = _against_at_least(inner, surplus, cumulants, phi, grid) >= threshold
        candidates = np.concatenate([low, inner, high], axis=-1)
        # The first that is reached, else the end, which is known to be.
        first = np.where(reached.any(axis=-1), reached.argmax(axis=-1), _PARTS.size)[..., None] + 1
        low, high = (np.take_along_axis(candidates, place, axis=-1) for place in (first - 1, first))
    return np.where(known, high[..., 0], np.inf)


def _against_at_least(c: Floats, surplus: Floats, cumulants: Floats, phi: Floats, grid: EffectGrid) -> Floats:
    """Log evidence against a log odds ratio of at least c, for c of shape (*S, C). Tilts off it are left out."""
    points = c[..., None] - np.append(0.0, grid.effects)
    at = interpolated(cumulants, points.reshape(*c.shape[:-1], -1)).reshape(points.shape)
    gain = -grid.effects * surplus[..., None, None] - (at[..., 1:] - at[..., :1])
    inside = points[..., 1:] >= NODES[0] - STEP / 1e6
    return log_sum_exp(np.where(inside, grid.log_weights + gain / phi[..., None, None], -np.inf))


def interpolated(values: Floats, points: Floats) -> Floats:
    """Values at `points`, shape (*S, P), from those at `NODES`, shape (*S, 121); points outside: those of the border.

    >>> float(interpolated(NODES**5, np.array([0.123])).round(12)[0]) == round(0.123**5, 12)
    True
    """
    place = np.minimum(np.maximum((points - NODES[0]) / STEP, 0.0), NODES.size - 1.0)
    first = np.minimum(np.maximum(np.floor(place) - (_STENCIL // 2 - 1), 0.0), float(NODES.size - _STENCIL))
    along = place - first
    rows = np.arange(values.size // NODES.size, dtype=np.intp).reshape(*values.shape[:-1], 1)
    index, flat = first.astype(np.intp) + rows * NODES.size, values.ravel()
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
        result += before[i] * after[-1 - i] / scale * flat[index + i]
    return result
