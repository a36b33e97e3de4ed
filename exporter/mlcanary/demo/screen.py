"""What the demo prints: one line per event with its clock, one live line, one table, one list of promises.

Guarantee: nothing that is printed depends on a terminal. On one, the live line is redrawn in place and
colours are used; without one (a CI log, a pipe) it is printed every few seconds. NO_COLOR is respected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from mlcanary.demo.release_timeline import Line
from mlcanary.demo.timeline import Duration, Entry, Milestone
from mlcanary.demo.verdict import Check

LIVE_LINE_SECONDS = 10.0
"""How often the live line is printed where it cannot be redrawn."""

_WIDTH = 120
_STYLES = {
    Milestone.BUG: "bold red",
    Milestone.WRONG: "red",
    Milestone.VERDICT: "yellow",
    Milestone.FIRING: "bold yellow",
    Milestone.WEBHOOK: "cyan",
    Milestone.EFFECT: "bold cyan",
    Milestone.VERIFIED: "bold green",
}


class Screen:
    """Writes the story to a console. `clock` is Unix seconds; the clock column counts from construction."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.time) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = _WIDTH
        self._clock = clock
        self._started = clock()
        self._live: Status | None = None
        self._live_printed = 0.0

    def heading(self, text: str) -> None:
        """A new chapter."""
        self.quiet()
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def note(self, subject: str, text: str) -> None:
        """One fact: what it is about, and what there is to say."""
        self._event(self._clock(), subject, text, "")

    def milestone(self, entry: Entry) -> None:
        """One milestone, at its own time rather than at the time of printing."""
        self._event(entry.ts, entry.milestone.value, entry.detail, _STYLES[entry.milestone])

    def event(self, ts: float, subject: str, text: str, *, good: bool = True) -> None:
        """One thing that happened, at its own time; `good` chooses the colour."""
        self._event(ts, subject, text, "cyan" if good else "bold yellow")

    def live(self, text: str) -> None:
        """The state of things right now: redrawn on a terminal, else printed every `LIVE_LINE_SECONDS`."""
        now = self._clock()
        line = f"{self._stamp(now)}  {text}"
        if self._console.is_terminal:
            if self._live is None:
                self._live = self._console.status(escape(line), refresh_per_second=4)
                self._live.start()
            self._live.update(escape(line))
        elif now - self._live_printed >= LIVE_LINE_SECONDS:
            self._live_printed = now
            self._console.print(Text(f"  {line}", style="dim"))

    def quiet(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def durations(self, lines: Sequence[Duration]) -> None:
        """The closing table: each milestone, the time since the one before it and since the bug."""
        self.quiet()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False)
        table.add_column("milestone", style="bold", no_wrap=True)
        table.add_column("step", justify="right", no_wrap=True)
        table.add_column("since the bug", justify="right", no_wrap=True)
        table.add_column("what", overflow="fold")
        for line in lines:
            step = "" if line.since_previous is None else f"{line.since_previous:+.1f} s"
            table.add_row(
                line.milestone.value,
                step,
                f"{line.since_first:.1f} s",
                Text(line.detail),
                style=_STYLES[line.milestone],
            )
        self._console.print(table)
        self._console.print()

    def release(self, title: str, lines: Sequence[Line]) -> None:
        """A release from its submission on: seconds, share, what the judge said, what happened."""
        self.quiet()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=True, show_edge=False, title=title, title_justify="left")
        table.add_column("since", justify="right", no_wrap=True)
        table.add_column("share", justify="right", no_wrap=True)
        table.add_column("the judge", overflow="fold", max_width=26)
        table.add_column("event", style="bold", no_wrap=True)
        table.add_column("what", overflow="fold")
        for line in lines:
            share = "" if line.share is None else f"{line.share:.0f} %"
            since = f"+{line.ts - lines[0].ts:.1f} s"
            table.add_row(since, share, Text(line.judge), line.event, Text(line.detail))
        self._console.print(table)
        self._console.print()

    def promises(self, checks: Iterable[Check]) -> None:
        """Each promise, kept or broken, with its figure."""
        self.quiet()
        for check in checks:
            mark, style = ("kept  ", "green") if check.held else ("BROKEN", "bold red")
            line = Text("  ").append(mark, style=style).append(f"  {check.promise}")
            self._console.print(line.append(f"  ({check.figure})", style="dim"))

    def log_tail(self, name: str, place: str, lines: Sequence[str]) -> None:
        """The last lines of a component's log."""
        self.quiet()
        self._console.print(Text(f"  last lines of {name} ({place}):", style="bold"))
        for line in lines:
            self._console.print(Text(f"    {line}", style="dim"), soft_wrap=True)

    def closing(self, text: str, *, good: bool) -> None:
        """The last sentence."""
        self.quiet()
        self._console.print()
        self._console.print(Text(text, style="bold green" if good else "bold red"), soft_wrap=True)

    def _event(self, ts: float, subject: str, text: str, style: str) -> None:
        line = Text("  ").append(self._stamp(ts), style="dim").append(f"  {subject:<23}", style=style)
        self._console.print(line.append(text), soft_wrap=True)

    def _stamp(self, ts: float) -> str:
        minutes, seconds = divmod(max(ts - self._started, 0.0), 60.0)
        return f"{int(minutes):02d}:{seconds:04.1f}"
