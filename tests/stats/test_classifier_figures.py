"""Brackets hold over every order and tie, and figures of many classes equal scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, matthews_corrcoef

from datasets import PREFIXES, SCORED, Bools, Floats, scored
from mlcanary.stats.average_precision import average_precision_from_counts
from mlcanary.stats.bin_edges import logit_edges, quantile_edges
from mlcanary.stats.confusion import Confusion
from mlcanary.stats.roc_auc import ScoreBins

CLASSES = tuple("abcdef")


def arrangements(positives: int, negatives: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Every way to lay out the scores of one bin, from the highest: (positives, negatives) at each distinct score."""
    if positives == negatives == 0:
        yield ()
    for p, q in product(range(positives + 1), range(negatives + 1)):
        if p or q:
            for rest in arrangements(positives - p, negatives - q):
                yield ((p, q), *rest)


def precision_of(layout: tuple[tuple[int, int], ...]) -> float:
    """Average precision of distinct scores from the highest, as scikit-learn defines it."""
    hits = misses = total = 0.0
    for p, q in layout:
        hits, misses = hits + p, misses + q
        total += p * hits / (hits + misses)
    return total / hits


@pytest.mark.parametrize("above", [(0, 0), (3, 0), (0, 4), (2, 5), (40, 900)])
@pytest.mark.parametrize("inside", [(1, 0), (1, 1), (3, 2), (2, 3), (4, 3), (1, 5)])
def test_average_precision_of_every_order_and_tie_lies_in_its_bracket(
    above: tuple[int, int], inside: tuple[int, int]
) -> None:
    higher = tuple(pair for pair in ((above[0], 0), (0, above[1])) if any(pair))
    positives, negatives = np.array([inside, *higher[::-1]], dtype=float).T
    found = average_precision_from_counts(positives, negatives)
    assert found is not None
    values = [precision_of((*higher, *layout)) for layout in arrangements(*inside)]
    assert found.lower - 1e-12 <= min(values)
    assert found.upper == pytest.approx(max(values), abs=1e-12), "the upper end is reached"
    assert min(values) - found.lower <= 0.05, "the lower end is near"
    assert precision_of((*higher, inside)) == pytest.approx(found.value, abs=1e-12)


def test_the_layouts_are_scored_as_scikit_learn_does() -> None:
    for layout in [((1, 0), (0, 2), (2, 1)), ((0, 3), (4, 4)), ((2, 2), (1, 0))]:
        scores = [-float(i) for i, (p, q) in enumerate(layout) for _ in range(p + q)]
        truth = [y for p, q in layout for y in [1] * p + [0] * q]
        assert precision_of(layout) == pytest.approx(average_precision_score(truth, scores), abs=1e-12)


@pytest.mark.parametrize("name", SCORED)
def test_average_precision_lies_in_its_bracket_with_any_bins_at_every_prefix(name: str) -> None:
    scores, positive = scored(name)
    for edges in (logit_edges(), quantile_edges(scores, 50), np.array([0.5]), np.linspace(0, 1, 21)[1:-1]):
        for n in PREFIXES:
            _hold(edges, scores[:n], positive[:n])


def _hold(edges: Floats, scores: Floats, positive: Bools) -> None:
    bins = ScoreBins.empty(edges)
    bins.update_many(scores, positive)
    found = average_precision_from_counts(bins.positives, bins.negatives)
    if not positive.any():
        assert found is None
        return
    assert found is not None
    exact = average_precision_score(positive, scores)
    assert 0 <= found.lower - 1e-12 <= found.lower <= found.value + 1e-12
    assert found.lower - 1e-12 <= exact <= found.upper + 1e-12 <= 1 + 2e-12


@pytest.mark.parametrize("seed", range(4))
def test_figures_of_many_classes_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    actual = rng.choice(CLASSES, 2000, p=[0.5, 0.2, 0.1, 0.1, 0.08, 0.02])
    predicted = np.where(rng.random(2000) < 0.4, actual, rng.choice(CLASSES, 2000))
    for n in (700, 2000):
        y, p = actual[:n].tolist(), predicted[:n].tolist()
        matrix = Confusion()
        matrix.update_many(zip(y, p, strict=True))
        found = matrix.by_class()
        assert found.macro_f1() == pytest.approx(f1_score(y, p, average="macro"), abs=1e-9)
        assert found.accuracy() == pytest.approx(f1_score(y, p, average="micro"), abs=1e-9)
        assert found.weighted_f1() == pytest.approx(f1_score(y, p, average="weighted"), abs=1e-9)
        assert found.balanced_accuracy() == pytest.approx(balanced_accuracy_score(y, p), abs=1e-9)
        assert found.matthews() == pytest.approx(matthews_corrcoef(y, p), abs=1e-9)


def test_average_precision_falls_with_every_positive_that_is_moved_under_a_negative() -> None:
    layouts = [((1, 0), (1, 0), (0, 1)), ((1, 0), (0, 1), (1, 0)), ((0, 1), (1, 0), (1, 0))]
    values = []
    for layout in layouts:
        positives, negatives = np.array(layout[::-1], dtype=float).T
        found = average_precision_from_counts(positives, negatives)
        assert found is not None
        values.append(found.value)
    assert all(better > worse for better, worse in pairwise(values))
