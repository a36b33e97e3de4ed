"""A Redis stream, read by a consumer group; entries are acknowledged after the checkpoint that holds them.

Guarantee: every entry that the group gives this consumer is counted exactly once, whatever is killed on our side.
After a restart the entries that the group still holds for us are acknowledged where the checkpoint has them, and
counted otherwise; so the consumer's name must be the same after a restart (the host's name, unless set). Entries of
another consumer are never claimed: only its own checkpoint knows which of them it has counted. When Redis comes back
with an older file, entries that it delivers again are known by their ids. What was trimmed before it was read is
counted as lost.

sources:
  - redis: {url: "redis://redis:6379/0", stream: predictions, password_file: secrets/redis}

Source: https://redis.io/docs/latest/develop/data-types/streams/, https://redis.io/docs/latest/commands/xreadgroup/
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from mlcanary.documents import Schema
from mlcanary.sources.messages import Envelope, line_of
from mlcanary.sources.queue_link import Fetched, Link
from mlcanary.sources.queue_source import QueueSource

if TYPE_CHECKING:
    from redis import Redis

_BATCH = 1000
_KNOWN_IDS = 200_000
_POLL = 0.1
_ANSWER_SECONDS = 10.0
_BEFORE_ALL = "0-0"

Entry = tuple[bytes, Mapping[bytes, bytes] | None]


class RedisSection(Schema, frozen=True):
    """The stream and how to reach it.

    `field` holds the message; an entry without it is one JSON object of its fields. `start`: where a new group begins.
    """

    url: str
    stream: Annotated[str, msgspec.Meta(min_length=1)]
    group: str = "mlcanary"
    consumer: str | None = None
    start: Literal["earliest", "latest"] = "earliest"
    field: str = "data"
    envelope: Envelope = "auto"
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 26)] = 1 << 20
    username: str | None = None
    password_file: str | None = None

    @property
    def name(self) -> str:
        """The source in metrics."""
        return f"redis:{self.stream}"

    @property
    def needs(self) -> tuple[str, str]:
        """See `QueueSection`."""
        return "redis", "redis"

    def problem(self) -> tuple[tuple[str, ...], str, str] | None:
        """See `QueueSection`."""
        try:
            url = urlsplit(self.url)
            secret = url.password is not None or "password" in url.query
        except ValueError:
            return ("url",), "no URL", "a URL such as redis://host:6379/0"
        if url.scheme not in {"redis", "rediss", "unix"}:
            return ("url",), f"the scheme {url.scheme!r}", "redis://, rediss:// (TLS) or unix://"
        if secret:
            return ("url",), "a password in the configuration", "a file that holds it, as `password_file`"
        return None

    def anchored(self, base: Path) -> RedisSection:
        """See `QueueSection`."""
        if self.password_file is None:
            return self
        return msgspec.structs.replace(self, password_file=str(base / self.password_file))

    def files(self) -> dict[tuple[str, ...], str]:
        """See `QueueSection`."""
        return {} if self.password_file is None else {("password_file",): self.password_file}

    def open(self, saved: Any) -> QueueSource:
        """See `QueueSection`."""
        return QueueSource(self.name, RedisFetcher(self), RedisPlace(saved))


class RedisPlace:
    """The id of the last entry, as Redis writes it."""

    def __init__(self, saved: Any = None) -> None:
        self._last: str = msgspec.convert(saved or _BEFORE_ALL, str)

    def move(self, token: str) -> None:
        """Past this entry."""
        self._last = token

    def dump(self) -> str:
        """The id."""
        return self._last


class RedisFetcher:
    """One consumer of the group."""

    def __init__(self, section: RedisSection) -> None:
        from redis import RedisError  # noqa: PLC0415 - an extra

        self.errors: tuple[type[Exception], ...] = (RedisError,)
        self._section = section
        self._consumer = section.consumer or socket.gethostname()
        self._client: Redis | None = None
        self._last = _BEFORE_ALL
        self._history: str | None = None
        self._unacknowledged: deque[bytes] = deque()
        self._forgotten = False
        self._link = Link(RedisPlace(), 0)

    def open(self, link: Link, position: str) -> None:
        """Connect, make the group if there is none, and give back what the checkpoint covers."""
        from redis import Redis  # noqa: PLC0415 - an extra

        section, self._link = self._section, link
        link.health.lost.setdefault("trimmed", 0)
        secrets: dict[str, Any] = {}
        if section.password_file is not None:
            secrets["password"] = Path(section.password_file).read_text(encoding="utf-8").rstrip("\n")
        if section.username is not None:
            secrets["username"] = section.username
        self._client = Redis.from_url(
            section.url, protocol=2, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS, **secrets
        )
        self._make_group(self._client)
        self._last = self._history = position
        self._unacknowledged.clear()
        self._forgotten = False
        self._acknowledge_held(self._client, position)

    def _make_group(self, client: Redis) -> None:
        """What the stream no longer holds when the group is made is not lost: nobody asked for it."""
        from redis import ResponseError  # noqa: PLC0415 - an extra

        section, earliest = self._section, self._section.start == "earliest"
        seen = None
        if earliest and client.exists(section.stream):
            info: Any = client.xinfo_stream(section.stream)
            seen = info.get("entries-added", info["length"]) - info["length"]
        try:
            client.xgroup_create(
                section.stream, section.group, id="0" if earliest else "$", mkstream=True, entries_read=seen
            )
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def fetch(self) -> Fetched | None:
        """First what the group still holds for us, then what is new."""
        client, health = self._client, self._link.health
        assert client is not None  # noqa: S101 - `open` came first
        if self._history is not None:
            entries = _entries(self._read(client, self._history))
            if entries:
                self._history = entries[-1][0].decode()
            else:
                self._history = None
            found = self._take(entries)
            health.up, health.error, health.remaining = True, "", None
            return found
        with client.pipeline(transaction=True) as pipe:
            pipe.xinfo_stream(self._section.stream)
            pipe.xinfo_groups(self._section.stream)
            self._read(pipe, ">")
            stream, groups, answer = pipe.execute()
        entries = _entries(answer)
        group: Mapping[str, Any] = next((each for each in groups if each["name"] == self._section.group.encode()), {})
        health.up, health.error = True, ""
        if len(entries) < _BATCH:
            health.remaining = 0
        else:
            health.remaining = max(1, (group.get("lag") or 0) - len(entries))
        if not entries:
            self._link.stopping.wait(_POLL)
            return None
        health.lost["trimmed"] += _trimmed(stream, group)
        return self._take(entries)

    def _read(self, client: Any, after: str) -> Any:
        section = self._section
        return client.xreadgroup(section.group, self._consumer, {section.stream: after}, count=_BATCH)

    def idle(self) -> None:
        """Wait: Redis keeps what was not asked for."""
        self._link.wait_for_room(_POLL * 5)

    def commit(self, position: str | None) -> None:
        """Acknowledge the entries up to this one."""
        if position is None or self._client is None:
            return
        if self._forgotten:
            self._acknowledge_held(self._client, position)
            return
        end, done = _order(position), list[bytes]()
        while self._unacknowledged and _order(self._unacknowledged[0].decode()) <= end:
            done.append(self._unacknowledged.popleft())
        for i in range(0, len(done), _BATCH):
            self._client.xack(self._section.stream, self._section.group, *done[i : i + _BATCH])

    def _acknowledge_held(self, client: Redis, position: str) -> None:
        """By what the group says it holds for us up to this entry. Cost: two calls per 1,000 entries."""
        if position == _BEFORE_ALL:
            return
        section = self._section
        held: Any = [None] * _BATCH
        while len(held) == _BATCH:
            held = client.xpending_range(
                section.stream, section.group, "-", position, _BATCH, consumername=self._consumer
            )
            if held:
                client.xack(section.stream, section.group, *(each["message_id"] for each in held))

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            client, self._client = self._client, None
            client.close()

    def _take(self, entries: Sequence[Entry]) -> Fetched | None:
        lines = []
        for raw, fields in entries:
            entry_id = raw.decode()
            self._unacknowledged.append(raw)
            if _order(entry_id) <= _order(self._last):
                continue  # delivered again by a Redis that came back with an older file
            self._last = entry_id
            self._link.health.lost["trimmed"] += not fields
            lines.append(self._line(entry_id, fields) if fields else b"\n")
        if len(self._unacknowledged) > _KNOWN_IDS:  # no checkpoint for long: then the group is asked
            self._unacknowledged.clear()
            self._forgotten = True
        return Fetched(b"".join(lines), len(lines), self._last) if lines else None

    def _line(self, entry_id: str, fields: Mapping[bytes, bytes]) -> bytes:
        section = self._section
        if sum(map(len, fields.values())) > section.max_message_bytes:
            self._link.health.oversized += 1
            return b"\n"
        body = fields.get(section.field.encode())
        others = {
            name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for name, value in fields.items()
            if name != section.field.encode()
        }
        if body is None:
            body, others = msgspec.json.encode(others), {}
        return line_of(body, others, None, section.envelope, int(entry_id.partition("-")[0]) / 1000.0)


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def _entries(answer: Any) -> list[Entry]:
    return list(answer[0][1]) if answer else []


def _trimmed(stream: Mapping[str, Any], group: Mapping[str, Any]) -> int:
    """Entries that went before this group read them: of those added and not read, what the stream does not hold.

    From Redis 7 on; before, and where the group's count is unknown, it cannot be told.
    """
    added, read, first = stream.get("entries-added"), group.get("entries-read"), stream.get("first-entry")
    if added is None or read is None or not first:
        return 0
    if _order(first[0].decode()) <= _order(group["last-delivered-id"].decode()):
        return 0
    return max(0, int(added) - int(read) - int(stream["length"]))
