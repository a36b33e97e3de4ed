"""Each way in which following a rotated log has gone wrong somewhere, one test each."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import msgspec
import pytest

from mlcanary.sources.contract import Position, SourceStatus
from mlcanary.sources.files import FileSource
from rotated_log import Clock, RotatedLog, drain, restart


@pytest.fixture
def clock() -> Clock:
    return Clock()


def status_of(source: FileSource) -> SourceStatus:
    (status,) = source.status()
    return status


def stored(source: FileSource) -> Position:
    """The position as it comes back from a checkpoint, after the process that made it was killed."""
    position = msgspec.msgpack.decode(msgspec.msgpack.encode(source.position()), type=Position)
    source.close()
    return position


def test_a_renamed_log_is_read_to_its_end_before_the_new_one(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    lines = drain(source, clock)
    log.write_line()
    log.rename(create=True)
    log.write_line()
    assert lines + drain(source, clock) == log.lines
    assert status_of(source).rotations == {"rename": 1, "truncate": 0}


def test_a_renamed_log_is_not_left_while_its_writer_may_still_hold_it(tmp_path: Path, clock: Clock) -> None:
    path, rotated = tmp_path / "app.log", tmp_path / "app.log.1"
    path.write_bytes(b"1\n")
    source = restart(str(path), None, clock)
    lines = drain(source, clock, rounds=1)
    path.rename(rotated)
    path.write_bytes(b"4\n")
    for late in (b"2", b"\n3\n"):
        lines += drain(source, clock, rounds=1)
        with rotated.open("ab") as file:
            file.write(late)
    assert lines + drain(source, clock) == [b"1\n", b"2\n", b"3\n", b"4\n"]


def test_the_unfinished_last_line_of_a_renamed_log_becomes_a_line(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    source = restart(str(log.path), None, clock)
    log.write_part()
    assert drain(source, clock) == []
    log.rename(create=True)
    assert drain(source, clock) == [], "nothing follows it yet, so it may still grow"
    log.write_line()
    assert drain(source, clock) == log.lines == [b"000001-part\n", b"000002:\n"]


def test_what_copytruncate_cut_off_before_it_was_read_comes_from_the_copy(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    lines = drain(source, clock)
    log.write_line()
    log.copytruncate()
    for _ in range(5):
        log.write_line(width=20)  # longer again than what was read: the size alone tells nothing
    assert lines + drain(source, clock) == log.lines
    assert status_of(source).rotations == {"rename": 0, "truncate": 1}
    assert status_of(source).lost == {"vanished": 0, "truncated": 0, "compressed": 0}


def test_a_line_that_copytruncate_cut_in_two_is_joined_even_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    lines = drain(source, clock)
    log.write_part()
    log.copytruncate()
    lines += drain(source, clock)
    source = restart(str(log.path), stored(source), clock)
    log.write_line()
    assert lines + drain(source, clock) == log.lines == [b"000001:\n", b"000002-part000003:\n"]


def test_a_copy_that_is_being_made_is_not_read_twice(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    for _ in range(100):
        log.write_line(width=20)
    source = restart(str(log.path), None, clock)
    first = source.read()
    assert first is not None
    log.rotated(1).write_bytes(log.path.read_bytes()[:700])
    source = restart(str(log.path), stored(source), clock)
    lines = first.data.splitlines(keepends=True) + drain(source, clock)
    log.copytruncate()
    log.write_line()
    assert lines + drain(source, clock) == log.lines


def test_an_operators_backup_is_not_a_rotated_log(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    source = restart(str(log.path), None, clock)
    for _ in range(100):
        log.write_line(width=20)
    log.copy()
    lines = drain(source, clock)
    log.write_line()
    for _ in range(3):
        log.rename(create=True)
        log.write_line()
        lines += drain(source, clock)
    log.rotated(3).unlink()
    log.rename(create=True)
    log.write_line()
    assert lines + drain(source, clock) == log.lines


@pytest.mark.parametrize("same_time", [False, True])
def test_every_rotation_that_happened_while_the_process_was_down_is_read_in_order(
    tmp_path: Path, clock: Clock, same_time: bool
) -> None:
    log = RotatedLog(tmp_path / "app.log", same_time=same_time)
    log.write_line()
    source = restart(str(log.path), None, clock)
    lines = drain(source, clock)
    position = stored(source)
    for rotate in (log.copytruncate, lambda: log.rename(create=True), lambda: log.rename(create=False)) * 4:
        log.write_line(width=30)
        log.write_line()
        rotate()
    log.write_line()
    source = restart(str(log.path), position, clock)
    assert lines + drain(source, clock) == log.lines
    assert sum(status_of(source).rotations.values()) == 12


def test_a_new_file_with_the_inode_of_the_old_one_is_read_from_its_start(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"old 1\nold 2\n")
    source = restart(str(path), None, clock)
    assert drain(source, clock) == [b"old 1\n", b"old 2\n"]
    inode, position = path.stat().st_ino, stored(source)
    path.write_bytes(b"new 1\nnew 2\nnew 3\n")  # what inode reuse looks like: same inode, other content
    assert path.stat().st_ino == inode
    source = restart(str(path), position, clock)
    assert drain(source, clock) == [b"new 1\n", b"new 2\n", b"new 3\n"]


def test_a_deleted_and_recreated_log_loses_nothing_that_was_written_before(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n")
    source = restart(str(path), None, clock)
    lines = drain(source, clock)
    with path.open("ab") as file:
        file.write(b"2\n")
    path.unlink()
    lines += drain(source, clock)
    assert (status_of(source).up, status_of(source).error) == (False, "No such file or directory")
    path.write_bytes(b"3\n")
    assert lines + drain(source, clock) == [b"1\n", b"2\n", b"3\n"]
    assert status_of(source).up


@pytest.mark.parametrize("obstacle", ["directory", "loop", "missing"])
def test_a_path_that_cannot_be_read_is_down_and_tried_again(tmp_path: Path, clock: Clock, obstacle: str) -> None:
    path = tmp_path / "app.log"
    if obstacle == "directory":
        path.mkdir()
    elif obstacle == "loop":
        path.symlink_to(path)
    source = restart(str(path), None, clock)
    assert drain(source, clock) == []
    status = status_of(source)
    assert not status.up
    assert status.error
    if obstacle == "directory":
        path.rmdir()
    elif obstacle == "loop":
        path.unlink()
    path.write_bytes(b"1\n")
    assert drain(source, clock) == [b"1\n"]
    assert (status_of(source).up, status_of(source).error) == (True, "")


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path, clock: Clock) -> None:
    os.mkfifo(tmp_path / "app.log")
    source = restart(str(tmp_path / "app.log"), None, clock)
    assert source.read() is None
    assert status_of(source).error.endswith("not a regular file")


def test_an_empty_log_gives_nothing_and_is_up(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "app.log").touch()
    source = restart(str(tmp_path / "app.log"), None, clock)
    assert drain(source, clock) == []
    assert (status_of(source).up, status_of(source).lag_bytes) == (True, 0)


def test_rotated_files_of_before_the_first_start_are_left_alone(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    log.rename(create=True)
    old = list(log.lines)
    log.write_line()
    source = restart(str(log.path), None, clock)
    lines = drain(source, clock)
    log.rename(create=True)
    log.write_line()
    assert old + lines + drain(source, clock) == log.lines


def test_carriage_returns_and_broken_bytes_pass_through_untouched(tmp_path: Path, clock: Clock) -> None:
    data = b'{"a":1}\r\n\r\n\n\xff\xfe\x00\n{"b"\n'
    (tmp_path / "app.log").write_bytes(data)
    assert b"".join(drain(restart(str(tmp_path / "app.log"), None, clock), clock)) == data


@pytest.mark.parametrize("length", [199, 200, 201, 5000])
def test_a_line_above_the_limit_is_skipped_and_counted(tmp_path: Path, clock: Clock, length: int) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n" + b"x" * length)
    source = restart(str(path), None, clock)
    lines = drain(source, clock)
    source = restart(str(path), source.position(), clock)
    assert drain(source, clock) == []
    skipped_before = int(length > 200)
    with path.open("ab") as file:
        file.write(b"\n2\n")
    lines += drain(source, clock)
    assert len(lines) == 3 - skipped_before
    assert lines[-1] == b"2\n"


def test_the_rest_of_a_log_that_is_only_left_compressed_is_counted_as_lost(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    drain(source, clock)
    position = stored(source)
    log.write_line()
    log.rename(create=True)
    with gzip.open(tmp_path / "app.log.1.gz", "wb") as file:
        file.write(log.rotated(1).read_bytes())
    log.rotated(1).unlink()
    log.write_line()
    source = restart(str(log.path), position, clock)
    assert drain(source, clock) == log.lines[2:]
    assert status_of(source).lost == {"vanished": 0, "truncated": 0, "compressed": 1}


def test_a_generation_that_nobody_holds_any_more_is_counted_as_lost(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    drain(source, clock)
    position = stored(source)
    log.rename(create=True)
    log.rotated(1).rename(tmp_path / "elsewhere")
    log.write_line()
    source = restart(str(log.path), position, clock)
    assert drain(source, clock) == log.lines[1:]
    assert status_of(source).lost == {"vanished": 1, "truncated": 0, "compressed": 0}


def test_a_log_that_was_emptied_without_a_copy_is_counted_as_lost(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    drain(source, clock)
    os.truncate(log.path, 0)
    log.write_line()
    assert drain(source, clock) == log.lines[1:]
    assert status_of(source).lost == {"vanished": 0, "truncated": 1, "compressed": 0}


def test_the_hole_that_a_writer_without_append_leaves_is_skipped(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    source = restart(str(path), None, clock)
    lines: list[bytes] = []
    with path.open("wb", buffering=0) as writer:
        for number in range(4):
            writer.write(b"%d%s\n" % (number, b"x" * 150) * 50)
            lines += drain(source, clock)
            (tmp_path / "app.log.1").write_bytes(path.read_bytes())
            os.truncate(path, 0)
    drain(source, clock)
    assert lines == [b"%d%s\n" % (number, b"x" * 150) for number in range(4) for _ in range(50)]
    assert status_of(source).oversized_lines == 0


def test_bytes_that_arrive_in_a_rotated_log_after_it_was_left_are_read_at_the_next_rotation(
    tmp_path: Path, clock: Clock
) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    log.rename(create=True)
    log.write_line()
    lines = drain(source, clock)
    with log.rotated(1).open("ab") as file:
        file.write(b"late\n")
    log.rename(create=True)
    log.write_line()
    assert sorted(lines + drain(source, clock)) == sorted([*log.lines, b"late\n"])


def test_the_lag_counts_everything_that_is_still_to_be_read(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    source = restart(str(log.path), None, clock)
    drain(source, clock)
    position = stored(source)
    for _ in range(3):
        log.write_line(width=50)
        log.rename(create=True)
    log.write_line()
    source = restart(str(log.path), position, clock)
    assert source.read() is not None
    unread = sum(map(len, log.lines[2:]))
    assert status_of(source).lag_bytes == unread
    drain(source, clock)
    status = status_of(source)
    assert (status.lag_bytes, status.lines) == (0, 4)
    assert status.bytes_read == sum(map(len, log.lines[1:]))
