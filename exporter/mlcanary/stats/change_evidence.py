"""Whether something has begun to go wrong since some unknown time: sums of restarts of E1, for models that stay (E4).

Guarantee: without a change the mean time between false alarms at R >= A is at least A updates, for any dependence on
the past; with two arms whatever drift both share. A = wanted days times updates a day (30 days at 60 s: 43,200).
Input: counts of one update; alarms are about "more events" unless `falling`. The mean of R of several streams keeps
the promise for the same A. Cost: O(J), with two arms one call of `hypergeometric.log_mgf`; J floats of state.
Error: that of `log_mgf`. Not for rollback of a canary: it promises a mean time, and no error rate for ever.
Source: Shiryaev-Roberts; e-detectors, Shin, Ramdas and Rinaldo, NEJSDS 2023: a sum of e-processes that begin at every
update, R <- (1 + R) e, has R - updates as a supermartingale.
"""

from __future__ import annotations

import math
from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.evidence import log_sum_exp
from mlcanary.stats.hypergeometric import log_mgf
from mlcanary.stats.proportion_evidence import odds_ratio_grid


@dataclass(slots=True)
class Restarts:
    """log R of each tilt, shape (*shape, J), -inf at the start: the sum of one bet begun at each update so far."""

    mde: float = 0.2
    """Log odds ratio of the smallest change worth acting on: the scale of the prior."""
    shape: InitVar[tuple[int, ...]] = ()
    log_sums: Floats = field(init=False)

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """No update yet."""
        self.log_sums = np.full((*shape, len(odds_ratio_grid(self.mde).effects)), -math.inf)

    def take(self, increments: Floats, telling: NDArray[np.bool_]) -> None:
        """One update: log e of each tilt, shape (*shape, J); where not `telling`, shape `shape`, nothing happens."""
        begun = np.logaddexp(0.0, self.log_sums) + increments
        self.log_sums = np.where(telling[..., np.newaxis], begun, self.log_sums)

    def log_r(self) -> Floats:
        """log of the mean of R over the tilts, shape `shape`; -inf before the first update."""
        return log_sum_exp(self.log_sums + odds_ratio_grid(self.mde).log_weights)

    def alarm(self, a: float) -> NDArray[np.bool_]:
        """Whether R >= `a`, shape `shape`; where so, everything begins anew, as the guarantee demands."""
        reached = self.log_r() >= math.log(a)
        self.log_sums = np.where(reached[..., np.newaxis], -math.inf, self.log_sums)
        return reached


@dataclass(slots=True)
class ChangeEvidence:
    """Two arms: the canary begins to have more events than the baseline (`falling`: fewer). `shape`: many at once."""

    falling: bool = False
    mde: float = 0.2
    shape: InitVar[tuple[int, ...]] = ()
    restarts: Restarts = field(init=False)

    def __post_init__(self, shape: tuple[int, ...]) -> None:
        """No update yet."""
        self.restarts = Restarts(self.mde, shape)

    def update(self, n_c: ArrayLike, x_c: ArrayLike, n_b: ArrayLike, x_b: ArrayLike) -> None:
        """One block of trials and events of both arms, shape `shape`.

        What cannot tell anything (an empty arm, all events or none) is no update: R would grow by itself.
        """
        trials_c, trials_b = np.asarray(n_c, dtype=np.float64), np.asarray(n_b, dtype=np.float64)
        events_c = np.asarray(x_c, dtype=np.float64)
        both = events_c + np.asarray(x_b, dtype=np.float64)
        telling = np.asarray((trials_c > 0) & (trials_b > 0) & (both > 0) & (both < trials_c + trials_b))
        tilts = odds_ratio_grid(self.mde).effects * (-1.0 if self.falling else 1.0)
        self.restarts.take(tilts * events_c[..., np.newaxis] - log_mgf(trials_c, trials_b, both, tilts), telling)

    def log_r(self) -> Floats:
        """log R, shape `shape`."""
        return self.restarts.log_r()

    def alarm(self, a: float) -> NDArray[np.bool_]:
        """Whether R >= `a`; where so, R begins anew."""
        return self.restarts.alarm(a)


@dataclass(slots=True)
class RateChangeEvidence:
    """One arm: the rate begins to be above `null_rate` (`falling`: below). `null_rate`: shape `shape`, in [0, 1]."""

    null_rate: Floats
    falling: bool = False
    mde: float = 0.2
    restarts: Restarts = field(init=False)

    def __post_init__(self) -> None:
        """No update yet."""
        self.null_rate = np.array(self.null_rate, dtype=np.float64)
        self.restarts = Restarts(self.mde, self.null_rate.shape)

    def update(self, n: ArrayLike, x: ArrayLike) -> None:
        """One block of trials and events, shape `shape`.

        What cannot tell anything (no trials; no event where none is expected, nothing else where all are) is no update.
        """
        trials, events = np.asarray(n, dtype=np.float64), np.asarray(x, dtype=np.float64)
        tilts = odds_ratio_grid(self.mde).effects * (-1.0 if self.falling else 1.0)
        log_mean = np.log1p(self.null_rate[..., np.newaxis] * np.expm1(tilts))
        increments = tilts * events[..., np.newaxis] - trials[..., np.newaxis] * log_mean
        certain = ((self.null_rate == 0.0) & (events == 0)) | ((self.null_rate == 1.0) & (events == trials))
        self.restarts.take(increments, (trials > 0) & ~certain)

    def log_r(self) -> Floats:
        """log R, shape `shape`."""
        return self.restarts.log_r()

    def alarm(self, a: float) -> NDArray[np.bool_]:
        """Whether R >= `a`; where so, R begins anew."""
        return self.restarts.alarm(a)


def null_rates(share: ArrayLike, rows: ArrayLike, tolerance: float = 0.0) -> tuple[Floats, Floats]:
    """Lower and upper null rate about a `share` that `rows` rows of a reference have shown: (for falling, for rising).

    `tolerance` or two standard errors away, whichever is farther, within [0, 1].

    >>> tuple(round(float(rate), 6) for rate in null_rates(0.5, 10_000))
    (0.49, 0.51)
    """
    known = np.asarray(share, dtype=np.float64)
    away = np.maximum(tolerance, 2.0 * np.sqrt(known * (1.0 - known) / np.asarray(rows, dtype=np.float64)))
    return np.maximum(known - away, 0.0), np.minimum(known + away, 1.0)
