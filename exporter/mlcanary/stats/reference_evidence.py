"""Whether live values of a feature are distributed as a finite reference says: E3, and how far they are at least.

Guarantee: as long as live values come from the same distribution as the m rows of the reference, the chance that E
EVER reaches 1 / alpha is at most alpha, averaged over the draw of the reference: what m rows leave open about the
distribution is in the denominator, so that E does not fire on the reference's own noise, however many live rows come.
Given one bad reference it is not exact (the worst of 40 references of 1,000 rows, 20,000 live rows: 7 % at alpha 5 %).
Input: counts per bin, reference and live, ascending for numbers; live counts from the start of watching on, divided by
the design effect of the feature (`FeaturesEvidence.phi`) where users send several rows: fractions are fine.
Cost: O(B) beta functions, about 0.1 ms for 20 bins. Error: rounding of log E, 1e-9 at a million rows; a change inside
a bin that moves no edge is not seen. Source: beta-binomial and Dirichlet-multinomial predictive densities (Jeffreys
priors); prior predictive e-values, Howard, Ramdas, McAuliffe and Sekhon 2021, for alternatives about the reference's
shares; band of the reference: Massart 1990. Not for rollback: both arms drift together.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, gammaln

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.evidence import log_sum_exp

STRENGTHS = np.array([5.0, 50.0, 500.0])
"""Rows that the reference's shares count for in the alternatives: kappa. Few: large changes, many: small ones."""

_HALVINGS = 60


