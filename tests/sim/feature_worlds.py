"""Features of known truth: reference quantile bins, changes of a distribution, and tests of a size fixed beforehand.

A reference of m standard normal rows is never drawn: its quantiles cut the probability into spacings whose joint law
is a Dirichlet distribution. There are `FINE` bins for the tests of usual practice; `BINS` bins, each of
FINE / BINS fine ones, are what our evidence gets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import chi2, ncx2

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.feature_evidence import Counts
from mlcanary.stats.ks import ks_critical

FINE, BINS = 200, 20
POWER = 0.8
CATEGORIES = np.array([0.30, 0.18, 0.13, 0.10, 0.08, 0.065, 0.05, 0.035, 0.035, 0.025])
"""Shares of the categories of a categorical feature."""

Number = TypeVar("Number", np.int64, np.float64)

Distribution = Callable[[Floats], Floats]
"""Distribution function of the values after a change; they were standard normal."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a numeric feature: a new distribution, and a share of values that became the median."""

    name: str
    distribution: Distribution
    imputed: float = 0.0

    def shares(self, below: Floats) -> Floats:
        """Probability of each bin, shape (..., B), from the probabilities below its edges before, (..., B - 1)."""
        after = self.distribution(ndtri(below))
        after = (1.0 - self.imputed) * after + self.imputed * (below >= 0.5)
        ends = np.concatenate([np.zeros((*below.shape[:-1], 1)), after, np.ones((*below.shape[:-1], 1))], axis=-1)
        return normalised(np.maximum(np.diff(ends, axis=-1), 0.0))


def shift(by: float) -> Change:
    """All values grow by so many standard deviations."""
    return Change(f"shift {by:g} sd", lambda x: ndtr(x - by))


SCALE = Change("scale x1.2", lambda x: ndtr(x / 1.2))
CONTAMINATION = Change("5 % contamination at +3", lambda x: 0.95 * ndtr(x) + 0.05 * ndtr(x - 3.0))
IMPUTED = Change("5 % imputed to the median", ndtr, imputed=0.05)
NONE = Change("none", ndtr)


def fewer_of_the_first(shares: Floats) -> Floats:
    """The top category loses 5 points to all others."""
    found = shares * (1.0 + 0.05 / (1.0 - shares[0]))
    found[0] = shares[0] - 0.05
    return normalised(found)


def twice_as_many_of_a_rare_one(shares: Floats) -> Floats:
    """A category of 3.5 % doubles, at the cost of all others."""
    rare = shares[7]
    found = shares * (1.0 - 2.0 * rare) / (1.0 - rare)
    found[7] = 2.0 * rare
    return normalised(found)


def normalised(shares: Floats) -> Floats:
    """Shares that add up to 1 in spite of rounding."""
    found: Floats = shares / shares.sum(axis=-1, keepdims=True)
    return found


def below_the_edges(rows: int, runs: int, rng: np.random.Generator) -> Floats:
    """Probability below each edge at the quantiles of `runs` references of `rows` rows, shape (runs, FINE - 1)."""
    spacings = np.full(FINE, rows / FINE)
    spacings[-1] += 1.0
    gaps = rng.standard_gamma(spacings, (runs, FINE))
    found: Floats = np.cumsum(normalised(gaps), axis=-1)[:, :-1]
    return found


def coarse(fine: NDArray[Number], bins: int = BINS) -> NDArray[Number]:
    """Counts, or probabilities, of fine bins added up to `bins` bins."""
    found: NDArray[Number] = fine.reshape(*fine.shape[:-1], bins, FINE // bins).sum(axis=-1)
    return found


def ks_rejects(one: Counts, other: Counts | Floats, rows: float, tail: float = 0.05) -> NDArray[np.bool_]:
    """Whether Kolmogorov-Smirnov has p < `tail`: counts over the same bins, shape (..., B).

    `other` may be shares; `rows`: how many rows it stands for.
    """
    n = one.sum(axis=-1)
    apart = np.abs(
        np.cumsum(one, axis=-1) / n[..., np.newaxis] - np.cumsum(other, axis=-1) / other.sum(axis=-1, keepdims=True)
    )
    critical = np.sqrt(1.0 / n + 1.0 / rows) * ks_critical(1.0, tail)
    found: NDArray[np.bool_] = apart.max(axis=-1) > critical
    return found


def psi(counts: Counts, reference: Floats) -> Floats:
    """PSI of 10 bins with shares of at least 1e-4, as `mlcanary.stats.psi`, of many runs at once."""
    live = np.maximum(counts / counts.sum(axis=-1, keepdims=True), 1e-4)
    known = np.maximum(reference, 1e-4)
    found: Floats = ((live - known) * np.log(live / known)).sum(axis=-1)
    return found


def chi_square(one: Counts, other: Counts) -> Floats:
    """Pearson's statistic of two samples, shape (..., K); categories that neither has seen do not count."""
    n, m = one.sum(axis=-1, keepdims=True), other.sum(axis=-1, keepdims=True)
    both = one + other
    expected = both * (n / (n + m))
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = (one - expected) ** 2 / expected + (other - (both - expected)) ** 2 / (both - expected)
    found: Floats = np.where(both > 0, parts, 0.0).sum(axis=-1)
    return found


def fixed_size_of_ks(change: Change, reference: int | None, runs: int, rng: np.random.Generator) -> int:
    """Rows (per arm without a `reference` of so many rows) for a power of 80 % of one KS test at 5 %, by bisection."""
    low, high = 8, 32_768
    while high > 1.01 * low + 1:
        n = round(math.sqrt(low * high))
        if reference is None:
            below = np.broadcast_to(np.arange(1, FINE) / FINE, (runs, FINE - 1))
            other: Counts | Floats = rng.multinomial(n, NONE.shares(below))
        else:
            below = below_the_edges(reference, runs, rng)
            other = np.full((runs, FINE), 1.0 / FINE)
        rejected = ks_rejects(rng.multinomial(n, change.shares(below)), other, n if reference is None else reference)
        low, high = (low, n) if rejected.mean() >= POWER else (n, high)
    return high


def fixed_size_of_chi_square(before: Floats, after: Floats) -> int:
    """Rows per arm for a power of 80 % of one chi-square test of two samples at 5 %."""
    degrees = len(before) - 1
    critical = float(chi2.ppf(0.95, degrees))
    per_row = float(((before - after) ** 2 / (before + after)).sum())
    n = 1
    while ncx2.sf(critical, degrees, n * per_row) < POWER:
        n += max(1, n // 200)
    return n
