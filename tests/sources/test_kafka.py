"""Kafka topics against librdkafka's mock brokers: offsets, hand-over, outages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

from ingest_stand_in import IngestStandIn
from kafka_cluster import KafkaCluster
from mlcanary.errors import ConfigError
from mlcanary.settings import Flags, load_settings
from mlcanary.sources.kafka import KafkaFetcher
from mlcanary.sources.kafka_settings import KafkaSection
from mlcanary.sources.queue_source import QueueSource

QUICK: dict[str, str | int | float | bool] = {
    "session.timeout.ms": 3000,  # the mock takes a second less for each rebalance
    "heartbeat.interval.ms": 100,
    "reconnect.backoff.max.ms": 200,
}


@pytest.fixture(name="cluster", scope="module")
def _cluster() -> Iterator[KafkaCluster]:
    with KafkaCluster() as cluster:
        yield cluster


@pytest.fixture(name="topic")
def _topic(cluster: KafkaCluster, request: pytest.FixtureRequest) -> str:
    """Two partitions of its own for each test."""
    name = str(request.node.name)
    cluster.topic(name, 2)
    return name


def section(cluster: KafkaCluster, topic: str, **changes: Any) -> KafkaSection:
    """Of the configuration."""
    return KafkaSection(**({"brokers": (cluster.address,), "topic": topic, "options": QUICK} | changes))


def numbered(first: int, end: int) -> list[bytes]:
    """Messages that differ."""
    return [b'{"id": "r%d"}' % i for i in range(first, end)]


def ingest(section: KafkaSection, saved: Any = None) -> IngestStandIn:
    """Of a consumer that goes on after a checkpoint."""
    return IngestStandIn(section.open(saved))


def durable(reader: IngestStandIn) -> dict[str, int]:
    """The offsets of the last checkpoint."""
    return dict(reader.saved or {})


def source_of(reader: IngestStandIn) -> QueueSource:
    """The same, typed."""
    assert isinstance(reader.source, QueueSource)
    return reader.source


def test_messages_become_lines_and_the_group_learns_of_the_checkpoint_after_it(
    cluster: KafkaCluster, topic: str
) -> None:
    cluster.produce(topic, numbered(0, 500), partition=0)
    cluster.produce(topic, numbered(500, 700), partition=1)
    reader = ingest(section(cluster, topic))
    reader.run_until_read(700)
    assert sorted(reader.lines) == sorted(numbered(0, 700))
    assert cluster.committed(topic, f"mlcanary-{topic}", 2) == [-1001, -1001]
    reader.save()
    reader.source.close()
    assert cluster.committed(topic, f"mlcanary-{topic}", 2) == [500, 200]
    (status,) = reader.source.status()
    assert (status.source, status.lines, status.lag_bytes) == (f"kafka:{topic}", 700, 0)


def test_a_restart_goes_on_after_its_checkpoint_although_the_group_is_behind(cluster: KafkaCluster, topic: str) -> None:
    cluster.produce(topic, numbered(0, 300))
    # The checkpoint was written, and the process killed before the commit.
    reader = ingest(section(cluster, topic), {"0": 200})
    reader.run_until_read(100)
    reader.source.close()
    assert reader.lines == numbered(200, 300)


def test_a_restart_goes_on_after_the_group_where_another_consumer_went_further(
    cluster: KafkaCluster, topic: str
) -> None:
    cluster.produce(topic, numbered(0, 300))
    other = ingest(section(cluster, topic))
    other.run_until_read(300)
    other.save()
    other.source.close()
    cluster.produce(topic, numbered(300, 310))
    reader = ingest(section(cluster, topic), {"0": 120})
    reader.run_until_read(10)
    reader.source.close()
    assert reader.lines == numbered(300, 310)


def test_a_rebalance_waits_for_the_checkpoint_of_what_was_read(cluster: KafkaCluster, topic: str) -> None:
    for partition in (0, 1):
        cluster.produce(topic, numbered(1000 * partition, 1000 * partition + 400), partition=partition)
    first = ingest(section(cluster, topic))
    first.run_until_read(800)
    assert not durable(first)
    cluster.answer_after(200)
    second = ingest(section(cluster, topic))
    stop = threading.Event()
    thread = threading.Thread(target=lambda: second.run_until(stop.is_set))
    thread.start()
    try:
        first.run_until(lambda: source_of(first).status()[0].rotations["rebalance"] == 1)
        assert durable(first) == {"0": 400, "1": 400}, "the hand-over asked for a checkpoint by itself"
        first.run_until(lambda: second.source.status()[0].up and second.source.caught_up)
        for partition in (0, 1):
            start = 5000 + 1000 * partition
            cluster.produce(topic, numbered(start, start + 50), partition=partition)
        first.run_until(lambda: len(first.lines) + len(second.lines) >= 900)
    finally:
        stop.set()
        thread.join()
        cluster.answer_after(0)
        first.source.close()
        second.source.close()
    everything = [*numbered(0, 400), *numbered(1000, 1400), *numbered(5000, 5050), *numbered(6000, 6050)]
    assert sorted(first.lines + second.lines) == sorted(everything)
    assert len(second.lines) == 50


def test_a_hand_over_commits_again_if_the_broker_refuses_for_moments(cluster: KafkaCluster, topic: str) -> None:
    cluster.produce(topic, numbered(0, 100))
    reader = ingest(section(cluster, topic))
    reader.run_until_read(100)
    cluster.refuse_commits(KafkaError.REBALANCE_IN_PROGRESS, 3)
    reader.save()
    reader.source.close()  # librdkafka has us hand over what is ours
    assert cluster.committed(topic, f"mlcanary-{topic}", 1) == [100]


def test_a_hand_over_without_a_checkpoint_ends_and_says_so(
    cluster: KafkaCluster, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mlcanary.sources.kafka.HANDOVER_SECONDS", 0.2)
    cluster.produce(topic, numbered(0, 100))
    first = ingest(section(cluster, topic))
    first.run_until_read(100)
    first.saving = False
    second = ingest(section(cluster, topic))
    try:
        second.step()
        first.run_until(lambda: "no checkpoint within" in caplog.text)
        assert not durable(first)
    finally:
        first.source.close()
        second.source.close()


def test_brokers_that_go_and_come_back_lose_and_double_nothing(cluster: KafkaCluster, topic: str) -> None:
    cluster.produce(topic, numbered(0, 100))
    reader = ingest(section(cluster, topic))
    reader.run_until_read(100)
    cluster.go_down()
    try:
        reader.run_until(lambda: not reader.source.status()[0].up)
        assert reader.source.status()[0].error.startswith("no broker answers: ")
        assert reader.source.waiting
        assert not reader.source.caught_up, "a restart of the brokers does not let predictions expire"
    finally:
        cluster.come_back()
    reader.run_until(lambda: reader.source.status()[0].up)
    cluster.produce(topic, numbered(100, 200))
    reader.run_until_read(200)
    reader.source.close()
    assert reader.lines == numbered(0, 200)


def test_a_topic_without_messages_is_up_and_caught_up(cluster: KafkaCluster, topic: str) -> None:
    reader = ingest(section(cluster, topic))
    reader.run_until(lambda: reader.source.caught_up)
    (status,) = reader.source.status()
    assert (status.up, status.lines) == (True, 0)
    reader.source.close()


def test_what_expired_before_it_was_read_is_counted_as_lost(cluster: KafkaCluster, topic: str) -> None:
    cluster.produce(topic, numbered(0, 100))
    cluster.expire(topic, 0, 60)
    reader = ingest(section(cluster, topic), {"0": 20})
    reader.run_until_read(40)
    assert reader.lines == numbered(60, 100)
    assert reader.source.status()[0].lost == {"expired": 40}
    reader.source.close()


def test_tombstones_long_messages_and_line_feeds(cluster: KafkaCluster, topic: str) -> None:
    values = [None, b"x" * 101, b'{"id":\n"r1"}', b""]
    cluster.produce(topic, values)
    reader = ingest(section(cluster, topic, max_message_bytes=100))
    reader.run_until_read(4)
    reader.source.close()
    assert reader.lines == [b"", b"", b'{"id": "r1"}', b""]
    (status,) = reader.source.status()
    assert (status.lines, status.oversized_lines) == (4, 1)


def test_cloud_events_in_binary_mode_keep_their_headers(cluster: KafkaCluster, topic: str) -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"e1"), ("trace", b"t1")]
    cluster.produce(topic, [b'{"a":\n1}'], headers=headers, key=b"k1")
    cluster.produce(topic, [b'{"b": 2}'], headers=[("trace", b"t2")], key=b"k2")
    reader = ingest(section(cluster, topic))
    reader.run_until_read(2)
    reader.source.close()
    event, plain = reader.lines
    decoded = msgspec.json.decode(event)
    assert (decoded["id"], decoded["data"], decoded["key"]) == ("e1", {"a": 1}, "k1")
    assert decoded["headers"] == {"trace": "t1"}
    assert plain == b'{"b": 2}'


def test_a_full_queue_does_not_cost_the_partitions(cluster: KafkaCluster, topic: str) -> None:
    cluster.produce(topic, numbered(0, 5000))
    reader = ingest(section(cluster, topic))
    source_of(reader)._link._limit = 1000
    reader.run_until(lambda: len(reader.lines) > 0)
    reader.run_until_read(5000)
    reader.source.close()
    assert reader.lines == numbered(0, 5000)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("options: {sasl.password: x}", "a secret in the configuration; allowed: a file"),
        ("options: {group.id: x}", "an option that mlcanary sets itself"),
        ("secret_files: {sasl.password: none}", "which cannot be read; allowed: a readable file"),
        ("topics: [x]", "found an unknown key"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(f"sources:\n  - kafka:\n      brokers: [b:1]\n      topic: t\n      {body}\n")
    with pytest.raises(ConfigError, match=r"exporter.yml:5: sources\.0\.kafka\.") as error:
        load_settings(Flags(config_file=path))
    assert message in str(error.value)


def test_a_secret_comes_from_its_file_and_is_in_no_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    path = tmp_path / "exporter.yml"
    path.write_text(
        "sources:\n  - kafka:\n      brokers: [b:1]\n      topic: t\n"
        "      options: {security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.username: u}\n"
        "      secret_files: {sasl.password: secret}\n"
    )
    settings = load_settings(Flags(config_file=path))
    (origin,) = settings.origins
    assert origin.name == "kafka:t"
    assert isinstance(origin.queue, KafkaSection)
    assert "s3cret" not in repr(settings)
    source = origin.queue.open(None)
    assert "s3cret" not in repr(vars(source))
    assert KafkaFetcher(origin.queue)._options()["sasl.password"] == "s3cret"
