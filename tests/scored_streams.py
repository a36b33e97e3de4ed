"""Streams of scored, labelled predictions over seven replicas, and how far AUC from counters is from the exact one.

Three segments differ in their base rate and in the level of their scores; each replica serves another mix of them, as
with sticky routing. The reference profile is another draw from the same model.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import Reference, numeric_reference
from mlcanary.stats.bin_edges import quantile_edges
from mlcanary.stats.roc_auc import ScoreBins

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

ROWS, REPLICAS = 20_000, 7
BASE_RATES = (0.001, 0.01, 0.2)
_LEVELS, _RATES = np.array([-1.0, 0.0, 1.0]), np.array([0.3, 1.0, 2.0])


class Stream(NamedTuple):
    """Scores, whether positive, and the replica that served each, shape (ROWS,)."""

    score: Floats
    positive: Bools
    replica: Ints


class Reading(NamedTuple):
    """AUC of one stream: exact, from the counters with its bound, and the mean of the AUCs of the replicas."""

    exact: float
    counted: float
    bound: float
    mean_of_replicas: float

    @property
    def error(self) -> float:
        """Distance of the counted from the exact AUC."""
        return abs(self.counted - self.exact)


def stream(rng: np.random.Generator, base_rate: float) -> Stream:
    """One stream with at least one row of each class."""
    mixes = rng.dirichlet(np.full(3, 0.5), REPLICAS)
    replica = rng.integers(0, REPLICAS, ROWS)
    segment = (rng.random((ROWS, 1)) > np.cumsum(mixes, axis=1)[replica][:, :2]).sum(axis=1)
    positive = rng.random(ROWS) < base_rate * _RATES[segment]
    positive[rng.integers(ROWS)] = True
    centre = np.log(base_rate / (1 - base_rate)) + _LEVELS[segment]
    score = 1 / (1 + np.exp(-(centre + rng.normal(-0.5, 1.2, ROWS) + 1.5 * positive)))
    return Stream(score, positive, replica)


def quantile_bins(reference: Floats, bins: int) -> Floats:
    """Edges at quantiles of the reference alone."""
    return quantile_edges(reference, bins)


def shipped_bins(reference: Floats, bins: int) -> Floats:
    """Edges as a sidecar has them: equally spaced logits and quantiles of the reference."""
    return ModelPlan(reference=Reference(score=numeric_reference(reference, bins))).score_edges


def read(found: Stream, edges: Floats) -> Reading:
    """AUC from the counters of all replicas added up, beside the exact one and the mean of the replicas' own."""
    merged, own = ScoreBins.empty(edges), []
    for replica in range(REPLICAS):
        here = found.replica == replica
        bins = ScoreBins.empty(edges)
        bins.update_many(found.score[here], found.positive[here])
        merged = merged.merge(bins)
        if (alone := bins.estimate()) is not None:
            own.append(alone.auc)
    estimate = merged.estimate()
    assert estimate is not None
    exact = float(roc_auc_score(found.positive, found.score))
    return Reading(exact, estimate.auc, estimate.bound, float(np.mean(own)))
