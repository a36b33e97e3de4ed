"""Verdicts in plain sentences, for whoever is woken by one. Pure; the same figures give the same words.

A share is told in percent and its differences in points (percentage points), AUC and NDCG as they are, everything else
in its own unit. Evidence is told as an e-value: how many times likelier the counts are if the canary is worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlcanary.catalog import Gate
from mlcanary.judge.contract import (
    CanaryKey,
    FamilyAssessment,
    FeatureAssessment,
    GateAssessment,
    MeasureAssessment,
)
from mlcanary.listing import first_of

_PLAIN = frozenset({"auc", "ndcg"})
_SPELLED = {
    "auc": "AUC",
    "ctr": "CTR",
    "cvr": "CVR",
    "ndcg": "NDCG",
    "jaccard": "Jaccard index",
    "slow": "slow requests",
}
_LISTED = 5
_LARGE = 1e6


def warm_up(key: CanaryKey, left: float) -> str:
    """The canary is too young to be judged."""
    return f"{_who(key)} is warming up: nothing is judged for another {duration(left)}."


def no_traffic(key: CanaryKey, canary: bool, gates: Sequence[GateAssessment]) -> str:
    """One arm has no requests; gates may say why."""
    version = key.version if canary else key.baseline
    arm = "canary" if canary else "baseline"
    return f"No data: the {arm} {version} of {key.model} gets no requests, so there is nothing to compare." + beside(
        gates
    )


def suspended(key: CanaryKey, gates: Sequence[GateAssessment]) -> str:
    """Gates in force, with their reasons."""
    return f"{_who(key)} is on hold." + beside(gates)


def beside(gates: Sequence[GateAssessment]) -> str:
    """Gates in force and why, appended to another sentence; "" if there are none."""
    return "".join(f" {_opening(spelled(gate.gate))}: {gate.why}" for gate in gates)


def held_back(families: Sequence[FamilyAssessment], gates: Sequence[Gate]) -> str:
    """Evidence for a rollback that does not act, appended to another sentence."""
    which = ", ".join(f"{family.name} with {evidence(family.log_e, family.threshold)}" for family in families)
    by = "held by " + ", ".join(gates) if gates else "held for want of traffic to compare"
    return f" There is evidence for a rollback ({which}), {by}."


def worse(key: CanaryKey, family: FamilyAssessment, measure: MeasureAssessment | None) -> str:
    """A rollback on a measure."""
    head = f"Roll back {_who(key)}: it is worse than {key.baseline} in {spelled(family.name)}."
    proof = f" The evidence: {evidence(family.log_e, family.threshold)}."
    return head + (f" {_opening(compared(measure))}" if measure is not None else "") + proof


def features_differ(key: CanaryKey, family: FamilyAssessment, guilty: Sequence[FeatureAssessment]) -> str:
    """A rollback on what the canary sees: the guilty features by name, then each with its cell and shares."""
    named = [
        f"{f.name} has {percent(f.canary)} of its values in {f.cell}, {percent(f.baseline)} at the baseline"
        for f in guilty
    ]
    head = f"Roll back {_who(key)}: it sees other values of {_listed([f.name for f in guilty])} than {key.baseline}. "
    return (
        head + first_of(named, _LISTED, between="; ") + f". The evidence: {evidence(family.log_e, family.threshold)}."
    )


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence, two of them and how many more.

    >>> _listed(["age"]), _listed(["age", "income"]), _listed(["age", "income", "plan", "zip"])
    ('age', 'age and income', 'age, income and 2 more')
    """
    return " and ".join(names) if len(names) == 2 else first_of(names, 2)


def also_over(families: Sequence[FamilyAssessment]) -> str:
    """Further families over their thresholds."""
    return " Also over its threshold: " + ", ".join(family.name for family in families) + "." if families else ""


def not_worse(key: CanaryKey, asked: Sequence[MeasureAssessment], weakest: MeasureAssessment, threshold: float) -> str:
    """A promotion, with the measure that was proven last."""
    names = ", ".join(spelled(measure.name) for measure in asked)
    margin = difference(weakest, weakest.margin) if weakest.margin is not None else "its margin"
    return (
        f"{_who(key)} may be promoted: it is not worse than {key.baseline} by its margin in any of: {names}. "
        f"Least sure is {compared(weakest)} Worse by {margin} is excluded with "
        f"{evidence(weakest.log_e_noninferior or 0.0, threshold)}."
    )


