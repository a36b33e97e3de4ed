"""Whether a run of the story `release` kept its promises, from what was measured. Pure.

Guarantee: as in `verdict`: a run is good only if every check is; a figure that could not be had fails its check.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mlcanary.demo.release_record import Record, Span, Taken
from mlcanary.demo.verdict import VERDICT_ALERT, Check, listed, weights_told
from mlcanary.handler.core.judgement import Word
from mlcanary.handler.core.machines import ReleaseState

_SIGMAS = 4.0
"""Standard errors of a share of independent requests. A router that takes turns stays far inside."""


@dataclass(frozen=True, slots=True)
class ReleaseEvidence:
    """What both releases left behind.

    `percents`, `step_trials`: the configured steps. `good_spans`, `bad_spans`: the traffic of every confirmed step.
    `highest_bad`: largest share that HAProxy itself ever told of the bad candidate, in [0, 1]. `promoted_at`: when the
    judge's verdict on the good one became promote, None if it never did. `early_alerts`: rollback alerts that were
    pending or firing until the good one was proven; `late_alerts`: those after it. `bad_after_effect`: predictions of
    the bad one after the rollback was read back, None if it never was. `outcome`: of the one incident, None if none or
    several ended. `refusal`: what the second submission of the bad one was answered, None if it was taken. `verified`:
    whether the check of the audit by the command line passed, `audit_rows` how many rows it has. `figures`: the
    handler's own metrics, `expected` what they must be by the audit and the story.
    """

    percents: Sequence[int]
    step_trials: int
    good: Record
    bad: Record
    good_spans: Sequence[Span]
    bad_spans: Sequence[Span]
    highest_bad: float
    promoted_at: float | None
    early_alerts: frozenset[str]
    late_alerts: frozenset[str]
    weights: Mapping[str, int]
    bad_after_effect: int | None
    outcome: str | None
    refusal: str | None
    verified: bool
    audit_rows: int
    figures: Mapping[str, float]
    expected: Mapping[str, float]
    sent: int
    answered: int
    failed: int


def release_checks(found: ReleaseEvidence) -> tuple[Check, ...]:
    """Every promise of the story, in its order."""
    return (*_good_checks(found), *_bad_checks(found), *_both_checks(found))


def _good_checks(found: ReleaseEvidence) -> tuple[Check, ...]:
    good = found.good
    taken = [found.percents[step.number] for step in good.confirmed]
    last = good.confirmed[-1] if good.confirmed else None
    promoted = last is not None and last.said is not None and last.said.word == Word.HEALTHY
    in_time = found.promoted_at is not None and last is not None and found.promoted_at <= last.decided
    return (
        Check(
            taken == list(found.percents),
            f"{good.candidate} took every step once, in order",
            _percents(taken),
        ),
        Check(
            promoted and in_time,
            "all traffic came only after the judge's verdict promote",
            "no promotion" if last is None or last.said is None else f"the judge said {last.said.word}",
        ),
        Check(
            good.state == ReleaseState.PROVEN and not found.early_alerts,
            f"{good.candidate} is the proven version, and no alert asked for a rollback",
            f"{good.state}; alerts: {listed(found.early_alerts)}",
        ),
    )


def _bad_checks(found: ReleaseEvidence) -> tuple[Check, ...]:
    bad, late = found.bad, found.bad_after_effect
    allowed = max((found.percents[step.number] / 100 for step in bad.confirmed), default=0.0)
    return (
        Check(
            bool(bad.confirmed) and allowed < 1 and found.highest_bad <= allowed,
            f"{bad.candidate} never had more than its step",
            f"{found.highest_bad:.0%} at most, step {allowed:.0%}",
        ),
        Check(
            found.late_alerts == {VERDICT_ALERT},
            "the judge's alert stopped it, and no other asked for a rollback",
            listed(found.late_alerts),
        ),
        Check(
            bad.state == ReleaseState.ROLLED_BACK and found.outcome == "resolved",
            "the handler proved the rollback from the traffic",
            f"{bad.state}, incident {found.outcome or 'not ended'}",
        ),
        Check(
            late == 0
            and found.weights.get(found.good.candidate, 0) > 0
            and not any(weight for version, weight in found.weights.items() if version != found.good.candidate),
            f"{found.good.candidate} has all traffic again, and {bad.candidate} answered nothing after the effect",
            f"weights {weights_told(found.weights)}; {'no effect' if late is None else late}",
        ),
        Check(
            found.refusal is not None and "quarantined" in found.refusal,
            f"{bad.candidate} is quarantined: a second submission is refused",
            found.refusal or "it was taken",
        ),
    )


def _both_checks(found: ReleaseEvidence) -> tuple[Check, ...]:
    measured = [*found.good_spans, *found.bad_spans]
    wrong = [span for span in measured if not as_told(span, found.percents)]
    blind = [
        f"{record.candidate} step {step.number + 1}"
        for record in (found.good, found.bad)
        for step in without_evidence(record, found.step_trials)
    ]
    differing = sorted(name for name, value in found.expected.items() if found.figures.get(name) != value)
    steps = len(found.good.confirmed) + len(found.bad.confirmed)
    return (
        Check(
            len(measured) == steps > 0 and not wrong,
            "every step's share was seen at the traffic",
            _shares(wrong or measured),
        ),
        Check(
            bool(found.good.confirmed) and not blind,
            f"no step but the first without evidence: {found.step_trials} requests judged in the one before",
            listed(frozenset(blind)) if blind else f"{steps} steps",
        ),
        Check(
            found.verified and found.audit_rows > 0,
            "the audit is unbroken, and the tables say the same (mlcanary explain --verify)",
            f"{found.audit_rows} rows",
        ),
        Check(
            bool(found.expected) and not differing,
            "the handler's metrics say the same as its audit",
            ", ".join(f"{name} {found.figures.get(name)}" for name in (differing or sorted(found.expected))),
        ),
        Check(
            found.failed == 0 and 0 < found.sent == found.answered,
            "clients saw no failed request",
            f"{found.failed} failed, {found.answered} of {found.sent} answered",
        ),
    )


def as_told(span: Span, percents: Sequence[int]) -> bool:
    """Whether the traffic of a step had the share that the step gives, within chance; False without traffic."""
    share, n = percents[span.step.number] / 100, span.everybody
    return n > 0 and abs(span.candidate - n * share) <= 1 + _SIGMAS * math.sqrt(n * share * (1 - share))


def without_evidence(record: Record, step_trials: int) -> list[Taken]:
    """Confirmed steps, but the first, that were decided on less than the promise asks."""
    return [step for before, step in pairwise(record.confirmed) if not _is_grounded(before, step, step_trials)]


def _is_grounded(before: Taken, step: Taken, step_trials: int) -> bool:
    if before.said is None or step.said is None or before.effect is None:
        return False
    gained = step.said.trials - before.said.trials
    good = step.said.word in (Word.HEALTHY, Word.INCONCLUSIVE) and step.said.may_expand
    return good and gained >= step_trials and step.said.judged > before.effect


def _percents(percents: Sequence[int]) -> str:
    return ", ".join(f"{percent} %" for percent in percents) or "none"


def _shares(spans: Sequence[Span]) -> str:
    return ", ".join(f"{span.share:.1%} of {span.everybody:,}" for span in spans) or "none"
