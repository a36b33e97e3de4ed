"""The lower threshold that will do if the size of a canary is capped beforehand.

Guarantee: approximate, none by theorem. A healthy canary's evidence reaches the threshold with probability about alpha
before the declared size is reached. Past that size, or in products and averages of evidence, use 1 / alpha.
Input: the information at the declared size, see `horizon_threshold`.
Cost: 0.3 s; decided once per canary. Error: Brownian motion in the place of sums, a poorer one where events are few:
see the measured chances of `tests/sim/proportions.py`.
Source: recursive integration over looks, Armitage, McPherson and Rowe, JRSS A 1969, on geometric steps of information;
boundary moved by .583 steps between looks: Siegmund, Sequential Analysis 1985.
"""

from __future__ import annotations

import math

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.evidence import log_sum_exp

_GROWTH = 1.0 / 15.0
_FIRST = 0.05
_OVERSHOOT = 0.583
_Z: Floats = -7.0 + 0.08 * np.arange(176.0)


def horizon_threshold(information: float, look: float, alpha: float, grid: EffectGrid) -> float:
    """Evidence (not its logarithm) at which to roll back, at most 1 / alpha, for a canary capped at `information`.

    Input: `information`: n_c n_b / N * p (1 - p), summed over the blocks of the whole canary, > 0; `look`: that of one
    block, >= 0, 0 for a look at every trial; `alpha`, in (0, 1); `grid`: the effects that the evidence mixes over,
    `proportion_evidence.odds_ratio_grid`.
    """
    if not information > 0.0 or not look >= 0.0 or not 0.0 < alpha < 1.0:
        raise ValueError(f"need information > 0, look >= 0, 0 < alpha < 1, got {information}, {look}, {alpha}")
    times = _times(information, look)
    kernels = _kernels(times)
    unseen = np.concatenate([[0.0], np.sqrt(1.0 - times[:-1] / times[1:]) - np.sqrt(look / times[1:])])
    shift = _OVERSHOOT * np.maximum(unseen, 0.0)
    low, high = 0.0, -math.log(alpha)
    for _ in range(14):
        middle = (low + high) / 2.0
        crossed = _chance_to_cross(_boundary(times, middle, grid) - shift, kernels)
        low, high = (middle, high) if crossed > alpha else (low, middle)
    return math.exp(high)


def _times(information: float, look: float) -> Floats:
    """Looks by information: each one at first, then geometrically thinned."""
    times = [min(max(look, _FIRST), information)]
    while times[-1] < information:
        times.append(min(max(times[-1] + look, times[-1] * (1.0 + _GROWTH)), information))
    return np.array(times)


def _boundary(times: Floats, log_threshold: float, grid: EffectGrid) -> Floats:
    """The z at which the evidence at each time reaches the threshold, shape of `times`."""
    low, high = np.zeros_like(times), np.full_like(times, 60.0)
    effects = grid.effects * np.sqrt(times)[:, None]
    for _ in range(40):
        middle = (low + high) / 2.0
        reached = log_sum_exp(grid.log_weights + effects * middle[:, None] - effects**2 / 2.0) >= log_threshold
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    return high


def _kernels(times: Floats) -> list[Floats]:
    """How the density of z = W(t) / sqrt(t) moves on at each step of `times`."""
    width = float(_Z[1] - _Z[0])
    made: dict[float, Floats] = {}
    for ratio in (times[1:] / times[:-1]).round(9).tolist():
        if ratio not in made:
            memory, spread = math.sqrt(1.0 / ratio), math.sqrt(max(1.0 - 1.0 / ratio, width * width))
            density = np.exp(-0.5 * ((_Z[:, None] - memory * _Z) / spread) ** 2)
            made[ratio] = density * (width / (spread * math.sqrt(2.0 * math.pi)))
    return [made[ratio] for ratio in (times[1:] / times[:-1]).round(9).tolist()]


def _chance_to_cross(boundary: Floats, kernels: list[Floats]) -> float:
    """Chance that z crosses at one of the looks."""
    width = float(_Z[1] - _Z[0])
    # A cell that the boundary cuts keeps its share below it.
    below = np.clip((boundary[:, None] - _Z) / width + 0.5, 0.0, 1.0)
    density = np.exp(-0.5 * _Z**2) / math.sqrt(2.0 * math.pi) * below[0]
    for kernel, kept in zip(kernels, below[1:], strict=True):
        density = (kernel * density).sum(axis=-1) * kept
    return 1.0 - float(density.sum()) * width
