"""Redis streams on a real server: acknowledgement, restarts of either side, what was trimmed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest_stand_in import IngestStandIn
from mlcanary.errors import ConfigError
from mlcanary.settings import Flags, load_settings
from mlcanary.sources.redis_streams import RedisSection
from redis_server import RedisServer


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(name="stream")
def _stream(server: RedisServer, request: pytest.FixtureRequest) -> str:
    """One for each test, with a group that has read nothing."""
    name = str(request.node.name)
    server.client.xgroup_create(name, "mlcanary", id="0", mkstream=True, entries_read=0)
    return name


def numbered(first: int, end: int) -> list[bytes]:
    """Messages that differ."""
    return [b'{"id": "r%d"}' % i for i in range(first, end)]


def ingest(server: RedisServer, stream: str, saved: str | None = None, **changes: Any) -> IngestStandIn:
    """A consumer that goes on after a checkpoint."""
    section = RedisSection(**({"url": server.url, "stream": stream, "consumer": "e0"} | changes))
    return IngestStandIn(section.open(saved))


def nth(server: RedisServer, stream: str, number: int) -> str:
    """The id of an entry, counted from 0."""
    entries: Any = server.client.xrange(stream)
    return str(entries[number][0].decode())


def held(server: RedisServer, stream: str) -> int:
    """Entries that the group has given out and that nobody acknowledged."""
    return int(server.client.xpending(stream, "mlcanary")["pending"])


def test_entries_are_acknowledged_after_the_checkpoint(server: RedisServer, stream: str) -> None:
    server.add(stream, numbered(0, 2500))
    reader = ingest(server, stream)
    reader.run_until_read(2500)
    assert (reader.lines, held(server, stream)) == (numbered(0, 2500), 2500)
    reader.save()
    reader.source.close()
    assert held(server, stream) == 0
    (status,) = reader.source.status()
    assert (status.source, status.lines, status.lag_bytes, status.lost) == (f"redis:{stream}", 2500, 0, {"trimmed": 0})


def test_after_a_kill_what_the_checkpoint_holds_is_acknowledged_and_the_rest_counted(
    server: RedisServer, stream: str
) -> None:
    server.add(stream, numbered(0, 100))
    server.client.xreadgroup("mlcanary", "e0", {stream: ">"}, count=80)
    last = nth(server, stream, 29)
    reader = ingest(server, stream, saved=last)
    reader.run_until_read(70)
    assert (reader.lines, held(server, stream)) == (numbered(30, 100), 70)
    reader.save()
    reader.source.close()
    assert held(server, stream) == 0


def test_entries_of_other_consumers_stay_theirs(server: RedisServer, stream: str) -> None:
    server.add(stream, numbered(0, 10))
    server.client.xreadgroup("mlcanary", "e1", {stream: ">"}, count=4)
    reader = ingest(server, stream)
    reader.run_until_read(6)
    reader.save()
    reader.source.close()
    assert (reader.lines, held(server, stream)) == (numbered(4, 10), 4)


def test_redis_that_is_killed_and_comes_back_loses_and_doubles_nothing(server: RedisServer, stream: str) -> None:
    server.add(stream, numbered(0, 50))
    reader = ingest(server, stream)
    reader.run_until_read(50)
    server.kill()
    try:
        reader.run_until(lambda: not reader.source.status()[0].up)
        assert reader.source.waiting
    finally:
        server.start()
    server.add(stream, numbered(50, 60))
    reader.run_until_read(60)
    reader.save()
    reader.source.close()
    assert (reader.lines, held(server, stream)) == (numbered(0, 60), 0)


def test_a_group_that_redis_forgot_gives_nothing_twice(server: RedisServer, stream: str) -> None:
    server.add(stream, numbered(0, 20))
    reader = ingest(server, stream)
    reader.run_until_read(20)
    reader.save()
    # What an append-only file that lost its last second looks like: the group stands at an older entry.
    server.client.xgroup_setid(stream, "mlcanary", id=nth(server, stream, 4))
    server.add(stream, numbered(20, 25))
    reader.run_until_read(25)
    reader.save()
    reader.source.close()
    assert (reader.lines, held(server, stream)) == (numbered(0, 25), 0)


def test_a_stream_that_is_deleted_and_made_anew_is_followed(server: RedisServer, stream: str) -> None:
    server.add(stream, numbered(0, 20))
    reader = ingest(server, stream)
    reader.run_until_read(20)
    server.client.delete(stream)
    reader.run_until(lambda: server.client.exists(stream) == 1)
    server.add(stream, numbered(20, 25))
    reader.run_until_read(25)
    reader.source.close()
    assert reader.lines == numbered(0, 25)


def test_what_was_trimmed_before_it_was_read_is_counted_as_lost(server: RedisServer, stream: str) -> None:
    server.add(stream, numbered(0, 30))
    server.client.xreadgroup("mlcanary", "e0", {stream: ">"}, count=10)
    server.client.xtrim(stream, maxlen=12, approximate=False)
    reader = ingest(server, stream)
    # Of the ten that were given out none is left, of the others eight are gone.
    reader.run_until(lambda: reader.source.caught_up and len(reader.lines) == 22)
    assert reader.source.status()[0].lost == {"trimmed": 18}
    assert [line for line in reader.lines if line] == numbered(18, 30)
    reader.source.close()


def test_a_new_group_takes_what_lies_there_and_calls_nothing_lost(server: RedisServer, stream: str) -> None:
    server.add(stream, numbered(0, 30))
    server.client.xtrim(stream, maxlen=12, approximate=False)
    server.client.xgroup_destroy(stream, "mlcanary")
    reader = ingest(server, stream)
    reader.run_until_read(12)
    assert reader.source.status()[0].lost == {"trimmed": 0}
    reader.source.close()


def test_a_group_that_starts_at_the_latest_entry(server: RedisServer, stream: str) -> None:
    server.client.xgroup_destroy(stream, "mlcanary")
    server.add(stream, numbered(0, 30))
    reader = ingest(server, stream, start="latest")
    reader.run_until(lambda: reader.source.caught_up)
    server.add(stream, numbered(30, 33))
    reader.run_until_read(3)
    reader.source.close()
    assert reader.lines == numbered(30, 33)


def test_other_fields_long_entries_and_entries_without_the_field(server: RedisServer, stream: str) -> None:
    add = server.client.xadd
    add(stream, {"data": b'{"id":\n"r1"}', "trace": "t"})
    add(stream, {"data": b"x" * 101})
    add(stream, {"id": "r2", "label": "1"})
    add(stream, {"data": b'{"a": 1}', "ce_specversion": "1.0", "ce_id": "e1"})
    reader = ingest(server, stream, max_message_bytes=100)
    reader.run_until_read(4)
    reader.source.close()
    assert reader.lines[:3] == [b'{"id": "r1"}', b"", b'{"id":"r2","label":"1"}']
    assert msgspec.json.decode(reader.lines[3])["id"] == "e1"
    assert reader.source.status()[0].oversized_lines == 1


def test_without_a_server_the_source_is_not_up(tmp_path: Path) -> None:
    reader = IngestStandIn(RedisSection(url=f"unix://{tmp_path}/none", stream="s").open(None))
    reader.run_until(lambda: "No such file" in reader.source.status()[0].error)
    reader.source.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("url: 'redis://:secret@h:1/0'", "url: found a password in the configuration; allowed: a file"),
        ("url: 'http://h'", "the scheme 'http'; allowed: redis://"),
        ("url: 'redis://h', password_file: none", "password_file: found "),
        ("url: 'redis://h', path: x", "found an unknown key"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(f"sources:\n  - redis: {{stream: s, {body}}}\n")
    with pytest.raises(ConfigError, match=r"exporter.yml:2: sources\.0\.redis\.") as error:
        load_settings(Flags(config_file=path))
    assert message in str(error.value)
    assert "secret" not in str(error.value)
