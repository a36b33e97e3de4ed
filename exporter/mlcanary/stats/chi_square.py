"""Two-sample chi-square over common cells: were both count vectors drawn from one distribution?

Both samples have noise of their own: a finite reference is no exact distribution. Cells that are empty in both are
dropped; nothing else is pooled or corrected, so `statistic`, `degrees` and `pvalue` are those of
`scipy.stats.chi2_contingency(correction=False)` and Cramer's V that of `scipy.stats.contingency.association`.

Input: two count vectors over the same cells, or rows of them. Cost: O(B). Error: tail and quantile to 1e-12 relative,
down to 1e-300, for whole degrees up to some thousand; that the statistic follows chi-square is asymptotic and wrong
where a cell expects less than about one count. Source: Pearson (1900); tail: finite sums for the regularised incomplete
gamma function of whole and half arguments (NIST DLMF 8.4.10 with 8.8.2); quantile: Newton from Wilson and Hilferty
(1931).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.sample_size import sample_size


class ChiSquares(NamedTuple):
    """A `ChiSquare` per row, field by field; `degrees` are whole numbers, -1 for rows that are empty in both."""

    statistic: Floats
    degrees: NDArray[np.intp]
    pvalue: Floats
    cramers_v: Floats


class ChiSquare(NamedTuple):
    """`statistic` >= 0 on `degrees` of freedom; `cramers_v` in [0, 1], 0 for equal shares."""

    statistic: float
    degrees: int
    pvalue: float
    cramers_v: float


def chi_square(current: Floats, reference: Floats) -> ChiSquares:
    """Homogeneity along the last axis, of each row; NaN if one sample is empty."""
    n, m = sample_size(current), sample_size(reference)
    both = current + reference
    seen = both > 0
    apart = current * np.sqrt(m / n) - reference * np.sqrt(n / m)
    cells = np.divide(apart * apart, both, out=np.zeros(apart.shape), where=seen)
    total = (n + m)[..., 0]
    statistic: Floats = np.where(np.isnan(total), math.nan, cells.sum(axis=-1))
    degrees = np.count_nonzero(seen, axis=-1) - 1
    tails = [
        math.nan if math.isnan(x) else chi_square_tail(x, k)
        for x, k in zip(statistic.ravel().tolist(), np.ravel(degrees).tolist(), strict=True)
    ]
    return ChiSquares(statistic, np.asarray(degrees), np.reshape(tails, statistic.shape), np.sqrt(statistic / total))


def chi_square_from_counts(current: Floats, reference: Floats) -> ChiSquare | None:
    """Homogeneity of two samples; None if one is empty.

    >>> chi_square_from_counts(np.array([10.0, 10.0, 0.0]), np.array([20.0, 20.0, 0.0]))
    ChiSquare(statistic=0.0, degrees=1, pvalue=1.0, cramers_v=0.0)
    """
    found = chi_square(current, reference)
    if np.isnan(found.statistic):
        return None
    return ChiSquare(float(found.statistic), int(found.degrees), float(found.pvalue), float(found.cramers_v))


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(X >= statistic) for X of chi-square on whole `degrees`; 1 for none. 0.0 below 1e-308.

    >>> chi_square_tail(0.0, 3), round(chi_square_tail(3.841458820694124, 1), 12)
    (1.0, 0.05)
    """
    if degrees < 1 or statistic <= 0:
        return 1.0
    x, log_x = statistic / 2, math.log(statistic / 2)
    terms = [math.exp(power * log_x - x - log_factorial) for power, log_factorial in _powers(degrees)]
    if degrees % 2 == 1:
        terms.append(math.erfc(math.sqrt(x)))
    else:
        terms.append(math.exp((degrees // 2 - 1) * log_x - x - math.lgamma(degrees / 2)))
    return min(1.0, math.fsum(terms))


@lru_cache(maxsize=4096)
def _powers(degrees: int) -> tuple[tuple[float, float], ...]:
    """The exponents of the sum with the logarithms of their factorials."""
    start = 0.0 if degrees % 2 == 0 else 0.5  # whole or half exponents: all terms positive, nothing cancels
    return tuple((start + j, math.lgamma(start + j + 1)) for j in range((degrees - 1) // 2))


@lru_cache(maxsize=4096)
def chi_square_quantile(tail: float, degrees: int) -> float:
    """What chi-square on `degrees` >= 1 exceeds with probability `tail` <= 0.5.

    >>> round(chi_square_quantile(0.05, 1), 12)
    3.841458820694
    """
    low, high = 0.0, float(degrees) + 10.0
    while chi_square_tail(high, degrees) > tail:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if chi_square_tail(middle, degrees) > tail else (low, middle)
    return high
