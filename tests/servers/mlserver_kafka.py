"""MLServer between two topics of a broker (librdkafka's mock cluster), and the records it reads and writes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Message, Producer

from formats.same_traffic import Call
from servers.model_servers import mlserver, tensors_request

INPUT, OUTPUT = "mlserver-input", "mlserver-output"
SECONDS = 60.0


class Record(NamedTuple):
    """One record of a topic. `ts`: Unix seconds, set by the producer."""

    topic: str
    key: str
    headers: dict[str, str]
    ts: float
    body: dict[str, Any]


def records_of(calls: tuple[Call, ...], folder: Path) -> list[Record]:
    """Ask a real MLServer by Kafka; every body has the same id, so only the key tells the calls apart."""
    broker = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    brokers = ",".join(f"{each.host}:{each.port}" for each in broker.list_topics(timeout=10).brokers.values())
    for topic in (INPUT, OUTPUT):
        broker.produce(topic, b"{}", key=b"makes the topic")
    broker.flush(10)
    environment = {"MLSERVER_KAFKA_ENABLED": "true", "MLSERVER_KAFKA_SERVERS": brokers}
    with mlserver(folder, environment), _reader(brokers) as records:
        _wait_until_it_reads(broker, calls[0], records)
        for call in calls:
            _send(broker, call, call.id)
        return _both_halves(calls, records)


def _send(broker: Producer, call: Call, key: str) -> None:
    body = tensors_request(call) | {
        "id": "the-same-for-all",
        "outputs": [{"name": "predict"}, {"name": "predict_proba"}],
    }
    headers: list[tuple[str, str | bytes | None]] = [("mlserver-model", "churn"), ("mlserver-version", call.version)]
    broker.produce(INPUT, json.dumps(body).encode(), key=key.encode(), headers=headers)
    broker.flush(10)


@contextmanager
def _reader(brokers: str) -> Iterator[Iterator[Record]]:
    options = {"bootstrap.servers": brokers, "group.id": "reader", "auto.offset.reset": "earliest", "log_level": 0}
    consumer = Consumer(options)
    consumer.subscribe([INPUT, OUTPUT])
    try:
        yield _records(consumer)
    finally:
        consumer.close()


def _records(consumer: Consumer) -> Iterator[Record]:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            yield _record(message)
        else:
            yield Record("", "", {}, 0.0, {})  # lets the caller act while nothing comes


def _record(message: Message) -> Record:
    pairs = [pair for pair in message.headers() or () if isinstance(pair, tuple)]
    headers = {name: value.decode() for name, value in pairs if isinstance(value, bytes)}
    key, value = message.key(), message.value()
    body = json.loads(value or b"{}")
    return Record(message.topic() or "", _text(key), headers, message.timestamp()[1] / 1000.0, body)


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _wait_until_it_reads(broker: Producer, call: Call, records: Iterator[Record]) -> None:
    """It starts at the end of its topic, so what is sent before that is never answered."""
    for record in records:
        if record.topic == OUTPUT and record.key.startswith("warm-up"):
            return
        if not record.topic:
            _send(broker, call, "warm-up")
    raise AssertionError(f"MLServer answered nothing within {SECONDS:g} s")


def _both_halves(calls: tuple[Call, ...], records: Iterator[Record]) -> list[Record]:
    wanted = {(topic, call.id) for call in calls for topic in (INPUT, OUTPUT)}
    found: dict[tuple[str, str], Record] = {}
    for record in records:
        if (record.topic, record.key) in wanted:
            found[record.topic, record.key] = record
        if len(found) == len(wanted):
            return list(found.values())
    raise AssertionError(f"only {len(found)} of {len(wanted)} records within {SECONDS:g} s")
