"""Mean and variance of a feature from three sums that only grow.

Guarantee: equal to the mean and the population variance of the same numbers, whatever the batches, processes and
restarts they came in. Input: finite numbers up to `LIMIT` in size, shape (F, N), one row per feature, NaN where there
is none; a centre per feature that never changes. Cost: O(F N), no memory. Error: rounding, at most about 1e-15 of
the squared distance between mean and centre: none to speak of with the reference's mean as centre. Source: sums of
deviations from a constant, "shifted data" (Chan, Golub and LeVeque 1983); by sign, so that each sum only grows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.sample_size import figure, sample_size

LIMIT = 1e15
"""Numbers beyond are left out: one of them would drown all digits of every other for good."""

NOISE = 1e-13
"""A variance below this share of the mean squared deviation is rounding, and reads 0: all numbers are alike."""

_NUMBERS = 1 << 14
"""128 KB of them, a few copies of which fit into the second cache of any processor."""


class Moments(NamedTuple):
    """How many `numbers`, sums of their deviations above and below the centre, sum of the squared deviations."""

    numbers: float
    positive: float
    negative: float
    squares: float

    def mean(self, center: float) -> float | None:
        """Arithmetic mean; None without numbers.

        >>> Moments(4, 6.0, 2.0, 14.0).mean(10.0), Moments(4, 6.0, 2.0, 14.0).variance()
        (11.0, 2.5)
        """
        return figure(means(np.array(self), np.array(center)))

    def variance(self) -> float | None:
        """Population variance (divided by their number); None without numbers."""
        return figure(variances(np.array(self)))


def means(sums: Floats, centers: Floats) -> Floats:
    """Arithmetic mean of each row of `moment_sums`, shape (..., 4); NaN without numbers."""
    found: Floats = centers + _mean_deviations(sums)
    return found


def variances(sums: Floats) -> Floats:
    """Population variance (divided by their number) of each row of `moment_sums`; NaN without numbers."""
    squares = sums[..., 3] / _numbers(sums)
    variance = squares - _mean_deviations(sums) ** 2
    found: Floats = np.where(variance <= NOISE * squares, 0.0, variance)
    return found


def _mean_deviations(sums: Floats) -> Floats:
    deviations: Floats = (sums[..., 1] - sums[..., 2]) / _numbers(sums)
    return deviations


def _numbers(sums: Floats) -> Floats:
    return sample_size(sums[..., :1])[..., 0]


def moment_sums(numbers: Floats, centers: Floats) -> Floats:
    """Count, positive, negative and squares of each feature, shape (F, 4), of numbers, shape (F, N)."""
    return _in_groups(_moment_sums, numbers, centers)


def plain_moment_sums(numbers: Floats, centers: Floats) -> Floats:
    """The same of numbers none of which is NaN or beyond `LIMIT`: the caller knows, and need not have it looked for."""
    return _in_groups(_plain_moment_sums, numbers, centers)


def _in_groups(sums: Callable[[Floats, Floats], Floats], numbers: Floats, centers: Floats) -> Floats:
    """Of a few features at a time, which then stay in the processor's cache: a third of the time."""
    found, step = np.empty((len(numbers), 4)), max(1, _NUMBERS // max(1, numbers.shape[1]))
    for start in range(0, len(numbers), step):
        some = slice(start, start + step)
        found[some] = sums(numbers[some], centers[some])
    return found


def _moment_sums(numbers: Floats, centers: Floats) -> Floats:
    with np.errstate(over="ignore"):
        deviations = numbers - centers[:, None]
    left_out = ~(np.abs(numbers) <= LIMIT)  # NaN compares false
    if left_out.any():
        deviations[left_out] = 0.0
    return _sums(deviations, numbers.shape[1] - left_out.sum(axis=1))


def _plain_moment_sums(numbers: Floats, centers: Floats) -> Floats:
    rows, count = numbers.shape
    return _sums(numbers - centers[:, None], np.full(rows, float(count)))


def _sums(deviations: Floats, counts: Floats) -> Floats:
    """`deviations` is used up."""
    positive, negative = np.maximum(deviations, 0.0).sum(axis=1), np.minimum(deviations, 0.0).sum(axis=1)
    squares = np.square(deviations, out=deviations).sum(axis=1)
    return np.stack([counts, positive, -negative, squares], axis=1)
