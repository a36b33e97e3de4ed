"""What a log that ended left open: why a replay came to no decision, in words for the person who made the log. Pure.

A judge goes on until there is enough evidence; a log does not. So the last verdict is that of the last record, and what
it would have taken is said beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlcanary.catalog import Verdict
from mlcanary.judge.contract import Assessment, Plan, Step
from mlcanary.judge.publish.figures import when
from mlcanary.judge.sentences import count, duration, evidence, titled
from mlcanary.judge.verdict import PROMOTING, Reason


@dataclass(frozen=True, slots=True)
class Waiting:
    """Predictions of canary and baseline without a final outcome at the end; `maturity` in seconds."""

    canary: float
    baseline: float
    maturity: float


def missing(found: Assessment, plan: Plan, steps: Sequence[Step], waiting: Waiting) -> tuple[str, ...]:
    """What "the log ended before" goes on with, the first causes first; () where there is a decision.

    Input: `found`, as of the last of `steps`. Each text is a clause in the past tense.
    """
    if found.verdict in {Verdict.ROLLBACK, Verdict.PROMOTE}:
        return ()
    return tuple(_clauses(found, plan, steps, waiting))


def _clauses(found: Assessment, plan: Plan, steps: Sequence[Step], waiting: Waiting) -> Iterator[str]:
    key, age = found.key, found.judged - found.key.start
    if age < plan.warm_up:
        yield f"its warm-up of {duration(plan.warm_up)} was over (warm_up)"
        return
    if found.reason in {Reason.NO_CANARY_TRAFFIC, Reason.NO_BASELINE_TRAFFIC}:
        canary = found.reason == Reason.NO_CANARY_TRAFFIC
        yield f"{key.version if canary else key.baseline} was asked again: its last request {_last(steps, canary)}"
    if waiting.canary or waiting.baseline:
        why = f"maturity {duration(waiting.maturity)}" if waiting.maturity else "their labels had not come"
        both = f"{count(waiting.canary)} predictions of {key.version} and {count(waiting.baseline)} of {key.baseline}"
        yield f"{both} had their outcome ({why})"
    yield from (f"the gate {gate.gate} opened: {gate.why}" for gate in found.gates)
    yield from _proof(found)
    if age < plan.min_age:
        yield f"the canary was {duration(plan.min_age)} old (min_age), it was {duration(age)}"
    if found.trials[0] < plan.min_trials:
        yield f"the canary had {count(plan.min_trials)} requests (min_trials), it had {count(found.trials[0])}"


def _proof(found: Assessment) -> Iterator[str]:
    """What was not shown to be as good as the baseline."""
    asked = [m for m in found.measures if m.log_e_noninferior is not None]
    if not any(m.family in PROMOTING for m in asked):
        yield "a label or a click said whether the answers are good"
    open_ones = [m for m in asked if (m.log_e_noninferior or 0.0) < found.promote_threshold]
    if open_ones:
        weakest = min(open_ones, key=lambda m: m.log_e_noninferior or 0.0)
        names = ", ".join(titled(m) for m in open_ones)
        least = f"{titled(weakest)}, {evidence(weakest.log_e_noninferior or 0.0, found.promote_threshold)}"
        yield f"this was shown to be not worse by its margin: {names} (least sure: {least})"


def _last(steps: Sequence[Step], canary: bool) -> str:
    """When an arm was asked for the last time, to the step."""
    arms = ((step.end, step.canary if canary else step.baseline) for step in reversed(steps))
    last = next((end for end, arm in arms if sum(arm.get("requests", ())) > 0), None)
    return "was before the canary began" if last is None else f"came by {when(last)}"
