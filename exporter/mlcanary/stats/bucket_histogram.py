"""Histogram over fixed buckets with sum, as Prometheus has it, and quantiles read off it.

Input: non-negative values. Cost: O(log B) per value, 8 bytes per bucket. Error of a quantile: at most the
width of its bucket; the rank at a bucket's edge is exact. Source: linear interpolation inside the bucket,
the rule of PromQL's `histogram_quantile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats, Vector


class BucketHistogram(Vector):
    """Counts per bucket (v <= upper), the last one open above, and the sum of the values.

    >>> latency = BucketHistogram.empty([0.1, 0.2, 0.4])
    >>> latency.update_many([0.05, 0.15, 0.15, 0.3])
    >>> latency.quantile(0.5), latency.count
    (0.15000000000000002, 4.0)
    """

    __slots__ = ("uppers",)

    def __init__(self, values: Floats, uppers: Floats) -> None:
        super().__init__(values)
        self.uppers = uppers

    @classmethod
    def empty(cls, uppers: Sequence[float]) -> Self:
        """No values yet. `uppers`: ascending, finite."""
        return cls(np.zeros(len(uppers) + 2), np.asarray(uppers, dtype=np.float64))

    def like(self, values: Floats) -> Self:
        """The same buckets over other counts."""
        return type(self)(values, self.uppers)

    def update_many(self, observed: ArrayLike) -> None:
        """Count values, shape (n,)."""
        x = np.asarray(observed, dtype=np.float64)
        index = np.searchsorted(self.uppers, x, side="left")
        self.values[:-1] += np.bincount(index, minlength=len(self.uppers) + 1)
        self.values[-1] += x.sum()

    @property
    def counts(self) -> Floats:
        """Values per bucket, shape (B + 1,), not cumulated."""
        return self.values[:-1]

    @property
    def sum(self) -> float:
        """Sum of the values."""
        return float(self.values[-1])

    @property
    def count(self) -> float:
        """Number of values."""
        return float(self.counts.sum())

    def quantile(self, q: float) -> float | None:
        """The q-quantile, q in [0, 1]; None without values; the largest edge if it lies above all."""
        total = self.count
        if total <= 0:
            return None
        cumulated = np.cumsum(self.counts)
        bucket = int(np.searchsorted(cumulated, q * total, side="left"))
        if bucket >= len(self.uppers):
            return float(self.uppers[-1])
        low = float(self.uppers[bucket - 1]) if bucket else 0.0
        before = float(cumulated[bucket - 1]) if bucket else 0.0
        inside = float(self.counts[bucket])
        share = (q * total - before) / inside if inside > 0 else 0.0
        return low + (float(self.uppers[bucket]) - low) * share
