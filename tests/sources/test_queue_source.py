"""The queue between the thread that fetches and the thread that counts, with a broker made of lists."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ingest_stand_in import IngestStandIn
from mlcanary.sources.contract import Source
from mlcanary.sources.queue_link import Fetched, FetchError, Link
from mlcanary.sources.queue_source import GRACE_SECONDS, QUEUE_BYTES, QueueSource
from mlcanary.sources.source_set import SourceSet


class Count:
    """A position that is a number of messages."""

    def __init__(self, start: int = 0) -> None:
        self.value = start

    def move(self, token: int) -> None:
        self.value = token

    def dump(self) -> int:
        return self.value


class ListFetcher:
    """Gives the messages of a list, one batch a call; `fail` is raised once by the next call."""

    errors: tuple[type[Exception], ...] = (LookupError,)

    def __init__(self, messages: list[bytes], batch: int = 10) -> None:
        self.messages = messages
        self.fail: BaseException | None = None
        self.hand_over_at: int | None = None
        self.settled: bool | None = None
        self.commits: list[Any] = []
        self.opens: list[int] = []
        self._batch = batch
        self._next = 0
        self._link: Link

    def open(self, link: Link, position: int) -> None:
        self._link, self._next = link, position
        self.opens.append(position)

    def fetch(self) -> Fetched | None:
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        if self.hand_over_at == self._next:
            self.hand_over_at = None
            self.settled = self._link.settle(20)
        batch = self.messages[self._next : self._next + self._batch]
        self._next += len(batch)
        health = self._link.health
        health.up, health.error, health.remaining = True, "", len(self.messages) - self._next
        if not batch:
            self._link.stopping.wait(0.005)
            return None
        return Fetched(b"".join(message + b"\n" for message in batch), len(batch), self._next)

    def idle(self) -> None:
        self._link.wait_for_room(0.01)

    def commit(self, position: int) -> None:
        self.commits.append(position)

    def close(self) -> None:
        pass


def messages(count: int) -> list[bytes]:
    """That differ."""
    return [b"m%d" % i for i in range(count)]


def opened(
    fetcher: ListFetcher, *, clock: Callable[[], float] = time.monotonic, queue_bytes: int = QUEUE_BYTES
) -> QueueSource:
    """A source that does not wait long after an error."""
    return QueueSource("list", fetcher, Count(), first_delay=0.01, clock=clock, queue_bytes=queue_bytes)


def test_everything_comes_in_order_and_the_position_is_that_of_what_was_read() -> None:
    fetcher = ListFetcher(messages(95))
    reader = IngestStandIn(opened(fetcher))
    reader.run_until(lambda: len(reader.lines) == 30)
    assert reader.source.position() == 30
    reader.run_until_read(95)
    reader.save()
    reader.run_until(lambda: fetcher.commits[-1:] == [95])
    reader.source.close()
    assert reader.lines == messages(95)
    assert (reader.saved, reader.source.status()[0].lines) == (95, 95)


def test_nothing_is_committed_that_is_not_durable() -> None:
    fetcher = ListFetcher(messages(50))
    reader = IngestStandIn(opened(fetcher))
    reader.saving = False
    reader.run_until_read(50)
    reader.save()
    reader.source.close()
    assert fetcher.commits == []


def test_after_an_error_it_goes_on_after_what_was_read() -> None:
    fetcher = ListFetcher(messages(60))
    reader = IngestStandIn(opened(fetcher))
    reader.run_until(lambda: len(reader.lines) == 20)
    fetcher.fail = LookupError("gone")
    fetcher.messages = messages(100)
    reader.run_until_read(100)
    reader.source.close()
    assert reader.lines == messages(100)
    assert fetcher.opens[0] == 0
    assert len(fetcher.opens) == 2


@pytest.mark.parametrize("error", [LookupError("gone"), FetchError("gone"), OSError("gone")])
def test_an_error_of_the_other_side_is_shown(error: Exception) -> None:
    fetcher = ListFetcher([])
    fetcher.fail = error
    seen: list[str] = []
    reader = IngestStandIn(QueueSource("list", fetcher, Count(), first_delay=30))
    reader.run_until(lambda: reader.source.status()[0].error == "gone")
    seen.append(reader.source.status()[0].error)
    reader.source.close()
    assert seen == ["gone"]


def test_an_error_of_ours_ends_the_reading_thread_too(caplog: pytest.LogCaptureFixture) -> None:
    fetcher = ListFetcher([])
    fetcher.fail = ZeroDivisionError("a bug")
    source = opened(fetcher)
    reader = IngestStandIn(source)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        reader.run_until(lambda: False)
    source.close()
    assert "the fetching thread died" in caplog.text


def test_the_queue_is_bounded() -> None:
    fetcher = ListFetcher(messages(10_000))
    source = opened(fetcher, queue_bytes=200)
    reader = IngestStandIn(source)
    biggest = 0

    def done() -> bool:
        nonlocal biggest
        biggest = max(biggest, source._link.queued_bytes)
        return len(reader.lines) == 10_000

    reader.run_until(done)
    source.close()
    assert biggest <= 200 + 10 * len(b"m9999\n")
    assert reader.lines == messages(10_000)


def test_an_unreachable_source_holds_the_clock_for_a_while_and_then_no_longer() -> None:
    now = [100.0]
    fetcher = ListFetcher(messages(10))
    source = opened(fetcher, clock=lambda: now[0])
    assert (source.caught_up, source.waiting) == (False, True), "nobody has asked yet"
    reader = IngestStandIn(source)
    reader.run_until_read(10)
    fetcher.fail = LookupError("gone")
    source._first_delay = 30
    reader.run_until(lambda: not source.status()[0].up)
    assert (source.caught_up, source.waiting) == (False, True)
    now[0] += GRACE_SECONDS + 1
    assert source.read() is None
    assert (source.caught_up, source.waiting) == (True, False)
    source.close()


def test_more_that_is_known_but_not_here_is_waited_for() -> None:
    source = opened(ListFetcher([]))
    health = source._link.health
    health.up, health.remaining = True, 3
    assert (source.caught_up, source.waiting) == (False, True)
    health.remaining = 0
    assert (source.caught_up, source.waiting) == (True, False)
    source._link.put(Fetched(b"x\n", 1, 1))
    health.remaining = 3
    assert (source.caught_up, source.waiting) == (False, False), "one order: what comes next is not older"
    health.several = True
    assert source.waiting, "several orders: older lines may follow"


def test_a_hand_over_waits_for_a_checkpoint_of_all_that_was_fetched() -> None:
    fetcher = ListFetcher(messages(100))
    fetcher.hand_over_at = 50
    reader = IngestStandIn(opened(fetcher))
    reader.run_until_read(100)
    reader.source.close()
    assert fetcher.settled
    assert reader.saved == 50, "asked for once, when the queue was empty"


def test_a_hand_over_comes_before_all_other_sources() -> None:
    fetcher = ListFetcher(messages(20))
    source = opened(fetcher)
    source._link.put(Fetched(b"x\n", 1, 1))
    assert source.behind({"list": 5.0}) == 5.0

    def wanted() -> bool:
        return source.wants_checkpoint

    thread = threading.Thread(target=lambda: source._link.settle(20))
    thread.start()
    while not source._link.settling:
        thread.join(0.001)
    assert source.behind({"list": 5.0}) == float("-inf")
    assert not wanted(), "first what lies in the queue"
    assert source._link.take() is not None
    assert wanted()
    assert source.position() == 1
    assert not wanted(), "a checkpoint that fails is not asked for without end"
    source.acknowledge()
    thread.join(20)
    assert not thread.is_alive()


def test_a_failed_checkpoint_does_not_end_a_hand_over() -> None:
    source = opened(ListFetcher([]))
    source._link.put(Fetched(b"x\n", 1, 1))
    source._link.take()
    source.position()
    assert source._link.settle(0.01) is False


def test_the_wake_up_call_reaches_every_queue() -> None:
    fetcher = ListFetcher(messages(100))
    source: Source = opened(fetcher, queue_bytes=100)
    several = SourceSet({"list": source})
    called = threading.Event()
    several.call_when_ready(called.set)
    several.read({})
    assert called.wait(20), "the queue is more than half full"
    several.close()
