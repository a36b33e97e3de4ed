"""A source that returns nothing says whether that is the end, or only a pause before older lines follow."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mlcanary.sources.files import FileSource
from rotated_log import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def is_caught_up(source: FileSource) -> bool:
    return source.caught_up


def is_waiting(source: FileSource) -> bool:
    return source.waiting


def read_all(source: FileSource) -> list[bytes]:
    """Every line there is without any waiting."""
    lines: list[bytes] = []
    while (block := source.read()) is not None:
        assert not is_caught_up(source)
        lines += block.data.splitlines(keepends=True)
    return lines


def test_the_end_of_a_log_is_caught_up_and_an_unfinished_line_is_no_backlog(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n2")
    source = FileSource([str(path), str(tmp_path / "missing.log"), str(tmp_path / "none*")], None, clock=clock)
    assert not is_caught_up(source)
    assert read_all(source) == [b"1\n"]
    assert is_caught_up(source)


def test_a_log_compressed_while_nobody_watched_is_not_caught_up_while_it_is_sought(
    tmp_path: Path, clock: Clock
) -> None:
    path, other = tmp_path / "app.log", tmp_path / "labels.log"
    path.write_bytes(b"1\n")
    other.write_bytes(b"a\n")
    source = FileSource([str(path), str(other)], None, clock=clock)
    assert sorted(read_all(source)) == [b"1\n", b"a\n"]
    source.close()
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    path.write_bytes(b"2\n")
    source = FileSource([str(path), str(other)], source.position(), clock=clock)
    assert read_all(source) == []
    assert not is_caught_up(source)
    clock.now += 0.5
    assert read_all(source) == []
    assert not is_caught_up(source)
    clock.now += 0.5
    assert read_all(source) == [b"2\n"]
    assert is_caught_up(source)


def test_a_source_that_reads_others_says_that_one_file_has_to_wait(tmp_path: Path, clock: Clock) -> None:
    path, other = tmp_path / "app.log", tmp_path / "labels.log"
    path.write_bytes(b"1\n")
    source = FileSource([str(path), str(other)], None, clock=clock)
    assert read_all(source) == [b"1\n"]
    assert not is_waiting(source)
    source.close()
    path.write_bytes(b"2\n")
    other.write_bytes(b"a\n")
    source = FileSource([str(path), str(other)], source.position(), clock=clock)
    block = source.read({str(other): 1.0})
    assert block is not None
    assert (block.data, source.waiting) == (b"a\n", True)
    clock.now += 1.0
    assert read_all(source) == [b"2\n"]
    assert is_caught_up(source)
    assert not is_waiting(source)


def test_a_renamed_log_that_settles_is_not_caught_up_once_its_successor_has_lines(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n")
    source = FileSource([str(path)], None, clock=clock)
    assert read_all(source) == [b"1\n"]
    path.rename(tmp_path / "app.log.1")
    assert read_all(source) == []
    assert is_caught_up(source)
    path.touch()
    assert read_all(source) == []
    assert is_caught_up(source)
    path.write_bytes(b"2\n")
    assert read_all(source) == []
    assert not is_caught_up(source)
    clock.now += 1.0
    assert read_all(source) == [b"2\n"]
    assert is_caught_up(source)


def test_a_directory_in_the_place_of_a_log_is_not_waited_for(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "app.log"
    path.mkdir()
    source = FileSource([str(path)], None, clock=clock)
    assert read_all(source) == []
    assert is_caught_up(source)


def test_older_files_are_read_although_neither_the_log_nor_what_was_read_last_is_there(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "app.log"
    path.write_bytes(b"1\n")
    source = FileSource([str(path)], None, clock=clock)
    assert read_all(source) == [b"1\n"]
    source.close()
    (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    (tmp_path / "app.log.1").write_bytes(b"2\n")
    source = FileSource([str(path)], source.position(), clock=clock)
    assert read_all(source) == []
    assert not is_caught_up(source)
    clock.now += 1.5
    assert read_all(source) == [b"2\n"]
    assert is_caught_up(source)
    assert [row.lost["compressed"] for row in source.status()] == [1]


def test_finished_logs_are_caught_up_at_their_end(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "app.log").write_bytes(b"1\n2")
    (tmp_path / "app.log.1").write_bytes(b"0\n")
    source = FileSource([str(tmp_path / "*.log")], None, complete=True, clock=clock)
    assert read_all(source) == [b"1\n", b"2\n"]
    assert is_caught_up(source)
