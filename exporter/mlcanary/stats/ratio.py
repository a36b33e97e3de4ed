"""Ratios of sums with their standard errors, where every request is taken as independent of the others.

Input: sums over n requests. Cost: O(1). Error: none in the figures; the standard errors are those of large samples, and
too small where one user sends many requests (`user_buckets`). Source: binomial proportion; delta method for a ratio of
means (Casella & Berger 2002, 5.5.4); standard error of a mean with n - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from typing import NamedTuple

NORMAL_95 = 1.959963984540054
"""An interval of 95 % is this many standard errors to each side, where requests are independent."""


class Estimate(NamedTuple):
    """A figure and its standard error; `stderr` None where too little is known for one."""

    value: float
    stderr: float | None


def proportion(hits: float, trials: float) -> Estimate | None:
    """Share of trials that hit; None without trials.

    >>> proportion(20, 100)
    Estimate(value=0.2, stderr=0.04)

    A share above 1, as where hits belong to trials of an earlier window, has a standard error of 0.
    """
    if trials <= 0:
        return None
    share = hits / trials
    return Estimate(share, math.sqrt(max(0.0, share * (1 - share)) / trials))


def ratio(above: float, below: float, both: float) -> Estimate | None:
    """Events of one kind per event of another, each at most once per request; None without the other kind.

    `both`: requests that had the two. Where every event above needs one below, this is the binomial of `proportion`.

    >>> ratio(20, 100, both=20)
    Estimate(value=0.2, stderr=0.04)
    """
    if below <= 0:
        return None
    share = above / below
    spread = above - 2 * share * both + share * share * below
    return Estimate(share, math.sqrt(max(0.0, spread)) / below)


def mean(total: float, squares: float, n: float) -> Estimate | None:
    """Mean of n values from their sum and sum of squares; None without values.

    >>> mean(6, 14, 3)                        # 1, 2, 3
    Estimate(value=2.0, stderr=0.5773502691896258)
    """
    if n <= 0:
        return None
    average = total / n
    if n <= 1:
        return Estimate(average, None)
    return Estimate(average, math.sqrt(max(0.0, (squares / n - average * average) / (n - 1))))
