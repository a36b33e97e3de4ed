"""The real exporter on a real broker's protocol, killed with -9 while it reads: every message counts exactly once.

Predictions and labels come by two topics. Some predictions are sent twice, as a producer does that missed the answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest

from exporter_process import Counters, ExporterProcess, total
from kafka_cluster import KafkaCluster
from redis_server import RedisServer

CHUNK, CHUNKS = 3000, 3
DOUBLED = 20


class Broker(Protocol):
    """What the scenario needs."""

    sources: str

    def send(self, topic: str, values: list[bytes]) -> None:
        """Store messages."""

    def outage(self, exporter: ExporterProcess) -> None:
        """Go, be missed, and come back."""


class _Kafka:
    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        options = "{session.timeout.ms: 2500, heartbeat.interval.ms: 100, reconnect.backoff.max.ms: 200}"
        entry = "  - kafka: {{brokers: ['{}'], topic: {}, options: {}}}\n"
        self.sources = "".join(entry.format(cluster.address, topic, options) for topic in ("predictions", "labels"))
        for topic in ("predictions", "labels"):
            cluster.topic(topic, 2)

    def send(self, topic: str, values: list[bytes]) -> None:
        for partition in (0, 1):
            self._cluster.produce(topic, values[partition::2], partition=partition)

    def outage(self, exporter: ExporterProcess) -> None:
        self._cluster.go_down()
        _until(exporter, lambda page: total(page, "mlcanary_up") == 0)
        self._cluster.come_back()
        _until(exporter, lambda page: total(page, "mlcanary_up") == 2)


class _Redis:
    def __init__(self, server: RedisServer) -> None:
        self._server = server
        entry = "  - redis: {{url: '{}', stream: {}, consumer: e0}}\n"
        self.sources = "".join(entry.format(server.url, stream) for stream in ("predictions", "labels"))

    def send(self, topic: str, values: list[bytes]) -> None:
        self._server.add(topic, values)

    def outage(self, exporter: ExporterProcess) -> None:
        self._server.kill()
        _until(exporter, lambda page: total(page, "mlcanary_up") == 0)
        self._server.start()
        _until(exporter, lambda page: total(page, "mlcanary_up") == 2)


@pytest.fixture(name="broker", params=["kafka", "redis"])
def _broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "kafka":
        with KafkaCluster() as cluster:
            yield _Kafka(cluster)
    else:
        with RedisServer(tmp_path) as server:
            yield _Redis(server)


def _until(exporter: ExporterProcess, wanted: Callable[[Counters], bool]) -> Counters:
    page = exporter.wait_for(wanted, 30)
    assert wanted(page), exporter.get("/")
    return page


def _predictions(page: Counters) -> float:
    return total(page, "mlcanary_predictions_total")


def _matched(page: Counters) -> float:
    return total(page, "mlcanary_label_joins_total", result="matched")


def _more_than(number: int, page: Counters) -> bool:
    return _predictions(page) > number


def _chunk(number: int) -> tuple[list[bytes], list[bytes]]:
    """Predictions, the first of which are sent twice, and their labels."""
    ids = [f"r{number}-{i}" for i in range(CHUNK)]
    ts = time.time()
    shown = [
        json.dumps({"id": each, "ts": ts, "version": f"v{i % 2 + 1}", "score": 0.5, "features": {"a": i}}).encode()
        for i, each in enumerate(ids)
    ]
    labels = [json.dumps({"kind": "label", "id": each, "ts": ts, "label": 1}).encode() for each in ids]
    # Two apart, so that with two partitions a copy lies in the partition of its original.
    return [*shown[:DOUBLED], *shown], labels


def test_no_message_is_lost_or_counted_twice(broker: Broker, tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text(f"sources:\n{broker.sources}")
    flags = ["--config.file", str(config), "--state.path", str(tmp_path / "state.db")]
    flags += ["--publish.interval", "50ms", "--poll.interval", "20ms"]
    exporter = ExporterProcess(*flags, log=tmp_path / "exporter.log")
    try:
        for number in range(CHUNKS):
            shown, labels = _chunk(number)
            broker.send("predictions", shown[: CHUNK // 2])
            if number == 1:
                broker.outage(exporter)
            broker.send("labels", labels)
            if number < CHUNKS - 1:
                # Killed as soon as a page shows some of this chunk, while the rest is on its way.
                before = _until(exporter, partial(_more_than, number * CHUNK))
                broker.send("predictions", shown[CHUNK // 2 :])
                exporter.kill()
                exporter = ExporterProcess(*flags, log=tmp_path / "exporter.log")
                after = _until(exporter, lambda page: total(page, "mlcanary_exporter_build_info") == 1)
                assert _predictions(after) >= _predictions(before), "a page showed what was not durable"
            else:
                broker.send("predictions", shown[CHUNK // 2 :])
        everything = CHUNK * CHUNKS
        page = _until(exporter, lambda page: _predictions(page) >= everything and _matched(page) >= everything)
        assert exporter.terminate() == 0
    finally:
        with exporter:
            pass  # ends it if it still runs
    assert (_predictions(page), _matched(page)) == (everything, everything)
    assert total(page, "mlcanary_predictions_total", version="v1") == everything / 2
    assert total(page, "mlcanary_duplicate_predictions_total") == DOUBLED * CHUNKS
    assert total(page, "mlcanary_labels_unmatched_total") == 0
    assert total(page, "mlcanary_log_lost_total") == 0
