"""Which files a source follows, and how it shares its turns between them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from mlcanary.sources.contract import Position
from mlcanary.sources.files import FileSource
from mlcanary.sources.rotation import rotated_names
from rotated_log import Clock, RotatedLog, drain


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sources(source: FileSource) -> list[str]:
    return [os.path.basename(status.source) for status in source.status()]


def test_files_that_appear_later_are_read_from_their_start(tmp_path: Path, clock: Clock) -> None:
    source = FileSource([str(tmp_path / "**" / "*.log")], None, clock=clock)
    assert drain(source, clock) == []
    for name in ("a.log", "deep/er/b.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() + b"\n")
        assert drain(source, clock) == [name.encode() + b"\n"]
    assert sources(source) == ["a.log", "b.log"]


def test_a_log_that_appeared_and_was_rotated_between_two_looks_is_read_whole(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "app.log.7").write_bytes(b"of an earlier life\n")
    os.utime(tmp_path / "app.log.7", (1.7e9, 1.7e9))
    source = FileSource([str(tmp_path / "*.log")], None, clock=clock)
    drain(source, clock)
    log = RotatedLog(tmp_path / "app.log")
    os.utime(tmp_path, None)
    clock.now = 1_800_000_000.0
    log.write_line()
    log.rename(create=True)
    log.write_line()
    for path in (log.path, log.rotated(1)):
        os.utime(path, (clock.now + 5, clock.now + 5))
    assert drain(source, clock) == log.lines


def test_a_glob_that_also_matches_rotated_names_reads_every_line_once(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    log.write_line()
    log.rename(create=True)
    old = list(log.lines)
    log.write_line()
    pattern = str(tmp_path / "app*")
    source = FileSource([pattern], None, clock=clock)
    lines = drain(source, clock)
    for _ in range(3):
        log.rename(create=False)
        lines += drain(source, clock)
        log.write_line()
        source.close()
        source = FileSource([pattern], source.position(), clock=clock)
    assert old + lines + drain(source, clock) == log.lines
    assert sources(source) == ["app.log"]


def test_a_rotated_file_that_was_there_before_its_log_is_not_read_again(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "app.log.1").write_bytes(b"1\n2\n")
    source = FileSource([str(tmp_path / "app.log*")], None, clock=clock)
    assert drain(source, clock) == [b"1\n", b"2\n"]
    (tmp_path / "app.log").write_bytes(b"3\n")
    assert drain(source, clock) == [b"3\n"]
    (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    (tmp_path / "app.log").write_bytes(b"4\n")
    assert drain(source, clock) == [b"4\n"]
    assert sources(source) == ["app.log"]


def test_workers_that_number_their_logs_are_sources_of_their_own(tmp_path: Path, clock: Clock) -> None:
    for worker in range(3):
        (tmp_path / f"data.{worker}.log").write_bytes(b"%d\n" % worker)
        (tmp_path / f"data.{worker}.log.2026-01-31").write_bytes(b"yesterday\n")
    source = FileSource([str(tmp_path / "data.*.log*")], None, clock=clock)
    assert sorted(drain(source, clock)) == [b"0\n", b"1\n", b"2\n"]
    assert sources(source) == ["data.0.log", "data.1.log", "data.2.log"]


def test_a_log_renamed_to_a_name_of_no_known_kind_is_not_read_again(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n")
    source = FileSource([str(tmp_path / "*")], None, clock=clock)
    lines = drain(source, clock)
    path.rename(tmp_path / "app.log.archived")
    path.write_bytes(b"2\n")
    assert lines + drain(source, clock) == [b"1\n", b"2\n"]


def test_a_link_that_moves_on_to_a_new_dated_file_leaves_none_out(tmp_path: Path, clock: Clock) -> None:
    def day(number: int, data: bytes) -> Path:
        path = tmp_path / "logs" / f"app-2026-02-{number:02}.log"
        path.write_bytes(data)
        os.utime(path, (1.8e9 + number, 1.8e9 + number))
        return path

    def point(target: Path) -> None:
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    (tmp_path / "logs").mkdir()
    link = tmp_path / "current"
    day(1, b"of before\n")
    point(day(2, b"1\n"))
    source = FileSource([str(link)], None, clock=clock)
    lines = drain(source, clock)
    source.close()
    day(2, b"1\n2\n")
    day(3, b"3\n")
    point(day(4, b"4\n"))
    source = FileSource([str(link)], source.position(), clock=clock)
    assert lines + drain(source, clock) == [b"1\n", b"2\n", b"3\n", b"4\n"]
    assert sources(source) == ["current"]


def test_a_link_beside_its_target_is_not_read_twice(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "app-1.log").write_bytes(b"1\n")
    (tmp_path / "latest.log").symlink_to("app-1.log")
    source = FileSource([str(tmp_path / "*.log")], None, clock=clock)
    assert drain(source, clock) == [b"1\n"]


def test_a_plain_path_keeps_its_label_and_wins_over_a_glob(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("app.log").write_bytes(b"1\n")
    source = FileSource(["./app.log", "*.log", "missing.log"], None, clock=clock)
    assert drain(source, clock) == [b"1\n"]
    assert [status.source for status in source.status()] == ["./app.log", "missing.log"]


def test_busy_files_take_turns(tmp_path: Path, clock: Clock) -> None:
    for name in "abc":
        (tmp_path / f"{name}.log").write_bytes(b"x" * 99 + b"\n" + b"y\n" * 500)
    source = FileSource([str(tmp_path / "*.log")], None, block_bytes=100, clock=clock)
    read = [source.read() for _ in range(9)]
    order = [block.source[-5] for block in read if block is not None]
    assert order[:3] == order[3:6] == order[6:]
    assert sorted(order[:3]) == ["a", "b", "c"]


def test_a_new_pattern_starts_like_a_first_start(tmp_path: Path, clock: Clock) -> None:
    source = FileSource([str(tmp_path / "a.log")], None, clock=clock)
    (tmp_path / "b.log").write_bytes(b"live\n")
    (tmp_path / "b.log.1").write_bytes(b"of last week\n")
    source = FileSource([str(tmp_path / "a.log"), str(tmp_path / "b*")], source.position(), clock=clock)
    assert drain(source, clock) == [b"live\n"]


def test_a_finished_file_gives_its_unterminated_last_line(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "app.log").write_bytes(b"1\n2")
    source = FileSource([str(tmp_path / "app.log")], None, complete=True, clock=clock)
    assert drain(source, clock) == [b"1\n", b"2\n"]


def test_a_position_is_small_and_survives_json(tmp_path: Path, clock: Clock) -> None:
    log = RotatedLog(tmp_path / "app.log")
    source = FileSource([str(log.path)], None, clock=clock)
    for _ in range(100):
        log.write_line()
        log.rename(create=True)
        drain(source, clock, rounds=2)
        if log.rotated(5).exists():
            log.rotated(5).unlink()
    encoded = msgspec.json.encode(source.position())
    assert len(encoded) < 10_000
    assert json.loads(encoded)["patterns"].keys() == {str(log.path)}
    assert msgspec.json.decode(encoded, type=Position) == source.position()


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("app.log.1", "app.log"),
        ("app.log-20260131", "app.log"),
        ("app.log-20260131-1769817600.gz", "app.log"),
        ("app.log.2026-01-31_10-00", "app.log"),
        ("app-2026-01-31T10-00-00.000.log", "app.log"),
        ("app.2026-01-31_10-00-00_123456.log.zip", "app.log"),
        ("app.1.log", "app.log"),
        ("data.0.log.2026-01-31", "data.0.log"),
        ("0.log.20260131-100000", "0.log"),
        ("app.log.old", "app.log"),
        ("events.1", "events"),
    ],
)
def test_rotated_names_are_taken_apart(name: str, base: str) -> None:
    assert base in [reading.base for reading in rotated_names(name)]


@pytest.mark.parametrize("name", ["app.log", "app.json", "server-2.log", "app.log.swp", "app.log.gz", "1"])
def test_other_names_are_not_rotated(name: str) -> None:
    assert rotated_names(name) == []
