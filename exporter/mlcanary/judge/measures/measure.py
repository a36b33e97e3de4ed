"""What the measures of the judge share: limits in their unit, and the words of an assessment.

A measure turns the counts of an input into blocks and blocks into evidence. Everything about it that depends on data
(margins in odds, relative margins, edges of latency) is settled from what the baseline had counted before the first
block that is judged; until that is enough, the measure waits and the baseline's counts go into its history.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import msgspec

from mlcanary.catalog import Family
from mlcanary.catalog.judge import RELATIVE_MARGINS
from mlcanary.judge.contract import MeasureAssessment, Plan
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.evidence import Estimate

LEAST_HISTORY = 200.0
"""Trials of the baseline from which its figure is known well enough to say what a margin is in odds or in its unit."""

UNKNOWN = Estimate(math.nan, math.nan, math.nan, -math.inf, math.inf)


class Measure(Protocol):
    """One figure of both arms, from blocks of the counts of one input."""

    name: str
    family: Family

    @property
    def seen(self) -> bool:
        """Whether there is anything to judge: a model without clicks has no click-through rate."""

    def take(self, canary: Floats, baseline: Floats, start: float, end: float, phase: int) -> None:
        """Add what both arms gained in (start, end]; zeros where they gained nothing."""

    def log_e(self) -> float:
        """Log evidence that the canary is worse by more than the tolerance."""

    def assess(self) -> MeasureAssessment:
        """Everything about it now but for an interval, which is dear."""

    def estimate(self, found: Estimate | None = None) -> Estimate:
        """Figures of both arms as people know them, their difference and an interval.

        `found`: that of the evidence, where it was had together with others.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """What a measure is held against: tolerance and margin in its unit, and when blocks close.

    `margin` is None where the measure has no part in promotions.
    """

    tolerance: float
    margin: float | None
    trials: float
    seconds: float

    @classmethod
    def of(cls, plan: Plan, name: str, level: float = 1.0) -> Limits:
        """From the plan; `level`: the baseline's figure, which a relative margin is a part of."""
        scale = abs(level) if name in RELATIVE_MARGINS else 1.0
        margin = plan.margins.get(name)
        scaled = None if margin is None else margin * scale
        return cls(plan.tolerances.get(name, 0.0) * scale, scaled or None, plan.block_trials, plan.block_seconds)


def assessment(
    measure: Measure,
    unit: str,
    log_e: float,
    against_margin: float | None,
    found: Estimate,
    limits: Limits,
    *,
    trials: tuple[float, float],
    blocks: int,
    design_effect: float = 1.0,
    change_log_r: float | None = None,
    of_class: str = "",
) -> MeasureAssessment:
    """A measure's assessment. `against_margin`: log e-value, 0 where there is a margin and nothing is known yet."""
    return MeasureAssessment(
        name=measure.name,
        family=measure.family,
        unit=unit,
        log_e=log_e,
        log_e_noninferior=None if limits.margin is None else against_margin or 0.0,
        canary=_known(found.canary),
        baseline=_known(found.baseline),
        difference=_known(found.difference),
        lower=_known(found.lower),
        upper=_known(found.upper),
        tolerance=limits.tolerance,
        margin=limits.margin,
        trials_canary=trials[0],
        trials_baseline=trials[1],
        blocks=blocks,
        design_effect=design_effect,
        change_log_r=change_log_r,
        of_class=of_class,
    )


def with_figures(assessed: MeasureAssessment, found: Estimate) -> MeasureAssessment:
    """An assessment with these figures."""
    return msgspec.structs.replace(
        assessed,
        canary=_known(found.canary),
        baseline=_known(found.baseline),
        difference=_known(found.difference),
        lower=_known(found.lower),
        upper=_known(found.upper),
    )


def signed(found: Estimate, sign: float) -> Estimate:
    """An estimate of sign * figure with the figures of the arms as people know them."""
    return Estimate(sign * found.canary, sign * found.baseline, found.difference, found.lower, found.upper)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
