"""Two-sample chi-square over common cells: were both count vectors drawn from one distribution?

Both samples have noise of their own: a finite reference is no exact distribution. Cells that are empty in both are
dropped; nothing else is pooled or corrected, so `statistic`, `degrees` and `pvalue` are those of
`scipy.stats.chi2_contingency(correction=False)` and Cramer's V that of `scipy.stats.contingency.association`.

Input: two count vectors over the same cells. Cost: O(B). Error: tail and quantile to 1e-12 relative, down to 1e-300,
for whole degrees up to some thousand; that the statistic follows chi-square is asymptotic and wrong where a cell
expects less than about one count. Source: Pearson (1900); tail: finite sums for the regularised incomplete gamma
function of whole and half arguments (NIST DLMF 8.4.10 with 8.8.2); quantile: Newton from Wilson and Hilferty (1931).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats


class ChiSquare(NamedTuple):
    """`statistic` >= 0 on `degrees` of freedom; `cramers_v` in [0, 1], 0 for equal shares."""

    statistic: float
    degrees: int
    pvalue: float
    cramers_v: float


def chi_square_from_counts(current: Floats, reference: Floats) -> ChiSquare | None:
    """Homogeneity of two samples; None if one is empty.

    >>> chi_square_from_counts(np.array([10.0, 10.0, 0.0]), np.array([20.0, 20.0, 0.0]))
    ChiSquare(statistic=0.0, degrees=1, pvalue=1.0, cramers_v=0.0)
    """
    n, m = float(current.sum()), float(reference.sum())
    if n <= 0 or m <= 0:
        return None
    both = current + reference
    seen = both > 0
    apart = current[seen] * math.sqrt(m / n) - reference[seen] * math.sqrt(n / m)
    statistic = float((apart * apart / both[seen]).sum())
    degrees = int(np.count_nonzero(seen)) - 1
    return ChiSquare(statistic, degrees, chi_square_tail(statistic, degrees), math.sqrt(statistic / (n + m)))


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(X >= statistic) for X of chi-square on whole `degrees`; 1 for none. 0.0 below 1e-308.

    >>> chi_square_tail(0.0, 3), round(chi_square_tail(3.841458820694124, 1), 12)
    (1.0, 0.05)
    """
    if degrees < 1 or statistic <= 0:
        return 1.0
    x, log_x = statistic / 2, math.log(statistic / 2)
    start = 0.0 if degrees % 2 == 0 else 0.5  # whole or half exponents: all terms positive, nothing cancels
    terms = [math.exp((start + j) * log_x - x - math.lgamma(start + j + 1)) for j in range((degrees - 1) // 2)]
    if degrees % 2 == 1:
        terms.append(math.erfc(math.sqrt(x)))
    else:
        terms.append(math.exp((degrees // 2 - 1) * log_x - x - math.lgamma(degrees / 2)))
    return min(1.0, math.fsum(terms))


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
