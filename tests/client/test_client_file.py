"""The log: rotated by size, shared by processes, on full disks, under kill -9."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from client_world import WRITER, decoded, files_of, ids_of, lines_of, output_of, server, size_of, wait_until
from mlcanary.client import Client
from mlcanary.client.rotating_file import RotatingFile
from mlcanary.client.sinks import PREDICTIONS, Unsent

LINE = b'{"id": "%07d", "score": 0.5}\n'
FOREVER = """
import sys
from mlcanary.client import Client
client = Client(sys.argv[1], max_bytes=200_000, keep=500, capacity=1000, interval=0.001)
print("ready", flush=True)
i = 0
while True:
    client.prediction({"text": "x" * 2000}, id=f"{sys.argv[2]}-{i}", score=0.5)
    i += 1
"""


def test_a_file_is_renamed_by_size_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = RotatingFile(str(path), max_bytes=100, keep=2)
    for i in range(20):
        sink.send(PREDICTIONS, LINE % i)
    sink.close()
    assert [p.name for p in files_of(path)] == ["log.2", "log.1", "log"]
    assert [int(line["id"]) for line in lines_of(path)] == list(range(12, 20))[-sum(1 for _ in lines_of(path)) :]
    assert all(p.stat().st_size <= 100 for p in files_of(path))


def test_a_rotation_that_was_cut_off_leaves_a_gap_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    (tmp_path / "log.2").write_bytes(LINE % 0)
    path.write_bytes(LINE % 1)
    sink = RotatingFile(str(path), max_bytes=40, keep=3)
    sink.send(PREDICTIONS, LINE % 2)
    assert [int(line["id"]) for line in lines_of(path)] == [0, 1, 2]
    sink.close()


def test_a_batch_larger_than_the_limit_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = RotatingFile(str(path), max_bytes=10, keep=1)
    sink.send(PREDICTIONS, LINE % 1 + LINE % 2)
    assert len(lines_of(path)) == 2
    sink.close()


@pytest.mark.parametrize("how", ["rename", "remove", "truncate"])
def test_what_another_rotation_does_is_followed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "log"
    sink = RotatingFile(str(path), max_bytes=1000, keep=1)
    sink.send(PREDICTIONS, LINE % 1)
    match how:
        case "rename":
            path.rename(tmp_path / "moved")
        case "remove":
            path.unlink()
        case _:
            os.truncate(path, 0)
    sink.send(PREDICTIONS, LINE % 2)
    assert path.read_bytes() == LINE % 2
    sink.close()


def test_a_directory_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "log"
    client = Client(path, interval=0.01)
    client.prediction({"a": 1})
    assert client.flush()
    assert len(lines_of(path)) == 1
    client.close()


def test_a_torn_last_line_is_cut_off_before_the_next_batch(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(LINE % 1 + b'{"id": "torn')
    sink = RotatingFile(str(path), max_bytes=1 << 20, keep=1)
    sink.send(PREDICTIONS, LINE % 2)
    assert path.read_bytes() == LINE % 1 + LINE % 2
    path.write_bytes(b'{"id": "nothing else')
    sink.send(PREDICTIONS, LINE % 3)
    assert path.read_bytes() == LINE % 3
    path.write_bytes(b"x" * (3 << 20))
    sink.send(PREDICTIONS, LINE % 4)
    assert path.with_name("log.1").read_bytes() == b"x" * (3 << 20) + b"\n"  # no line of ours: ended, not cut
    sink.close()


def test_a_line_of_somebody_else_that_is_longer_than_any_of_ours_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (2 << 20))
    sink = RotatingFile(str(path), max_bytes=1 << 30, keep=1)
    sink.send(PREDICTIONS, LINE % 4)
    assert path.read_bytes() == b"x" * (2 << 20) + b"\n" + LINE % 4
    sink.close()


def test_processes_that_share_a_file_and_rotate_it_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writers = [server(WRITER, str(path), "500", f"w{n}") for n in range(4)]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    found = Counter(line["id"] for line in lines_of(path))
    assert found == Counter(f"w{n}-{i}" for n in range(4) for i in range(500))
    assert len(files_of(path)) > 5
    for n in range(4):
        mine = [line["id"] for line in lines_of(path) if line["id"].startswith(f"w{n}-")]
        assert mine == [f"w{n}-{i}" for i in range(500)]


def test_killed_at_any_moment_they_leave_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for round_number in range(2):
        writers = [server(FOREVER, str(path), f"r{round_number}w{n}") for n in range(2)]
        try:
            for writer in writers:
                assert writer.stdout is not None
                assert writer.stdout.readline() == "ready\n"
            size = size_of(path)
            wait_until(lambda size=size: size_of(path) > size + 1_000_000)  # type: ignore[misc]
        finally:
            for writer in writers:
                writer.kill()
                writer.communicate(timeout=20)
    after = Client(path, interval=0.01)  # a tear, if there is one, is mended by the next one who writes
    after.prediction({"a": 1}, id="after")
    assert after.flush()
    after.close()
    found = ids_of(path)
    assert found.most_common(1)[0][1] == 1
    for name in {re.sub(r"-\d+$", "", each) for each in found} - {"after"}:
        assert f"{name}-0" in found


def test_a_torn_line_is_cut_off_before_its_file_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(LINE % 0 + (LINE % 1)[:-5])
    RotatingFile(str(path), max_bytes=len(LINE % 0) + 1, keep=1).send(PREDICTIONS, LINE % 2)
    assert (path.with_name("log.1").read_bytes(), path.read_bytes()) == (LINE % 0, LINE % 2)


def test_a_disk_that_takes_a_part_gets_whole_lines_and_the_rest_later(tmp_path: Path) -> None:
    """The limit on file sizes stands in for the full disk: write(2) is short in the same way, then fails."""
    path = tmp_path / "log"
    sink = RotatingFile(str(path), max_bytes=1 << 20, keep=1)
    lines = b"".join(LINE % i for i in range(10))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(LINE % 0) * 5 // 2, hard))
    try:
        with pytest.raises(Unsent, match="only a part") as first:
            sink.send(PREDICTIONS, lines)
        assert path.read_bytes() == b"".join(LINE % i for i in range(2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(LINE % 0) * 2, hard))
        with pytest.raises(Unsent, match="File too large") as second:
            sink.send(PREDICTIONS, first.value.rest)
        assert second.value.rest == first.value.rest
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    sink.send(PREDICTIONS, second.value.rest)
    assert path.read_bytes() == lines
    sink.close()


# The disk takes less than one queue of records, so that it is full even where the writing thread ran once, at the end.
FULL = """
import json, resource, sys, time
from mlcanary.client import Client
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
client = Client(sys.argv[1], capacity=100, interval=0.001, close_timeout=0.2)
answers = [client.prediction({"x": i}, id=f"r-{i}", score=0.5) for i in range(5000)]
end = time.monotonic() + 20
while not client.stats().failures and time.monotonic() < end:
    client.flush(0.05)
