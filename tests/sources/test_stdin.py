"""What is piped in."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.errors import ConfigError
from mlcanary.replay import replay
from mlcanary.settings import Flags, load_settings
from mlcanary.sources.stdin import Pipe, PipeSource


class Writer:
    """The other end of a pipe, and a clock that stands still until it is told."""

    def __init__(self, *, limit: int = 1 << 20) -> None:
        self._read, self.end = os.pipe()
        self.now = 0.0
        self.pipe = Pipe("stdin", self._read, max_line_bytes=limit, clock=lambda: self.now)
        self.source = PipeSource(self.pipe)

    def lines(self) -> list[bytes]:
        """All that comes until the end of the input."""
        found: list[bytes] = []
        while not self.source.caught_up:
            if (block := self.source.read()) is not None:
                assert (block.source, block.origin) == ("stdin", "stdin")
                found.append(block.data)
        os.close(self._read)
        return b"".join(found).splitlines(keepends=True)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=20), st.integers(1, 50), st.booleans())
def test_lines_come_whole_and_once_however_they_are_cut(lengths: list[int], step: int, ended: bool) -> None:
    sent = [b"%d" % (i % 10) * length + b"\n" for i, length in enumerate(lengths)]
    writer = Writer(limit=30)
    data = b"".join(sent)
    for start in range(0, len(data), step):
        os.write(writer.end, data[start : start + step])
    if not ended:
        os.write(writer.end, b"rest")
    os.close(writer.end)
    expected = [line for line in sent if len(line) <= 31] + ([] if ended else [b"rest\n"])
    assert writer.lines() == expected
    assert writer.source.status()[0].oversized_lines == sum(len(line) > 31 for line in sent)


def test_the_writer_is_held_back_and_nothing_is_lost() -> None:
    writer = Writer()
    line = b"x" * 1023 + b"\n"

    def write() -> None:
        """Far more than the queue and the pipe hold."""
        for _ in range(20_000):
            os.write(writer.end, line)
        os.close(writer.end)

    thread = threading.Thread(target=write)
    thread.start()
    lines = writer.lines()
    thread.join()
    assert (len(lines), set(lines)) == (20_000, {line})
    (status,) = writer.source.status()
    assert (status.lines, status.bytes_read, status.lag_bytes) == (20_000, 20_000 * 1024, 0)


def test_many_small_writes_wait_together_and_wake_the_reader() -> None:
    """A writer that flushes every line is not held back by their number."""
    writer = Writer()
    woken = threading.Event()
    writer.pipe.wake = woken.set
    for _ in range(3000):
        os.write(writer.end, b"x" * 99 + b"\n")
    assert woken.wait(20)
    block = writer.source.read()
    assert block is not None
    assert len(block.data) == 100 * ((1 << 18) // 100)
    os.close(writer.end)
    assert len(writer.lines()) == 3000 - (1 << 18) // 100


def test_a_pause_of_a_slow_writer_is_no_end() -> None:
    writer = Writer()
    os.write(writer.end, b"one\n")
    until(lambda: not writer.pipe.empty)
    assert writer.source.behind({"stdin": 5.0}) == 5.0
    assert writer.source.read() is not None
    assert writer.source.behind({}) == float("inf")
    assert state(writer.source) == (True, False)
    writer.now = 1.0
    assert state(writer.source) == (False, True)
    os.write(writer.end, b"two\n")
    until(lambda: not writer.source.caught_up)
    again = PipeSource(writer.pipe)  # after a reload
    assert again.position() is None
    again.acknowledge()
    block = again.read()
    assert block is not None
    assert block.data == b"two\n"
    os.close(writer.end)
    until(lambda: again.caught_up)


def test_an_input_that_cannot_be_read_is_not_up() -> None:
    read, write = os.pipe()
    os.close(write)
    os.close(read)
    source = PipeSource(Pipe("stdin", read))
    until(lambda: source.caught_up)
    assert source.status()[0].error == "Bad file descriptor"
    assert not source.status()[0].up


def state(source: PipeSource) -> tuple[bool, bool]:
    """Whether more is expected at once, and whether all has come."""
    return source.waiting, source.caught_up


def until(holds: Callable[[], bool]) -> None:
    """Wait for the thread; the test's time limit ends what never comes."""
    while not holds():
        os.sched_yield()


def test_a_replay_reads_files_only_and_leaves_pushes_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "a", "ts": 1e9, "score": 0.5}\n')
    config = tmp_path / "exporter.yml"
    config.write_text("push:\nsources: [{path: a.jsonl}]\n")
    assert replay(load_settings(Flags(config_file=config)), 2e9).lines == 1
    with pytest.raises(ConfigError, match="stdin: only `mlcanary exporter` reads it"):
        replay(load_settings(Flags(log_paths=["-"])), 2e9)
