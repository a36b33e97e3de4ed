"""AUC from counters against scikit-learn on raw scores, and how wrong the mean of per-replica AUCs is.

Run as `python tests/bench/auc_accuracy.py [STREAMS]` (1,000): labelled scores from seven replicas that see different
mixes of two segments, at base rates of 0.1 %, 1 % and 20 %, over bins from 20,000 reference scores of their own.

A stream has 1,000 positives. What bins hide of one positive is at most half a bin, and of P positives about
1 / (bins * sqrt(12 P)): with 20 positives no 50 bins could be right to a thousandth, and the bound says so. Of the
negatives, 40,000 are drawn: the AUC depends on how scores are distributed in each class, not on how many there are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import Reference, numeric_reference
from mlcanary.stats.bin_edges import quantile_edges
from mlcanary.stats.roc_auc import ScoreBins

Floats = NDArray[np.float64]
REFERENCE, POSITIVES, NEGATIVES, REPLICAS, BINS = 20_000, 1_000, 40_000, 7, 50
BASE_RATES = (0.001, 0.01, 0.2)
GAIN = 1.3
"""Distance of positives from negatives in the logit, in standard deviations."""


def _logits(rng: np.random.Generator, rate: float, rich: NDArray[np.bool_], positive: NDArray[np.bool_]) -> Floats:
    logit = rng.normal(np.log(rate / (1 - rate)) - 0.5 + 1.2 * rich, 1.0) + GAIN * positive
    scores: Floats = 1 / (1 + np.exp(-logit))
    return scores


def stream(rng: np.random.Generator, rate: float) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Scores, classes and the replica of each row. Two segments differ in their base rate; replicas in their mix."""
    positive = np.arange(POSITIVES + NEGATIVES) < POSITIVES
    rich = rng.random(positive.size) < np.where(positive, 0.9, (1 - 1.8 * rate) / (2 - 2 * rate))
    weights = np.arange(REPLICAS) / (REPLICAS - 1)
    mixed = [rng.choice(REPLICAS, positive.size, p=w / w.sum()) for w in (1 - weights, weights)]
    return _logits(rng, rate, rich, positive), positive, np.where(rich, mixed[1], mixed[0])


def edges_of(rng: np.random.Generator, rate: float) -> dict[str, Floats]:
    """50 quantiles of reference scores alone, and the edges that the exporter uses: those and the logit grid."""
    rich = rng.random(REFERENCE) < 0.5
    scores = _logits(rng, rate, rich, rng.random(REFERENCE) < np.where(rich, 1.8, 0.2) * rate)
    plan = ModelPlan(reference=Reference(score=numeric_reference(scores, BINS)))
    return {f"{BINS} quantiles": quantile_edges(scores, BINS), "shipped": plan.score_edges}


def errors(rng: np.random.Generator, rate: float, streams: int) -> Iterator[tuple[str, float, float, float]]:
    """Of each stream: edges, error of the pooled AUC, its bound, and error of the mean of per-replica AUCs."""
    for _ in range(streams):
        edges = edges_of(rng, rate)
        scores, positive, replica = stream(rng, rate)
        exact = roc_auc_score(positive, scores)
        own = [
            roc_auc_score(positive[mask], scores[mask])
            for mask in (replica == i for i in range(REPLICAS))
            if 0 < positive[mask].sum() < mask.sum()
        ]
        for name, cut in edges.items():
            bins = ScoreBins.empty(cut)
            bins.update_many(scores, positive)
            estimate = bins.estimate()
            assert estimate is not None
            yield name, abs(estimate.auc - exact), estimate.bound, abs(float(np.mean(own)) - exact)


def table(streams: int, seed: int = 20_261_125) -> list[tuple[float, str, float, float, float, float, float]]:
    """Per base rate and edges: median, 99 % and worst error, share outside the bound, mean bound, error of the mean."""
    rows = []
    for rate in BASE_RATES:
        found = list(errors(np.random.default_rng(seed), rate, streams))
        for name in dict.fromkeys(row[0] for row in found):
            error, bound, naive = np.array([row[1:] for row in found if row[0] == name]).T
            outside = float((error > bound + 1e-12).mean())
            p99 = float(np.quantile(error, 0.99))
            rows.append((rate, name, p99, float(error.max()), outside, float(bound.mean()), float(np.median(naive))))
    return rows


if __name__ == "__main__":
    print("| base rate | bins | error, 99 % | worst | outside the bound | mean bound | mean of replicas is off by |")
    print("|---|---|---|---|---|---|---|")
    for rate, name, p99, worst, outside, bound, naive in table(int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
        print(f"| {rate:.1%} | {name} | {p99:.5f} | {worst:.5f} | {outside:.1%} | {bound:.4f} | {naive:.3f} |")
