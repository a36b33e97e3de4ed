"""NATS JetStream on a real server: acknowledgement, restarts of either side, what expired."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.js.api import StreamConfig

from ingest_stand_in import IngestStandIn
from mlcanary.sources.nats_jetstream import NatsSection
from own_ports import free_port


class NatsServer:
    """A server of its own, whose streams survive a kill."""

    def __init__(self, directory: Path) -> None:
        self._port, self._directory = free_port(), directory
        self.url = f"nats://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        """Start and wait until it answers."""
        flags = ["-a", "127.0.0.1", "-p", str(self._port), "-js", "-sd", str(self._directory)]
        self._child = subprocess.Popen(["nats-server", *flags], stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, "nats-server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        async def ask() -> None:
            client = await nats.connect(self.url, allow_reconnect=False)
            await client.jetstream().account_info()
            await client.close()

        try:
            asyncio.run(ask())
        except (nats.errors.Error, OSError):
            return False
        return True

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()
        self._child.wait(timeout=20)

    def make(self, stream: str) -> None:
        """A stream with the subjects below its name."""

        async def make() -> None:
            client = await nats.connect(self.url)
            await client.jetstream().add_stream(StreamConfig(name=stream, subjects=[f"{stream}.>"]))
            await client.close()

        asyncio.run(make())

    def publish(self, stream: str, values: list[bytes], headers: dict[str, str] | None = None) -> None:
        """Store messages."""

        async def publish() -> None:
            client = await nats.connect(self.url)
            for value in values:
                await client.jetstream().publish(f"{stream}.a", value, headers=headers)
            await client.close()

        asyncio.run(publish())

    def purge(self, stream: str, before: int) -> None:
        """Remove what lies before a number, as retention does."""

        async def purge() -> None:
            client = await nats.connect(self.url)
            await client.jetstream().purge_stream(stream, seq=before)
            await client.close()

        asyncio.run(purge())

    def acknowledged(self, stream: str) -> int:
        """The number up to which the consumer has acknowledged."""

        async def ask() -> int:
            client = await nats.connect(self.url)
            info = await client.jetstream().consumer_info(stream, "mlcanary")
            await client.close()
            return 0 if info.ack_floor is None else int(info.ack_floor.stream_seq)

        return asyncio.run(ask())


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.kill()


@pytest.fixture(name="stream")
def _stream(server: NatsServer, request: pytest.FixtureRequest) -> str:
    """One of its own for each test."""
    name = str(request.node.name)
    server.make(name)
    return name


def numbered(first: int, end: int) -> list[bytes]:
    """Messages that differ."""
    return [b'{"id": "r%d"}' % i for i in range(first, end)]


def ingest(server: NatsServer, stream: str, saved: int | None = None, **changes: Any) -> IngestStandIn:
    """A consumer that goes on after a checkpoint."""
    return IngestStandIn(NatsSection(**({"servers": (server.url,), "stream": stream} | changes)).open(saved))


def test_messages_are_acknowledged_after_the_checkpoint(server: NatsServer, stream: str) -> None:
    server.publish(stream, numbered(0, 700))
    reader = ingest(server, stream)
    reader.run_until_read(700)
    assert server.acknowledged(stream) == 0
    reader.save()
    reader.source.close()
    assert (reader.lines, server.acknowledged(stream)) == (numbered(0, 700), 700)
    # Without a state file the consumer's own memory is where it goes on.
    server.publish(stream, numbered(700, 705))
    second = ingest(server, stream)
    second.run_until_read(5)
    second.source.close()
    assert second.lines == numbered(700, 705)


def test_a_restart_goes_on_after_its_checkpoint_in_the_order_of_the_stream(server: NatsServer, stream: str) -> None:
    server.publish(stream, numbered(0, 100))
    first = ingest(server, stream)
    first.run_until_read(100)
    first.source.close()  # delivered, and neither durable nor acknowledged
    second = ingest(server, stream, saved=40)
    second.run_until_read(60)
    second.source.close()
    assert second.lines == numbered(40, 100)


def test_a_server_that_is_killed_and_comes_back_loses_and_doubles_nothing(server: NatsServer, stream: str) -> None:
    server.publish(stream, numbered(0, 50))
    reader = ingest(server, stream)
    reader.run_until_read(50)
    server.kill()
    try:
        reader.run_until(lambda: not reader.source.status()[0].up)
        assert reader.source.waiting
    finally:
        server.start()
    server.publish(stream, numbered(50, 60))
    reader.run_until_read(60)
    reader.source.close()
    assert reader.lines == numbered(0, 60)


def test_what_expired_before_it_was_read_is_counted_as_lost(server: NatsServer, stream: str) -> None:
    server.publish(stream, numbered(0, 30))
    server.purge(stream, 21)
    reader = ingest(server, stream, saved=5)
    reader.run_until_read(10)
    reader.source.close()
    assert (reader.lines, reader.source.status()[0].lost) == (numbered(20, 30), {"expired": 15})


def test_empty_long_and_binary_cloud_event_messages(server: NatsServer, stream: str) -> None:
    server.publish(stream, [b"", b"x" * 101, b'{"id":\n"r1"}'])
    server.publish(stream, [b'{"a": 1}'], headers={"ce-specversion": "1.0", "ce-id": "e1"})
    reader = ingest(server, stream, max_message_bytes=100)
    reader.run_until_read(4)
    reader.source.close()
    assert reader.lines[:3] == [b"", b"", b'{"id": "r1"}']
    assert msgspec.json.decode(reader.lines[3])["id"] == "e1"
    assert reader.source.status()[0].oversized_lines == 1


def test_a_stream_that_is_not_there_is_shown(server: NatsServer) -> None:
    reader = ingest(server, "none")
    reader.run_until(lambda: "stream not found" in reader.source.status()[0].error)
    reader.source.close()
