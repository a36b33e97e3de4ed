"""Whether rows of the canary can be told from those of the baseline: a classifier two-sample test as a bet.

Guarantee: a row is scored by a discriminator that was fitted on blocks before its own, so as long as both arms have the
same distribution within each block, the score has the same mean in both, whatever was fitted. E tests that mean by E2:
asymptotic, nothing is said before 200 canary rows. Unlike tests of one feature it sees what shows in pairs only, such
as a shuffled column.
Input: raw rows of one block and arm, shape (rows, F), NaN for missing. Rows are not kept, only sums over them.
Cost: per block O(rows p^2), p = F (F + 1) / 2 + 2 F terms; a fit, O(p^3), when rows have grown by a tenth; 8 p^2 bytes.
Error: that of E2; scores are rounded to 1e-9, as the order in which a matrix product adds may differ between machines.
Source: E-C2ST, Pandeva, Bakker, Naesseth and Forré 2024; Shekhar and Ramdas 2023; Podkopaev and Ramdas 2023; Fisher's
discriminant (1936) on columns and products of pairs, its covariance shrunk towards a diagonal.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.discriminator import Terms
from mlcanary.stats.mean_evidence import MeanEvidence
from mlcanary.stats.roc_auc import auc_from_counts

FARTHEST = 4.0
"""Standardised values are cut here: a product of two outliers must not be all that a fit sees."""

WIDTH = 3.0
"""Standard deviations of a score within an arm that are mapped to 1."""

GROWTH = 1.1
"""Rows over those of the last fit from which another one is worth its cost."""

SCORE_BINS = 200
_DIGITS = 9
_SPREAD = 1e-10


@dataclass(slots=True)
class ClassifierEvidence:
    """One more "feature" of a canary: all its features at once.

    `sums_c`, `sums_b`, `products`: of the terms over all past rows; `center`, `scale`: of the columns in the first
    block, fixed from then on; `weights`, `middle`: of the last fit. `histogram`: scores of both arms, shape (2, bins).
    """

    columns: InitVar[int]
    center: Floats = field(init=False)
    scale: Floats = field(init=False)
    n_c: int = 0
    n_b: int = 0
    sums_c: Floats = field(init=False)
    sums_b: Floats = field(init=False)
    products: Floats = field(init=False)
    fitted_rows: int = 0
    weights: Floats = field(init=False)
    middle: float = 0.0
    higher: MeanEvidence = field(init=False)
    lower: MeanEvidence = field(init=False)
    histogram: Floats = field(init=False)

    def __post_init__(self, columns: int) -> None:
        """`columns`: F, at least 1."""
        size = Terms.of(columns).size
        self.center, self.scale = np.zeros(columns), np.ones(columns)
        self.sums_c, self.sums_b = np.zeros(size), np.zeros(size)
        self.products, self.weights = np.zeros((size, size)), np.zeros(size)
        self.higher, self.lower = MeanEvidence(), MeanEvidence()
        self.histogram = np.zeros((2, SCORE_BINS))

    def update(self, rows_c: ArrayLike, rows_b: ArrayLike) -> None:
        """One block: score its rows, shape (rows, F) each, by the past, then learn from them.

        A block with fewer than 2 rows in an arm is only learnt from.
        """
        canary, baseline = np.asarray(rows_c, dtype=np.float64), np.asarray(rows_b, dtype=np.float64)
        if self.n_c + self.n_b == 0:
            self._fix_scale(np.concatenate([canary, baseline]))
        terms_c, terms_b = self._terms(canary), self._terms(baseline)
        if self.fitted_rows:
            self._bet(self._scores(terms_c), self._scores(terms_b))
        self._learn(terms_c, terms_b)
        if min(self.n_c, self.n_b) > 1 and self.n_c + self.n_b >= GROWTH * self.fitted_rows:
            self._fit()

    def log_e(self) -> float:
        """log of the mean of both directions; 0 before 200 scored canary rows."""
        return float(np.logaddexp(self.higher.log_e(), self.lower.log_e()) - np.log(2.0))

    @property
    def auc(self) -> float | None:
        """Chance that a canary row scores above a baseline row, out of fold; 1/2 if nothing tells them apart."""
        found = auc_from_counts(self.histogram[0], self.histogram[1])
        return None if found is None else found.auc

    def _fix_scale(self, rows: Floats) -> None:
        present = ~np.isnan(rows)
        n: Floats = np.maximum(present.sum(axis=0, dtype=np.float64), 1.0)
        mean: Floats = np.where(present, rows, 0.0).sum(axis=0) / n
        spread: Floats = np.sqrt((np.where(present, rows - mean, 0.0) ** 2).sum(axis=0) / n)
        self.center, self.scale = mean, np.where(spread > 0, spread, 1.0)

    def _terms(self, rows: Floats) -> Floats:
        missing = np.isnan(rows)
        scores = np.where(missing, 0.0, np.clip((rows - self.center) / self.scale, -FARTHEST, FARTHEST))
        return Terms.of(rows.shape[1]).rows(scores, missing.astype(np.float64))

    def _scores(self, terms: Floats) -> Floats:
        bounded: Floats = np.clip(terms @ self.weights - self.middle, -1.0, 1.0)
        return np.round(bounded, _DIGITS)

    def _bet(self, scores_c: Floats, scores_b: Floats) -> None:
        sum_c, sum_b = scores_c.sum(), scores_b.sum()
        squares_c, squares_b = (scores_c**2).sum(), (scores_b**2).sum()
        self.higher.update(len(scores_c), sum_c, squares_c, len(scores_b), sum_b, squares_b)
        self.lower.update(len(scores_c), -sum_c, squares_c, len(scores_b), -sum_b, squares_b)
        for row, scores in enumerate((scores_c, scores_b)):
            places = np.minimum((scores + 1.0) * (SCORE_BINS / 2.0), SCORE_BINS - 1).astype(np.intp)
            self.histogram[row] += np.bincount(places, minlength=SCORE_BINS)

    def _learn(self, terms_c: Floats, terms_b: Floats) -> None:
        self.n_c += len(terms_c)
        self.n_b += len(terms_b)
        self.sums_c += terms_c.sum(axis=0)
        self.sums_b += terms_b.sum(axis=0)
        self.products += terms_c.T @ terms_c + terms_b.T @ terms_b

    def _fit(self) -> None:
        """Fisher's discriminant, scaled so that `WIDTH` deviations within an arm are 1 away from the middle."""
        n = self.n_c + self.n_b
        mean_c, mean_b = self.sums_c / self.n_c, self.sums_b / self.n_b
        within = (self.products - self.n_c * np.outer(mean_c, mean_c) - self.n_b * np.outer(mean_b, mean_b)) / n
        spread: Floats = np.sqrt(np.maximum(np.diag(within), 0.0))
        scale = np.where(spread > _SPREAD, spread, 1.0)
        correlation = within / np.outer(scale, scale)
        size = len(scale)
        shrink = size / (size + n)
        shrunk = (1.0 - shrink) * correlation + shrink * np.eye(size)
        weights = np.linalg.solve(shrunk, np.where(spread > _SPREAD, (mean_c - mean_b) / scale, 0.0)) / scale
        deviation = float(np.sqrt(max(float(weights @ within @ weights), 0.0)))
        self.weights = weights / (WIDTH * deviation) if deviation > 0 else np.zeros(size)
        self.middle = float(self.weights @ (mean_c + mean_b)) / 2.0
        self.fitted_rows = n