def reference_log_e(
    reference_counts: ArrayLike, counts: ArrayLike, *, numeric: bool, missing: bool = False
) -> NDArray[np.float64]:
    """log E of live `counts`, shape (..., B), against `reference_counts`, shape (..., B); result of shape (...).

    E of a numeric feature = (mean over interior edges + mean over bins + all bins at once) / 3: edges see shifts (a
    sequential KS test), bins see spikes, all at once sees many small changes (a sequential chi-square test). Without an
    order, or with fewer than two bins that have one, E = (mean over bins + all bins at once) / 2.
    `missing`: the last bin holds missing values and has no part in the edges. log E is 0 where either side has no rows.

    >>> calm, moved = np.array([100, 100, 100]), np.array([300, 100, 100])
    >>> [round(float(reference_log_e(calm, live, numeric=True)), 2) for live in (calm, moved)]
    [-0.55, 22.32]
    """
    before, live = np.asarray(reference_counts, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    before, live = np.broadcast_arrays(before, live)
    bins = before.shape[-1]
    if bins < 2:
        return np.zeros(before.shape[:-1])
    parts = [_of_bins(before, live), _of_all_bins(before, live)]
    ordered = bins - int(missing)
    if numeric and ordered > 1:
        parts.append(_of_edges(before[..., :ordered], live[..., :ordered]))
    log_e = _log_mean(np.stack(parts, axis=-1))
    seen = (before.sum(axis=-1) > 0) & (live.sum(axis=-1) > 0)
    return np.where(seen, log_e, 0.0)


def distance_lower_bound(
    reference_counts: ArrayLike, counts: ArrayLike, alpha: float, *, numeric: bool, missing: bool = False
) -> NDArray[np.float64]:
    """How far the distributions are at least, at every look at once with confidence 1 - alpha; shape (...), in [0, 1].

    Numbers: a lower bound of the Kolmogorov-Smirnov distance of the values that are present, hence of their total
    variation. Categories: of the largest change of a share. Only where this is large is a change worth telling:
    with enough rows E finds changes that nobody cares about. 0 where either side has no rows.
    """
    before, live = np.asarray(reference_counts, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    ordered = before.shape[-1] - int(numeric and missing)
    before, live = np.broadcast_arrays(before[..., :ordered], live[..., :ordered])
    m, n = before.sum(axis=-1, keepdims=True), live.sum(axis=-1, keepdims=True)
    known, seen = (np.cumsum(before, axis=-1), np.cumsum(live, axis=-1)) if numeric else (before, live)
    if numeric:
        known, seen = known[..., :-1], seen[..., :-1]
    events = known.shape[-1]
    if events == 0:
        return np.zeros(before.shape[:-1])
    # One band holds the reference at all edges (Massart); shares without an order need one interval each (Hoeffding).
    either = 4.0 / alpha if numeric else 4.0 * events / alpha
    band = np.sqrt(np.log(either) / (2.0 * np.maximum(m, 1.0)))
    low, high = share_bounds(seen, np.broadcast_to(n, seen.shape), alpha / (2.0 * events))
    share = known / np.maximum(m, 1.0)
    gaps = np.maximum(low - (share + band), (share - band) - high)
    found: Floats = np.where((m[..., 0] > 0) & (n[..., 0] > 0), np.maximum(gaps.max(axis=-1), 0.0), 0.0)
    return found


def share_bounds(events: ArrayLike, trials: ArrayLike, alpha: float) -> tuple[Floats, Floats]:
    """Bounds of a fixed share at every look at once, with confidence 1 - alpha, from `events` of `trials` so far.

    Shares f that the beta-binomial mixture has not beaten: BB(s, n; 1/2, 1/2) / (f^s (1 - f)^(n - s)) < 1 / alpha.
    Rounded outward by less than 1e-15. Source: Robbins 1970; Howard et al. 2021.

    >>> low, high = share_bounds(100, 1000, 0.05)
    >>> round(float(low), 3), round(float(high), 3)
    (0.069, 0.138)
    """
    s, n = np.broadcast_arrays(np.asarray(events, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    limit = _log_beta_binomial(s, n, 0.5, 0.5) + np.log(alpha)
    return _lowest_share(s, n, limit), 1.0 - _lowest_share(n - s, n, limit)


def psi_lower_bound(distance: ArrayLike) -> Floats:
    """The least PSI of two distributions whose probabilities of some event differ by `distance`, in [0, 1); nats.

    2 D log((1 + D) / (1 - D)): data processing, and the least over all pairs of probabilities that far apart.

    >>> round(float(psi_lower_bound(0.1)), 4)
    0.0401
    """
    apart = np.asarray(distance, dtype=np.float64)
    found: Floats = 2.0 * apart * (np.log1p(apart) - np.log1p(-apart))
    return found


@dataclass(slots=True)
class ReferenceEvidence:
    """Live counts of one feature beside its reference; `reference_counts` and `counts` have shape (*shape, B)."""

    reference: InitVar[ArrayLike]
    numeric: bool
    missing: bool = False
    reference_counts: Floats = field(init=False)
    counts: Floats = field(init=False)

    def __post_init__(self, reference: ArrayLike) -> None:
        """`reference`: its counts, shape (*shape, B)."""
        self.reference_counts = np.array(reference, dtype=np.float64)
        self.counts = np.zeros_like(self.reference_counts)

    def update(self, counts: ArrayLike) -> None:
        """Add the counts of one block, shape (*shape, B)."""
        self.counts += np.asarray(counts, dtype=np.float64)

    def log_e(self) -> NDArray[np.float64]:
        """log E, shape `shape`."""
        return reference_log_e(self.reference_counts, self.counts, numeric=self.numeric, missing=self.missing)

    def distance_lower_bound(self, alpha: float) -> NDArray[np.float64]:
        """How far live values are from the reference at least, with confidence 1 - alpha at every look at once."""
        return distance_lower_bound(
            self.reference_counts, self.counts, alpha, numeric=self.numeric, missing=self.missing
        )


def _of_edges(before: Floats, live: Floats) -> Floats:
    """log of the mean over interior edges."""
    m, n = before.sum(axis=-1, keepdims=True), live.sum(axis=-1, keepdims=True)
    below, s = np.cumsum(before, axis=-1)[..., :-1], np.cumsum(live, axis=-1)[..., :-1]
    share = (below + 0.5) / (m + 1.0)
    return _log_mean(_bet(s, n, share, below + 0.5, m - below + 0.5))


def _of_bins(before: Floats, live: Floats) -> Floats:
    """log of the mean over bins, each against the rest."""
    m, n = before.sum(axis=-1, keepdims=True), live.sum(axis=-1, keepdims=True)
    others = 0.5 * (before.shape[-1] - 1)
    share = (before + 0.5) / (m + 0.5 + others)
    return _log_mean(_bet(live, n, share, before + 0.5, m - before + others))


def _of_all_bins(before: Floats, live: Floats) -> Floats:
    """log of the bet on all bins at once: Dirichlet-multinomials with the same coefficients."""
    posterior = before + 0.5
    share = posterior / posterior.sum(axis=-1, keepdims=True)
    alternatives = _log_dirichlet(live[..., np.newaxis, :], STRENGTHS[:, np.newaxis] * share[..., np.newaxis, :])
    found: Floats = _log_mean(alternatives) - _log_dirichlet(live, posterior)
    return found


def _bet(s: Floats, n: Floats, share: Floats, a: Floats, b: Floats) -> Floats:
    """log of the mean over alternatives about `share` of their predictive density over that of Beta(a, b)."""
    kappa_a = STRENGTHS * share[..., np.newaxis]
    kappa_b = STRENGTHS * (1.0 - share)[..., np.newaxis]
    alternatives = _log_beta_binomial(s[..., np.newaxis], n[..., np.newaxis], kappa_a, kappa_b)
    return _log_mean(alternatives) - _log_beta_binomial(s, n, a, b)


def _log_mean(values: Floats) -> Floats:
    found: Floats = log_sum_exp(values) - np.log(values.shape[-1])
    return found


def _log_beta_binomial(s: Floats, n: Floats, a: Floats | float, b: Floats | float) -> Floats:
    """log of the density of one sequence with s events of n under a Beta(a, b) mixture."""
    found: Floats = betaln(s + a, n - s + b) - betaln(a, b)
    return found


def _log_dirichlet(counts: Floats, alphas: Floats) -> Floats:
    """log of the density of one sequence with these counts under a Dirichlet mixture."""
    total = alphas.sum(axis=-1)
    ways = (gammaln(alphas + counts) - gammaln(alphas)).sum(axis=-1)
    found: Floats = ways - (gammaln(total + counts.sum(axis=-1)) - gammaln(total))
    return found


def _lowest_share(s: Floats, n: Floats, limit: Floats) -> Floats:
    """The least share whose log-likelihood s log f + (n - s) log(1 - f) exceeds `limit`, from below by bisection."""
    low, high = np.zeros(s.shape), s / np.maximum(n, 1.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        with np.errstate(divide="ignore", invalid="ignore"):
            likelihood = np.where(s > 0, s * np.log(middle), 0.0) + np.where(n > s, (n - s) * np.log1p(-middle), 0.0)
        outside = likelihood <= limit
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    return low
