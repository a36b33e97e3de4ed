"""Confusion matrix of any classes, and what is read off it.

Input: pairs of canonical class names. Cost: O(1) per pair, one counter per distinct pair. Error: none.
Source: definitions as in scikit-learn's `precision_recall_fscore_support`, undefined where it would divide
by zero: those estimates are None here, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlcanary.stats.accumulator import Tally


class Confusion(Tally):
    """Counts by (actual, predicted).

    >>> matrix = Confusion()
    >>> matrix.update_many([("1", "1"), ("1", "0"), ("0", "0"), ("0", "0")])
    >>> matrix.accuracy(), matrix.precision("1"), matrix.recall("1"), matrix.f1("1")
    (0.75, 1.0, 0.5, 0.6666666666666666)
    >>> Confusion().accuracy() is None
    True
    """

    __slots__ = ()

    def update_many(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Count (actual, predicted) pairs."""
        for pair in pairs:
            self.counts[pair] = self.counts.get(pair, 0.0) + 1.0

    def accuracy(self) -> float | None:
        """Share of pairs on the diagonal, in [0, 1]."""
        return _ratio(sum(c for (a, p), c in self._pairs() if a == p), self.total())

    def precision(self, positive: str) -> float | None:
        """Of those predicted `positive`, the share that is."""
        return _ratio(self._hits(positive), sum(c for (_, p), c in self._pairs() if p == positive))

    def recall(self, positive: str) -> float | None:
        """Of those that are `positive`, the share predicted so."""
        return _ratio(self._hits(positive), sum(c for (a, _), c in self._pairs() if a == positive))

    def f1(self, positive: str) -> float | None:
        """Harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN)."""
        either = sum(c * ((a == positive) + (p == positive)) for (a, p), c in self._pairs())
        return _ratio(2.0 * self._hits(positive), either)

    def _hits(self, positive: str) -> float:
        return self.counts.get((positive, positive), 0.0)

    def _pairs(self) -> Iterable[tuple[tuple[str, str], float]]:
        return (((name[0], name[1]), count) for name, count in self.counts.items())


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
