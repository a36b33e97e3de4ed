"""Outcomes polled from a database: SQLite, and PostgreSQL where its types and its faults matter."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest_stand_in import IngestStandIn
from mlcanary.documents import Seconds
from mlcanary.errors import ConfigError
from mlcanary.settings import Flags, load_settings
from mlcanary.sources.sql import SqlSection
from postgres_server import PostgresServer

QUERY = "SELECT id, at AS ts, outcome AS label, at FROM outcomes WHERE at >= {} ORDER BY at"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i AS at FROM n WHERE i = :watermark"
QUICK = Seconds(0.02)


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(name="database")
def _database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "outcomes.db", isolation_level=None)
    connection.execute("CREATE TABLE outcomes (id TEXT, at REAL, outcome INTEGER)")
    yield connection
    connection.close()


def add(database: sqlite3.Connection, *rows: tuple[str, float, int]) -> None:
    """Commit outcomes."""
    database.execute("BEGIN")
    database.executemany("INSERT INTO outcomes VALUES (?, ?, ?)", rows)
    database.execute("COMMIT")


def ingest(tmp_path: Path, saved: Any = None, **changes: Any) -> IngestStandIn:
    """A poller of the SQLite file that goes on after a checkpoint."""
    return IngestStandIn(section(f"sqlite:///{tmp_path / 'outcomes.db'}", ":watermark", **changes).open(saved))


def section(url: str, bind: str, **changes: Any) -> SqlSection:
    """Of the configuration."""
    given: dict[str, Any] = {
        "name_": "outcomes",
        "query": QUERY.format(bind),
        "watermark": "at",
        "url": url,
        "interval": QUICK,
    }
    return SqlSection(**(given | {"start": 0} | changes))


def ids(reader: IngestStandIn) -> list[str]:
    """Of the labels that were read."""
    return [msgspec.json.decode(line)["id"] for line in reader.lines]


def test_rows_become_labels(database: sqlite3.Connection, tmp_path: Path) -> None:
    add(database, ("r1", 5.5, 1), ("r2", 6.0, 0))
    reader = ingest(tmp_path)
    reader.run_until_read(2)
    reader.source.close()
    assert [msgspec.json.decode(line) for line in reader.lines] == [
        {"kind": "label", "id": "r1", "ts": 5.5, "label": 1, "at": 5.5},
        {"kind": "label", "id": "r2", "ts": 6.0, "label": 0, "at": 6.0},
    ]


def test_late_commits_within_the_overlap_are_found_and_nothing_comes_twice(
    database: sqlite3.Connection, tmp_path: Path
) -> None:
    add(database, *((f"r{i}", 100.0, 1) for i in range(2500)))
    reader = ingest(tmp_path)
    reader.run_until_read(2500)
    reader.save()
    add(database, ("same time", 100.0, 1), ("earlier", 41.0, 1))
    reader.run_until_read(2502)
    add(database, ("much too late", 39.0, 1), ("next", 101.0, 1))
    reader.run_until_read(2503)
    reader.source.close()
    assert ids(reader)[2500:] == ["earlier", "same time", "next"]


def test_a_restart_goes_on_in_the_middle_of_an_answer(database: sqlite3.Connection, tmp_path: Path) -> None:
    add(database, *((f"r{i}", 100.0 + i // 100, 1) for i in range(2500)))
    first = ingest(tmp_path)
    first.run_until(lambda: len(first.lines) >= 1000)
    first.save()
    first.source.close()
    assert len(first.lines) < 2500
    second = ingest(tmp_path, saved=first.saved)
    second.run_until_read(2500 - len(first.lines))
    second.source.close()
    assert ids(first) + ids(second) == [f"r{i}" for i in range(2500)]


def test_a_row_that_changes_is_given_again(database: sqlite3.Connection, tmp_path: Path) -> None:
    add(database, ("r1", 5.0, 1))
    reader = ingest(tmp_path)
    reader.run_until_read(1)
    database.execute("UPDATE outcomes SET outcome = 0, at = 6.0")
    reader.run_until_read(2)
    reader.source.close()
    assert [msgspec.json.decode(line)["label"] for line in reader.lines] == [1, 0]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"query": QUERY.format(":watermark") + " DESC"}, "rows out of order: the query must end with ORDER BY at"),
        ({"watermark": "seen_at"}, "the answer has no column 'seen_at'; it has id, ts, label, at"),
        ({"query": "SELECT id, NULL AS at FROM outcomes WHERE :watermark = 0"}, "a row without a watermark"),
        ({"query": "SELECT missing WHERE :watermark"}, "no such column: missing"),
        ({"query": "DELETE FROM outcomes WHERE :watermark = 0"}, "attempt to write a readonly database"),
        ({"query": ENDLESS, "timeout": Seconds(0.05)}, "interrupted"),
    ],
)
def test_a_query_that_cannot_be_used_is_shown(
    database: sqlite3.Connection, tmp_path: Path, changes: dict[str, Any], error: str
) -> None:
    add(database, ("r1", 5.0, 1), ("r2", 6.0, 1))
    reader = ingest(tmp_path, **changes)
    reader.run_until(lambda: error in reader.source.status()[0].error)
    assert not reader.source.status()[0].up
    reader.source.close()
    assert database.execute("SELECT count(*) FROM outcomes").fetchone() == (2,)


def test_times_and_numbers_of_postgresql_keep_their_precision(server: PostgresServer) -> None:
    server.execute("DROP TABLE IF EXISTS outcomes")
    server.execute("CREATE TABLE outcomes (id uuid DEFAULT gen_random_uuid(), at timestamptz, outcome numeric)")
    add_one = "INSERT INTO outcomes (at, outcome) VALUES (%s, %s)"
    for i in range(3):
        server.execute(add_one, f"2026-01-01 12:00:00.12345{i}+02", 1.5)
    reader = IngestStandIn(section(server.url, "%(watermark)s", start="1970-01-01", overlap=Seconds(0)).open(None))
    reader.run_until_read(3)
    server.execute(add_one, "2026-01-01 12:00:00.123453+02", 1.5)
    reader.run_until_read(4)
    reader.save()
    reader.source.close()
    last = msgspec.json.decode(reader.lines[-1])
    assert (last["label"], last["ts"]) == (1.5, "2026-01-01T10:00:00.123453Z")
    assert len({msgspec.json.decode(line)["id"] for line in reader.lines}) == 4
    second = IngestStandIn(section(server.url, "%(watermark)s", overlap=Seconds(3600)).open(reader.saved))
    server.execute(add_one, "2026-01-01 10:30:00Z", 1.5)
    second.run_until_read(1)
    second.source.close()
    assert len(second.lines) <= 5
    assert msgspec.json.decode(second.lines[-1])["ts"] == "2026-01-01T10:30:00Z"


def test_postgresql_that_is_stopped_and_comes_back(server: PostgresServer) -> None:
    server.execute("DROP TABLE IF EXISTS outcomes")
    server.execute("CREATE TABLE outcomes (id text, at bigint, outcome int)")
    server.execute("INSERT INTO outcomes SELECT 'r' || i, i, 1 FROM generate_series(1, 1500) i")
    reader = IngestStandIn(section(server.url, "%(watermark)s").open(None))
    reader.run_until_read(1500)
    server.stop()
    try:
        reader.run_until(lambda: not reader.source.status()[0].up)
    finally:
        server.start()
    server.execute("INSERT INTO outcomes VALUES ('late', 1460, 1), ('new', 1501, 1)")
    reader.run_until_read(1502)
    reader.source.close()
    assert sorted(ids(reader)) == sorted([*(f"r{i}" for i in range(1, 1501)), "late", "new"])


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT pg_sleep(5), now() AS at WHERE 0 = %(watermark)s::int", "statement timeout"),
        ("DELETE FROM outcomes WHERE at >= %(watermark)s RETURNING at", "syntax error"),
        ("SELECT setval('s', 5) AS at WHERE 0 = %(watermark)s::int", "read-only transaction"),
    ],
)
def test_postgresql_is_only_read_and_not_for_long(server: PostgresServer, query: str, error: str) -> None:
    server.execute("CREATE SEQUENCE IF NOT EXISTS s")
    source = section(server.url, "%(watermark)s", query=query, timeout=Seconds(0.1)).open(None)
    reader = IngestStandIn(source)
    reader.run_until(lambda: error in reader.source.status()[0].error)
    reader.source.close()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("url: 'postgresql://u:secret@h/d', query: ':watermark'", "url: found a password in the configuration"),
        ("url: 'mysql://h/d', query: ':watermark'", "the scheme 'mysql'; allowed: postgresql://"),
        ("url: 'sqlite:///d', query: 'SELECT 1'", "query: found a query without the watermark"),
        ("query: ':watermark'", "url: found no URL; allowed: one of `url` and `url_file`"),
        ("url_file: none, query: ':watermark'", "which cannot be read"),
        ("url: 'sqlite:///d', query: ':watermark', interval: 0", "interval: found 0; allowed: a duration above 0"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(f"sources:\n  - sql: {{name: outcomes, watermark: at, {body}}}\n")
    with pytest.raises(ConfigError, match=r"exporter.yml:2: sources\.0\.sql\.") as error:
        load_settings(Flags(config_file=path))
    assert message in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{format: native}", "sources.0: found no source; allowed: one of path, stdin, kafka, redis, nats, sql"),
        ("{path: x, redis: {url: 'redis://h', stream: s}}", "found path and redis; allowed: one of path"),
        ("{redis: {url: 'redis://h', stream: s}}\n  - {redis: {url: 'redis://h', stream: s}}", "found redis:s again"),
    ],
)
def test_an_entry_names_one_source(tmp_path: Path, body: str, message: str) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(f"sources:\n  - {body}\n")
    with pytest.raises(ConfigError) as error:
        load_settings(Flags(config_file=path))
    assert message in str(error.value)
