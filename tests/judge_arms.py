"""Two versions of one model as the judge sees them: steps drawn from models of traffic with planted faults.

Everything is drawn per step from counts, not per request, so that days of traffic take seconds. A seed gives the same
steps for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from mlcanary.catalog.judge import MARGINS, Family
from mlcanary.catalog.objectives import OBJECTIVES
from mlcanary.judge.contract import CanaryKey, Counts, Facts, Plan, Step, Structure
from mlcanary.stats.accumulator import Floats

DEFAULTS = {objective.name: objective.default for objective in OBJECTIVES}
MARGINS_OF_PLAN = {measure: DEFAULTS[objective] for measure, objective in MARGINS.items()}

START = 1_700_000_000.0
LATENCY = np.array([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0])
SCORE_BINS = 20
FEATURE_BINS = 10
Share = Callable[[float], float]


def plan(**changes: object) -> Plan:
    """The plan of a model with the shipped objectives as margins, equal weights and no warm-up."""
    given = {"margins": MARGINS_OF_PLAN, "warm_up": 0.0, "weights": dict.fromkeys(Family, 0.2), **changes}
    return Plan(**given)  # type: ignore[arg-type]  # keywords of Plan


KEY = CanaryKey("", "", "clicks", "v2", "v1", START)


@dataclass(frozen=True, slots=True)
class Arm:
    """How one version behaves. Rates per request; latency lognormal; scores normal, positives `separation` higher.

    `burst`: requests that a user sends in a row, whose failures and clicks are alike (correlation .3).
    `sharpness`: what the log odds that a model answers are multiplied by; above 1 it is too sure of itself, which costs
    log loss and nothing else.
    """

    errors: float = 0.01
    latency: float = 0.05
    separation: float = 1.2
    positive: float = 0.2
    ctr: float = 0.1
    conversion: float = 0.2
    value: float = 30.0
    labelled: float = 0.95
    burst: int = 1
    sharpness: float = 1.0
    missing: tuple[float, ...] = (0.01, 0.01, 0.01)
    shift: tuple[float, ...] = (0.0, 0.0, 0.0)


@dataclass
class Release:
    """`share(t)`: the canary's part of the traffic; `rate(t)`: requests per second; t in seconds since the start.

    `canary` and `baseline` say how an arm behaves at t.
    """

    seed: int
    canary: Callable[[float], Arm] = field(default=lambda _t: Arm())
    baseline: Callable[[float], Arm] = field(default=lambda _t: Arm())
    share: Share = field(default=lambda _t: 0.1)
    rate: Share = field(default=lambda _t: 50.0)
    interval: float = 30.0
    facts: Callable[[float], Facts] = field(default=lambda _t: Facts())
    history: float = 20_000.0

    def steps(self, seconds: float) -> Iterator[Step]:
        """Steps of `interval` until `seconds` after the start."""
        rng = np.random.default_rng(self.seed)
        past = counts(rng, self.baseline(0.0), self.history)
        born = {name: Structure(CELLS[name][0], past[name], CELLS[name][1]) for name in CELLS}
        for i in range(int(seconds / self.interval)):
            t = i * self.interval
            n = rng.poisson(self.rate(t) * self.interval)
            n_c = int(rng.binomial(n, self.share(t)))
            start = START + t
            yield Step(
                start,
                start + self.interval,
                gained(counts(rng, self.canary(t), n_c)),
                gained(counts(rng, self.baseline(t), n - n_c)),
                born if i == 0 else {},
                self.facts(t),
            )


CELLS: dict[str, tuple[tuple[str, ...], str]] = {
    "requests": (("answered", "failed"), ""),
    "latency": (tuple(f"{edge:g}" for edge in (*LATENCY, np.inf)), ""),
    "confusion": (("0", "1", "other"), ""),
    "log_loss": (("count", "sum", "squares"), ""),
    "scores": (tuple(str(i) for i in range(SCORE_BINS)), ""),
    "mature": (("predictions", "clicks", "conversions", "clicked", "value", "squares"), ""),
    "coverage": (("decided", "labelled"), ""),
    **{f"feature/f{i}": ((*(str(b) for b in range(FEATURE_BINS)), "missing"), "numeric") for i in range(2)},
    "feature/colour": (("red", "green", "blue", "other", "missing"), "categorical"),
}
SCORE_EDGES = np.linspace(-2.0, 3.0, SCORE_BINS - 1)
FEATURE_EDGES = np.array([-1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28])
_COLOURS = np.array([0.5, 0.3, 0.15, 0.05])


def gained(counted: Counts) -> Counts:
    """Without inputs that gained nothing."""
    return {name: values for name, values in counted.items() if any(values)}


def counts(rng: np.random.Generator, arm: Arm, requests: float) -> Counts:
    """What an arm counts for this many requests."""
    n = int(requests)
    failed = _events(rng, n, arm.errors, arm.burst)
    answered = n - failed
    labelled = int(rng.binomial(answered, arm.labelled))
    positives = int(rng.binomial(labelled, arm.positive))
    scores = rng.normal(0.0, 1.0, labelled)
    scores[:positives] += arm.separation
    clicks = _events(rng, answered, arm.ctr, arm.burst)
    conversions = int(rng.binomial(clicks, arm.conversion))
    values = rng.lognormal(0.0, 0.8, conversions) * arm.value
    return {
        "requests": (float(answered), float(failed)),
        "latency": _histogram(rng.lognormal(np.log(arm.latency), 0.6, n), LATENCY),
        **_quality(scores, positives, arm.sharpness),
        "mature": (float(answered), float(clicks), float(conversions), float(conversions), *_sums(values)[1:]),
        "coverage": (float(answered), float(labelled)),
        **{f"feature/f{i}": _numbers(rng, answered, arm.missing[i], arm.shift[i]) for i in range(2)},
        "feature/colour": _colours(rng, answered, arm.missing[2], arm.shift[2]),
    }


ALIKE = 0.3
"""Correlation of two requests of a burst."""


def _events(rng: np.random.Generator, n: int, rate: float, burst: int) -> int:
    """How many of n requests have an event, in bursts of users who are more or less inclined to it."""
    if burst == 1 or not 0 < rate < 1:
        return int(rng.binomial(n, rate))
    users, rest = divmod(n, burst)
    spread = 1.0 / ALIKE - 1.0
    inclined = rng.beta(rate * spread, (1.0 - rate) * spread, users)
    return int(rng.binomial(burst, inclined).sum() + rng.binomial(rest, rate))


def _quality(scores: Floats, positives: int, sharpness: float) -> Counts:
    """Confusion at the threshold .5, log loss of a probability that is calibrated for the usual separation, bins."""
    odds = sharpness * (np.log(0.25) + 1.2 * (scores - 0.6))
    probability = np.clip(1.0 / (1.0 + np.exp(-odds)), 1e-7, 1 - 1e-7)
    called = probability >= 0.5
    hit, false = float(called[:positives].sum()), float(called[positives:].sum())
    negatives = float(len(scores) - positives)
    confusion = (negatives - false, false, 0.0, 0.0, positives - hit, hit, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    losses = -np.log(np.concatenate([probability[:positives], 1.0 - probability[positives:]]))
    bins = [_histogram(part, SCORE_EDGES) for part in (scores[:positives], scores[positives:])]
    return {"confusion": confusion, "log_loss": _sums(losses), "scores": (*bins[0], *bins[1])}


def _sums(values: Floats) -> tuple[float, float, float]:
    return float(len(values)), float(values.sum()), float((values * values).sum())


def _histogram(values: Floats, edges: Floats) -> tuple[float, ...]:
    found = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return tuple(found.astype(float).tolist())


def _numbers(rng: np.random.Generator, n: int, missing: float, shift: float) -> tuple[float, ...]:
    absent = int(rng.binomial(n, missing))
    below = np.concatenate([[0.0], ndtr(FEATURE_EDGES - shift), [1.0]])
    drawn = rng.multinomial(n - absent, np.diff(below))
    return (*drawn.astype(float).tolist(), float(absent))


def _colours(rng: np.random.Generator, n: int, missing: float, shift: float) -> tuple[float, ...]:
    absent = int(rng.binomial(n, missing))
    shares = _COLOURS + np.array([-shift, shift, 0.0, 0.0])
    return (*rng.multinomial(n - absent, shares).astype(float).tolist(), float(absent))
