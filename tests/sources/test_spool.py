"""The spool of pushes: what is appended is read once, whatever ends the process in between."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.errors import StateError
from mlcanary.sources.spool import Spool, SpoolFullError, SpoolLimits
from mlcanary.sources.spool_source import SpoolSource

SMALL = SpoolLimits(max_bytes=10_000, segment_bytes=100)


def drained(source: SpoolSource) -> list[bytes]:
    found: list[bytes] = []
    while (block := source.read()) is not None:
        assert block.source == block.origin == "push"
        found += block.data.splitlines()
    return found


def files(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b" ").replace(b"\r", b" ")), min_size=1),
            st.sampled_from(["read", "save", "reload", "kill"]),
        ),
        max_size=40,
    )
)
def test_every_line_counts_once_through_reads_checkpoints_reloads_and_kills(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[bytes] | str]
) -> None:
    """What counts is what was read before the last checkpoint, as in the exporter."""
    directory = tmp_path_factory.mktemp("spool")
    spool = Spool(directory, SMALL)
    source = SpoolSource("push", spool, block_bytes=16)
    sent: list[bytes] = []
    durable: list[bytes] = []
    counted: list[bytes] = []
    saved: dict[str, int] | None = None
    for step in steps:
        if isinstance(step, list):
            lines = [b"%d:%s" % (len(sent) + i, line) for i, line in enumerate(step)]
            spool.append(b"".join(line + b"\n" for line in lines))
            sent += lines
        elif step == "read":
            block = source.read()
            counted += [] if block is None else block.data[:-1].split(b"\n")
        elif step == "save":
            saved, durable = source.position(), list(counted)
            source.acknowledge()
        elif step == "reload":
            source.close()
            source = SpoolSource("push", spool, source.position(), block_bytes=16)
        else:
            counted = list(durable)
            spool = Spool(directory, SMALL)
            source = SpoolSource("push", spool, saved, block_bytes=16)
    while (block := source.read()) is not None:
        counted += block.data[:-1].split(b"\n")
    assert counted == sent
    assert source.caught_up
    (status,) = source.status()
    assert (status.lag_bytes, status.lost) == (0, {"vanished": 0, "truncated": 0})


def test_segments_are_removed_once_they_count_for_good(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    source = SpoolSource("push", spool)
    for _ in range(4):
        spool.append(b"x" * 99 + b"\n")
    assert len(drained(source)) == 4
    source.acknowledge()  # of a position that was never asked for
    assert len(files(tmp_path)) == 4
    source.position()
    source.acknowledge()
    assert files(tmp_path) == ["000000000004.jsonl"]
    assert os.stat(tmp_path / "000000000004.jsonl").st_mode & 0o777 == 0o600
    assert spool.kept == 100


def test_a_transient_spool_forgets_what_was_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL, transient=True)
    source = SpoolSource("push", spool)
    for _ in range(4):
        spool.append(b"x" * 99 + b"\n")
    assert len(drained(source)) == 4
    assert files(tmp_path) == ["000000000004.jsonl"]


def test_a_line_that_a_kill_cut_was_never_answered_and_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    spool.append(b"one\n")
    (tmp_path / "000000000001.jsonl").write_bytes(b"one\ntw")
    (tmp_path / "notes.txt").write_text("not ours")
    again = Spool(tmp_path, SMALL)
    source = SpoolSource("push", again)
    again.append(b"two\n")
    assert drained(source) == [b"one", b"two"]
    long = tmp_path / "000000000009.jsonl"
    long.write_bytes(b"{" * 200_000)
    assert Spool(tmp_path, SMALL).size(9) == 0


def test_what_the_disk_does_not_take_is_not_stored_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, SMALL)
    source = SpoolSource("push", spool)
    spool.append(b"one\n")
    write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) < 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:5])

    def broken(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, f"cannot cut {descriptor} to {length}")

    with monkeypatch.context() as patched:
        patched.setattr("mlcanary.sources.spool.os.write", full)
        with pytest.raises(OSError, match="No space"):
            spool.append(b"two\nthree\nfour\n")
        assert (tmp_path / "000000000001.jsonl").read_bytes() == b"one\n"
        patched.setattr("mlcanary.sources.spool.os.ftruncate", broken)  # not even that
        with pytest.raises(OSError, match="No space"):
            spool.append(b"two\nthree\nfour\n")
    assert drained(source) == [b"one"]
    (status,) = source.status()
    assert (status.up, status.error) == (False, "No space left on device")
    spool.append(b"five\n")
    assert drained(source) == [b"five"]
    assert source.status()[0].up


def test_more_than_may_wait_is_refused_until_it_counts(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolLimits(max_bytes=300, segment_bytes=100))
    source = SpoolSource("push", spool)
    for _ in range(3):
        spool.append(b"x" * 99 + b"\n")
    with pytest.raises(SpoolFullError):
        spool.append(b"y\n")
    assert not source.status()[0].up
    assert len(drained(source)) == 3
    source.position()
    source.acknowledge()
    assert source.status()[0].up
    spool.append(b"y" * 99 + b"\n")
    with pytest.raises(SpoolFullError):
        spool.append(b"y\n", elsewhere=150)
    assert len(drained(source)) == 1


def test_a_removed_or_cut_spool_is_counted_as_lost_and_goes_on(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SMALL)
    source = SpoolSource("push", spool)
    spool.append(b"one\n")
    (tmp_path / "000000000001.jsonl").unlink()
    assert drained(source) == []
    assert source.status()[0].lost == {"vanished": 1, "truncated": 0}
    spool.append(b"two\n")  # into a file that can be found
    assert drained(source) == [b"two"]
    spool.append(b"three\nfour\n")
    os.truncate(tmp_path / "000000000002.jsonl", 7)
    assert drained(source) == []
    assert source.status()[0].lost == {"vanished": 1, "truncated": 1}
    position = source.position()
    assert position == {"segment": 2, "offset": 15}
    for name in files(tmp_path):
        (tmp_path / name).unlink()
    fresh = Spool(tmp_path, SMALL)  # numbers go on after the stored position
    again = SpoolSource("push", fresh, position)
    fresh.append(b"five\n")
    assert drained(again) == [b"five"]
    assert again.status()[0].lost["vanished"] == 1


def test_order_among_sources_and_lines_longer_than_a_block(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolLimits(fsync=True))
    source = SpoolSource("push", spool, block_bytes=8)
    assert source.behind({}) == math.inf
    spool.append(b"a" * 100 + b"\nb\n")
    assert source.behind({}) == -math.inf
    assert source.behind({"push": 7.0}) == 7.0
    assert not source.caught_up
    assert not source.waiting
    assert drained(source) == [b"a" * 100, b"b"]
    assert source.status()[0].lines == 2


def test_a_place_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"file/records: Not a directory"):
        Spool(tmp_path / "file" / "records", SMALL)
