"""Rows whose features depend on each other, and changes of that dependence which few margins show."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.discriminator import Halves
from mlcanary.stats.placements import CRITICAL_DEVIATIONS, Placements
from mlcanary.stats.prequential import Prequential
from mlcanary.stats.rank_scores import Bins, score_table, scores_of

BINS, ROWS = 20, 2000

Change = Callable[[Floats, np.random.Generator], Floats]


class World(NamedTuple):
    """Gaussian features with uniform margins over `BINS` bins; `factor`: rows of its product are correlated."""

    factor: Floats
    change: Change | None = None
    healthy_before: int = 0


def pair(features: int, correlation: float) -> Floats:
    """Features 0 and 1 correlated, the others independent."""
    covariance = np.eye(features)
    covariance[0, 1] = covariance[1, 0] = correlation
    return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)


def dense(features: int, correlation: float) -> Floats:
    """Every two features equally correlated."""
    covariance = np.full((features, features), correlation) + (1 - correlation) * np.eye(features)
    return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)


def chain(features: int, correlation: float) -> Floats:
    """Each feature correlated with the next, so that a swap of two changes who is near to whom."""
    places = np.arange(features)
    return np.asarray(np.linalg.cholesky(correlation ** np.abs(places[:, None] - places)), dtype=np.float64)


def shuffled(x: Floats, rng: np.random.Generator) -> Floats:
    """Column 0 no longer belongs to its rows."""
    return np.column_stack([rng.permutation(x[:, 0]), x[:, 1:]])


def swapped(x: Floats, rng: np.random.Generator) -> Floats:
    """Columns 0 and 3 come under each other's name; their margins are alike."""
    return x[:, [3, 1, 2, 0, *range(4, x.shape[1])]]


def mirrored(x: Floats, rng: np.random.Generator) -> Floats:
    """Column 0 with its sign turned: the same margin, the opposite dependence."""
    return np.column_stack([-x[:, 0], x[:, 1:]])


def moved(x: Floats, rng: np.random.Generator) -> Floats:
    """Column 0 a fifth of a standard deviation higher: a margin shows it."""
    return np.column_stack([x[:, 0] + 0.2, x[:, 1:]])


def binned(x: Floats) -> Bins:
    """Bin numbers of standard normal values, bins of equal probability."""
    found: Bins = np.minimum((stats.norm.cdf(x) * BINS).astype(np.int32), BINS - 1)
    return found


def draw(world: World, sample: int, rng: np.random.Generator, rows: int = ROWS) -> tuple[float, float]:
    """AUC of `rows` rows, and its distance from 1/2 in standard errors."""
    features = len(world.factor)
    tables = [score_table(np.ones(BINS))] * features
    state = Prequential(Halves(*scores_of(binned(normal(world, sample, rng)), tables)), "")
    if world.healthy_before:
        state.take(*scores_of(binned(normal(world, world.healthy_before, rng)), tables))
    live = normal(world, rows, rng)
    live = live if world.change is None else world.change(live, rng)
    found = Placements.empty()
    found.update_many(state.take(*scores_of(binned(live), tables)).placements)
    auc, critical = found.auc(), found.critical(state.halves.rows)
    assert auc is not None
    assert critical is not None
    return auc, (auc - 0.5) * CRITICAL_DEVIATIONS / (critical - 0.5)


def normal(world: World, rows: int, rng: np.random.Generator) -> Floats:
    """Rows of a world, before binning."""
    values: Floats = rng.standard_normal((rows, len(world.factor))) @ world.factor.T
    return values
