"""What the judge shows between two cycles: one frozen value that the web server reads while the next cycle works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlcanary.judge.contract import Assessment, CanaryKey, CurvePoint, Plan


@dataclass(frozen=True, slots=True)
class JudgedCanary:
    """One canary: the answer, how it was come by, and what was left out."""

    assessment: Assessment
    plan: Plan
    curve: tuple[CurvePoint, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """The judge as a whole. A standby has no canaries. `read_at`: Prometheus time up to which counters were read."""

    leader: bool
    read_at: float | None = None
    canaries: Mapping[CanaryKey, JudgedCanary] = field(default_factory=dict)
    readings: Mapping[str, int] = field(default_factory=dict)
    resets: int = 0
    state_errors: int = 0
    cycle_seconds: float | None = None
    series: int = 0
    problem: str = ""
