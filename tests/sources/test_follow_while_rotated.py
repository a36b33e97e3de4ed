"""A real writer in its own process, rotations under its feet, a reader that is rebuilt again and again."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlcanary.sources.files import FileSource

LINES = 12_000
# Opens the path anew for every line, as WatchedFileHandler does after a rename, and never writes while the
# rotation holds the lock: without that, copytruncate itself loses lines and nobody can read them.
WRITER = """
import fcntl, sys
path, lock = sys.argv[1], open(sys.argv[2], "w")
for number in range(int(sys.argv[3])):
    fcntl.flock(lock, fcntl.LOCK_EX)
    with open(path, "ab", buffering=0) as log:
        log.write(b"%06d %s" % (number, b"x" * (number % 97)))
        log.write(b"\\n")
    fcntl.flock(lock, fcntl.LOCK_UN)
    if number % 50 == 49:
        print(number, flush=True)
        sys.stdin.readline()
"""


def rename(path: Path) -> None:
    path.rename(f"{path}.1")
    path.touch()


def copytruncate(path: Path) -> None:
    shutil.copyfile(path, f"{path}.1")
    os.truncate(path, 0)


@pytest.mark.parametrize("rotate", [rename, copytruncate])
def test_nothing_is_lost_or_doubled_while_a_real_writer_is_rotated(
    tmp_path: Path, rotate: Callable[[Path], None]
) -> None:
    path, lock = tmp_path / "app.log", tmp_path / "lock"
    path.touch()
    lines: list[bytes] = []
    source = FileSource([str(path)], None, settle_seconds=0.05, block_bytes=4096)
    with (
        lock.open("w") as held,
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(lock), str(LINES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as writer,
    ):
        assert writer.stdin is not None
        assert writer.stdout is not None
        deadline = time.monotonic() + 20
        steps = 0
        while len(lines) < LINES and time.monotonic() < deadline:
            ready, _, _ = select.select([writer.stdout], [], [], 0.01)
            if ready and writer.stdout.readline():
                steps += 1
                writer.stdin.write(b"\n")
                writer.stdin.flush()
            if ready and steps % 3 == 0 and steps < LINES // 50:
                fcntl.flock(held, fcntl.LOCK_EX)
                shift(path)
                rotate(path)
                fcntl.flock(held, fcntl.LOCK_UN)
            for _ in range(steps % 4 + 1):  # sometimes far behind
                if (block := source.read()) is not None:
                    lines += block.data.splitlines(keepends=True)
            if steps % 5 == 0:
                position = source.position()
                source.close()
                source = FileSource([str(path)], position, settle_seconds=0.05, block_bytes=4096)
        writer.stdin.close()
    (status,) = source.status()
    source.close()
    assert lines == [b"%06d %s\n" % (number, b"x" * (number % 97)) for number in range(LINES)]
    assert set(status.lost.values()) == {0}


def shift(path: Path) -> None:
    for number in range(30, 0, -1):
        if Path(f"{path}.{number}").exists():
            Path(f"{path}.{number}").rename(f"{path}.{number + 1}")
