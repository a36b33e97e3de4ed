"""Grids of effects that an e-process mixes over, with half-Cauchy weights.

Guarantee: effects rise by the same factor, weights are positive and sum to 1. The weight of an effect d is proportional
to d / (1 + (d / scale)^2): on a geometric grid that is a half-Cauchy density, so that small and large effects are both
found with one untuned prior, and most weight lies about `scale`, the smallest effect worth acting on.
Input: see `geometric`. Cost: two arrays of J numbers. Error: none; an effect between two grid points costs at
most 4 % of the evidence on a grid whose factor is sqrt(2): (2^(1/4) - 1)^2.
Source: half-Cauchy scale prior, Gelman, Bayesian Analysis 2006; mixtures over a grid, Howard et al., Ann. Stat. 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlcanary.stats.accumulator import Floats


@dataclass(frozen=True, slots=True)
class EffectGrid:
    """`effects`, shape (J,), ascending and positive; `log_weights`, shape (J,), of weights that sum to 1."""

    effects: Floats
    log_weights: Floats

    @classmethod
    def geometric(cls, first: float, factor: float, count: int, scale: float) -> EffectGrid:
        """first, first * factor, ...: `count` effects; `scale` in the same unit.

        >>> grid = EffectGrid.geometric(0.04, 2.0, 8, 0.2)
        >>> round(float(grid.effects[-1]), 2), round(float(np.exp(grid.log_weights).sum()), 12)
        (5.12, 1.0)
        """
        effects = first * factor ** np.arange(count, dtype=np.float64)
        density = effects / (1.0 + (effects / scale) ** 2)
        return cls(effects, np.log(density / density.sum()))
