"""Whether categorical features of the canary are distributed as the baseline's: a plug-in bet, and E1 of each category.

Guarantee: as long as a feature has the same distribution in both arms within each block, its E is an e-process: the
chance that it EVER reaches 1 / alpha is at most alpha, at any sample size and whatever drift both arms share. Exact
for independent rows; else divided by the design effect of the feature, as in `feature_evidence.py`.
Input: integer counts per category of one block in each arm; the list of categories is fixed beforehand (a list that
grows with the data is no bet made in advance), what is not in it belongs to a last category "other".
Cost: an update is one call of `hypergeometric.log_mgf` for all categories of all features, and O(3 categories).
Error: that of `log_mgf`. Source: Turner, Ly and Grünwald 2024, arXiv 2106.02693 (the block e-variable, with shares
estimated from past blocks); one-vs-rest as in `feature_evidence.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.design_effect import tempered
from mlcanary.stats.feature_evidence import TIE_DIGITS, Counts, Guilty, ShareEvidence, Spans, joined_counts

STRENGTHS = np.array([10.0, 100.0, 1000.0])
"""Rows that the shares of both arms together count for, in the estimate of those of one arm: kappa."""


@dataclass(slots=True)
class CategoriesEvidence:
    """Evidence of all categorical features of a model: `log_e()` has one entry for each.

    E of a feature = (plug-in bet + mean over categories of two-sided E1, one against the rest) / 2: the bet sees many
    small changes, E1 one category. `sizes`: number of categories of each feature. `assumed_phi`: see
    `ShareEvidence`. `log_bets`, shape (*shape, K, 3).
    `counts_c`, `counts_b`: sums over all blocks that were compared, from which the next bet is made.
    """

    sizes: InitVar[Sequence[int]]
    shape: InitVar[tuple[int, ...]] = ()
    assumed_phi: InitVar[float | None] = None
    categories: Counts = field(init=False)
    spans: Spans = field(init=False)
    shares: ShareEvidence = field(init=False)
    log_bets: Floats = field(init=False)
    counts_c: Counts = field(init=False)
    counts_b: Counts = field(init=False)

    def __post_init__(self, sizes: Sequence[int], shape: tuple[int, ...], assumed_phi: float | None) -> None:
        """At least one feature; `shape`: leading shape of all counts, for many independent runs."""
        self.categories = np.array(sizes, dtype=np.int64)
        self.spans = Spans.of([(size, 0) for size in sizes])
        self.shares = ShareEvidence(self.spans.starts, sum(sizes), shape, assumed_phi)
        self.log_bets = np.zeros((*shape, len(sizes), len(STRENGTHS)))
        self.counts_c = np.zeros((*shape, sum(sizes)), dtype=np.int64)
        self.counts_b = np.zeros((*shape, sum(sizes)), dtype=np.int64)

    def update(self, counts_c: Sequence[Counts], counts_b: Sequence[Counts]) -> None:
        """One block: counts of each feature in both arms, shape (*shape, categories), or of several joined.

        A feature without rows in one arm stays.
        """
        canary, baseline = joined_counts(counts_c), joined_counts(counts_b)
        n_c, n_b = self._totals(canary), self._totals(baseline)
        self.shares.update(self._spread(n_c), canary, self._spread(n_b), baseline)
        compared = np.repeat((n_c > 0) & (n_b > 0), self.categories, axis=-1)
        canary, baseline = np.where(compared, canary, 0), np.where(compared, baseline, 0)
        self.log_bets += self._won(canary, baseline)
        self.counts_c += canary
        self.counts_b += baseline

    def log_e(self) -> Floats:
        """log E of each feature, shape (*shape, K)."""
        bets = tempered(np.full(len(STRENGTHS), -np.log(len(STRENGTHS))), self.log_bets, self.phi)
        bets = np.where(self.shares.settled, bets, np.minimum(bets, 0.0))
        both: Floats = np.logaddexp(bets, self.spans.log_mean(self.shares.log_e())) - np.log(2.0)
        return both

    @property
    def phi(self) -> Floats:
        """Design effect of each feature, at least 1, shape (*shape, K)."""
        return self.shares.phi

    def guilty_categories(self) -> list[Guilty]:
        """The category with most evidence of each feature, the first of equals; for one run (no leading shape)."""
        unsettled = self.shares.unsettled_log_e()
        log_e, rounded = self.shares.limited(unsettled).tolist(), np.round(unsettled, TIE_DIGITS)
        arms = [(self._totals(counts).tolist(), counts.tolist()) for counts in (self.counts_c, self.counts_b)]
        found = []
        for i, (start, size) in enumerate(zip(self.spans.starts.tolist(), self.categories.tolist(), strict=True)):
            place = int(rounded[start : start + size].argmax())
            at = start + place
            canary, baseline = (counts[at] / totals[i] if totals[i] else 0.0 for totals, counts in arms)
            found.append(Guilty(False, place, canary, baseline, log_e[at]))
        return found

    def _won(self, canary: Counts, baseline: Counts) -> Floats:
        """log of what the bets on this block multiply by, shape (*shape, K, 3); 0 for features without rows."""
        n_c = self._spread(self._totals(canary))[..., np.newaxis]
        n_b = self._spread(self._totals(baseline))[..., np.newaxis]
        pool = self._pool()[..., np.newaxis]
        p_c = self._estimated(self.counts_c, pool)
        p_b = self._estimated(self.counts_b, pool)
        p_0 = (n_c * p_c + n_b * p_b) / np.maximum(n_c + n_b, 1)
        p_0 = np.where(n_c + n_b > 0, p_0, 1.0)
        won = canary[..., np.newaxis] * np.log(p_c / p_0) + baseline[..., np.newaxis] * np.log(p_b / p_0)
        total: Floats = np.add.reduceat(won, self.spans.starts, axis=-2)
        return total

    def _pool(self) -> Floats:
        """Shares of the categories in both arms together, in past blocks."""
        both = self.counts_c + self.counts_b + 0.5
        totals: Floats = np.add.reduceat(both, self.spans.starts, axis=-1)
        return both / np.repeat(totals, self.categories, axis=-1)

    def _estimated(self, counts: Counts, pool: Floats) -> Floats:
        """Shares of one arm in past blocks, drawn towards those of both, shape (*shape, T, 3)."""
        n = self._spread(self._totals(counts))[..., np.newaxis]
        found: Floats = (counts[..., np.newaxis] + STRENGTHS * pool) / (n + STRENGTHS)
        return found

    def _totals(self, joined: Counts) -> Counts:
        """Rows of each feature, shape (*shape, K)."""
        totals: Counts = np.add.reduceat(joined, self.spans.starts, axis=-1)
        return totals

    def _spread(self, per_feature: Counts) -> Counts:
        """What belongs to a feature, for each of its categories."""
        found: Counts = np.repeat(per_feature, self.categories, axis=-1)
        return found
