"""The story's milestones and the time between them, as values.

Guarantee: a timeline keeps the first report of each milestone; `durations` lists the milestones in the order
of the story, whatever the order in which they were noticed, and never invents a missing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Milestone(StrEnum):
    """What happens between a bug and its proven end, in the order of the story."""

    BUG = "bug"
    WRONG = "first wrong prediction"
    VERDICT = "verdict"
    FIRING = "alert firing"
    WEBHOOK = "webhook received"
    EFFECT = "effect read back"
    VERIFIED = "verified"


ORDER: tuple[Milestone, ...] = tuple(Milestone)


@dataclass(frozen=True, slots=True)
class Entry:
    """A milestone that was reached at `ts` (Unix seconds), with one sentence about it."""

    milestone: Milestone
    ts: float
    detail: str


@dataclass(frozen=True, slots=True)
class Duration:
    """One line of the table: seconds since the milestone before it (None: no such one) and the first."""

    milestone: Milestone
    since_previous: float | None
    since_first: float
    detail: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The milestones reached so far."""

    entries: tuple[Entry, ...] = ()

    def reached(self, milestone: Milestone, ts: float, detail: str) -> Timeline:
        """This timeline with one more milestone; the same one again changes nothing."""
        if self.find(milestone) is not None:
            return self
        return Timeline((*self.entries, Entry(milestone, ts, detail)))

    def find(self, milestone: Milestone) -> Entry | None:
        """The entry of a milestone, None while it has not been reached."""
        return next((entry for entry in self.entries if entry.milestone is milestone), None)

    def durations(self) -> tuple[Duration, ...]:
        """The lines of the table.

        >>> story = Timeline().reached(Milestone.FIRING, 70.0, "b").reached(Milestone.BUG, 5.0, "a")
        >>> [(line.milestone.value, line.since_previous, line.since_first) for line in story.durations()]
        [('bug', None, 0.0), ('alert firing', 65.0, 65.0)]
        """
        story = sorted(self.entries, key=lambda entry: ORDER.index(entry.milestone))
        lines = []
        for place, entry in enumerate(story):
            previous = entry.ts - story[place - 1].ts if place else None
            lines.append(Duration(entry.milestone, previous, entry.ts - story[0].ts, entry.detail))
        return tuple(lines)
