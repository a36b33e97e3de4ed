"""How many requests a decision takes, before a canary begins and while it runs. For people; nothing depends on it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlcanary.catalog import Family
from mlcanary.judge.contract import (
    CanaryKey,
    CurvePoint,
    FamilyAssessment,
    MeasureAssessment,
    Plan,
    family_threshold,
    promote_threshold,
)

_FAR = 1e9
_BAD_EVENTS = frozenset({Family.ERRORS, Family.LATENCY})
"""Families whose shares are told as shares of bad events: they rise when it gets worse. The others fall."""
_NO_SHARES = frozenset({"auc", "ndcg"})
_ENOUGH_EVIDENCE = 1.0
"""Log e-value gained from which on its growth says something."""


def needed_trials(alpha: float, p: float, rise: float, share: float, features: int = 1) -> float:
    """Requests of the canary until it is rolled back, on average: a share of bad events that rises from p by `rise`.

    Input: `alpha` of the test, after the family's weight; `p`, `p + rise` inside (0, 1); `share` of the canary in the
    traffic of both arms, inside (0, 1); `features`: how many there are, if one of them is bad.
    Error: measured means lie within 15 %; one canary in five takes 45 % more. Source: a z-test's sample size with
    multipliers fitted to simulations at alpha .05 and .01, linear in log(1 / alpha).

    >>> round(needed_trials(0.01, 0.10, 0.02, 0.5), -2), round(needed_trials(0.01, 0.03, -0.006, 0.5), -2)
    (5600.0, 16800.0)
    """
    raised = p + rise
    if not (0 < p < 1 and 0 < raised < 1 and 0 < share < 1 and rise != 0):
        raise ValueError(f"need shares inside (0, 1) and a rise: p {p}, rise {rise}, share of the canary {share}")
    variance = raised * (1 - raised) + p * (1 - p) * share / (1 - share)
    return _multiplier(alpha, features) * variance / rise**2


def planning_table(alphas: Sequence[float] = (0.05, 0.01, 0.002), share: float = 0.05) -> str:
    """Markdown: requests of the canary that are needed to find a change, by change and alpha of the family."""
    cases = (
        ("errors 0.1 % -> 1 %", 0.001, 0.009),
        ("errors 1 % -> 2 %", 0.01, 0.01),
        ("errors 10 % -> 12 %", 0.10, 0.02),
        ("accuracy 90 % -> 88 %", 0.10, 0.02),
        ("accuracy 90 % -> 80 %", 0.10, 0.10),
        ("CTR 3 % -> 2.4 %", 0.03, -0.006),
        ("CTR 3 % -> 1.5 %", 0.03, -0.015),
    )
    lines = [["canary gets " + f"{100 * share:.0f} %", *(f"alpha {alpha:g}" for alpha in alphas)]]
    lines.append(["---"] * len(lines[0]))
    lines += [
        [name, *(f"{_round(needed_trials(alpha, p, rise, share)):,.0f}" for alpha in alphas)] for name, p, rise in cases
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def eta_seconds(
    plan: Plan,
    key: CanaryKey,
    judged: float,
    families: Sequence[FamilyAssessment],
    measures: Sequence[MeasureAssessment],
    curve: Sequence[CurvePoint] = (),
) -> float | None:
    """Time to a decision at the present rate, in seconds; None if it is not known.

    The sooner of a rollback and a promotion, each from the growth of its evidence since half of the canary's age
    (`curve`, in the order of time). Where neither grows: from the planning formula, for the largest number of requests
    that a change by a measure's margin takes.
    """
    earlier = _half_way(key, judged, curve)
    grown = [_rollback_eta(judged, families, earlier), _promotion_eta(plan, key, judged, measures, earlier)]
    known = [eta for eta in grown if eta is not None]
    if not known:
        known = [eta for eta in [_planned_eta(plan, key, judged, measures)] if eta is not None]
    best = min(known, default=math.inf)
    return best if best < _FAR else None


def _half_way(key: CanaryKey, judged: float, curve: Sequence[CurvePoint]) -> CurvePoint:
    """The newest point of the older half of the canary's life; its beginning, without evidence, if there is none."""
    middle = key.start + 0.5 * (judged - key.start)
    older = [point for point in curve if point.at <= middle]
    return older[-1] if older else CurvePoint(key.start, {}, 0.0)


def _growth(now: float, then: float, seconds: float, threshold: float) -> float | None:
    """Time to the threshold at the same growth."""
    if now >= threshold:
        return 0.0
    gain = now - then
    if seconds <= 0 or gain < _ENOUGH_EVIDENCE or now <= 0:
        return None
    return (threshold - now) * seconds / gain


def _rollback_eta(judged: float, families: Sequence[FamilyAssessment], earlier: CurvePoint) -> float | None:
    known = [
        eta
        for family in families
        if family.threshold is not None
        and (
            eta := _growth(family.log_e, earlier.families.get(family.name, 0.0), judged - earlier.at, family.threshold)
        )
        is not None
    ]
    return min(known, default=None)


def _promotion_eta(
    plan: Plan, key: CanaryKey, judged: float, measures: Sequence[MeasureAssessment], earlier: CurvePoint
) -> float | None:
    least = min((m.log_e_noninferior for m in measures if m.log_e_noninferior is not None), default=None)
    if least is None:
        return None
    grown = _growth(least, earlier.noninferior or 0.0, judged - earlier.at, promote_threshold(plan))
    if grown is None:
        return None
    age, trials = judged - key.start, max(m.trials_canary for m in measures)
    missing = max(plan.min_trials - trials, 0.0)
    more = missing * age / trials if trials > 0 else (math.inf if missing else 0.0)
    return max(grown, plan.min_age - age, more)


def _planned_eta(plan: Plan, key: CanaryKey, judged: float, measures: Sequence[MeasureAssessment]) -> float | None:
    """From the planning formula: measures that are shares and have a margin."""
    age, longest = judged - key.start, None
    for m in measures:
        threshold = family_threshold(plan, m.family)
        n_c, n_b = m.trials_canary, m.trials_baseline
        if m.unit != "ratio" or m.name in _NO_SHARES or threshold is None or not m.margin or m.baseline is None:
            continue
        rise = m.margin if m.family in _BAD_EVENTS else -m.margin
        if age <= 0 or n_c <= 0 or n_b <= 0 or not 0 < m.baseline < 1 or not 0 < m.baseline + rise < 1:
            continue
        needed = needed_trials(math.exp(-threshold), m.baseline, rise, n_c / (n_c + n_b))
        if needed > n_c:
            longest = max(longest or 0.0, (needed - n_c) * age / n_c)
    return longest


def _multiplier(alpha: float, features: int) -> float:
    """Mean: 8 at alpha .05, 11.5 at .01."""
    slope = 3.5 / math.log(5.0)
    return 8.0 + slope * math.log(0.05 / alpha) + 2.0 * math.log(features)


def _round(value: float) -> float:
    """Two significant digits: more would be untrue."""
    digits = math.floor(math.log10(value)) - 1
    return round(value, -digits) if digits > 0 else math.ceil(value)
