"""`python tests/sim/releases.py`: the whole judge on whole releases, healthy ones and ones with a planted fault.

All measures and features at once, at the shipped budget of 1 %, over a day of ramp from 1 to 50 % of the traffic while
volume, failures, clicks and positives follow the hour in both arms. How often is a healthy canary EVER rolled back, and
is each fault found? Shared causes: both arms degrade at once, nobody is rolled back, and the gate says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import pi, sin
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]


from judge_arms import KEY, START, Arm, Release, plan  # noqa: E402 - beside this folder, not installed
from mlcanary.catalog import Gate, Verdict  # noqa: E402
from mlcanary.judge.canary import Canary  # noqa: E402
from mlcanary.judge.contract import Plan  # noqa: E402
from sim.bars import SEED, Rate, table  # noqa: E402

DAY = 86400.0
FAULT_AT = 2 * 3600.0
Behaviour = Callable[[float], Arm]


def hour(t: float, amplitude: float) -> float:
    """What a figure is multiplied by at t seconds: by day more, by night less."""
    return 1.0 + amplitude * sin(2 * pi * t / DAY)


def ramp(t: float) -> float:
    """The canary's share: 1, 5, 25 and 50 %, six hours each."""
    return (0.01, 0.05, 0.25, 0.5)[min(int(4 * t / DAY), 3)]


def daily(arm: Arm) -> Behaviour:
    """An arm whose rates follow the hour by less than the margins: what both arms do is no fault of either."""
    return lambda t: replace(
        arm,
        errors=arm.errors * hour(t, 0.3),
        ctr=arm.ctr * hour(t, 0.06),
        positive=arm.positive * hour(t, 0.05),
        latency=arm.latency * hour(t, 0.05),
    )


HEALTHY: dict[str, tuple[Arm, Plan]] = {
    "ramp over a day": (Arm(), plan()),
    "ramp, users send bursts of 5; design_effect 2.2": (Arm(burst=5), plan(design_effect=2.2)),
}

FAULTS: dict[str, Callable[[Arm], Arm]] = {
    "errors 1 % -> 2 %": lambda arm: replace(arm, errors=2 * arm.errors),
    "latency +20 %": lambda arm: replace(arm, latency=1.2 * arm.latency),
    "AUC .80 -> .76": lambda arm: replace(arm, separation=1.0),
    "CTR -15 %": lambda arm: replace(arm, ctr=0.85 * arm.ctr),
    "a feature shifts by .2 sd": lambda arm: replace(arm, shift=(0.2, 0.0, 0.0)),
    "a feature misses 3 % more": lambda arm: replace(arm, missing=(0.01, 0.04, 0.01)),
    "a category -3 points": lambda arm: replace(arm, shift=(0.0, 0.0, 0.03)),
}

SHARED: dict[str, Callable[[Arm], Arm]] = {
    "upstream nulls": lambda arm: replace(arm, missing=(0.25, 0.01, 0.01), separation=0.9),
    "a dependency fails": lambda arm: replace(arm, errors=0.15),
    "a dependency is slow": lambda arm: replace(arm, latency=2.5 * arm.latency),
    "a season: fewer clicks": lambda arm: replace(arm, ctr=0.7 * arm.ctr),
    "label outage": lambda arm: replace(arm, labelled=0.05),
}


@dataclass(frozen=True, slots=True)
class Run:
    """How one release ended. `seconds` and `rows` of the canary from the fault to the rollback, None without one."""

    verdict: Verdict
    leading: str
    seconds: float | None
    rows: float | None
    gates: frozenset[Gate]


def run(release: Release, seconds: float, fault_at: float = 0.0, judged: Plan | None = None) -> Run:
    """Judge a release until it is rolled back or over."""
    canary = Canary(KEY, judged or plan())
    gates: set[Gate] = set()
    rows = 0.0
    for step in release.steps(seconds):
        canary.advance(step)
        decision, now = canary.standing()
        gates |= {gate.gate for gate in now} if step.end > START + fault_at else set()
        rows += sum(step.canary.get("requests", ())) if step.end > START + fault_at else 0.0
        if decision.verdict is Verdict.ROLLBACK:
            return Run(decision.verdict, decision.leading, step.end - START - fault_at, rows, frozenset(gates))
    return Run(canary.assess().verdict, canary.assess().leading, None, None, frozenset(gates))


def healthy(name: str, runs: int, *, seconds: float = DAY, interval: float = 600.0) -> Rate:
    """How many healthy releases were ever rolled back."""
    arm, judged = daily(HEALTHY[name][0]), HEALTHY[name][1]
    released = [Release(SEED + i, arm, arm, ramp, lambda t: 20.0 * hour(t, 0.6), interval) for i in range(runs)]
    ended = [run(release, seconds, judged=judged) for release in released]
    return Rate(name, sum(r.verdict is Verdict.ROLLBACK for r in ended), runs, judged.alpha)


def faulty(name: str, runs: int, *, interval: float = 600.0, share: float | None = None) -> list[Run]:
    """Releases whose canary goes bad after two hours of the ramp, or of a constant `share`."""
    usual = daily(Arm())

    def canary(t: float) -> Arm:
        return FAULTS[name](usual(t)) if t >= FAULT_AT else usual(t)

    shares = ramp if share is None else lambda _t: share
    return [
        run(Release(SEED + i, canary, usual, shares, lambda t: 20.0 * hour(t, 0.6), interval), DAY, FAULT_AT)
        for i in range(runs)
    ]


def shared(name: str, runs: int, *, seconds: float = 6 * 3600.0, interval: float = 300.0) -> list[Run]:
    """Releases in which both arms degrade after two hours."""

    def both(t: float) -> Arm:
        return SHARED[name](Arm()) if t >= FAULT_AT else Arm()

    return [
        run(Release(SEED + i, both, both, lambda _t: 0.3, lambda _t: 20.0, interval), seconds, FAULT_AT)
        for i in range(runs)
    ]


def _median(values: list[float]) -> str:
    return f"{sorted(values)[len(values) // 2]:,.0f}" if values else "-"


def main() -> None:
    """The full tables."""
    rows = []
    for name in HEALTHY:
        rate = healthy(name, 300)
        rows.append([rate.stream, f"{rate.count} of {rate.runs}", f"{rate.promised:.0%}", str(rate.held)])
        print(rows[-1], file=sys.stderr, flush=True)
    print(table(["healthy release", "ever rolled back", "promised at most", "held"], rows), "\n")
    rows = []
    for name in FAULTS:
        ended = faulty(name, 20)
        found = [r for r in ended if r.verdict is Verdict.ROLLBACK]
        minutes = _median([(r.seconds or 0.0) / 60 for r in found])
        rows.append([name, f"{len(found)} of {len(ended)}", minutes, _median([r.rows or 0.0 for r in found])])
        print(rows[-1], file=sys.stderr, flush=True)
    print(table(["fault, two hours into the ramp", "found", "median minutes", "median canary requests"], rows), "\n")
    rows = []
    for name in SHARED:
        ended = shared(name, 20)
        named = sorted({gate.value for r in ended for gate in r.gates})
        rows.append([name, str(sum(r.verdict is Verdict.ROLLBACK for r in ended)), ", ".join(named)])
    print(table(["both arms degrade", "rollbacks of 20", "what suspends"], rows))


if __name__ == "__main__":
    main()
