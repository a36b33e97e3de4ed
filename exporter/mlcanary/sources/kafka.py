"""A Kafka topic, read by a consumer group, with the offsets in the checkpoint and, after it, in the group.

Guarantee: with one consumer every message is counted exactly once whatever is killed. A partition starts at the offset
of our checkpoint or of the group, whichever is further: the group's is further only where another consumer went on.
A partition is let go only after what was read of it is durable and committed, or after `HANDOVER_SECONDS`. A consumer
that dies between its checkpoint and the commit that follows leaves that stretch, a publish interval at most, to be
counted by whoever takes the partition over, and by itself.

Source: KIP-429 for the protocol of the group.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mlcanary.sources.messages import bytes_of, line_of, text_of
from mlcanary.sources.queue_link import Fetched, FetchError, Link

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

    from mlcanary.sources.kafka_settings import KafkaSection

log = logging.getLogger(__name__)

HANDOVER_SECONDS = 10.0
"""How long a rebalance waits for a checkpoint; the group waits up to max.poll.interval.ms, 5 minutes."""

COMMIT_SECONDS = 5.0
"""How long the commit that ends a hand-over is tried again."""

_BATCH = 1000
_WAIT = 0.2
_PAUSE = 0.1
_ANSWER_SECONDS = 10.0
_PROBE_SECONDS = 1.0


class KafkaPlace:
    """The next offset by partition."""

    def __init__(self, saved: Any = None) -> None:
        self._next: dict[str, int] = msgspec.convert(saved or {}, dict[str, int])

    def move(self, token: dict[str, int]) -> None:
        """Past these messages."""
        self._next.update(token)

    def dump(self) -> dict[str, int]:
        """By partition, as text."""
        return dict(self._next)


class KafkaFetcher:
    """One member of the group. librdkafka calls `_assigned` and the like inside `fetch`, on the same thread."""

    def __init__(self, section: KafkaSection) -> None:
        from confluent_kafka import KafkaException  # noqa: PLC0415 - an extra

        self.errors: tuple[type[Exception], ...] = (KafkaException,)
        self._section = section
        self._consumer: Consumer | None = None
        self._next: dict[int, int] = {}
        self._high: dict[int, int] = {}
        self._moved: dict[str, int] = {}
        self._early: list[Message] = []
        self._problem = self._lost_connection = ""
        self._failure: Exception | None = None
        self._paused = self._uncommitted = False
        self._link = Link(KafkaPlace(), 0)

    def open(self, link: Link, position: dict[str, int]) -> None:
        """Join the group. Partitions start at their offset when they are assigned."""
        from confluent_kafka import Consumer  # noqa: PLC0415 - an extra

        self._link = link
        self._next, self._high, self._moved, self._early = {}, {}, {}, []
        self._problem, self._failure, self._paused, self._uncommitted = "", None, False, False
        for kind, counts in (("rebalance", link.health.rotations), ("expired", link.health.lost)):
            counts.setdefault(kind, 0)
        self._consumer = Consumer(self._options(), logger=log)
        self._consumer.subscribe(
            [self._section.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._taken_away
        )

    def _options(self) -> dict[str, Any]:
        """What librdkafka is given; the limits keep what it fetches ahead to a few MiB."""
        section = self._section
        options: dict[str, Any] = {
            "client.id": "mlcanary",
            "queued.max.messages.kbytes": 4096,
            "fetch.max.bytes": 4 << 20,
            "allow.auto.create.topics": False,
        }
        options |= section.options
        for key, path in section.secret_files.items():
            options[key] = Path(path).read_text(encoding="utf-8").rstrip("\n")
        return options | {
            "bootstrap.servers": ",".join(section.brokers),
            "group.id": section.group or f"mlcanary-{section.topic}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": section.start,
            "partition.assignment.strategy": "cooperative-sticky",
            "error_cb": self._on_error,
            "on_commit": self._on_commit,
        }

    def fetch(self) -> Fetched | None:
        """A batch of messages of all partitions."""
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 - `open` came first
        if self._paused:
            consumer.resume(consumer.assignment())
        self._paused = False
        messages = [*self._early, *consumer.consume(_BATCH, _WAIT)]
        self._early.clear()
        if self._failure is not None:
            raise self._failure
        if self._problem:
            self._probe(consumer)
        if self._uncommitted:
            self._uncommitted = False
            self.commit(self._link.durable())
        lines, moved = self._lines(messages)
        self._measure(consumer)
        self._moved |= moved
        if not lines:
            return None  # ends of partitions at most: they go with the next message
        token, self._moved = self._moved, {}
        return Fetched(b"".join(lines), len(lines), token)

    def idle(self) -> None:
        """Stay a member of the group without taking anything in: nobody else may get the partitions meanwhile."""
        consumer = self._consumer
        assert consumer is not None  # noqa: S101 - `open` came first
        consumer.pause(consumer.assignment())
        self._paused = True
        early = consumer.poll(0)
        if early is not None:
            self._early.append(early)
        if self._failure is not None:
            raise self._failure
        self._link.wait_for_room(_WAIT)

    def commit(self, position: dict[str, int] | None) -> None:
        """Commit the partitions that are ours, without waiting for the answer: our checkpoint holds them anyway."""
        offsets = self._offsets(position or {}, self._next)
        if offsets and self._consumer is not None:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Leave the group; librdkafka has us hand over what is ours first."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close()

    # ---- messages
    def _lines(self, messages: Sequence[Message]) -> tuple[list[bytes], dict[str, int]]:
        lines: list[bytes] = []
        moved: dict[str, int] = {}
        for message in messages:
            partition, offset = message.partition(), message.offset()
            error = message.error()
            if error is not None:
                offset = self._end_of(error, offset)
                after = offset
            else:
                after = None if offset is None else offset + 1
            known = None if partition is None else self._next.get(partition)
            # A partition that was let go meanwhile, and an offset that was delivered before.
            if known is None or after is None or after <= known:
                continue
            assert partition is not None  # noqa: S101 - or it were not known
            self._next[partition] = moved[str(partition)] = after
            if error is None:
                lines.append(self._line(message))
        return lines, moved

    def _end_of(self, error: KafkaError, offset: int | None) -> int | None:
        """The offset of the end of a partition; markers of transactions lie before it and are no messages."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - an extra

        if error.code() == KafkaError._PARTITION_EOF:
            return offset
        self._on_error(error)
        return None

    def _line(self, message: Message) -> bytes:
        body = message.value()
        if body is not None and len(body) > self._section.max_message_bytes:
            self._link.health.oversized += 1
            return b"\n"
        envelope, headers = self._section.envelope, message.headers()
        if body is None or not (headers or envelope == "always"):
            return line_of(None if body is None else bytes_of(body), {}, None, "never")
        found = {name: text_of(value) or "" for name, value in dict(headers or ()).items()}
        _kind, milliseconds = message.timestamp()
        ts = milliseconds / 1000.0 if milliseconds > 0 else None
        return line_of(bytes_of(body), found, text_of(message.key()), envelope, ts)

    def _measure(self, consumer: Consumer) -> None:
        """How much lies beyond what was fetched, by what the broker last said."""
        left = 0
        for partition, following in self._next.items():
            _low, high = consumer.get_watermark_offsets(self._at(partition), cached=True)
            self._high[partition] = max(high, self._high.get(partition, 0))
            left += max(0, self._high[partition] - following)
        self._link.health.remaining = left
        self._link.health.several = len(self._next) > 1

    # ---- the broker
    def _on_error(self, error: KafkaError) -> None:
        """What librdkafka cannot mend, or has nobody left to try; single lost connections are its own matter."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - an extra

        if error.fatal():
            self._failure = FetchError(error.str())
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._problem = f"no broker answers: {self._lost_connection}"
        elif error.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
            self._lost_connection = error.str()
        elif error.code() != KafkaError._MAX_POLL_EXCEEDED:
            self._problem = error.str()

    def _probe(self, consumer: Consumer) -> None:
        """Ask whether the brokers are there again: a topic without messages would not tell."""
        health = self._link.health
        try:
            topic = consumer.list_topics(self._section.topic, timeout=_PROBE_SECONDS).topics[self._section.topic]
        except self.errors:
            health.up, health.error = False, self._problem
            return
        if topic.error is not None:
            health.up, health.error = False, topic.error.str()
            return
        self._problem = ""
        if self._next:
            health.up, health.error = True, ""

    def _on_commit(self, error: KafkaError | None, _partitions: Sequence[TopicPartition]) -> None:
        """A rebalance may be under way, or the broker gone: it is tried again until it works."""
        self._uncommitted = error is not None
        if error is not None:
            log.info("%s: offsets are not committed yet: %s", self._section.name, error.str())

    # ---- the group
    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            if partitions:
                consumer.incremental_assign(self._starts(consumer, partitions))
            health = self._link.health
            health.up, health.error = True, ""
        except self.errors as error:
            self._failure = error

    def _starts(self, consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where to begin: our offset or the group's, whichever is further, within what still lies there."""
        ours, health = self._link.position(), self._link.health
        starts = []
        for found in consumer.committed(partitions, timeout=_ANSWER_SECONDS):
            if found.error is not None:
                raise FetchError(found.error.str())
            low, high = consumer.get_watermark_offsets(self._at(found.partition), timeout=_ANSWER_SECONDS)
            start = max(found.offset, ours.get(str(found.partition), -1))
            if start < 0:
                start = low if self._section.start == "earliest" else high
            elif start < low:
                health.lost["expired"] += low - start
                log.warning("%s: %d messages had expired before they were read", self._section.name, low - start)
                start = low
            elif start > high:
                log.warning("%s: offset %d lies beyond the end: read anew", self._section.name, start)
                start = low
            self._next[found.partition], self._high[found.partition] = start, high
            starts.append(self._at(found.partition, start))
        return starts

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not partitions:
            return
        try:
            settled = self._hand_over(consumer, [each.partition for each in partitions])
            if not settled and not self._link.stopping.is_set():
                self._failure = FetchError("a partition was let go before a checkpoint: joining the group again")
            consumer.incremental_unassign(partitions)
        except self.errors as error:
            self._failure = error

    def _hand_over(self, consumer: Consumer, partitions: Sequence[int]) -> bool:
        """Commit what was read of these partitions, once it is durable; False if it was not in time."""
        settled = self._link.settle(HANDOVER_SECONDS)
        if not settled and not self._link.stopping.is_set():
            log.warning("%s: no checkpoint within %g s of a rebalance", self._section.name, HANDOVER_SECONDS)
        offsets = self._offsets(self._link.durable() or {}, partitions)
        self._link.health.rotations["rebalance"] += 1
        try:
            if offsets:
                self._commit_surely(consumer, offsets)
        finally:
            for partition in partitions:
                self._next.pop(partition, None)
                self._high.pop(partition, None)
                self._moved.pop(str(partition), None)
        return settled

    def _commit_surely(self, consumer: Consumer, offsets: list[TopicPartition]) -> None:
        """Commit what another consumer is about to read on from, which a broker that restarts may refuse for moments.

        A group that has gone on without us never takes it.
        """
        from confluent_kafka import KafkaError  # noqa: PLC0415 - an extra

        hopeless = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION)
        by = time.monotonic() + COMMIT_SECONDS
        while True:
            try:
                consumer.commit(offsets=offsets, asynchronous=False)
            except self.errors as error:
                log.info("%s: offsets are not committed yet: %s", self._section.name, error)
                if error.args[0].code() in hopeless or time.monotonic() >= by:
                    raise
                time.sleep(_PAUSE)
            else:
                return

    def _taken_away(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        """Others have read these partitions from the last commit on: what lies in the queue is theirs."""
        self._next.clear()
        self._failure = FetchError("the group went on without this consumer: joining it again")

    def _offsets(self, position: dict[str, int], partitions: Sequence[int] | dict[int, int]) -> list[TopicPartition]:
        return [self._at(each, position[str(each)]) for each in partitions if str(each) in position]

    def _at(self, partition: int, offset: int | None = None) -> TopicPartition:
        from confluent_kafka import TopicPartition  # noqa: PLC0415 - an extra

        if offset is None:
            return TopicPartition(self._section.topic, partition)
        return TopicPartition(self._section.topic, partition, offset)
