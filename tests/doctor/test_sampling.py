"""What is read of a file, a glob, a directory and standard input; and what cannot be."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

from doctor.samples import sample_of, write
from mlcanary.doctor.sample import SampleLimits, take_sample
from mlcanary.errors import InputError

LINES = [b'{"score": 0.%d}' % i for i in range(100)]


def test_the_first_lines_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, [*LINES[:3], b"", b"  ", *LINES[3:]])
    sample = sample_of(path, lines=10)
    assert sample.logs[0].lines == tuple(LINES[:10])
    assert (sample.files, sample.logs[0].complete) == (1, False)
    assert sample_of(path).logs[0].complete


def test_a_line_without_its_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\r\n2")
    (log,) = sample_of(tmp_path / "a").logs
    assert (log.lines, log.open_ended) == ((b"1", b"2"), True)


def test_standard_input_ends_or_not() -> None:
    sample = take_sample("-", SampleLimits(2), io.BytesIO(b"1\n2\n3\n"))
    assert (sample.stdin, sample.logs[0].lines, sample.logs[0].complete) == (True, (b"1", b"2"), False)


def test_a_directory_becomes_a_glob_of_its_most_frequent_ending(tmp_path: Path) -> None:
    write(tmp_path, {"v1/10/a.jsonl": LINES, "v1/11/b.jsonl": LINES, "v1/readme.txt": LINES, "v1/x.jsonl.gz": LINES})
    sample = sample_of(tmp_path)
    assert sample.pattern == f"{tmp_path}/**/*.jsonl"
    assert (sample.files, sample.lines) == (2, 200)


def test_rotated_files_belong_to_their_log(tmp_path: Path) -> None:
    write(tmp_path, {"app.log": LINES, "app.log.1": LINES, "app.log.2": LINES})
    sample = sample_of(tmp_path)
    assert (sample.pattern, sample.files, sample.rotated) == (f"{tmp_path}/*.log*", 3, 2)


def test_of_many_files_the_newest_are_read(tmp_path: Path) -> None:
    for i in range(60):
        path = write(tmp_path, [b"%d" % i], f"{i:02}.jsonl")
        os.utime(path, (1e9 + i, 1e9 + i))
    sample = sample_of(tmp_path)
    assert (sample.files, len(sample.logs)) == (60, 50)
    assert sample.logs[0].path.endswith("10.jsonl")


def test_a_huge_line_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, [b"1", b"x" * 5000, b"2"])
    sample = take_sample(str(path), SampleLimits(line_bytes=1000), io.BytesIO())
    assert (sample.logs[0].lines, sample.logs[0].too_long) == ((b"1", b"2"), 1)


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("a.jsonl", None, "no file of this name"),
        ("a.jsonl", b"", "all of them empty"),
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0), "gzip"),
        ("a.parquet", b"PAR1....PAR1", "Parquet"),
        ("a.db", b"SQLite format 3\x00", "SQLite"),
    ],
)
def test_what_cannot_be_read_is_said(name: str, body: bytes | None, says: str, tmp_path: Path) -> None:
    if body is not None:
        (tmp_path / name).write_bytes(body)
    with pytest.raises(InputError, match=says):
        sample_of(tmp_path / name)


def test_a_device_is_no_log() -> None:
    with pytest.raises(InputError, match="no regular file"):
        sample_of(Path("/dev/zero"))
