"""What a ratio varies by when requests of one user are alike: sums in buckets of users.

Input: salted 64-bit hashes of users beside what their requests add. Cost: O(1) per request, 8 bytes per sum and bucket.
Error: the variance is that of a linearised ratio over G = 64 independent groups; its interval takes t with 63 degrees
of freedom. Fewer than half of the buckets in use: no variance. Source: ratio estimator over clusters,
var(r) = G/(G-1) sum_g (x_g - r n_g)^2 / (sum n)^2 (Cochran 1977, 6.3; Deng, Knoblich & Lu, KDD 2018).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats, Vector
from mlcanary.stats.ratio import Estimate

BUCKETS = 64
"""G: part of the wire format, the same on every sidecar."""

ENOUGH = BUCKETS // 2
"""Buckets with requests from which on their spread says something."""

STUDENT_95 = 1.998340542520741
"""An interval of 95 % is this many standard errors to each side: t with 63 degrees of freedom."""


class UserBuckets(Vector):
    """Sums by row and bucket of users; the rows are named by who owns it.

    >>> buckets = UserBuckets.empty(2)
    >>> buckets.update_many(0, [5, 69, 6])     # three requests; 69 = 64 + 5 shares the bucket of 5
    >>> buckets.update_many(1, [69], [2.5])
    >>> buckets.values[:, 5].tolist()
    [2.0, 2.5]
    """

    __slots__ = ()

    @classmethod
    def empty(cls, rows: int) -> Self:
        """Nothing yet in any of `rows` rows."""
        return cls(np.zeros((rows, BUCKETS)))

    def update_many(self, row: int, users: Iterable[int], amounts: ArrayLike | None = None) -> None:
        """Add 1, or its amount, to the bucket of each user; hashes and amounts of shape (n,)."""
        hashes = users if isinstance(users, np.ndarray) else np.array(list(users), dtype=np.uint64)
        places = (hashes % BUCKETS).astype(np.intp)
        self.values[row] += np.bincount(places, weights=amounts, minlength=BUCKETS)


def clustered(above: Floats, below: Floats) -> Estimate | None:
    """Ratio of two sums by bucket, each of shape (64,), and its standard error; None without anything below.

    >>> clustered(np.arange(64.0), np.full(64, 100.0))
    Estimate(value=0.315, stderr=0.02327373340628157)
    """
    total = float(below.sum())
    if total <= 0:
        return None
    value = float(above.sum()) / total
    if np.count_nonzero(below) < ENOUGH:
        return Estimate(value, None)
    spread = float(((above - value * below) ** 2).sum())
    return Estimate(value, math.sqrt(BUCKETS / (BUCKETS - 1) * spread) / total)
