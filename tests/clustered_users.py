"""Users who differ in how often they come and in how often they click.

How well do 95 % intervals hold the truth, and how often is a split of sticky users called wrong?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcanary.stats.ratio import NORMAL_95, Estimate, mean, proportion, ratio
from mlcanary.stats.user_buckets import BUCKETS, STUDENT_95, clustered

Floats = NDArray[np.float64]
RATE, FOLLOW, VALUE = 0.1, 0.3, 20.0
"""Clicks per request, conversions per click, mean value of a conversion: what the intervals should hold."""

FIGURES: Mapping[str, float] = {"CTR": RATE, "CVR": FOLLOW, "value per prediction": RATE * FOLLOW * VALUE}


def _alike(rng: np.random.Generator, users: int) -> Floats:
    return 1.0 + rng.poisson(4.0, users)


def _heavy(rng: np.random.Generator, users: int) -> Floats:
    return 1.0 + np.floor(rng.lognormal(1.0, 1.2, users))


def _very_heavy(rng: np.random.Generator, users: int) -> Floats:
    return np.minimum(1.0 + np.floor(rng.pareto(1.5, users)), 1000.0)


REQUESTS: Mapping[str, Callable[[np.random.Generator, int], Floats]] = {
    "Poisson": _alike,
    "lognormal": _heavy,
    "Pareto 1.5, at most 1000": _very_heavy,
}
"""Requests per user."""


@dataclass(frozen=True)
class World:
    """`agreement`: a + b of the beta distribution of a user's click rate; the smaller, the more users differ."""

    users: int
    requests: str
    agreement: float


@dataclass(frozen=True)
class Held:
    """Share of draws, mostly those in which the interval held the truth, by the two ways of taking the variance."""

    events: float
    users: float


def coverage(world: World, draws: int, seed: int) -> dict[str, Held]:
    """Simulate, and count by figure."""
    rng = np.random.default_rng(seed)
    held = {name: np.zeros(2) for name in FIGURES}
    for _ in range(draws):
        for name, (event, user) in _draw(rng, world).items():
            held[name] += [_holds(event, NORMAL_95, FIGURES[name]), _holds(user, STUDENT_95, FIGURES[name])]
    return {name: Held(*(hits / draws).tolist()) for name, hits in held.items()}


def false_alarms(baseline: World, canary: World, draws: int, seed: int) -> dict[str, Held]:
    """Share of draws in which two equal versions differ by more than 95 % of differences should."""
    rng = np.random.default_rng(seed)
    told = {name: np.zeros(2) for name in FIGURES}
    for _ in range(draws):
        ours, theirs = _draw(rng, canary), _draw(rng, baseline)
        for name in FIGURES:
            told[name] += [_differ(a, b) for a, b in zip(ours[name], theirs[name], strict=True)]
    return {name: Held(*(hits / draws).tolist()) for name, hits in told.items()}


def _differ(one: Estimate | None, other: Estimate | None) -> bool:
    assert one is not None
    assert other is not None
    return abs(one.value - other.value) > NORMAL_95 * np.hypot(one.stderr or 0.0, other.stderr or 0.0)


@dataclass(frozen=True)
class Told:
    """Share of draws called a mismatch: by chi-square over requests, and by what the rules do where users are known."""

    requests: float
    users: float


def mismatches(world: World, draws: int, seed: int, *, configured: float, actual: float, sticky: bool = True) -> Told:
    """Users go to the canary with probability `actual`, each as a whole if they are sticky, else request by request."""
    rng, told = np.random.default_rng(seed), np.zeros(2)
    for _ in range(draws):
        n = REQUESTS[world.requests](rng, world.users)
        ours = n * (rng.random(world.users) < actual) if sticky else rng.binomial(n.astype(int), actual)
        place = rng.integers(0, BUCKETS, world.users)
        total, found = n.sum(), ours.sum() / n.sum()
        off = abs(found - configured)
        wrong = off / min(configured, 1 - configured) > _OFF and (
            off**2 * total / (configured * (1 - configured)) > _CHISQUARE
        )
        stderr = share_stderr(np.bincount(place, ours, BUCKETS), np.bincount(place, n, BUCKETS), configured)
        told += [wrong, wrong and off > _STUDENT * stderr]
    return Told(*(told / draws).tolist())


def share_stderr(ours: Floats, everybody: Floats, share: float) -> float:
    """The larger of what the ratio varies by over buckets, and of what drawn users of such weights would."""
    left_over = ours - ours.sum() / everybody.sum() * everybody
    drawn = share * (1 - share) * BUCKETS * np.var(everybody, ddof=1)
    return float(np.sqrt(max(BUCKETS * np.var(left_over, ddof=1), drawn)) / everybody.sum())


_OFF, _CHISQUARE, _STUDENT = 0.05, 11.16, 3.4518
"""Limits of the rules at p = 0.001: relative deviation, chi-square (Wilson-Hilferty, one degree), t of 63 degrees."""


def _draw(rng: np.random.Generator, world: World) -> dict[str, tuple[Estimate | None, Estimate | None]]:
    """Both estimates of each figure. Values are per user too: some buy dear things, others cheap ones."""
    n = REQUESTS[world.requests](rng, world.users)
    clicks = rng.binomial(n.astype(int), _rates(rng, RATE, world)).astype(float)
    conversions = rng.binomial(clicks.astype(int), _rates(rng, FOLLOW, world)).astype(float)
    price = rng.exponential(VALUE, world.users)
    place = rng.integers(0, BUCKETS, world.users)
    by_bucket = [np.bincount(place, sums, BUCKETS) for sums in (n, clicks, conversions, conversions * price)]
    total, clicked, converted, value = (float(sums.sum()) for sums in by_bucket)
    squares = float((conversions * price**2).sum())
    return {
        "CTR": (proportion(clicked, total), clustered(by_bucket[1], by_bucket[0])),
        "CVR": (ratio(converted, clicked, both=converted), clustered(by_bucket[2], by_bucket[1])),
        "value per prediction": (mean(value, squares, total), clustered(by_bucket[3], by_bucket[0])),
    }


def _rates(rng: np.random.Generator, average: float, world: World) -> Floats:
    return rng.beta(average * world.agreement, (1 - average) * world.agreement, world.users)


def _holds(found: Estimate | None, quantile: float, truth: float) -> bool:
    assert found is not None
    assert found.stderr is not None
    return abs(found.value - truth) <= quantile * found.stderr
