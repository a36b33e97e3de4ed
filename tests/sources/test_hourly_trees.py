"""Trees of thousands of finished files, as SageMaker and Azure write them: read once, in order, without being held."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcanary.sources.contract import Position, SourceStatus
from mlcanary.sources.files import FileSource
from mlcanary.sources.finished import MOST, Finished
from rotated_log import Clock, RotatedLog, drain

FILES = 3000


@pytest.fixture
def clock() -> Clock:
    return Clock()


def hour(root: Path, number: int) -> Path:
    """One of the four files of an hour, in a folder of its own for each hour."""
    day, hours = divmod(number // 4, 24)
    folder = root / "churn" / "blue" / "2026" / f"{1 + day // 28:02}" / f"{1 + day % 28:02}" / f"{hours:02}"
    path = folder / f"{number}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(path: Path, text: str, written: float) -> None:
    with path.open("a") as file:
        file.write(text)
    os.utime(path, (written, written))


def stored(source: FileSource) -> Position:
    """The position of a killed source as the checkpoint gives it back."""
    source.close()
    return msgspec.msgpack.decode(msgspec.msgpack.encode(source.position()), type=Position)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def rows(source: FileSource) -> dict[str, SourceStatus]:
    return {os.path.basename(row.source): row for row in source.status()}


def test_thousands_of_hourly_files_are_read_once_in_order_and_not_held(tmp_path: Path, clock: Clock) -> None:
    for number in range(FILES):
        write(hour(tmp_path, number), f"{number}\n", 1.7e9 + 3600.0 * number)
    pattern = str(tmp_path / "**" / "*.jsonl")
    held = open_files()
    source = FileSource([pattern], None, max_files=200, clock=clock)
    seen, most, progress = [], 0, dict[str, float]()
    while (block := source.read(progress)) is not None:
        seen.append(int(block.data))
        progress[block.source] = clock.now
        most = max(most, open_files() - held)
    assert seen == list(range(FILES))
    assert most <= 200
    assert source.caught_up
    assert source.left_out == 0
    clock.now += 2.0
    assert source.read(progress) is None
    assert len(source.status()) == 1
    assert open_files() == held
    assert sum(row.lines for row in source.status()) == FILES
    assert len(msgspec.msgpack.encode(source.position())) < 60 * FILES + 50_000
    source = FileSource([pattern], stored(source), clock=clock)
    assert drain(source, clock, 2) == []
    write(hour(tmp_path, 5), "more\n", 1.8e9)
    write(hour(tmp_path, FILES), "new\n", 1.8e9 + 1)
    late = hour(tmp_path, FILES + 1)
    write(late, "synchronised late\n", 1.7e9)
    assert sorted(drain(source, clock, 2)) == [b"more\n", b"new\n", b"synchronised late\n"]


def test_files_that_wait_for_their_place_are_no_end_of_the_logs(tmp_path: Path, clock: Clock) -> None:
    for name in "abc":
        write(tmp_path / f"{name}.log", f"{name}\n", 1.7e9 + ord(name))
    source = FileSource([str(tmp_path / "*.log")], None, max_files=1, clock=clock)
    first = source.read({})
    assert first is not None and first.data == b"a\n"  # noqa: PT018
    assert (source.waiting, source.caught_up) == (True, False)
    assert source.behind({first.source: 5.0}) == float("-inf")
    assert rows(source)["*.log"].lag_bytes == 4
    assert drain(source, clock) == [b"b\n", b"c\n"]
    assert (source.waiting, source.caught_up) == (False, True)
    assert {name: row.lines for name, row in rows(source).items()} == {"*.log": 2, "c.log": 1}


def test_files_still_written_are_left_open_while_there_is_room(tmp_path: Path, clock: Clock) -> None:
    for name in "abcd":
        write(tmp_path / f"{name}.log", f"{name}\n", clock.now)
    source = FileSource([str(tmp_path / "*.log")], None, at_once=1, max_files=3, clock=clock)
    assert sorted(drain(source, clock)) == [b"a\n", b"b\n", b"c\n", b"d\n"]
    assert len(rows(source).keys() - {"*.log"}) <= 3
    for name in "abcd":
        write(tmp_path / f"{name}.log", f"{name}2\n", clock.now)
    assert sorted(drain(source, clock)) == [b"a2\n", b"b2\n", b"c2\n", b"d2\n"]


def test_files_without_a_place_beside_rotated_ones_are_counted(tmp_path: Path, clock: Clock) -> None:
    logs = [RotatedLog(tmp_path / f"{name}.log") for name in "ab"]
    source = FileSource([str(tmp_path / "*.log")], None, at_once=1, max_files=2, clock=clock)
    for log in logs:
        log.write_line()
        log.rename(create=True)
        log.write_line()
    assert len(drain(source, clock)) == 4
    write(tmp_path / "c.log", "c\n", 1.7e9)
    assert drain(source, clock) == []
    assert source.left_out == 1
    assert not source.caught_up
    (tmp_path / "a.log").unlink()
    (tmp_path / "a.log.1").unlink()
    assert drain(source, clock) == [b"c\n"]
    assert source.left_out == 0


def test_a_closed_file_goes_on_under_another_name(tmp_path: Path, clock: Clock) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.jsonl", f"{name}\n", 1.7e9 + ord(name))
    pattern = str(tmp_path / "*.jsonl")
    source = FileSource([pattern], None, at_once=1, clock=clock)
    assert sorted(drain(source, clock)) == [b"a\n", b"b\n"]
    (tmp_path / "a.jsonl").rename(tmp_path / "done.jsonl")
    write(tmp_path / "done.jsonl", "later\n", 1.7e9 + 300)
    source = FileSource([pattern], stored(source), at_once=1, clock=clock)
    assert drain(source, clock) == [b"later\n"]
    write(tmp_path / "a.jsonl", "another\n", 1.7e9 + 400)
    assert drain(source, clock) == [b"another\n"]


def test_looking_for_files_takes_at_most_a_fiftieth_of_the_time(tmp_path: Path) -> None:
    class Slow(Clock):
        """A clock by which each look at the folder takes two seconds."""

        calls = 0

        def __call__(self) -> float:
            self.calls += 1
            self.now += 1.0 if self.calls < 10 else 0.0
            return self.now

    clock = Slow()
    write(tmp_path / "a.log", "a\n", 1.7e9)
    source = FileSource([str(tmp_path / "*.log")], None, clock=clock)
    clock.calls = 10
    assert source.read() is not None
    write(tmp_path / "b.log", "b\n", 1.7e9)
    clock.now += 40.0
    assert source.read() is None
    clock.now += 20.0
    assert source.read() is not None


def test_a_broken_table_of_closed_files_is_ignored() -> None:
    assert len(Finished(b"not a table")) == 0
    assert not Finished().full
    assert MOST >= 100_000


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["write", "write", "part", "rename", "drain", "kill"])),
        max_size=25,
    )
)
def test_every_line_once_whatever_is_closed_between(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    logs = [RotatedLog(folder / f"{name}.log", header=name.encode() + b"\n") for name in "abcd"]
    clock = Clock()
    pattern = str(folder / "*.log")

    def start(saved: Position | None) -> FileSource:
        return FileSource([pattern], saved, at_once=1, max_files=3, idle_seconds=-1e9, clock=clock)

    source = start(None)
    lines = []
    for number, step in steps:
        log = logs[number]
        if step == "write":
            log.write_line()
        elif step == "part":
            log.write_part()
        elif step == "rename" and number < 2:
            log.rename(create=True)
        elif step == "kill":
            source = start(stored(source))
        else:
            lines += drain(source, clock, 3)
    for log in logs:
        log.write_line()
    lines += drain(source, clock)
    assert sorted(lines) == sorted(line for log in logs for line in log.lines)
