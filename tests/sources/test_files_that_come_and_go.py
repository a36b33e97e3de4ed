"""Files that are removed, renamed or not named any more: what is said about them, and that they are read once."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from mlcanary.sources.contract import Position
from mlcanary.sources.files import REMEMBERED, FileSource
from mlcanary.sources.patterns import configured
from rotated_log import Clock, drain


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dated(tmp_path: Path) -> list[Path]:
    """Two logs with a date in their names, each of one line."""
    paths = [tmp_path / f"predictions-2026-11-{day}.jsonl" for day in (22, 23)]
    for path in paths:
        path.write_bytes(path.name.encode() + b"\n")
    return paths


def rows(source: FileSource) -> list[tuple[str, bool, str]]:
    return [(os.path.basename(row.source), row.up, row.error) for row in source.status()]


def looks(source: FileSource, clock: Clock) -> list[list[tuple[str, bool, str]]]:
    """The status at once and after each of three more refreshes."""
    seen = []
    for _ in range(4):
        while source.read() is not None:
            pass
        seen.append(rows(source))
        clock.now += 1.0
    return seen


def stored(source: FileSource) -> Position:
    source.close()
    return msgspec.msgpack.decode(msgspec.msgpack.encode(source.position()), type=Position)


# --- removed files


def test_retention_that_removes_a_finished_file_never_looks_like_a_fault(dated: list[Path], clock: Clock) -> None:
    source = FileSource([str(dated[0].parent / "predictions*.jsonl")], None, clock=clock)
    drain(source, clock)
    dated[0].unlink()
    seen = looks(source, clock)
    assert all(up for look in seen for _, up, _ in look)
    assert seen[-1] == [(dated[1].name, True, "")]


def test_a_file_removed_while_nobody_watched_is_forgotten_at_once(dated: list[Path], clock: Clock) -> None:
    pattern = str(dated[0].parent / "predictions*.jsonl")
    source = FileSource([pattern], None, clock=clock)
    drain(source, clock)
    dated[0].unlink()
    assert rows(FileSource([pattern], stored(source), clock=clock)) == [(dated[1].name, True, "")]


def test_a_removed_file_gives_its_unfinished_line_before_it_is_forgotten(dated: list[Path], clock: Clock) -> None:
    dated[0].write_bytes(b"1\n2")
    source = FileSource([str(dated[0].parent / "predictions*.jsonl")], None, clock=clock)
    assert b"1\n" in drain(source, clock)
    dated[0].unlink()
    assert drain(source, clock) == [b"2\n"]
    assert rows(source) == [(dated[1].name, True, "")]


def test_a_finished_worker_whose_log_was_rotated_away_is_no_fault(tmp_path: Path, clock: Clock) -> None:
    for worker in "ab":
        (tmp_path / f"worker-{worker}.log").write_bytes(worker.encode() + b"\n")
    source = FileSource([str(tmp_path / "worker-*.log")], None, clock=clock)
    drain(source, clock)
    (tmp_path / "worker-a.log").rename(tmp_path / "worker-a.log.1")
    assert all(up for look in looks(source, clock) for _, up, _ in look)
    with (tmp_path / "worker-a.log.1").open("ab") as file:
        file.write(b"written until the writer was told\n")
    assert drain(source, clock) == [b"written until the writer was told\n"]
    clock.now += 601.0
    assert looks(source, clock)[-1] == [("worker-b.log", True, "")]


def test_a_file_renamed_to_a_name_that_the_glob_matches_goes_on_there(dated: list[Path], clock: Clock) -> None:
    pattern = str(dated[0].parent / "predictions*")
    source = FileSource([pattern], None, clock=clock)
    drain(source, clock)
    renamed = dated[0].rename(dated[0].with_name("predictions-done.jsonl"))
    assert drain(source, clock) == []
    clock.now += 1000.0
    with renamed.open("ab") as file:
        file.write(b"later\n")
    assert drain(source, clock) == [b"later\n"]
    renamed.rename(dated[0].with_name("predictions-kept.jsonl"))
    source = FileSource([pattern], stored(source), clock=clock)
    assert drain(source, clock) == []
    assert rows(source) == [(dated[1].name, True, ""), ("predictions-kept.jsonl", True, "")]


def test_a_removed_file_that_comes_back_goes_on_where_it_was(dated: list[Path], clock: Clock) -> None:
    source = FileSource([str(dated[0].parent / "predictions*.jsonl")], None, clock=clock)
    drain(source, clock)
    content = dated[0].read_bytes()
    dated[0].unlink()
    drain(source, clock)
    dated[0].write_bytes(content + b"restored and continued\n")
    assert drain(source, clock) == [b"restored and continued\n"]
    assert [row.lost["vanished"] for row in source.status()] == [0, 0]


def test_another_file_under_the_name_of_a_removed_one_is_read_whole(dated: list[Path], clock: Clock) -> None:
    source = FileSource([str(dated[0].parent / "predictions*.jsonl")], None, clock=clock)
    drain(source, clock)
    dated[0].unlink()
    drain(source, clock)
    dated[0].write_bytes(b"another\n")
    assert drain(source, clock) == [b"another\n"]
    assert [row.lost["vanished"] for row in source.status()] == [0, 0]


def test_a_compressed_rotated_file_is_never_read_as_lines(tmp_path: Path, clock: Clock) -> None:
    for name in ("app.log.2.gz", "app.log"):
        (tmp_path / name).write_bytes(name.encode() + b"\n")
    source = FileSource([str(tmp_path / "app.log*")], None, clock=clock)
    assert drain(source, clock) == [b"app.log\n"]
    (tmp_path / "app.log").unlink()
    clock.now += 1000.0
    assert drain(source, clock) == []
    assert ("app.log*", False, "no file matches") in rows(source)


# --- patterns without a file


def test_a_pattern_that_matches_nothing_says_so_until_a_file_matches(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "a.log").touch()
    patterns = [str(tmp_path / "*.log"), str(tmp_path / "nothing*"), str(tmp_path / "**" / "*.jsonl")]
    source = FileSource(patterns, None, clock=clock)
    assert [(row.source, row.up, row.error) for row in source.status()] == [
        (patterns[2], False, "no file matches"),
        (patterns[0].replace("*", "a"), True, ""),
        (patterns[1], False, "no file matches"),
    ]
    (tmp_path / "b.jsonl").touch()
    drain(source, clock)
    assert rows(source) == [("a.log", True, ""), ("b.jsonl", True, ""), ("nothing*", False, "no file matches")]


def test_when_the_only_match_is_removed_the_pattern_tells_and_not_the_file(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n")
    source = FileSource([str(tmp_path / "*.log")], None, clock=clock)
    drain(source, clock)
    path.unlink()
    assert looks(source, clock)[-1] == [("*.log", False, "no file matches"), ("app.log", True, "")]
    path.write_bytes(b"1\n2\n")
    assert drain(source, clock) == [b"2\n"]
    assert rows(source) == [("app.log", True, "")]


def test_a_plain_path_without_a_file_is_still_down(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n")
    source = FileSource([str(path), str(tmp_path / "*.log")], None, clock=clock)
    (tmp_path / "b.log").touch()
    drain(source, clock)
    path.unlink()
    assert looks(source, clock)[-1] == [("app.log", False, "No such file or directory"), ("b.log", True, "")]


# --- spellings and patterns that change


@pytest.mark.parametrize("spelling", ["./l.jsonl", "l.jsonl", "../{folder}/l.jsonl", "{path}", "./*.jsonl", "{path}*"])
def test_a_file_spelled_otherwise_goes_on(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("l.jsonl").write_bytes(b"1\n")
    source = FileSource(["l.jsonl"], None, clock=clock)
    drain(source, clock)
    spelling = spelling.format(folder=tmp_path.name, path=tmp_path / "l.jsonl")
    source = FileSource([spelling], stored(source), clock=clock)
    assert drain(source, clock) == []
    assert [row.source for row in source.status()] == [spelling.replace("*", "l", spelling.count("/*")).rstrip("*")]


def test_two_spellings_of_one_file_are_one_source(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("l.jsonl").write_bytes(b"1\n")
    source = FileSource(["./l.jsonl", str(tmp_path / "l.jsonl"), "*.jsonl"], None, clock=clock)
    assert drain(source, clock) == [b"1\n"]
    assert [row.source for row in source.status()] == ["./l.jsonl"]


def test_a_position_with_paths_as_they_were_configured_is_understood(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("l.jsonl").write_bytes(b"1\n")
    source = FileSource(["./l.jsonl"], None, clock=clock)
    drain(source, clock)
    position = stored(source)
    old = Position(patterns={"./l.jsonl": 1}, files={"./l.jsonl": position.files[str(tmp_path / "l.jsonl")]})
    assert drain(FileSource(["./l.jsonl"], old, clock=clock), clock) == []


@pytest.mark.parametrize("pattern", ["l.jsonl", "*.jsonl"])
def test_a_pattern_that_was_away_for_a_while_goes_on(tmp_path: Path, clock: Clock, pattern: str) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(b"1\n")
    source = FileSource([str(tmp_path / pattern)], None, clock=clock)
    drain(source, clock)
    for away in ("typo.json", "typo*.json"):
        source = FileSource([str(tmp_path / away)], stored(source), clock=clock)
        assert drain(source, clock) == []
    path.rename(tmp_path / "l.jsonl.1")
    with (tmp_path / "l.jsonl.1").open("ab") as file:
        file.write(b"2\n")
    path.write_bytes(b"3\n")
    source = FileSource([str(tmp_path / pattern)], stored(source), clock=clock)
    assert drain(source, clock) == [b"2\n", b"3\n"]
    assert list(stored(source).dropped) == [str(tmp_path / "typo.json")]


def test_only_the_files_dropped_last_are_remembered(tmp_path: Path, clock: Clock) -> None:
    source = FileSource([str(tmp_path / "0")], None, clock=clock)
    for number in range(1, REMEMBERED + 4):
        source = FileSource([str(tmp_path / str(number))], source.position(), clock=clock)
    position = source.position()
    assert len(position.dropped) == REMEMBERED
    assert len(position.patterns) == REMEMBERED + 1
    assert list(position.dropped)[-1] == str(tmp_path / str(REMEMBERED + 2))


@pytest.mark.parametrize(
    ("pattern", "covered", "others"),
    [
        ("/log/*.jsonl", ["/log/a.jsonl"], ["/log/deep/a.jsonl", "/log/.a.jsonl", "/a.jsonl", "/log/a.json"]),
        ("/log/**/*.jsonl", ["/log/a.jsonl", "/log/x/y/a.jsonl"], ["/log/a.json", "/a.jsonl"]),
        ("/log/**", ["/log/a", "/log/x/a"], ["/other/a"]),
        ("/log/[ab]?.jsonl", ["/log/a1.jsonl"], ["/log/a/.jsonl", "/log/c1.jsonl"]),
        ("/log/./x/../a.jsonl", ["/log/a.jsonl"], ["/log/x/a.jsonl"]),
    ],
)
def test_a_pattern_covers_what_its_glob_would_match(pattern: str, covered: list[str], others: list[str]) -> None:
    (made,) = configured([pattern], {}, 0)
    assert [path for path in (*covered, *others) if made.covers(path)] == covered


def test_a_working_directory_that_looks_like_a_glob_is_taken_literally(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "[x]").mkdir()
    monkeypatch.chdir(tmp_path / "[x]")
    Path("a.jsonl").write_bytes(b"1\n")
    source = FileSource(["*.jsonl"], None, clock=clock)
    assert drain(source, clock) == [b"1\n"]
    assert drain(FileSource(["*.jsonl"], stored(source), clock=clock), clock) == []
