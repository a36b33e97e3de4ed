"""Shares of bad events, judged by E1: exact, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlcanary.catalog import Family
from mlcanary.judge.contract import MeasureAssessment, Plan
from mlcanary.judge.measures.blocks import Pending
from mlcanary.judge.measures.measure import LEAST_HISTORY, UNKNOWN, Limits, assessment
from mlcanary.stats.accumulator import Floats
from mlcanary.stats.change_evidence import Restarts
from mlcanary.stats.evidence import Estimate
from mlcanary.stats.evidence_family import mean_log_e
from mlcanary.stats.low_rate_evidence import log_e_below
from mlcanary.stats.proportion_evidence import (
    Look,
    ProportionEvidence,
    log_odds_ratio,
    looks_together,
    update_together,
)

Trials = tuple[float, float]
"""Trials and bad events."""

Block = tuple[ProportionEvidence, tuple[float, float, float, float]]
"""A part and what it is to be updated with: trials and bad events of the canary, then of the baseline."""

INTERVAL_PARTS = 3
"""Parts up to which each has an interval, where the one with most evidence is shown."""


@dataclass(slots=True)
class ProportionMeasure:
    """One share, or several side by side (edges of latency, classes) whose mean is the evidence.

    `split`: counts to the trials and bad events of each part. `primary`: the part that is shown and has the margin;
    None: the one with most evidence is shown, and there is no margin. `classes`: names of the parts, () where they have
    none. `rates`: the baseline's before the first block.
    """

    name: str
    family: Family
    split: Callable[[Floats], list[Trials]]
    history: Floats
    plan: Plan
    primary: int | None = 0
    classes: tuple[str, ...] = ()
    rates: list[float] = field(init=False, default_factory=list)
    pending: Pending = field(init=False)
    parts: list[ProportionEvidence] = field(init=False, default_factory=list)
    change: Restarts = field(init=False, default_factory=Restarts)
    noted: Floats = field(init=False)
    """The evidence of the primary part that `change` has taken in."""
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        """Begin at once if the history is long enough."""
        self.pending = Pending(self.history.size)
        self.limits = Limits.of(self.plan, self.name)
        self.noted = np.zeros(self.change.log_sums.size)
        self._settle()

    def _settle(self) -> None:
        trials = self.split(self.history)
        if self.seen and sum(n for n, _ in trials) / len(trials) >= LEAST_HISTORY:
            self.begin([(x + 0.5) / (n + 1.0) for n, x in trials])

    def begin(self, rates: list[float]) -> None:
        """Start the evidence with the baseline's rates of the parts as known now."""
        self.rates = rates
        self.limits = Limits.of(self.plan, self.name, 1.0 - rates[self.primary or 0])
        every = self.primary is None and len(rates) <= INTERVAL_PARTS
        self.parts = [
            ProportionEvidence(
                tolerance=_odds(rate, self.limits.tolerance) or 0.0,
                margin=_odds(rate, self.limits.margin) if i == self.primary else None,
                with_interval=every or i == self.primary,
                assumed_phi=self.plan.design_effect,
            )
            for i, rate in enumerate(rates)
        ]

    @property
    def seen(self) -> bool:
        """Whether some but not all trials went well, or a part of the share is about failures alone."""
        trials = self.split(self.history)
        return bool(self.parts) or self.family is not Family.BUSINESS or any(x < n for n, x in trials)

    def take(self, canary: Floats, baseline: Floats, start: float, end: float, phase: int) -> None:
        """As `Measure.take`."""
        self.close(self.closed(canary, baseline, start, end))
        self.note_change()

    def note_change(self) -> None:
        """After `close`: has it begun to go wrong at some time since the start? What tells nothing is no update."""
        if self.parts and self.primary is not None:
            worse = self.parts[self.primary].worse
            gained, self.noted = worse - self.noted, worse
            self.change.take(gained, np.asarray(gained.any()))

    def closed(self, canary: Floats, baseline: Floats, start: float, end: float) -> list[Block]:
        """`take` without the update: blocks for `close`, so that those of many measures go at once."""
        if not self.parts:
            self.history = self.history + baseline
            self._settle()
            return []
        self.pending.add(canary, baseline, start)
        n_c, n_b = (sum(n for n, _ in self.split(arm)) for arm in (self.pending.canary, self.pending.baseline))
        limits = self.limits
        if not self.pending.closes(n_c, n_b, end, least=1.0, trials=limits.trials, seconds=limits.seconds):
            return []
        canary_block, baseline_block = (self.split(arm) for arm in self.pending.take())
        arms = zip(self.parts, canary_block, baseline_block, strict=True)
        return [(part, (*of_canary, *of_baseline)) for part, of_canary, of_baseline in arms]

    @staticmethod
    def close(blocks: Sequence[Block]) -> None:
        """Judge blocks of any number of measures."""
        update_together([part for part, _ in blocks], [block for _, block in blocks])

    def log_e(self) -> float:
        """As `Measure.log_e`."""
        return self._mean(looks_together(self.parts))

    def _mean(self, looks: Sequence[Look]) -> float:
        return float(mean_log_e(np.array([look.log_e for look in looks]))) if looks else 0.0

    def assess(self) -> MeasureAssessment:
        """As `Measure.assess`."""
        return self.assess_from(looks_together(self.parts))

    def assess_from(self, looks: Sequence[Look]) -> MeasureAssessment:
        """`assess` from the looks at each part, so that those of many measures are had at once."""
        if not self.parts:
            return assessment(self, "ratio", 0.0, None, UNKNOWN, self.limits, trials=(0.0, 0.0), blocks=0)
        place = self._place(looks)
        part = self.parts[place]
        n_c, n_b = (float(n) for n in part.trials)
        return assessment(
            self,
            "ratio",
            self._mean(looks),
            self._not_worse(looks[place]),
            self.as_people_know(_bare(part)),
            self.limits,
            trials=(n_c, n_b),
            blocks=int(part.blocks),
            design_effect=looks[place].phi,
            change_log_r=self._change_log_r(),
            of_class=self.classes[place] if self.classes else "",
        )

    def _not_worse(self, look: Look) -> float | None:
        """Evidence against "worse by the margin": of the comparison, and for failures of the canary alone too.

        Failures are rare: where neither arm has any, a comparison never ends. A canary that fails less often than the
        margin cannot fail that much more often than the baseline. The mean of both keeps the error rate.
        """
        known = look.log_e_noninferior
        if known is None or self.family is not Family.ERRORS or not self.limits.margin or self.limits.margin >= 1:
            return known
        trials, bad = self.shown.trials[0], self.shown.events[0]
        alone = log_e_below(trials, bad, self.limits.margin, look.phi)
        return float(mean_log_e(np.array([known, float(alone)])))

    def _change_log_r(self) -> float | None:
        found = float(self.change.log_r()) if self.primary is not None else -np.inf
        return found if np.isfinite(found) else None

    def estimate(self, found: Estimate | None = None) -> Estimate:
        """As `Measure.estimate`, of the part that is shown."""
        if not self.parts:
            return UNKNOWN
        if found is None:
            found = self.shown.estimate() if self.shown.with_interval else _bare(self.shown)
        return self.as_people_know(found)

    @property
    def shown(self) -> ProportionEvidence:
        """The part that is shown; there must be parts."""
        return self.parts[self._place(looks_together(self.parts) if self.primary is None else ())]

    def _place(self, looks: Sequence[Look]) -> int:
        if self.primary is not None:
            return self.primary
        return int(np.argmax([look.log_e for look in looks]))

    def as_people_know(self, found: Estimate) -> Estimate:
        """Figures as people know them: shares that are good are shown as such, errors and slow requests as they are."""
        if self.family in {Family.ERRORS, Family.LATENCY}:
            return found
        return Estimate(1.0 - found.canary, 1.0 - found.baseline, found.difference, found.lower, found.upper)


def _odds(rate: float, rise: float | None) -> float | None:
    """Log odds ratio of a rise in points from a rate; None without one; beyond 1 as near to it as makes sense."""
    if not rise:
        return None
    return log_odds_ratio(rate, min(rise, (1.0 - rate) * 0.999))


def _bare(part: ProportionEvidence) -> Estimate:
    (n_c, n_b), (x_c, x_b) = ((float(c), float(b)) for c, b in (part.trials, part.events))
    if min(n_c, n_b) <= 0:
        return UNKNOWN
    return Estimate(x_c / n_c, x_b / n_b, x_c / n_c - x_b / n_b, -np.inf, np.inf)
