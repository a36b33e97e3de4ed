"""What is said of a canary: pure, total, and the same answer for the same situation.

Precedence, first match decides:

     1  the former rollback  a rollback stays until the canary ends: its error rate is about "ever"
     2  no_data   warm_up             the canary is younger than its warm-up
     3  rollback  worse               a family reached its threshold; no gate suspends it, both arms have traffic
     4  the former promotion          a promotion stays unless a rollback follows
     5  no_data   no_canary_traffic   the canary had no request for QUIET_SECONDS
     6  no_data   no_baseline_traffic the baseline had none
     7  hold      (name of a gate)    a gate suspends decisions; of several the first in the order of `Gate`
     8  promote   not_worse           every measure with a margin excludes it; old enough, seen enough
     9  hold      too_early           the same, but the canary is too young or had too few requests
    10  hold      no_outcomes         the same, but no label and no click says whether its answers are good
    11  hold      inconclusive        the deadline passed
    12  hold      collecting          evidence is still being collected

Missing data is neither good nor bad: it never leads to a rollback and never to a promotion. Evidence that a gate holds
back is said in the text of whatever is decided. A gate suspends the families that it concerns, and every promotion.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from mlcanary.catalog import Family, Gate, Verdict
from mlcanary.judge import sentences
from mlcanary.judge.contract import (
    CanaryKey,
    FamilyAssessment,
    FeatureAssessment,
    GateAssessment,
    MeasureAssessment,
    Plan,
    promote_threshold,
)

QUIET_SECONDS = 900.0
"""Judged time without a request after which an arm has no traffic: the default of the objective quiet_seconds."""

PROMOTING = frozenset({Family.QUALITY, Family.BUSINESS})
"""At least one measure with a margin must be of these: a model that fails seldom and fast may still be wrong."""

EXPANDING_PART = 0.1
"""Part of the requests needed for a promotion that is needed before the canary may get more traffic."""


class Reason(StrEnum):
    """Why the verdict is what it is. Values of the label `reason`; every gate is one."""

    NO_CANARY_TRAFFIC = "no_canary_traffic"
    NO_BASELINE_TRAFFIC = "no_baseline_traffic"
    WARM_UP = "warm_up"
    WORSE = "worse"
    NOT_WORSE = "not_worse"
    SOURCE_BROKEN = "source_broken"
    ROLE_CONFLICT = "role_conflict"
    EDGES_MISMATCH = "edges_mismatch"
    SPLIT_MISMATCH = "split_mismatch"
    LABEL_COVERAGE = "label_coverage"
    DESIGN_EFFECT = "design_effect"
    AA_NOT_PASSED = "aa_not_passed"
    SHARED_CAUSE = "shared_cause"
    TOO_EARLY = "too_early"
    NO_OUTCOMES = "no_outcomes"
    COLLECTING = "collecting"
    INCONCLUSIVE = "inconclusive"


class Decision(msgspec.Struct, frozen=True):
    """A verdict, why, in a sentence for people, and the measure or feature that leads ("" if none does)."""

    verdict: Verdict
    reason: Reason
    text: str
    leading: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a decision rests on.

    `judged`: end of the newest step. `last_traffic`: end of the newest step in which the canary, the baseline had a
    request; None: never. `latched`: the former rollback. `promoted`: the former promotion. `eta`: seconds, None if
    unknown.
    """

    plan: Plan
    key: CanaryKey
    judged: float
    last_traffic: tuple[float | None, float | None]
    families: tuple[FamilyAssessment, ...] = ()
    measures: tuple[MeasureAssessment, ...] = ()
    features: tuple[FeatureAssessment, ...] = ()
    gates: tuple[GateAssessment, ...] = ()
    latched: Decision | None = None
    promoted: Decision | None = None
    eta: float | None = None

    @property
    def age(self) -> float:
        """Judged seconds since the canary began."""
        return self.judged - self.key.start

    @property
    def trials(self) -> float:
        """Most observations of any measure, of the canary."""
        return max((measure.trials_canary for measure in self.measures), default=0.0)

    @property
    def with_margin(self) -> tuple[MeasureAssessment, ...]:
        """Measures that a promotion asks."""
        return tuple(measure for measure in self.measures if measure.log_e_noninferior is not None)


def decide(situation: Situation) -> Decision:
    """The decision; total. Rows 1 to 3 of the table, then `_without_rollback`."""
    s = situation
    if s.latched is not None:
        return s.latched
    if s.age < s.plan.warm_up:
        return Decision(Verdict.NO_DATA, Reason.WARM_UP, sentences.warm_up(s.key, s.plan.warm_up - s.age))
    accused, held = _over_threshold(s)
    missing = _missing(s)
    if accused and missing is None:
        return _rollback(s, accused)
    return _without_rollback(s, missing, _aside(s, held if missing is None else (*accused, *held)))


def _without_rollback(s: Situation, missing: Reason | None, aside: str) -> Decision:
    """Rows 4 to 12."""
    if s.promoted is not None:
        return msgspec.structs.replace(s.promoted, text=s.promoted.text + sentences.beside(s.gates) + aside)
    if missing is not None:
        return Decision(Verdict.NO_DATA, missing, sentences.no_traffic(s.key, missing is _CANARY, s.gates) + aside)
    if s.gates:
        first = min(s.gates, key=lambda gate: list(Gate).index(gate.gate))
        leading = nearest_to_rollback(s)
        return Decision(Verdict.HOLD, Reason(first.gate.value), sentences.suspended(s.key, s.gates) + aside, leading)
    return _undisturbed(s)


