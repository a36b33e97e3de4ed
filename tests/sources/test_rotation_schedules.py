"""Random schedules of writing, rotating, reading and being killed: every line exactly once, in order."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from mlcanary.sources.contract import Position, TailPosition
from rotated_log import MAX_LINE_BYTES, Clock, RotatedLog, drain, restart


class Schedule(RuleBasedStateMachine):
    """The log on one side, a reader that may die at any moment on the other.

    `kept` and `saved` are what a checkpoint holds: the lines made use of and the position that belongs to them.
    """

    header = b""
    same_time = False
    pattern = "app.log"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="rotation"))
        self.attic = self.folder / "attic"
        self.attic.mkdir()
        self.clock = Clock()
        self.log = RotatedLog(self.folder / "app.log", header=self.header, same_time=self.same_time)
        self.kept: list[bytes] = []
        self.saved: bytes = b""

    @initialize(exists=strategies.booleans())
    def start(self, exists: bool) -> None:
        if exists or "*" in self.pattern:
            self.log.path.touch()
        self.source = restart(str(self.folder / self.pattern), None, self.clock)
        self.lines: list[bytes] = []
        self.save()

    @rule(width=strategies.sampled_from([0, 30, 120]), times=strategies.integers(1, 3))
    def write(self, width: int, times: int) -> None:
        for _ in range(times):
            self.log.write_line(width)

    @rule()
    def write_part(self) -> None:
        self.log.write_part()

    @rule(create=strategies.booleans())
    def rename(self, create: bool) -> None:
        self.log.rename(create=create)

    @rule()
    def copytruncate(self) -> None:
        if self.log.unfinished and not self.writer_is_known():
            self.log.write_line()
        if not self.header or self.is_past_header():
            self.log.copytruncate()

    def positions(self) -> list[TailPosition]:
        """Of the log, as stored and as it is now."""
        saved = msgspec.msgpack.decode(self.saved, type=Position)
        return [*saved.files.values(), *self.source.position().files.values()]

    def writer_is_known(self) -> bool:
        """A line cut in two is joined if the reader saw the file before; who never saw it cannot tell."""
        inode = self.log.path.stat().st_ino if self.log.path.exists() else 0
        positions = self.positions()
        return len(positions) == 2 and all(position.writer == inode for position in positions)

    def is_past_header(self) -> bool:
        """A generation of which only a constant header was read cannot be told from its successor in place."""
        marks = [position.current for position in self.positions()]
        return self.writer_is_known() and all(mark and mark.offset > len(self.header) for mark in marks)

    @rule(blocks=strategies.integers(1, 4))
    def read(self, blocks: int) -> None:
        for _ in range(blocks):
            if (block := self.source.read()) is not None:
                assert block.data.endswith(b"\n")
                self.lines += block.data.splitlines(keepends=True)

    @rule(seconds=strategies.sampled_from([0.5, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def save(self) -> None:
        self.kept = list(self.lines)
        self.saved = msgspec.msgpack.encode(self.source.position())

    @rule()
    def die_and_restart(self) -> None:
        self.source.close()
        self.lines = list(self.kept)
        position = msgspec.msgpack.decode(self.saved, type=Position)
        self.source = restart(str(self.folder / self.pattern), position, self.clock)

    @rule()
    def catch_up_and_save(self) -> None:
        self.lines += drain(self.source, self.clock, rounds=4)
        self.save()

    @precondition(lambda self: self.log.rotated(2).exists())
    @rule()
    def delete_what_is_consumed(self) -> None:
        """logrotate's `rotate` limit, long after everything was read and stored.

        Moved out of sight, so that its inode is not used again: schedules must behave the same every time.
        """
        self.lines += drain(self.source, self.clock)
        self.save()
        oldest = self.log.rotated(max(n for n in range(1, 100) if self.log.rotated(n).exists()))
        current = [p.current.inode for p in self.source.position().files.values() if p.current]
        if oldest.stat().st_ino not in current and self.seen() == self.truth():
            oldest.rename(self.attic / str(len(list(self.attic.iterdir()))))

    def teardown(self) -> None:
        try:
            if hasattr(self, "source"):
                self.check()
        finally:
            shutil.rmtree(self.folder)

    def seen(self) -> list[bytes]:
        return [line for line in self.lines if line != self.header]

    def truth(self) -> list[bytes]:
        return [line for line in self.log.lines if line != self.header and len(line) <= MAX_LINE_BYTES + 1]

    def check(self) -> None:
        self.lines += drain(self.source, self.clock)
        self.log.write_line()  # the last unfinished line is over once something follows
        self.lines += drain(self.source, self.clock)
        lost = [status.lost for status in self.source.status()]
        self.source.close()
        assert self.seen() == self.truth()
        assert all(set(counts.values()) == {0} for counts in lost)


class EqualTimes(Schedule):
    same_time = True


class SameHeader(Schedule):
    header = b"id,time,score\n"


class GlobOverRotatedNames(Schedule):
    pattern = "app.log*"


@pytest.mark.parametrize("schedule", [Schedule, EqualTimes, SameHeader, GlobOverRotatedNames])
def test_every_line_is_read_exactly_once_whatever_the_schedule(schedule: type[Schedule]) -> None:
    run_state_machine_as_test(
        schedule,
        settings=settings(
            max_examples=150,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
