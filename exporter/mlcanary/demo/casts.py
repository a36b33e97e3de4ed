"""Who plays in each story, and the settings by which the judge and the handler take part.

Guarantee: both stories run on the same processes and files; they differ in nothing but what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlcanary.demo.dataset import BASELINE, CANARY, NEXT

VERIFICATION = {"window": "10s", "windows": 2, "min_predictions": 100, "deadline": "90s"}
"""Two windows of ten seconds after the effect: short, as 1,200 requests or more pass in each."""

STEPS = (1, 5, 10, 25, 50, 100)
"""The handler's own default, said again so that the promises can be held against it."""

STEP_TRIALS = 30
"""Requests of the candidate that must be judged in a step; the handler's default is 500."""

SOAK_SECONDS = 15.0
"""With all traffic, before a version is proven; the handler's default is an hour."""


@dataclass(frozen=True, slots=True)
class Cast:
    """One story's versions and settings.

    `weights`: HAProxy's at the start, of every version that will ever serve. `roles`: of the versions that are
    deployed at the start. `breakable`: the version that gets the bug. `judging` are keys of the judge's file,
    `handling` of the handler's target. `rules_every`: how often Prometheus evaluates its
    rules, which on a busy machine is most of its work. `rate`: requests per second.
    """

    weights: Mapping[str, int]
    roles: Mapping[str, str]
    breakable: str
    judging: Mapping[str, Any]
    handling: Mapping[str, Any]
    rules_every: str
    rate: float


def _judging(**plan: object) -> dict[str, Any]:
    """A look at every second scrape, from the first request on.

    Latency only informs: every process of the demo shares one machine, and on a busy one a version is slow because of
    its neighbours.
    """
    weights = {"errors": 0.2, "quality": 0.4, "features": 0.4}
    defaults = {"warm_up": "0s", "block_seconds": "8s", "weights": weights, **plan}
    return {"interval": "4s", "settle": "1s", "defaults": defaults}


ROLLBACK = Cast(
    weights={BASELINE: 90, CANARY: 10},
    roles={BASELINE: "baseline", CANARY: "canary"},
    breakable=CANARY,
    judging=_judging(),
    handling={"mode": "react", "verification": VERIFICATION},
    rules_every="2s",
    rate=120.0,
)

RELEASE = Cast(
    weights={BASELINE: 100, CANARY: 0, NEXT: 0},
    roles={BASELINE: "baseline"},
    breakable=NEXT,
    judging={**_judging(min_age="30s", min_trials=400, margins={"slow": 0.2}), "forget_after": "30s"},
    handling={
        "mode": "drive",
        "verification": VERIFICATION,
        "evidence": {"recheck": "2s", "serving_window": "20s"},
        "release": {"steps": list(STEPS), "min_trials": STEP_TRIALS, "soak": f"{SOAK_SECONDS:g}s"},
    },
    rules_every="4s",
    rate=120.0,
)
