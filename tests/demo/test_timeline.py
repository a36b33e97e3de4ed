"""The story as values, and the table and lines that show it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlcanary.demo.screen import Screen
from mlcanary.demo.timeline import Entry, Milestone, Timeline
from mlcanary.demo.verdict import Check

STORY = (
    Timeline()
    .reached(Milestone.BUG, 100.0, "millimetres")
    .reached(Milestone.FIRING, 165.5, "MLCanaryRollbackVerdict")
    .reached(Milestone.WRONG, 100.4, "id 7")
)


def plain(*, terminal: bool = False) -> tuple[Screen, io.StringIO, list[float]]:
    now = [100.0]
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, no_color=True, highlight=False, width=120)
    return Screen(console, clock=lambda: now[0]), out, now


def test_durations_follow_the_story_and_not_the_order_of_the_reports() -> None:
    lines = STORY.durations()
    assert [line.milestone for line in lines] == [Milestone.BUG, Milestone.WRONG, Milestone.FIRING]
    assert [line.since_first for line in lines] == pytest.approx([0.0, 0.4, 65.5])
    assert lines[0].since_previous is None
    assert [line.since_previous for line in lines[1:]] == pytest.approx([0.4, 65.1])


def test_the_first_report_of_a_milestone_stands() -> None:
    assert STORY.reached(Milestone.FIRING, 999.0, "again") is STORY


def test_an_empty_timeline_has_no_durations() -> None:
    assert Timeline().durations() == ()


def test_the_table_reads_well_without_a_terminal() -> None:
    screen, out, _now = plain()
    screen.durations(STORY.durations())
    rows = [line.split() for line in out.getvalue().splitlines() if line.strip()]
    assert rows[0] == ["milestone", "step", "since", "the", "bug", "what"]
    assert rows[2] == ["bug", "0.0", "s", "millimetres"]
    assert rows[3] == ["first", "wrong", "prediction", "+0.4", "s", "0.4", "s", "id", "7"]
    assert rows[4][:6] == ["alert", "firing", "+65.1", "s", "65.5", "s"]
    assert "\x1b" not in out.getvalue()


def test_a_milestone_is_printed_at_its_own_time() -> None:
    screen, out, now = plain()
    now[0] = 300.0
    screen.milestone(Entry(Milestone.BUG, 161.0, "millimetres [not markup]"))
    assert out.getvalue() == "  01:01.0  bug                    millimetres [not markup]\n"


def test_the_live_line_is_printed_every_ten_seconds_without_a_terminal() -> None:
    screen, out, now = plain()
    for second in range(21):
        now[0] = 100.0 + second
        screen.live(f"second {second}")
    assert [line.split()[-1] for line in out.getvalue().splitlines()] == ["0", "10", "20"]


def test_the_live_line_is_redrawn_in_place_on_a_terminal() -> None:
    screen, out, _now = plain(terminal=True)
    screen.live("one [x]")
    screen.quiet()
    screen.note("done", "two")
    assert "one [x]" in out.getvalue()
    assert "\r" in out.getvalue()


def test_a_broken_promise_is_marked_with_its_figure() -> None:
    screen, out, _now = plain()
    screen.promises([Check(True, "all is well", "0 failed"), Check(False, "one effect", "2")])
    assert out.getvalue().splitlines() == [
        "  kept    all is well  (0 failed)",
        "  BROKEN  one effect  (2)",
    ]
