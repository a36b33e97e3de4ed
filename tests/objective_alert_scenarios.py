"""Scenarios of the alerts about budgets: failed requests, slow requests."""

from __future__ import annotations

from alert_worlds import (
    BASELINE,
    CANARY,
    CRITICAL,
    WARNING,
    Course,
    Scenario,
    baseline,
    canary,
    fires,
    silent,
    steady,
    world,
)
from promtool_cases import Labels

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

    def burning(rate: float, start: int, until: int = 300) -> dict[str, Course]:
        return {figure: ((0, allowed / 2), (start, rate * allowed), (until, allowed / 2))}

    def all_of(version: Labels, *pairs: Labels) -> tuple[Labels, ...]:
        return tuple({**version, **pair} for pair in pairs)

    fine = {figure: steady(allowed / 2)}
    few = {"per_minute": steady(1.0)}
    return [
        fires(
            alert,
            "the baseline burns 60 times too fast for 20 minutes: each window ends with its short one",
            world(baseline(**burning(60.0, 30, 50)), canary(**fine)),
            (46, all_of(BASELINE, HOUR)),
            (52, all_of(BASELINE, HOUR, HOURS)),
            (70, all_of(BASELINE, HOURS)),
            (120, all_of(BASELINE, DAY)),
            resolved=240,
        ),
        fires(
            alert,
            "8 times too fast: too little for the hour",
            world(baseline(**fine), canary(**burning(8.0, 30))),
            (220, all_of(CANARY, HOURS, DAY)),
            resolved=100,
        ),
        fires(
            alert,
            "4 times too fast: a ticket",
            world(baseline(**burning(4.0, 30)), canary(**fine)),
            (268, all_of(BASELINE, DAY)),
            resolved=150,
        ),
        fires(
            alert,
            "one request per minute, and each of them fails or is slow",
            world(baseline(**few, **{figure: ((0, 0.0), (20, 1.0), (50, 0.0))})),
            (49, all_of(BASELINE, HOUR, HOURS)),
            resolved=245,
        ),
        silent(
            alert,
            "one request per minute, and a few fail or are slow",
            world(baseline(**few, **{figure: ((0, 0.0), (60, 1.0), (68, 0.0))})),
            until=265,
        ),
        silent(alert, "over budget, but not 3 times", world(baseline(**burning(2.5, 30)), canary(**fine)), until=265),
        silent(alert, "no data at all", {}, until=20),
    ]


def own() -> list[Scenario]:
    """Objectives of the model's own."""
    hung: Course = ((0, 0.0), (60, 0.5), (100, 0.0))
    return [
        fires(
            "MLCanaryLatencyBudgetBurn",
            "one in ten takes longer than half a second, which is the objective of this model",
            world(
                baseline(per_minute=((0, 0.0), (10, 900.0), (60, 0.0))),
                limits={"latency_seconds": 0.5, "slow_ratio": 0.005},
            ),
            (40, ({**BASELINE, **HOUR}, {**BASELINE, **HOURS})),
            resolved=250,
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