def may_expand(situation: Situation, decision: Decision) -> bool:
    """Whether nothing speaks against giving the canary more traffic.

    True if it is neither rolled back nor without data, no gate suspends, the canary had a tenth of the requests that a
    promotion asks, and no family is half way (on the log scale) to its threshold. More traffic is no promotion: it
    only buys evidence faster.
    """
    s = situation
    if decision.verdict in {Verdict.ROLLBACK, Verdict.NO_DATA} or s.gates or _missing(s) is not None:
        return False
    if s.trials < EXPANDING_PART * s.plan.min_trials:
        return False
    return all(family.threshold is None or family.log_e < 0.5 * family.threshold for family in s.families)


def nearest_to_rollback(situation: Situation) -> str:
    """Measure or feature with the most evidence for a rollback, "" if none has any."""
    names = [(m.log_e, m.name) for m in situation.measures] + [(f.log_e, f.name) for f in situation.features]
    best = max(names, key=lambda pair: pair[0], default=(0.0, ""))
    return best[1] if best[0] > 0.0 else ""


_CANARY, _BASELINE = Reason.NO_CANARY_TRAFFIC, Reason.NO_BASELINE_TRAFFIC


def _missing(s: Situation) -> Reason | None:
    """Rows 5 and 6."""
    for last, reason in zip(s.last_traffic, (_CANARY, _BASELINE), strict=True):
        if last is None or s.judged - last >= QUIET_SECONDS:
            return reason
    return None


def _over_threshold(s: Situation) -> tuple[tuple[FamilyAssessment, ...], tuple[FamilyAssessment, ...]]:
    """Families with enough evidence for a rollback: those free to act, those that a gate suspends; strongest first."""
    over = [family for family in s.families if family.threshold is not None and family.log_e >= family.threshold]
    over.sort(key=lambda family: family.log_e - (family.threshold or 0.0), reverse=True)
    suspended = [family for family in over if any(_suspends(s, gate, family.name) for gate in s.gates)]
    return tuple(family for family in over if family not in suspended), tuple(suspended)


def _suspends(s: Situation, gate: GateAssessment, family: Family) -> bool:
    """Whether the gate concerns the family. A design effect concerns the families whose measures have it."""
    if gate.gate is Gate.DESIGN_EFFECT:
        guilty = {m.family for m in s.measures if m.design_effect > s.plan.design_effect_limit}
        return not guilty or family in guilty
    return not gate.families or family in gate.families


def _aside(s: Situation, held: tuple[FamilyAssessment, ...]) -> str:
    """What must be said of evidence that does not act."""
    if not held:
        return ""
    names = [gate.gate for gate in s.gates if any(_suspends(s, gate, family.name) for family in held)]
    return sentences.held_back(held, names)


def _rollback(s: Situation, accused: tuple[FamilyAssessment, ...]) -> Decision:
    """Row 3."""
    family = accused[0]
    if family.name is Family.FEATURES:
        ranked = sorted(s.features, key=lambda f: f.log_e, reverse=True)
        guilty = [feature for feature in ranked if feature.guilty] or ranked[:1]
        text = sentences.features_differ(s.key, family, guilty)
        leading = guilty[0].name if guilty else ""
    else:
        own = [measure for measure in s.measures if measure.family is family.name]
        worst = max(own, key=lambda m: m.log_e, default=None)
        text = sentences.worse(s.key, family, worst)
        leading = worst.name if worst is not None else ""
    text += sentences.also_over(accused[1:])
    return Decision(Verdict.ROLLBACK, Reason.WORSE, text, leading)


def _undisturbed(s: Situation) -> Decision:
    """Rows 8 to 12: nothing speaks against a promotion but what is not known yet."""
    asked, threshold = s.with_margin, promote_threshold(s.plan)
    weakest = min(asked, key=lambda m: m.log_e_noninferior or 0.0, default=None)
    if weakest is not None and (weakest.log_e_noninferior or 0.0) >= threshold:
        if not any(m.family in PROMOTING for m in asked):
            return Decision(Verdict.HOLD, Reason.NO_OUTCOMES, sentences.no_outcomes(s.key), weakest.name)
        waits = sentences.waits(s.plan.min_age - s.age, s.plan.min_trials - s.trials)
        if not waits:
            text = sentences.not_worse(s.key, asked, weakest, threshold)
            return Decision(Verdict.PROMOTE, Reason.NOT_WORSE, text, weakest.name)
        return Decision(Verdict.HOLD, Reason.TOO_EARLY, sentences.too_early(s.key, waits), weakest.name)
    leading = nearest_to_rollback(s) or (weakest.name if weakest is not None else "")
    seen = next((m for m in s.measures if m.name == leading), None)
    if s.age >= s.plan.deadline:
        text = sentences.inconclusive(s.key, s.plan.deadline, seen)
        return Decision(Verdict.HOLD, Reason.INCONCLUSIVE, text, leading)
    return Decision(Verdict.HOLD, Reason.COLLECTING, sentences.collecting(s.key, seen, s.eta), leading)
