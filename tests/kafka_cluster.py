"""A Kafka cluster in this process: librdkafka's mock brokers behind real TCP ports, and a producer for them.

The mock speaks the protocol of consumer groups but has no security, no retention and no transactions.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

_ERROR = 512
_OFFSET_COMMIT = ctypes.c_int16(8)


def _library() -> ctypes.CDLL:
    """The librdkafka that the Python package brings: Python has no call that makes a broker go down."""
    folder = Path(confluent_kafka.__file__).resolve().parents[1] / "confluent_kafka.libs"
    found = ctypes.CDLL(str(next(folder.glob("librdkafka*.so*"))))
    found.rd_kafka_new.restype = ctypes.c_void_p
    found.rd_kafka_conf_new.restype = ctypes.c_void_p
    found.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    found.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return found


class KafkaCluster:
    """One broker. Use as a context manager."""

    def __init__(self) -> None:
        self._library = library = _library()
        error = ctypes.create_string_buffer(_ERROR)
        conf = library.rd_kafka_conf_new()
        for key, value in ((b"bootstrap.servers", b"127.0.0.1:1"), (b"log_level", b"0")):
            library.rd_kafka_conf_set(ctypes.c_void_p(conf), key, value, error, ctypes.c_size_t(_ERROR))
        host = library.rd_kafka_new(0, ctypes.c_void_p(conf), error, ctypes.c_size_t(_ERROR))
        assert host, error.value
        self._host = ctypes.c_void_p(host)
        self._cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(self._host, 1))
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 50)
        self.address = str(library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())
        self._producer = Producer({"bootstrap.servers": self.address, "linger.ms": 0, "log_level": 0})
        self._turn = itertools.count()

    def topic(self, name: str, partitions: int) -> None:
        """Make a topic."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Remove the messages below an offset, as retention does."""
        library, name = self._library, topic.encode()
        library.rd_kafka_mock_partition_delete_records(self._cluster, name, partition, ctypes.c_int64(before))

    def refuse_commits(self, code: int, times: int) -> None:
        """Answer the next commits with an error."""
        errors = (ctypes.c_int * times)(*[code] * times)
        count = ctypes.c_size_t(times)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, _OFFSET_COMMIT, count, errors)

    def answer_after(self, milliseconds: int) -> None:
        """Hold every answer back for so long.

        The mock turns a follower away whose SyncGroup comes after the leader's, which a broker does not, and refuses
        commits while it then rebalances again. The leader has one answer more to wait for in between.
        """
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, 1, milliseconds)

    def go_down(self) -> None:
        """Close every connection and refuse new ones; what was stored stays."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)

    def come_back(self) -> None:
        """Take connections again."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)

    def produce(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
        key: bytes | None = None,
    ) -> None:
        """Store messages; returns when the broker has them."""
        for value in values:
            self._producer.produce(topic, value, key=key, partition=partition, headers=list(headers))
        assert self._producer.flush(20) == 0

    def committed(self, topic: str, group: str, partitions: int) -> list[int]:
        """The offsets of a group; -1001 where it has none."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group, "log_level": 0})
        try:
            asked = [TopicPartition(topic, each) for each in range(partitions)]
            return [each.offset for each in consumer.committed(asked, timeout=10)]
        finally:
            consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._producer.flush(1)
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._host)