def waits(age_left: float, trials_left: float) -> list[str]:
    """What is still asked before a promotion, in words."""
    wanted = [f"another {duration(age_left)}"] if age_left > 0 else []
    return wanted + ([f"another {count(math.ceil(trials_left))} requests of the canary"] if trials_left > 0 else [])


def too_early(key: CanaryKey, wanted: Sequence[str]) -> str:
    """Good evidence, too soon."""
    return f"{_who(key)} is not worse by its margins so far; before a promotion it needs {' and '.join(wanted)}."


def inconclusive(key: CanaryKey, deadline: float, seen: MeasureAssessment | None) -> str:
    """The deadline passed without a decision."""
    so_far = f" {_opening(compared(seen))}" if seen is not None else ""
    return (
        f"{_who(key)} is neither shown to be worse nor shown to be as good after {duration(deadline)}."
        f" A person has to decide.{so_far}"
    )


def no_outcomes(key: CanaryKey) -> str:
    """Good by all that is known, which is too little."""
    return (
        f"Nothing speaks against {_who(key)}, but no label and no click says whether its answers are good. "
        "Without them a person has to decide."
    )


def collecting(key: CanaryKey, seen: MeasureAssessment | None, eta: float | None) -> str:
    """Nothing decided yet."""
    when = "It is not known when a decision can be made" if eta is None else f"A decision takes about {duration(eta)}"
    so_far = f" {_opening(compared(seen))}" if seen is not None and seen.trials_canary > 0 else ""
    return f"Evidence on {_who(key)} is being collected. {when}.{so_far}"


def compared(measure: MeasureAssessment) -> str:
    """Both figures, the difference with its interval, and the sample sizes."""
    m = measure
    if m.difference is None or m.canary is None or m.baseline is None:
        return f"{titled(m)}: nothing to compare yet."
    side = "worse" if m.difference > 0 else "better"
    between = ""
    if m.lower is not None and m.upper is not None:
        between = f" (between {difference(m, m.lower)} and {difference(m, m.upper)})"
    return (
        f"{titled(m)}: canary {figure(m, m.canary)}, baseline {figure(m, m.baseline)}, "
        f"{side} by {difference(m, abs(m.difference))}{between}, "
        f"from {count(m.trials_canary)} and {count(m.trials_baseline)} observations."
    )


def figure(measure: MeasureAssessment, value: float) -> str:
    """A figure of one arm with its unit."""
    if measure.unit == "ratio":
        return f"{value:.4f}" if measure.name in _PLAIN else percent(value)
    return f"{value:.4g} {measure.unit}".rstrip()


def difference(measure: MeasureAssessment, value: float) -> str:
    """A difference with its unit: points for shares."""
    if measure.unit == "ratio":
        return f"{value:.4f}" if measure.name in _PLAIN else f"{100 * value:.2f} points"
    return f"{value:.3g} {measure.unit}".rstrip()


def percent(share: float) -> str:
    """A share.

    >>> percent(0.0213), percent(0.00004)
    ('2.13 %', '0.004 %')
    """
    return f"{100 * share:.2f} %" if share >= 0.001 or share == 0 else f"{100 * share:.2g} %"


def evidence(log_e: float, threshold: float | None) -> str:
    """An e-value beside the one that was asked.

    >>> evidence(7.0, 6.2146)
    'e-value 1,097, 500 needed'
    """
    return f"e-value {_e_value(log_e)}" + (f", {_e_value(threshold)} needed" if threshold is not None else "")


def spelled(name: str) -> str:
    """A name of the catalogue as people write it."""
    return _SPELLED.get(name, name.replace("_", " "))


def titled(measure: MeasureAssessment) -> str:
    """A measure as people write it, with the class that its figures are of."""
    return spelled(measure.name) + (f" of class {measure.of_class}" if measure.of_class else "")


def count(value: float) -> str:
    """A number of observations."""
    return f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A length of time, as coarse as people speak of it.

    >>> duration(42.0), duration(4000.0), duration(200_000.0)
    ('42 s', '67 min', '2.3 days')
    """
    for limit, size, unit, digits in ((90, 1, "s", 0), (5400, 60, "min", 0), (129_600, 3600, "h", 1)):
        if seconds < limit:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds / 86400:.1f} days"


def _e_value(log_e: float) -> str:
    if log_e > math.log(_LARGE):
        return f"over 1e{math.floor(log_e / math.log(10))}"
    value = math.exp(log_e)
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _who(key: CanaryKey) -> str:
    return f"{key.version} of {key.model}"


def _opening(text: str) -> str:
    return text[0].upper() + text[1:]
