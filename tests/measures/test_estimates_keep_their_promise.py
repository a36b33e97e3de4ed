"""If scores are calibrated, realised figures lie in the stated intervals as often as stated; if not, they do not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_score, recall_score, roc_auc_score

from expected_figures import promises
from mlcanary.measures.estimated import EstimatedMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import ModelKey, Prediction

DRAWS = 1000
PLAN = ModelPlan(threshold=0.3)
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
FIGURES = {
    "accuracy": "ratio",
    "precision": "ratio",
    "recall": "ratio",
    "f1": "ratio",
    "auc": "ratio",
    "log_loss": "nats",
}

SCORES = {
    "balanced": lambda rng: rng.beta(1.2, 2.0, 3000),
    "rare": lambda rng: rng.beta(0.3, 9.0, 6000),
    "sharp": lambda rng: np.clip(rng.beta(0.2, 0.4, 2000), 0.0, 1.0),
}


def estimates(p: Floats) -> dict[str, tuple[float, float]]:
    """What the measure says of each figure: value and half-width."""
    measure = EstimatedMeasure(PLAN)
    key = ModelKey("m", "v")
    classes = [PLAN.class_of_score(score) for score in p.tolist()]
    measure.on_predictions(
        [Prediction(key, 0.0, predicted=c, score=s) for c, s in zip(classes, p.tolist(), strict=True)]
    )
    found = {s.name.removeprefix("mlcanary_window_estimated_"): s.value for s in measure.gauges(60.0)}
    return {name: (found[f"{name}_{unit}"], found[f"{name}_error_{unit}"]) for name, unit in FIGURES.items()}


def realised(p: Floats, bins: NDArray[np.intp], positive: Flags) -> dict[str, Floats]:
    """Figures once the labels are there, one per row of `positive`; AUC over the same bins."""
    chosen, n = p >= PLAN.threshold, p.size
    hits, missed = positive[:, chosen].sum(axis=1), positive[:, ~chosen].sum(axis=1)
    up = positive @ (bins[:, None] == np.unique(bins)).astype(float)
    down = np.unique(bins, return_counts=True)[1] - up
    under = np.cumsum(down, axis=1) - down / 2
    losses = [-np.log(np.clip(q, 1e-7, 1 - 1e-7)) for q in (p, 1 - p)]
    return {
        "accuracy": (hits + (~chosen).sum() - missed) / n,
        "precision": hits / chosen.sum(),
        "recall": hits / (hits + missed),
        "f1": 2 * hits / (chosen.sum() + hits + missed),
        "auc": (up * under).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1)),
        "log_loss": (losses[1].sum() + positive @ (losses[0] - losses[1])) / n,
    }


def by_library(p: Floats, bins: NDArray[np.intp], positive: Flags) -> dict[str, float]:
    """The same of one draw, by scikit-learn."""
    chosen = p >= PLAN.threshold
    return {
        "accuracy": float(accuracy_score(positive, chosen)),
        "precision": float(precision_score(positive, chosen)),
        "recall": float(recall_score(positive, chosen)),
        "f1": float(f1_score(positive, chosen)),
        "auc": float(roc_auc_score(positive, bins)),
        "log_loss": float(log_loss(positive, np.clip(p, 1e-7, 1 - 1e-7))),
    }


@pytest.mark.parametrize("kind", SCORES)
def test_realised_figures_lie_in_their_interval_at_the_stated_rate(kind: str) -> None:
    rng = np.random.default_rng(20_261_125)
    p = SCORES[kind](rng)
    stated, bins = estimates(p), np.searchsorted(PLAN.score_edges, p, side="left")
    raw = promises(p, p >= PLAN.threshold, bins)
    for name in FIGURES:
        assert stated[name] == pytest.approx(tuple(raw[name]), rel=1e-9)
    draws = rng.random((DRAWS, p.size)) < p
    found = realised(p, bins, draws)
    for row in range(3):
        library = by_library(p, bins, draws[row])
        assert {name: values[row] for name, values in found.items()} == pytest.approx(library, rel=1e-9)
    for name, (value, error) in stated.items():
        hits = int((abs(found[name] - value) <= error).sum())
        assert binomtest(hits, DRAWS, 0.95).pvalue > 0.01, (name, hits / DRAWS)


def test_a_changed_concept_leaves_the_intervals() -> None:
    """Outcomes come with the square of the probability that the scores tell."""
    rng = np.random.default_rng(5)
    p = SCORES["balanced"](rng)
    stated, bins = estimates(p), np.searchsorted(PLAN.score_edges, p, side="left")
    found = realised(p, bins, rng.random((100, p.size)) < p**2)
    outside = {name: int((abs(found[name] - value) > error).sum()) for name, (value, error) in stated.items()}
    assert min(outside.values()) >= 95, outside
