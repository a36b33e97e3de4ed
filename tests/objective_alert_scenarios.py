"""Scenarios of the alerts about budgets: failed requests, slow requests."""

from __future__ import annotations

from alert_worlds import (
    BASELINE,
    CANARY,
    CRITICAL,
    WARNING,
    Course,
    Labels,
    Scenario,
    baseline,
    canary,
    fires,
    silent,
    steady,
    world,
)

HOUR, HOURS, DAY = {**CRITICAL, "long": "1h"}, {**CRITICAL, "long": "6h"}, {**WARNING, "long": "1d"}


def of_the_objectives() -> list[Scenario]:
    """Each alert in its three pairs of windows."""
    return [
        *budget("MLCanaryErrorBudgetBurn", "failed", 0.001),
        *budget("MLCanaryLatencyBudgetBurn", "slow", 0.01),
        *own(),
    ]


def budget(alert: str, figure: str, allowed: float) -> list[Scenario]:
    """What `figure` does where `allowed` of the requests may: each pair, and what no pair may speak of."""

    def burning(rate: float, until: int = 300) -> dict[str, Course]:
        return {figure: ((0, allowed / 2), (60, rate * allowed), (until, allowed / 2))}

    def all_of(version: Labels, *pairs: Labels) -> tuple[Labels, ...]:
        return tuple({**version, **pair} for pair in pairs)

    fine = {figure: steady(allowed / 2)}
    few = {"per_minute": steady(1.0)}
    return [
        fires(
            alert,
            "the baseline burns 60 times too fast for 40 minutes: the hour speaks first and ends first",
            world(baseline(**burning(60.0, 100)), canary(**fine)),
            (90, all_of(BASELINE, HOUR, HOURS)),
            resolved=215,
        ),
        fires(
            alert,
            "8 times too fast: too little for the hour",
            world(baseline(**fine), canary(**burning(8.0, 250))),
            (220, all_of(CANARY, HOURS, DAY)),
            resolved=59,
        ),
        fires(
            alert,
            "4 times too fast: a ticket",
            world(baseline(**burning(4.0)), canary(**fine)),
            (268, all_of(BASELINE, DAY)),
            resolved=150,
        ),
        fires(
            alert,
            "one request per minute, and each of them fails or is slow",
            world(baseline(**few, **{figure: ((0, 0.0), (60, 1.0), (100, 0.0))})),
            (85, all_of(BASELINE, HOUR, HOURS)),
            resolved=215,
        ),
        silent(
            alert,
            "one request per minute, and a few fail or are slow",
            world(baseline(**few, **{figure: ((0, 0.0), (60, 1.0), (68, 0.0))})),
            until=265,
        ),
        silent(alert, "over budget, but not 3 times", world(baseline(**burning(2.5)), canary(**fine)), until=265),
        silent(
            alert,
            "it was bad an hour ago and is over: nobody is called for the past",
            world(baseline(**{figure: ((0, allowed / 2), (60, 20 * allowed), (61, allowed / 2))}), canary(**fine)),
            until=265,
        ),
        silent(alert, "no data at all", {}, until=20),
    ]


def own() -> list[Scenario]:
    """Objectives of the model's own."""
    hung: Course = ((0, 0.0), (60, 0.5), (100, 0.0))
    return [
        fires(
            "MLCanaryLatencyBudgetBurn",
            "nine in ten take half a second, where half a second is the objective",
            world(
                baseline(per_minute=((0, 0.0), (30, 900.0), (120, 0.0))),
                limits={"latency_seconds": 0.5, "slow_ratio": 0.005},
            ),
            (60, ({**BASELINE, **HOUR}, {**BASELINE, **HOURS})),
            resolved=210,
        ),
        silent(
            "MLCanaryLatencyBudgetBurn",
            "half of the requests may be slow",
            world(baseline(slow=hung), limits={"slow_ratio": 0.5}),
        ),
        silent(
            "MLCanaryErrorBudgetBurn",
            "half of the requests may fail",
            world(baseline(failed=hung), limits={"error_ratio": 0.5}),
        ),
        silent(
            "MLCanaryLatencyBudgetBurn",
            "an objective that is no edge of the histogram finds no bucket: the exporter refuses such a configuration",
            world(baseline(slow=hung), limits={"latency_seconds": 0.7}),
        ),
    ]
