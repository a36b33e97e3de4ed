"""A discriminator between live rows and a reference: Fisher's, over rank scores and all their pair products.

Guarantee: the discriminator is a function of half A of the reference sample and of sums over live rows; half B is
only scored, never fitted. Products are there because a shuffled column changes no marginal, only products.
Input: rank scores and missing indicators, shape (rows, F) each. Cost: once per reference O(m p^2 + p^3) with
p = F (F + 1) / 2 + 2 F terms; per fit O(p^2 + m F^2); per row O(F^2); 8 p^2 + 16 m F bytes.
Error: none but rounding; what shows only in products of three and more features is not seen.
Source: Fisher (1936), w = S^-1 (mean of live rows - mean of half A). S is the covariance of half A alone, which is
that of live rows as long as nothing drifts: so live rows are kept as sums, and no live row is stored. Shrinkage of S
towards a multiple of the identity, on standardised terms: Ledoit and Wolf (2004), as in
`sklearn.discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")`.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np

from mlcanary.stats.accumulator import Floats

_CHUNK = 500
_RANK = 1e-10
_DIGITS = 9
"""Decimals of a score: equal rows must tie, whatever order a matrix product adds in."""


class Terms(NamedTuple):
    """Places of the terms of `features` features: scores first, then products of the pairs (i <= j), then missing."""

    features: int
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(cls, features: int) -> Self:
        """All terms of so many features."""
        return cls(features, *np.triu_indices(features))

    @property
    def size(self) -> int:
        """p."""
        return 2 * self.features + len(self.first)

    def rows(self, scores: Floats, missing: Floats) -> Floats:
        """All terms of each row, shape (rows, p)."""
        return np.hstack([scores, scores[:, self.first] * scores[:, self.second], missing])

    def sums(self, scores: Floats, missing: Floats) -> Floats:
        """Sum of each term over the rows, shape (p,), without making the terms of each row."""
        products = scores.T @ scores
        return np.concatenate([scores.sum(axis=0), products[self.first, self.second], missing.sum(axis=0)])

    def per_feature(self, values: Floats) -> Floats:
        """Values of the terms added up by feature, shape (F,); those of a pair are halved between the two."""
        pairs = slice(self.features, self.features + len(self.first))
        total: Floats = values[: self.features] + values[pairs.stop :]
        for place in (self.first, self.second):
            total = total + np.bincount(place, weights=values[pairs] / 2.0, minlength=self.features)
        return total


class Discriminator:
    """A fitted one. Its scores have standard deviation 1 over half B; higher is more like the live rows."""

    def __init__(self, terms: Terms, weights: Floats) -> None:
        self.terms = terms
        self.weights = weights
        features = terms.features
        self._linear, self._missing = weights[:features], weights[-features:]
        self._products = np.zeros((features, features))
        self._products[terms.first, terms.second] = weights[features:-features]

    def scores(self, scores: Floats, missing: Floats) -> Floats:
        """One number per row, shape (rows,)."""
        raw = ((scores @ self._products + self._linear) * scores).sum(axis=1) + missing @ self._missing
        found: Floats = np.round(raw, _DIGITS)
        return found


class Fit(NamedTuple):
    """A discriminator, the sorted scores of half B, and half B's mean of each term."""

    discriminator: Discriminator
    half_b: Floats
    means: Floats

    def placements(self, scores: Floats, missing: Floats) -> Floats:
        """Share of half B under each row, ties half, shape (rows,)."""
        values = self.discriminator.scores(scores, missing)
        under = np.searchsorted(self.half_b, values, side="left")
        upto = np.searchsorted(self.half_b, values, side="right")
        return (under + upto) / (2.0 * len(self.half_b))

    def shifts(self, sums: Floats, rows: float) -> Floats:
        """What each feature adds to the sum of the scores of `rows` rows beyond half B's mean, shape (F,)."""
        return self.discriminator.terms.per_feature(self.discriminator.weights * (sums - rows * self.means))


class Halves:
    """A reference sample, ready to fit and to score: even rows are half A, odd rows half B."""

    def __init__(self, scores: Floats, missing: Floats) -> None:
        """Shape (rows, F) each, at least four rows, in random order."""
        self.terms = Terms.of(scores.shape[1])
        self._mean, self._precision = precision(self.terms, scores[::2], missing[::2])
        self._scores, self._missing = scores[1::2].copy(), missing[1::2].copy()
        self._means = self.terms.sums(self._scores, self._missing) / self.rows

    @property
    def rows(self) -> int:
        """Rows of half B."""
        return len(self._scores)

    def fit(self, mean: Floats) -> Fit:
        """The discriminator of half A and of live rows whose terms have this mean, shape (p,)."""
        weights = self._precision @ (mean - self._mean)
        raw = Discriminator(self.terms, weights).scores(self._scores, self._missing)
        spread = float(raw.std())
        found = Discriminator(self.terms, weights / spread if spread > 0 else np.zeros_like(weights))
        return Fit(found, np.sort(found.scores(self._scores, self._missing)), self._means)


def precision(terms: Terms, scores: Floats, missing: Floats) -> tuple[Floats, Floats]:
    """Mean of the terms, shape (p,), and the inverse of their shrunk covariance, shape (p, p)."""
    n, size = len(scores), terms.size
    total, products = np.zeros(size), np.zeros((size, size))
    for start in range(0, n, _CHUNK):
        rows = terms.rows(scores[start : start + _CHUNK], missing[start : start + _CHUNK])
        total += rows.sum(axis=0)
        products += rows.T @ rows
    mean = total / n
    covariance = products / n - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    scale = np.where(spread > _RANK, spread, 1.0)
    correlation = covariance / np.outer(scale, scale)
    kurtosis = 0.0
    for start in range(0, n, _CHUNK):
        rows = (terms.rows(scores[start : start + _CHUNK], missing[start : start + _CHUNK]) - mean) / scale
        kurtosis += float(((rows**2).sum(axis=1) ** 2).sum())
    inverse = np.linalg.pinv(_shrunk(correlation, kurtosis, n), rcond=_RANK, hermitian=True)
    return mean, inverse / np.outer(scale, scale)


def _shrunk(covariance: Floats, kurtosis: float, n: int) -> Floats:
    """Ledoit and Wolf's estimate; `kurtosis`: sum over the rows of their squared length, squared."""
    size = len(covariance)
    level = float(np.trace(covariance)) / size
    squares = float((covariance**2).sum())
    distance = squares - size * level**2
    noise = min((kurtosis / n - squares) / n, distance)
    share = noise / distance if noise > 0 else 0.0
    return (1.0 - share) * covariance + share * level * np.eye(size)
