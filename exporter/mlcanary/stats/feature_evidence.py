"""Whether numeric features of the canary are distributed as the baseline's: E1 on every edge and every bin.

Guarantee: as long as a feature has the same distribution in both arms within each block, its E is an e-process: the
chance that it EVER reaches 1 / alpha is at most alpha, at any sample size and whatever drift both arms share. Given
the sums over both arms a count of the canary is hypergeometric: that is exact for independent rows. Where one user
sends several, evidence is divided by the design effect phi of the feature, which holds to second order.
Input: integer counts per bin, ascending, of one block in each arm; requests or users routed at random.
Cost: an update is one call of `hypergeometric.log_mgf` for all T edges and bins of all features; 19 T floats of state.
Error: that of `log_mgf`; a change inside a bin that moves no edge is not seen.
Source: Fisher's noncentral hypergeometric law, a block as stratum (Mantel and Haenszel 1959); sequential comparison of
distribution functions for canaries: Lindon, Sanden and Shirikian, KDD 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.design_effect import ASSUMED_BLOCKS, DesignEffect, tempered
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.hypergeometric import log_mgf

Counts = NDArray[np.int64]

GRID = EffectGrid.geometric(0.04, 2.0, 8, 0.2)
"""Log odds ratios of the canary's share over the baseline's that are mixed over, in either direction."""

TILTS = np.concatenate([-GRID.effects, GRID.effects])
LOG_WEIGHTS = np.concatenate([GRID.log_weights, GRID.log_weights]) - np.log(2.0)

SETTLED = 4
"""Blocks from which the design effect of a feature, over all its shares, is known well enough."""

TIE_DIGITS = 9
"""Decimals of log E when the guiltiest is looked for: of two bins both say the same, but for rounding."""


@dataclass(slots=True)
class ShareEvidence:
    """Two-sided E1 for many shares at once: does the canary have more or fewer of these events than the baseline?

    `starts`, shape (K,): first share of each feature; `shares`: how many there are. `log_products`, shape
    (*shape, shares, 2 J): log of the likelihood ratio of each tilt over all blocks so far. `dependence`: of each share.
    `assumed_phi`: design effect >= 1 that is known beforehand, 1 for independent rows. None: nothing is known, and as
    one block cannot tell clusters from a change, E is at most 1 before `SETTLED` blocks.
    """

    starts: Counts
    shares: int
    shape: InitVar[tuple[int, ...]] = ()
    assumed_phi: float | None = None
    log_products: Floats = field(init=False)
    dependence: DesignEffect = field(init=False)

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """`shape`: leading shape of everything, for many independent runs."""
        self.log_products = np.zeros((*shape, self.shares, len(TILTS)))
        self.dependence = DesignEffect((*shape, self.shares))

    def update(self, n_c: Counts, x_c: Counts, n_b: Counts, x_b: Counts) -> None:
        """One block: trials and events of both arms, shape (*shape, shares). What cannot tell anything is skipped."""
        m = x_c + x_b
        telling = (n_c > 0) & (n_b > 0) & (m > 0) & (m < n_c + n_b)
        x = x_c[telling].astype(np.float64)[:, np.newaxis]
        self.log_products[telling] += TILTS * x - log_mgf(n_c[telling], n_b[telling], m[telling], TILTS)
        total = np.where(telling, n_c + n_b, 2.0)
        expected = m * (n_c / total)
        variance = np.where(telling, expected * (n_b / total) * ((total - m) / (total - 1.0)), 1.0)
        self.dependence.update(np.where(telling, (x_c - expected) / np.sqrt(variance), np.nan))

    def log_e(self) -> Floats:
        """log E of each share, shape (*shape, shares)."""
        return self.limited(self.unsettled_log_e())

    def limited(self, unsettled: Floats) -> Floats:
        """`log_e` from `unsettled_log_e`."""
        return np.where(np.repeat(self.settled, self._lengths(), axis=-1), unsettled, np.minimum(unsettled, 0.0))

    def unsettled_log_e(self) -> Floats:
        """The same, but for the limit before enough blocks: tells shares apart, and is no evidence."""
        return tempered(LOG_WEIGHTS, self.log_products, np.repeat(self.phi, self._lengths(), axis=-1))

    @property
    def phi(self) -> Floats:
        """Design effect of each feature, shape (*shape, K), at least 1: of all its shares together, for less noise.

        A user who comes back brings all values back, so that it is much the same for all shares of a feature.
        """
        blocks, squares = self.dependence.state[..., 0], self.dependence.state[..., 1]
        seen = np.add.reduceat(np.maximum(blocks - 1.0, 0.0), self.starts, axis=-1)
        found = np.add.reduceat(squares / 2.0, self.starts, axis=-1)
        weight = 0.0 if self.assumed_phi is None else ASSUMED_BLOCKS
        pooled = (found + weight * (self.assumed_phi or 1.0)) / np.maximum(seen + weight, 1.0)
        return np.maximum(pooled, 1.0)

    @property
    def settled(self) -> NDArray[np.bool_]:
        """Whether enough is known about the clusters of each feature, shape (*shape, K)."""
        if self.assumed_phi is not None:
            return np.ones((*self.log_products.shape[:-2], len(self.starts)), dtype=np.bool_)
        blocks: Floats = np.maximum.reduceat(self.dependence.state[..., 0], self.starts, axis=-1)
        return blocks >= SETTLED

    def _lengths(self) -> Counts:
        return np.diff(self.starts, append=self.shares)


@dataclass(slots=True)
class Spans:
    """Each tested share of many features as two spans of the joined counts: events, and the trials they are part of.

    Arrays of shape (T,), feature by feature, edges first; places are those of prefix sums. `starts`, shape (K,): first
    share of each feature. `log_weights`: of each share in the mean over its feature; they sum to 1 for each feature.
    """

    event_from: Counts
    event_to: Counts
    trial_from: Counts
    trial_to: Counts
    starts: Counts
    edges: Counts
    log_weights: Floats

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]]) -> Spans:
        """`sizes`: bins of each feature, and how many of the first ones are in order; none: no edges are tested."""
        rows: list[tuple[int, int, int, int, float]] = []
        starts, edges, place = [], [], 0
        for bins, ordered in sizes:
            inner = max(ordered - 1, 0)
            starts.append(len(rows))
            edges.append(inner)
            for i in range(inner):
                rows.append((place, place + i + 1, place, place + ordered, 1.0 / (2 * inner)))
            for i in range(bins):
                weight = 1.0 / (2 * bins if inner else bins)
                rows.append((place + i, place + i + 1, place, place + bins, weight))
            place += bins
        event_from, event_to, trial_from, trial_to, weights = (np.array(column) for column in zip(*rows, strict=True))
        first, inner_edges = np.array(starts, dtype=np.int64), np.array(edges, dtype=np.int64)
        return cls(event_from, event_to, trial_from, trial_to, first, inner_edges, np.log(weights))

    def trials_and_events(self, joined: Counts) -> tuple[Counts, Counts]:
        """From joined counts, shape (..., bins of all features), those of each share, shape (..., T)."""
        sums = np.zeros((*joined.shape[:-1], joined.shape[-1] + 1), dtype=np.int64)
        np.cumsum(joined, axis=-1, out=sums[..., 1:])
        trials: Counts = sums[..., self.trial_to] - sums[..., self.trial_from]
        events: Counts = sums[..., self.event_to] - sums[..., self.event_from]
        return trials, events

    def log_mean(self, log_e: Floats) -> Floats:
        """log of the weighted mean over the shares of each feature: shape (..., T) to (..., K)."""
        weighted = log_e + self.log_weights
        top = np.maximum.reduceat(weighted, self.starts, axis=-1)
        lengths = np.diff(self.starts, append=weighted.shape[-1])
        parts = np.exp(weighted - np.repeat(top, lengths, axis=-1))
        mean: Floats = np.log(np.add.reduceat(parts, self.starts, axis=-1)) + top
        return mean


class Guilty(NamedTuple):
    """The share of a feature that carries most evidence: at or below an edge, or in a bin.

    `place` counts from 0; edge i lies between bins i and i + 1. `canary`, `baseline`: the share in each arm over all
    blocks that were compared; of values that are present for an edge, of all values for a bin.
    """

    is_edge: bool
    place: int
    canary: float
    baseline: float
    log_e: float


@dataclass(slots=True)
class FeaturesEvidence:
    """E1 of all numeric features of a model: `log_e()` has one entry for each.

    E of a feature = (mean over interior edges + mean over bins) / 2: edges see shifts and scale, bins see spikes.
    `sizes`: for each feature its number of bins, and whether the last one holds missing values: that one is a bin
    like any other, but has no part in the edges. `assumed_phi`: see `ShareEvidence`.
    `counts_c`, `counts_b`: sums over all blocks that were compared.
    """

    sizes: InitVar[Sequence[tuple[int, bool]]]
    shape: InitVar[tuple[int, ...]] = ()
    assumed_phi: InitVar[float | None] = None
    spans: Spans = field(init=False)
    shares: ShareEvidence = field(init=False)
    counts_c: Counts = field(init=False)
    counts_b: Counts = field(init=False)

    def __post_init__(
        self, sizes: Sequence[tuple[int, bool]], shape: tuple[int, ...], assumed_phi: float | None
    ) -> None:
        """At least one feature; `shape`: leading shape of all counts, for many independent runs."""
        self.spans = Spans.of([(bins, bins - int(missing)) for bins, missing in sizes])
        self.shares = ShareEvidence(self.spans.starts, len(self.spans.event_to), shape, assumed_phi)
        joined = sum(bins for bins, _ in sizes)
        self.counts_c = np.zeros((*shape, joined), dtype=np.int64)
        self.counts_b = np.zeros((*shape, joined), dtype=np.int64)

    def update(self, counts_c: Sequence[Counts], counts_b: Sequence[Counts]) -> None:
        """One block: counts of each feature in both arms, shape (*shape, bins), or of several joined.

        A feature without rows in one arm stays.
        """
        canary, baseline = joined_counts(counts_c), joined_counts(counts_b)
        n_c, x_c = self.spans.trials_and_events(canary)
        n_b, x_b = self.spans.trials_and_events(baseline)
        self.shares.update(n_c, x_c, n_b, x_b)
        compared = self._compared(n_c, n_b)
        self.counts_c += np.where(compared, canary, 0)
        self.counts_b += np.where(compared, baseline, 0)

    def log_e(self) -> Floats:
        """log E of each feature, shape (*shape, K)."""
        return self.spans.log_mean(self.shares.log_e())

    @property
    def phi(self) -> Floats:
        """Design effect of each feature, at least 1, shape (*shape, K)."""
        return self.shares.phi

    def guilty_bins(self) -> list[Guilty]:
        """The edge or bin with most evidence of each feature, the first of equals; for one run (no leading shape)."""
        unsettled = self.shares.unsettled_log_e()
        log_e, rounded = self.shares.limited(unsettled).tolist(), np.round(unsettled, TIE_DIGITS)
        arms = [self.spans.trials_and_events(counts) for counts in (self.counts_c, self.counts_b)]
        starts = self.spans.starts.tolist()
        found = []
        for start, stop, inner in zip(starts, [*starts[1:], len(rounded)], self.spans.edges.tolist(), strict=True):
            best = int(rounded[start:stop].argmax())
            at = start + best
            canary, baseline = (int(events[at]) / n if (n := int(trials[at])) else 0.0 for trials, events in arms)
            is_edge = best < inner
            found.append(Guilty(is_edge, best if is_edge else best - inner, canary, baseline, log_e[at]))
        return found

    def _compared(self, n_c: Counts, n_b: Counts) -> NDArray[np.bool_]:
        """For each joined bin, whether its feature has rows in both arms; the last share of a feature is a bin."""
        last = np.append(self.spans.starts[1:], len(self.spans.event_to)) - 1
        both = (n_c[..., last] > 0) & (n_b[..., last] > 0)
        bins = np.diff(self.spans.event_to[last], prepend=0)
        found: NDArray[np.bool_] = np.repeat(both, bins, axis=-1)
        return found


def joined_counts(counts: Sequence[Counts]) -> Counts:
    """Counts of all features one after another, as integers."""
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in counts], axis=-1)
