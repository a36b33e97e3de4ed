"""Scenarios of the alert about the split of traffic."""

from __future__ import annotations

from alert_worlds import (
    CANARY,
    EXPORTER,
    HANDLER,
    HEALTHY,
    MODEL,
    WARNING,
    Course,
    Scenario,
    Series,
    baseline,
    canary,
    fires,
    gauge,
    silent,
    steady,
    world,
)

ALERT = "MLCanarySplitMismatch"


def of_the_split() -> list[Scenario]:
    """One in twenty requests should go to the canary."""
    routed: Course = ((0, 50.0), (60, 80.0), (110, 50.0))
    gone: Course = ((0, 50.0), (60, 0.0))
    share = {**HANDLER, "target": "router", "model": MODEL, "version": "v2"}
    return [
        fires(
            ALERT,
            "the router sends 8 % to the canary where 5 % are configured",
            _split(50.0, 950.0, routed),
            (90, ({**CANARY, **WARNING},)),
            resolved=190,
        ),
        fires(
            ALERT,
            "the canary gets nothing, and nobody has taken its traffic away",
            _split(50.0, 950.0, ((0, 50.0), (60, 0.0), (90, 50.0))),
            (85, ({**CANARY, **WARNING},)),
            resolved=170,
        ),
        fires(
            ALERT,
            "the same while a handler has taken all traffic from a version of another model",
            _split(50.0, 950.0, routed)
            | gauge("mlcanary_target_share_ratio", share, (0, 0.05))
            | gauge("mlcanary_target_share_ratio", {**share, "model": "other"}, (0, 0.0)),
            (90, ({**CANARY, **WARNING},)),
            resolved=190,
        ),
        silent(ALERT, "the split is as configured", _split(50.0, 950.0, steady(50.0))),
        silent(ALERT, "1000 requests an hour may be so far off by chance", _split(1.0, 16.0, ((0, 0.9), (60, 1.1)))),
        silent(ALERT, "certain, but less than 5 % off", _split(50.0, 950.0, steady(52.0))),
        silent(
            ALERT,
            "the handler has taken the canary's traffic",
            _split(50.0, 950.0, gone)
            | gauge("mlcanary_target_share_ratio", share, (0, 0.05), (59, 0.0))
            | gauge("mlcanary_target_share_ratio", {**share, "version": "v1"}, (0, 0.95), (59, 0.99)),
        ),
        silent(ALERT, "the canary is ramped up by hand, and the configuration with it", _ramp()),
        silent(ALERT, "no split is configured", HEALTHY),
    ]


def _split(to_canary: float, to_baseline: float, actual: Course) -> Series:
    whole = to_canary + to_baseline
    configured: Series = {}
    for version, share in (("v1", to_baseline / whole), ("v2", to_canary / whole)):
        of = {**EXPORTER, "model": MODEL, "version": version}
        configured |= gauge("mlcanary_expected_share_ratio", of, (0, share))
    return world(baseline(per_minute=steady(to_baseline)), canary(per_minute=actual)) | configured


def _ramp() -> Series:
    of = {**EXPORTER, "model": MODEL}
    return (
        world(baseline(per_minute=((0, 950.0), (60, 800.0))), canary(per_minute=((0, 50.0), (60, 200.0))))
        | gauge("mlcanary_expected_share_ratio", {**of, "version": "v1"}, (0, 0.95), (61, 0.8))
        | gauge("mlcanary_expected_share_ratio", {**of, "version": "v2"}, (0, 0.05), (61, 0.2))
    )
