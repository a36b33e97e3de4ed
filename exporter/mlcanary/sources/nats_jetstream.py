"""A NATS JetStream stream, read by a pull consumer of our own; acknowledged after the checkpoint.

Guarantee: every message is counted exactly once, whatever is killed. The consumer is made anew at each connection and
starts after our checkpoint or after what it had acknowledged, whichever is further, so the order of the stream is kept
and nothing waits for a redelivery. One exporter per consumer name: several share a stream by `subject`. What the stream
dropped before it was read is counted as lost. A stream with work-queue retention is refused by the server.

sources:
  - nats: {servers: ["nats://nats:4222"], stream: PREDICTIONS, subject: predictions.>, credentials_file: secrets/nats}

Source: https://docs.nats.io/nats-concepts/jetstream/consumers
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from mlcanary.documents import Schema
from mlcanary.sources.messages import Envelope, line_of
from mlcanary.sources.queue_link import Fetched, FetchError, Link
from mlcanary.sources.queue_source import QueueSource

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

log = logging.getLogger(__name__)

_BATCH = 500
_WAIT = 0.3
_CONNECT_SECONDS = 5
_NAME = "^[A-Za-z0-9_-]+$"


class NatsSection(Schema, frozen=True):
    """The stream and how to reach it. `consumer`: its durable name; `start`: where a new one begins."""

    servers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    stream: Annotated[str, msgspec.Meta(pattern=_NAME)]
    subject: str | None = None
    consumer: Annotated[str, msgspec.Meta(pattern=_NAME)] = "mlcanary"
    start: Literal["earliest", "latest"] = "earliest"
    envelope: Envelope = "auto"
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 26)] = 1 << 20
    user: str | None = None
    password_file: str | None = None
    credentials_file: str | None = None

    @property
    def name(self) -> str:
        """The source in metrics."""
        return f"nats:{self.stream}"

    @property
    def needs(self) -> tuple[str, str]:
        """See `QueueSection`."""
        return "nats", "nats"

    def problem(self) -> tuple[tuple[str, ...], str, str] | None:
        """See `QueueSection`."""
        if any(urlsplit(server).password is not None for server in self.servers):
            return ("servers",), "a password in the configuration", "a file that holds it, as `password_file`"
        return None

    def anchored(self, base: Path) -> NatsSection:
        """See `QueueSection`."""
        return msgspec.structs.replace(self, **{key: str(base / path) for (key, *_), path in self.files().items()})

    def files(self) -> dict[tuple[str, ...], str]:
        """See `QueueSection`."""
        found = {("password_file",): self.password_file, ("credentials_file",): self.credentials_file}
        return {key: path for key, path in found.items() if path is not None}

    def open(self, saved: Any) -> QueueSource:
        """See `QueueSection`."""
        return QueueSource(self.name, NatsFetcher(self), NatsPlace(saved))


class NatsPlace:
    """The sequence number of the last message in the stream."""

    def __init__(self, saved: Any = None) -> None:
        self._last: int = msgspec.convert(saved or 0, int)

    def move(self, token: int) -> None:
        """Past this message."""
        self._last = token

    def dump(self) -> int:
        """The number."""
        return self._last


class NatsFetcher:
    """One connection, with an event loop that runs while it is asked for something."""

    def __init__(self, section: NatsSection) -> None:
        from nats.errors import Error  # noqa: PLC0415 - an extra

        self.errors: tuple[type[Exception], ...] = (Error,)
        self._section = section
        self._runner: asyncio.Runner | None = None
        self._client: Client | None = None
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._ends: deque[tuple[int, Msg]] = deque()
        self._last = 0
        self._problem = ""
        self._link = Link(NatsPlace(), 0)

    def open(self, link: Link, position: int) -> None:
        """Connect, and make the consumer start after `position`."""
        self._link, self._problem = link, ""
        self._ends.clear()
        link.health.lost.setdefault("expired", 0)
        section = self._section
        options: dict[str, Any] = {"user": section.user, "user_credentials": section.credentials_file}
        if section.password_file is not None:
            options["password"] = Path(section.password_file).read_text(encoding="utf-8").rstrip("\n")
        self._runner = asyncio.Runner()
        self._runner.run(self._connect(position, options))

    async def _connect(self, position: int, options: dict[str, Any]) -> None:
        import nats  # noqa: PLC0415 - an extra

        section = self._section
        self._client = await nats.connect(
            list(section.servers),
            name="mlcanary",
            allow_reconnect=False,
            connect_timeout=_CONNECT_SECONDS,
            error_cb=self._on_error,
            **options,
        )
        stream = self._client.jetstream()
        start = await self._start(stream, position)
        self._last = start - 1
        await self._make_consumer(stream, start)
        self._subscription = await stream.pull_subscribe_bind(section.consumer, section.stream)
        health = self._link.health
        health.up, health.error = True, ""

    async def _on_error(self, error: Exception) -> None:
        self._problem = str(error) or type(error).__name__

    async def _start(self, stream: JetStreamContext, position: int) -> int:
        """The first number to read. The consumer of the connection before is removed."""
        from nats.js.errors import NotFoundError  # noqa: PLC0415 - an extra

        section, known = self._section, position
        state = (await stream.stream_info(section.stream)).state
        with contextlib.suppress(NotFoundError):
            info = await stream.consumer_info(section.stream, section.consumer)
            known = max(known, info.ack_floor.stream_seq if info.ack_floor is not None else 0)
            await stream.delete_consumer(section.stream, section.consumer)
        if known > state.last_seq:
            log.warning("%s: number %d lies beyond the end: the stream is read anew", section.name, known)
            known = 0
        if known == 0:
            return state.last_seq + 1 if section.start == "latest" and position == 0 else max(1, state.first_seq)
        if state.first_seq > known + 1:
            self._link.health.lost["expired"] += state.first_seq - known - 1
        return max(known + 1, state.first_seq)

    async def _make_consumer(self, stream: JetStreamContext, start: int) -> None:
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy  # noqa: PLC0415 - an extra

        section = self._section
        await stream.add_consumer(
            section.stream,
            ConsumerConfig(
                durable_name=section.consumer,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
                ack_policy=AckPolicy.ALL,
                ack_wait=3600,  # what is sent again in spite of that is known by its number
                max_ack_pending=-1,
                filter_subject=section.subject,
            ),
        )

    def fetch(self) -> Fetched | None:
        """The next messages in the order of the stream."""
        assert self._runner is not None  # noqa: S101 - `open` came first
        messages = self._runner.run(self._messages())
        if self._client is None or self._client.is_closed:
            raise FetchError(self._problem or "the connection was closed")
        lines = []
        for message in messages:
            number = message.metadata.sequence.stream
            if number <= self._last:
                continue
            self._last = number
            lines.append(self._line(message))
        self._link.health.remaining = messages[-1].metadata.num_pending if messages else 0
        if not lines:
            return None
        self._ends.append((self._last, messages[-1]))
        return Fetched(b"".join(lines), len(lines), self._last)

    async def _messages(self) -> Sequence[Msg]:
        assert self._subscription is not None  # noqa: S101 - `open` came first
        try:
            return await self._subscription.fetch(_BATCH, timeout=_WAIT)
        except TimeoutError:
            return ()

    def _line(self, message: Msg) -> bytes:
        if len(message.data) > self._section.max_message_bytes:
            self._link.health.oversized += 1
            return b"\n"
        ts = message.metadata.timestamp.timestamp()
        return line_of(message.data or None, message.headers or {}, None, self._section.envelope, ts)

    def idle(self) -> None:
        """Nothing comes that was not asked for."""
        self._link.wait_for_room(_WAIT)

    def commit(self, position: int | None) -> None:
        """Acknowledge the last message up to `position`, and with it all before."""
        last: Msg | None = None
        while self._ends and position is not None and self._ends[0][0] <= position:
            last = self._ends.popleft()[1]
        if last is not None and self._runner is not None:
            self._runner.run(self._acknowledge(last))

    async def _acknowledge(self, message: Msg) -> None:
        await message.ack()
        if self._client is not None:
            await self._client.flush(_CONNECT_SECONDS)

    def close(self) -> None:
        """Disconnect; the consumer stays, and remembers what was acknowledged."""
        runner, self._runner, self._subscription = self._runner, None, None
        client, self._client = self._client, None
        if runner is not None:
            try:
                if client is not None and not client.is_closed:
                    runner.run(client.close())
            finally:
                runner.close()
