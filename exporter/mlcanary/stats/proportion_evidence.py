"""E1: evidence that a share of bad events is higher at the canary than at the baseline, valid at every look.

Guarantee: while the canary's odds of a bad event are at most exp(tolerance) times the baseline's, exp(log_e) reaches
1 / alpha with probability at most alpha, EVER: for any rates, any drift that both arms share, any split of the traffic,
any lengths of blocks that do not depend on outcomes. Exact for independent events, without a burn-in.
Input: per block of time the trials and bad events of both arms, whole numbers, see `ProportionEvidence`.
Cost: 20 to 180 tilted sums per block (`hypergeometric.log_mgf`), 1 ms for 1,000 trials; about 200 numbers of state.
Error: rounding only, 1e-12 per block; with clustered events (phi > 1) valid to second order; the interval also
carries the error of a sixth-order interpolation, below 1e-7 of the information in its log evidence.
Source: given its margins a 2x2 table is hypergeometric (Fisher; Mantel and Haenszel 1959 for strata); one-sided
mixtures: Howard, Ramdas, McAuliffe and Sekhon, Ann. Stat. 2021; tempering by a design effect: Kish 1965.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.design_effect import DesignEffect, design_effects, tempered
from mlcanary.stats.effect_grid import EffectGrid
from mlcanary.stats.evidence import Estimate
from mlcanary.stats.hypergeometric import log_mgf
from mlcanary.stats.odds_lattice import NODES, bounds

_ROOT_2 = math.sqrt(2.0)
_ESTIMATES_AT_ONCE = 32
"""Their interpolations stay in the second cache."""


@cache
def odds_ratio_grid(scale: float) -> EffectGrid:
    """The tilts of E1, log odds ratios .01 to 5.12; `scale`: the smallest one worth acting on."""
    return EffectGrid.geometric(0.01, _ROOT_2, 19, scale)


def log_odds_ratio(baseline_rate: float, rise: float) -> float:
    """Log odds ratio of a rate that goes from `baseline_rate` to `baseline_rate + rise`, both inside (0, 1).

    >>> round(log_odds_ratio(0.10, 0.02), 4)
    0.2048
    """
    raised = baseline_rate + rise
    if not (0.0 < baseline_rate < 1.0 and 0.0 < raised < 1.0):
        raise ValueError(f"rates must lie between 0 and 1, got {baseline_rate} and {raised}")
    return math.log(raised / (1.0 - raised)) - math.log(baseline_rate / (1.0 - baseline_rate))


@dataclass(slots=True)
class ProportionEvidence:
    """Evidence from blocks of two arms. `shape`: that many comparisons side by side, with the same settings.

    `mde`: log odds ratio of the smallest effect worth acting on, the scale of the prior; any value is valid.
    `tolerance`: log odds ratio >= 0 that counts as no worse. `margin`: log odds ratio > 0 of a canary that must not be
    promoted; None: no statement about promotion. `assumed_phi`: design effect >= 1 assumed before blocks tell it, see
    `DesignEffect`. `with_interval`: keep what estimates need (121 sums more per block).

    >>> evidence = ProportionEvidence()
    >>> for _ in range(40):
    ...     evidence.update(n_c=100, x_c=20, n_b=100, x_b=10)
    >>> bool(evidence.log_e() > np.log(1 / 0.01))
    True
    """

    mde: float = 0.2
    tolerance: float = 0.0
    margin: float | None = None
    assumed_phi: float = 1.0
    shape: InitVar[tuple[int, ...]] = ()
    with_interval: bool = True
    totals: Floats = field(init=False)
    """Canary's trials and bad events, baseline's trials and bad events, blocks; shape (*shape, 5)."""
    exposure: Floats = field(init=False)
    """Mantel-Haenszel: sums of n_c n_b / N and of (x_c n_b - x_b n_c) / N; shape (*shape, 2)."""
    worse: Floats = field(init=False)
    """Log likelihood ratio of each tilt against the tolerance; shape (*shape, 19)."""
    better: Floats = field(init=False)
    """Log likelihood ratio of each tilt against the margin; shape (*shape, 19), or (*shape, 0) without one."""
    cumulants: Floats = field(init=False)
    """Sums of log M of the surplus on the lattice; shape (*shape, 121), or (*shape, 0) without an interval."""
    dependence: DesignEffect = field(init=False)

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """Nothing seen yet. Raises ValueError if a setting is out of range."""
        if not self.mde > 0.0 or not self.tolerance >= 0.0 or (self.margin is not None and not self.margin > 0.0):
            raise ValueError(f"need mde > 0, tolerance >= 0, margin > 0: {self.mde}, {self.tolerance}, {self.margin}")
        tilts = odds_ratio_grid(self.mde).effects.size
        self.totals, self.exposure = np.zeros((*shape, 5)), np.zeros((*shape, 2))
        self.worse = np.zeros((*shape, tilts))
        self.better = np.zeros((*shape, 0 if self.margin is None else tilts))
        self.cumulants = np.zeros((*shape, NODES.size if self.with_interval else 0))
        self.dependence = DesignEffect(shape, self.assumed_phi)

    def update(self, n_c: ArrayLike, x_c: ArrayLike, n_b: ArrayLike, x_b: ArrayLike) -> None:
        """Add one block: `x_c` of `n_c` trials of the canary were bad, `x_b` of `n_b` of the baseline; each of `shape`.

        A block in which an arm has no trial changes nothing at all. Its trials must be carried over by the caller.
        """
        block = [np.broadcast_to(np.asarray(v, dtype=np.float64), self.blocks.shape) for v in (n_c, x_c, n_b, x_b)]
        both = (block[0] > 0) & (block[2] > 0)
        n1, x1, n2, x2 = (np.where(both, v, 0.0) for v in block)
        self.add(n1, x1, n2, x2, log_mgf(n1, n2, x1 + x2, self.needed_tilts()))

    def needed_tilts(self) -> Floats:
        """Where `add` needs log M of a block, shape (T,)."""
        tilts = odds_ratio_grid(self.mde).effects
        parts = [np.array([self.tolerance]), self.tolerance + tilts]
        if self.margin is not None:
            parts += [np.array([self.margin]), self.margin - tilts]
        return np.concatenate([*parts, NODES] if self.with_interval else parts)

    def add(self, n_c: Floats, x_c: Floats, n_b: Floats, x_b: Floats, log_m: Floats) -> None:
        """`update` with log M of the block at `needed_tilts`, shape (*shape, T); empty in both arms or in none."""
        tilts = odds_ratio_grid(self.mde).effects
        size, events = tilts.size, x_c + x_b
        total = n_c + n_b
        open_ = (np.minimum(n_c, events) > np.maximum(events - n_b, 0.0))[..., None]
        above = tilts * x_c[..., None]
        self.worse = self.worse + np.where(open_, above - (log_m[..., 1 : size + 1] - log_m[..., :1]), 0.0)
        if self.margin is not None:
            at = log_m[..., size + 1 : 2 * size + 2]
            self.better = self.better + np.where(open_, -above - (at[..., 1:] - at[..., :1]), 0.0)
        seen = total > 0
        self.totals = self.totals + np.stack([n_c, x_c, n_b, x_b, seen.astype(np.float64)], axis=-1)
        share = n_c / np.where(seen, total, 1.0)
        expected = share * events
        surplus = x_c - expected
        if self.with_interval:
            self.cumulants = self.cumulants + (log_m[..., -NODES.size :] - NODES * expected[..., None])
        self.exposure = self.exposure + np.stack([share * n_b, surplus], axis=-1)
        variance = share * n_b * events * (total - events) / np.maximum(total * (total - 1.0), 1.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.dependence.update(np.where(variance > 0, surplus / np.sqrt(variance), np.nan))

    def log_e(self) -> Floats:
        """Log evidence that the canary is worse by more than `tolerance`; of `shape`. Rollback at log(1 / alpha)."""
        return tempered(odds_ratio_grid(self.mde).log_weights, self.worse, self.phi)

    def log_e_noninferior(self) -> Floats | None:
        """Log evidence that the canary is worse by less than `margin`; None without one. Promote at log(1 / alpha)."""
        if self.margin is None:
            return None
        return tempered(odds_ratio_grid(self.margin).log_weights, self.better, self.phi)

    def log_odds_interval(self, confidence: float = 0.95) -> tuple[Floats, Floats]:
        """Bounds of the log odds ratio, canary over baseline, right at every look at once; infinite while unknown."""
        if not self.with_interval:
            raise ValueError("this evidence was made without an interval")
        threshold = math.log(2.0 / (1.0 - confidence))
        return bounds(self.exposure[..., 1], self.cumulants, self.phi, odds_ratio_grid(self.mde), threshold)

    def estimate(self, confidence: float = 0.95) -> Estimate:
        """Rates of both arms and their difference; for a single comparison (`shape` ()).

        The difference is that of Mantel and Haenszel: rates are compared within each block, so that a shared drift
        during a ramp cancels. With a constant split of the traffic it is canary minus baseline. The interval is that of
        the log odds ratio, at the baseline's rate over all blocks.
        """
        (found,) = estimates_together([self], confidence)
        return found

    @property
    def phi(self) -> Floats:
        """Design effect by which the log likelihood ratios are divided; of `shape`."""
        return self.dependence.phi

    @property
    def blocks(self) -> Floats:
        """Blocks so far; of `shape`."""
        return self.totals[..., 4]

    @property
    def trials(self) -> tuple[Floats, Floats]:
        """Trials of canary and baseline; each of `shape`."""
        return self.totals[..., 0], self.totals[..., 2]

    @property
    def events(self) -> tuple[Floats, Floats]:
        """Bad events of canary and baseline; each of `shape`."""
        return self.totals[..., 1], self.totals[..., 3]


def update_together(
    evidences: Sequence[ProportionEvidence], blocks: Sequence[tuple[float, float, float, float]]
) -> None:
    """`update` of many single comparisons with (n_c, x_c, n_b, x_b) each: the same bits, many times faster."""
    groups: dict[tuple[float, bool, bool], list[int]] = {}
    for i, (evidence, block) in enumerate(zip(evidences, blocks, strict=True)):
        if block[0] > 0 and block[2] > 0:
            kind = evidence.mde, evidence.margin is not None, evidence.with_interval
            groups.setdefault(kind, []).append(i)
    for (mde, margin, with_interval), places in groups.items():
        group = [evidences[i] for i in places]
        n_c, x_c, n_b, x_b = np.array([blocks[i] for i in places], dtype=np.float64).T.copy()
        log_m = log_mgf(n_c, n_b, x_c + x_b, np.stack([evidence.needed_tilts() for evidence in group]))
        together = ProportionEvidence(mde, 0.0, 1.0 if margin else None, 1.0, (len(group),), with_interval)
        _move(group, together)
        together.add(n_c, x_c, n_b, x_b, log_m)
        for name in _SUMS:
            for evidence, row in zip(group, getattr(together, name), strict=True):
                setattr(evidence, name, row.copy())
        for evidence, row in zip(group, together.dependence.state, strict=True):
            evidence.dependence.state = row.copy()


_SUMS = ("totals", "exposure", "worse", "better", "cumulants")


def _move(group: Sequence[ProportionEvidence], together: ProportionEvidence) -> None:
    """The sums of single comparisons into one of many."""
    for name in _SUMS:
        setattr(together, name, np.stack([getattr(evidence, name) for evidence in group]))
    together.dependence.state = np.stack([evidence.dependence.state for evidence in group])


class Look(NamedTuple):
    """What a single comparison says now, without its figures."""

    log_e: float
    log_e_noninferior: float | None
    phi: float


def looks_together(evidences: Sequence[ProportionEvidence]) -> list[Look]:
    """Evidence of many single comparisons: the same bits as one by one, many times faster."""
    if not evidences:
        return []
    phi = _phi_together(evidences)
    weights = np.stack([odds_ratio_grid(evidence.mde).log_weights for evidence in evidences])
    log_e = tempered(weights, np.stack([evidence.worse for evidence in evidences]), phi).tolist()
    with_margin = [(i, e, e.margin) for i, e in enumerate(evidences) if e.margin is not None]
    against: dict[int, float] = {}
    if with_margin:
        places = [i for i, _, _ in with_margin]
        weights = np.stack([odds_ratio_grid(margin).log_weights for _, _, margin in with_margin])
        better = np.stack([evidence.better for _, evidence, _ in with_margin])
        against = dict(zip(places, tempered(weights, better, phi[places]).tolist(), strict=True))
    return [
        Look(value, against.get(i), found) for i, (value, found) in enumerate(zip(log_e, phi.tolist(), strict=True))
    ]


def _phi_together(evidences: Sequence[ProportionEvidence]) -> Floats:
    assumed = np.array([evidence.dependence.assumed for evidence in evidences])
    return design_effects(np.stack([evidence.dependence.state for evidence in evidences]), assumed)


def estimates_together(evidences: Sequence[ProportionEvidence], confidence: float = 0.95) -> list[Estimate]:
    """`estimate` of many single comparisons: the same bits, many times faster."""
    threshold = math.log(2.0 / (1.0 - confidence))
    groups: dict[float, list[int]] = {}
    for i, evidence in enumerate(evidences):
        if not evidence.with_interval:
            raise ValueError("this evidence was made without an interval")
        groups.setdefault(evidence.mde, []).append(i)
    found: dict[int, Estimate] = {}
    for mde, all_places in groups.items():
        for start in range(0, len(all_places), _ESTIMATES_AT_ONCE):
            places = all_places[start : start + _ESTIMATES_AT_ONCE]
            group = [evidences[i] for i in places]
            surplus = np.array([e.exposure[1] for e in group])
            cumulants, phi = np.stack([e.cumulants for e in group]), _phi_together(group)
            lower, upper = bounds(surplus, cumulants, phi, odds_ratio_grid(mde), threshold)
            for i, evidence, *interval in zip(places, group, lower.tolist(), upper.tolist(), strict=True):
                found[i] = _carried(evidence, *interval)
    return [found[i] for i in range(len(evidences))]


def _carried(evidence: ProportionEvidence, lower: float, upper: float) -> Estimate:
    """An interval of the log odds ratio, carried to the baseline's rate."""
    n_c, x_c, n_b, x_b, _ = (float(v) for v in evidence.totals)
    if n_c == 0:
        return Estimate(math.nan, math.nan, math.nan, -math.inf, math.inf)
    information, surplus = (float(v) for v in evidence.exposure)
    difference = surplus / information
    base = (x_b + 0.5) / (n_b + 1.0)
    odds = math.log(base / (1.0 - base))
    least, most = (_expit(odds + bound) - base for bound in (lower, upper))
    return Estimate(x_c / n_c, x_b / n_b, difference, min(least, difference), max(most, difference))


def _expit(x: float) -> float:
    return 0.0 if x < -700.0 else 1.0 / (1.0 + math.exp(-x))
