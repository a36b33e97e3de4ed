"""A release as lines for people: when, which share, what the judge said, what happened. Pure.

Guarantee: lines come in the order of time; a share is the one that the handler had set and read back by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlcanary.demo.release_record import Record, Said, Span
from mlcanary.demo.timeline import Entry, Milestone
from mlcanary.handler.core.machines import ReleaseState

_BY_INCIDENT = (ReleaseState.STEP, ReleaseState.ROLLING_BACK, ReleaseState.VERIFYING)
"""Told by the steps, or by the milestones of the incident."""

_EVENTS = {
    ReleaseState.HOLD: "held",
    ReleaseState.SOAK: "soak",
    ReleaseState.PROVEN: "proven",
    ReleaseState.ROLLED_BACK: "rolled back",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `share`: percent of the traffic that the candidate was given, None where nothing changed it."""

    ts: float
    share: float | None
    judge: str
    event: str
    detail: str


def lines(
    record: Record, percents: Sequence[int], measured: Sequence[Span] = (), incident: Sequence[Entry] = ()
) -> list[Line]:
    """The timeline of a release.

    Input: `percents` are the configured steps; `measured` what the traffic says of them; `incident` the milestones of
    the incident against its candidate.
    """
    seen = {span.step.action: span for span in measured}
    found = [Line(record.submitted, 0.0, "", "submitted", f"by {record.actor}; {record.stable} serves")]
    for step in record.steps:
        event = f"step {step.number + 1} of {len(percents)}"
        if step.effect is None:
            found.append(Line(step.decided, None, said(step.said), f"{event} tried", step.note))
            continue
        share = float(percents[step.number])
        detail = f"{step.note}{_traffic(seen.get(step.action))}"
        found.append(Line(step.effect, share, said(step.said), event, detail))
    for entry in incident:
        share_after = 0.0 if entry.milestone is Milestone.EFFECT else None
        found.append(Line(entry.ts, share_after, "", entry.milestone.value, entry.detail))
    for move in record.moves:
        if move.state not in _BY_INCIDENT:
            judge = said(record.last) if move.state == ReleaseState.PROVEN else ""
            event = _EVENTS.get(ReleaseState(move.state), move.state)
            found.append(Line(move.at, None, judge, event, move.note))
    return sorted(found, key=lambda line: line.ts)


def said(word: Said | None) -> str:
    """The judge's word in a few words; "" if none was asked.

    >>> said(Said("inconclusive", True, 1234.0, 0.0))
    'inconclusive, may expand; 1,234 judged'
    """
    if word is None:
        return ""
    expands = ", may expand" if word.may_expand else ""
    return f"{word.word}{expands}; {word.trials:,.0f} judged"


def _traffic(span: Span | None) -> str:
    return "" if span is None else f"; the traffic: {span.share:.1%} of {span.everybody:,}"
