"""Confusion matrix of any classes, and what is read off it.

Input: pairs of canonical class names. Cost: O(1) per pair, one counter per distinct pair; O(cells) per reading.
Error: none for accuracy, whatever is folded. Classes above a cap are folded into one class `other`: its precision,
recall and F1 are those of all folded classes together, and macro F1, balanced accuracy and MCC take it for one class.
Source: definitions of scikit-learn (`precision_recall_fscore_support`, `balanced_accuracy_score`, and
`matthews_corrcoef`, which is R_K of Gorodkin 2004), undefined where it would divide by zero: those estimates are None
here, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mlcanary.catalog import OTHER
from mlcanary.stats.accumulator import Floats, Tally

OTHER_WRONG = "other (wrong)"
"""`predicted` of a folded class that is not the actual one, folded too: never on the diagonal, counted as `other`."""


class ByClass(NamedTuple):
    """Totals per class, shape (K,) each: right answers, how often it was the truth, and how often the answer."""

    names: tuple[str, ...]
    hits: Floats
    actual: Floats
    predicted: Floats

    def accuracy(self) -> float | None:
        """Share of pairs on the diagonal, in [0, 1]; the micro average of F1 is the same number."""
        return _ratio(self.hits.sum(), self.actual.sum())

    def precision(self, name: str) -> float | None:
        """Of those predicted `name`, the share that is."""
        hits, _, predicted = self._of(name)
        return _ratio(hits, predicted)

    def recall(self, name: str) -> float | None:
        """Of those that are `name`, the share predicted so."""
        hits, actual, _ = self._of(name)
        return _ratio(hits, actual)

    def f1(self, name: str) -> float | None:
        """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""
        hits, actual, predicted = self._of(name)
        return _ratio(2.0 * hits, actual + predicted)

    def lift(self, name: str) -> float | None:
        """Precision over the base rate: how many times more often `name` is among those predicted so than among all."""
        hits, actual, predicted = self._of(name)
        return _ratio(hits * float(self.actual.sum()), actual * predicted)

    def macro_f1(self) -> float | None:
        """Mean F1 of the classes that were the truth or the answer."""
        either = self.actual + self.predicted
        seen = either > 0
        return float(np.mean(2.0 * self.hits[seen] / either[seen])) if seen.any() else None

    def weighted_f1(self) -> float | None:
        """Mean F1 of the classes, weighted by how often each was the truth."""
        seen = self.actual > 0
        f1 = 2.0 * self.hits[seen] / (self.actual + self.predicted)[seen]
        return _ratio(float(f1 @ self.actual[seen]), float(self.actual.sum()))

    def balanced_accuracy(self) -> float | None:
        """Mean recall of the classes that were the truth."""
        seen = self.actual > 0
        return float(np.mean(self.hits[seen] / self.actual[seen])) if seen.any() else None

    def matthews(self) -> float | None:
        """Correlation of truth and answer, in [-1, 1]; None while either is always the same class."""
        if np.count_nonzero(self.actual) < 2 or np.count_nonzero(self.predicted) < 2:
            return None
        total = float(self.actual.sum())
        covariance = total * float(self.hits.sum()) - float(self.actual @ self.predicted)
        spreads = (total**2 - float(part @ part) for part in (self.actual, self.predicted))
        return covariance / math.prod(map(math.sqrt, spreads))

    def _of(self, name: str) -> tuple[float, float, float]:
        if name not in self.names:
            return 0.0, 0.0, 0.0
        i = self.names.index(name)
        return float(self.hits[i]), float(self.actual[i]), float(self.predicted[i])


class Confusion(Tally):
    """Counts by (actual, predicted).

    >>> matrix = Confusion()
    >>> matrix.update_many([("1", "1"), ("1", "0"), ("0", "0"), ("0", "0")])
    >>> found = matrix.by_class()
    >>> found.accuracy(), found.precision("1"), found.recall("1"), found.f1("1"), found.lift("1")
    (0.75, 1.0, 0.5, 0.6666666666666666, 2.0)
    >>> Confusion().by_class().accuracy() is None
    True
    """

    __slots__ = ()

    def update_many(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Count (actual, predicted) pairs."""
        for pair in pairs:
            self.counts[pair] = self.counts.get(pair, 0.0) + 1.0

    def by_class(self) -> ByClass:
        """Totals of every class, in order of name."""
        names = tuple(sorted({_answer(name) for pair in self.counts for name in pair}))
        index = {name: i for i, name in enumerate(names)}
        hits, actual, predicted = np.zeros((3, len(names)))
        for (truth, answer), count in self.counts.items():
            actual[index[_answer(truth)]] += count
            hits[index[_answer(truth)]] += count if truth == answer else 0.0
            predicted[index[_answer(answer)]] += count
        return ByClass(names, hits, actual, predicted)


def _answer(name: str) -> str:
    return OTHER if name == OTHER_WRONG else name


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None