full = client.stats()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
drained = client.flush(10)
client.prediction({"x": 1}, id="again")
client.close()
print(json.dumps([len(answers), full.dropped, full.last_error, drained, client.stats().sent, client.stats().dropped]))
"""


def test_on_a_full_disk_the_server_goes_on_and_the_drops_reach_the_exporter(tmp_path: Path) -> None:
    path = tmp_path / "log"
    answers, at_full, error, drained, sent, dropped = json.loads(output_of(FULL, str(path)))
    assert answers == 5000
    assert at_full["queue_full"] > 2500
    assert "File too large" in error or "only a part" in error
    assert drained
    assert sent + sum(dropped.values()) == 5001
    found = decoded(path)
    assert found.rejects == []
    assert len(found.records) == sent
    assert found.client_dropped == {"queue_full": dropped["queue_full"]}


def test_a_path_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    for path in (Path("/dev/full"), tmp_path):
        client = Client(path, interval=0.005, close_timeout=0.05)
        for _ in range(10):
            client.prediction({"a": 1})
        wait_until(lambda client=client: client.stats().failures > 0)  # type: ignore[misc]
        client.close()
        assert client.stats().dropped["closed"] == 10
        assert re.search("No space left|Is a directory", client.stats().last_error)


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_process_that_sits_on_the_lock_costs_the_others_records_and_no_time(tmp_path: Path) -> None:
    path = tmp_path / "log"
    command = [sys.executable, "-S", "-c", HOLDER, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        client = Client(path, capacity=10, interval=0.005)
        for _ in range(50):
            client.prediction({"a": 1})
        assert not client.flush(0.05)
        holder.kill()  # the kernel gives the lock back
        assert client.flush()
        stats = client.stats()
        assert stats.sent == sum("id" in line for line in lines_of(path)) >= 10
        assert stats.sent + stats.dropped["queue_full"] == 50
        client.close()
    finally:
        holder.kill()
        holder.communicate(timeout=20)
