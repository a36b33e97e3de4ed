"""Outcomes that live in a database: a query asked again and again from where the last answer ended.

Guarantee: a row is counted once, by its whole content, also if it has the same watermark as the last row of the answer
before, is committed up to `overlap` later than its watermark says, or is given again after a kill. A row that changes
counts again; the join takes one label and one of each event per prediction, so an outcome that is repeated with another
time does no harm. Not seen is a row that appears with a watermark older than the newest one by more than `overlap`.
The transaction is read-only, and a statement ends after `timeout`.
Cost: answers are streamed, 1,000 rows at a time; `SEEN_ROWS` rows of the overlap are remembered, 16 bytes each, in the
checkpoint too. Where the overlap holds more, its older rows are not looked at again.

sources:
  - sql:
      name: outcomes
      url_file: secrets/database               # postgresql://reader:secret@db/shop, or `url: sqlite:///outcomes.db`
      query: >
        SELECT id, decided_at AS ts, outcome AS label, decided_at FROM outcomes
        WHERE decided_at >= %(watermark)s ORDER BY decided_at
      watermark: decided_at

`query` has no LIMIT. PostgreSQL takes `%(watermark)s`, SQLite `:watermark`; the first time it is `start`. Columns have
the names of the native format's keys.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.sources.queue_link import Fetched, FetchError, Link
from mlcanary.sources.queue_source import QueueSource
from mlcanary.sources.sql_watermark import WatermarkPlace, axis, earlier, storable

if TYPE_CHECKING:
    import psycopg

_ROWS = 1000
_WAIT = 0.2
_CONNECT_SECONDS = 10
_STEPS = 10_000
"""Instructions of SQLite's machine between two looks at the clock."""

_SCHEMES = ("postgresql", "postgres", "sqlite")


class SqlSection(Schema, frozen=True):
    """The query and how to reach the database."""

    name_: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_.-]+$")] = msgspec.field(name="name")
    query: str
    watermark: str
    url: str | None = None
    url_file: str | None = None
    interval: Seconds = Seconds(30)
    overlap: Seconds = Seconds(60)
    timeout: Seconds = Seconds(30)
    start: str | int | float = "1970-01-01T00:00:00"

    @property
    def name(self) -> str:
        """The source in metrics."""
        return f"sql:{self.name_}"

    @property
    def needs(self) -> tuple[str, str]:
        """See `QueueSection`."""
        try:
            return ("", "") if urlsplit(self.address()).scheme == "sqlite" else ("psycopg", "postgres")
        except (OSError, ValueError):
            return "", ""

    def address(self) -> str:
        """The URL. Raises OSError if its file cannot be read."""
        if self.url_file is not None:
            return Path(self.url_file).read_text(encoding="utf-8").strip()
        return self.url or ""

    def problem(self) -> tuple[tuple[str, ...], str, str] | None:
        """See `QueueSection`."""
        if (self.url is None) == (self.url_file is None):
            return ("url",), "a URL and a file" if self.url else "no URL", "one of `url` and `url_file`"
        if self.url is not None and (problem := _url_problem(self.url)) is not None:
            return ("url",), *problem
        if self.interval <= 0 or self.timeout <= 0:
            return ("interval" if self.interval <= 0 else "timeout",), "0", "a duration above 0"
        if "%(watermark)s" not in self.query and ":watermark" not in self.query:
            return ("query",), "a query without the watermark", "`%(watermark)s` (PostgreSQL) or `:watermark` (SQLite)"
        return None

    def anchored(self, base: Path) -> SqlSection:
        """See `QueueSection`."""
        found = self
        if self.url_file is not None:
            found = msgspec.structs.replace(found, url_file=str(base / self.url_file))
        if self.url is not None and self.url.startswith("sqlite:///"):
            found = msgspec.structs.replace(found, url="sqlite:///" + str(base / self.url.removeprefix("sqlite:///")))
        return found

    def files(self) -> dict[tuple[str, ...], str]:
        """See `QueueSection`."""
        return {} if self.url_file is None else {("url_file",): self.url_file}

    def open(self, saved: Any) -> QueueSource:
        """See `QueueSection`."""
        return QueueSource(self.name, SqlFetcher(self), WatermarkPlace(float(self.overlap), saved))


def _url_problem(text: str) -> tuple[str, str] | None:
    try:
        url = urlsplit(text)
        secret = url.password is not None or "password=" in url.query
    except ValueError:
        return "no URL", "a URL such as postgresql://reader@host/database"
    if secret:
        return "a password in the configuration", "a file that holds the URL, as `url_file`"
    if url.scheme not in _SCHEMES:
        return f"the scheme {url.scheme!r}", "postgresql://... or sqlite:///path"
    return None


class SqlFetcher:
    """One connection that polls."""

    def __init__(self, section: SqlSection) -> None:
        self.errors: tuple[type[Exception], ...] = (sqlite3.Error,)
        if section.needs[0]:
            import psycopg  # noqa: PLC0415 - an extra

            self.errors = (psycopg.Error,)
        self._section = section
        self._database: _Postgres | _Sqlite | None = None
        self._seen = WatermarkPlace(float(section.overlap))
        self._answering = False
        self._last: float | None = None
        self._due = 0.0
        self._link = Link(self._seen, 0)

    def open(self, link: Link, position: Any) -> None:
        """Connect; the next answer begins at `position`, less the overlap."""
        section, self._link = self._section, link
        self._seen = WatermarkPlace(float(section.overlap), position)
        self._answering, self._due = False, 0.0
        url = section.address()
        timeout = float(section.timeout)
        self._database = _Sqlite(url, timeout) if urlsplit(url).scheme == "sqlite" else _Postgres(url, timeout)

    def fetch(self) -> Fetched | None:
        """Up to 1,000 rows of the answer, less those known."""
        database, health = self._database, self._link.health
        assert database is not None  # noqa: S101 - `open` came first
        if not self._answering:
            if time.monotonic() < self._due:
                self._link.stopping.wait(_WAIT)
                return None
            last = self._seen.watermark
            bound = self._section.start if last is None else earlier(last, float(self._section.overlap))
            database.ask(self._section.query, bound)
            self._answering, self._last = True, None
        names, rows = database.rows()
        health.up, health.error = True, ""
        if not rows:
            database.done()
            self._answering, self._due = False, time.monotonic() + float(self._section.interval)
            health.remaining = 0
            return None
        health.remaining = 1
        return self._take(names, rows)

    def _take(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Fetched | None:
        column = self._section.watermark
        if column not in names:
            raise FetchError(f"the answer has no column {column!r}; it has {', '.join(names)}")
        at = names.index(column)
        lines, fresh = [], []
        watermark: Any = None
        for row in rows:
            if row[at] is None:
                raise FetchError(f"a row without a watermark: `{column}` is null")
            watermark = storable(row[at])
            number = axis(watermark)
            if number is not None and self._last is not None and number < self._last:
                raise FetchError(f"rows out of order: the query must end with ORDER BY {column}")
            self._last = number
            line = _line(names, row)
            digest = hashlib.blake2b(line, digest_size=8).digest()
            if not self._seen.knows(digest, number):
                token = (watermark, [(digest, number)])
                self._seen.move(token)
                fresh.append((digest, number))
                lines.append(line)
        return Fetched(b"".join(lines), len(lines), (watermark, fresh)) if lines else None

    def idle(self) -> None:
        """The rest of the answer waits in the database."""
        self._link.wait_for_room(_WAIT)

    def commit(self, position: Any) -> None:
        """A database is told nothing."""

    def close(self) -> None:
        """Disconnect."""
        if self._database is not None:
            database, self._database = self._database, None
            database.close()


def _line(names: Sequence[str], row: Sequence[Any]) -> bytes:
    """A row as a label line, a column that says `kind` excepted."""
    values = {
        name: float(value) if isinstance(value, Decimal) else value for name, value in zip(names, row, strict=True)
    }
    found = {"kind": "label"} | {name: value for name, value in values.items() if value is not None}
    return msgspec.json.encode(found, enc_hook=str) + b"\n"


class _Postgres:
    def __init__(self, url: str, timeout: float) -> None:
        import psycopg  # noqa: PLC0415 - an extra

        self.errors = (psycopg.Error,)
        self._connection = psycopg.connect(url, connect_timeout=_CONNECT_SECONDS, application_name="mlcanary")
        self._connection.read_only = True
        self._timeout = timeout
        self._cursor: psycopg.ServerCursor[tuple[Any, ...]] | None = None

    def ask(self, query: str, watermark: Any) -> None:
        self._connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(int(self._timeout * 1000))])
        self._cursor = self._connection.cursor("mlcanary")
        self._cursor.execute(query.encode(), {"watermark": watermark})

    def rows(self) -> tuple[list[str], Sequence[Sequence[Any]]]:
        assert self._cursor is not None  # noqa: S101 - `ask` came first
        rows = self._cursor.fetchmany(_ROWS)
        return [column.name for column in self._cursor.description or ()], rows

    def done(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
        self._connection.rollback()

    def close(self) -> None:
        with contextlib.suppress(*self.errors):
            self.done()
        self._connection.close()


class _Sqlite:
    def __init__(self, url: str, timeout: float) -> None:
        path = Path(url.removeprefix("sqlite:///")).absolute()
        self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=timeout, isolation_level=None)
        self._timeout = timeout
        self._end = 0.0
        self._connection.set_progress_handler(lambda: time.monotonic() > self._end, _STEPS)
        self._cursor: sqlite3.Cursor | None = None

    def ask(self, query: str, watermark: Any) -> None:
        self._end = time.monotonic() + self._timeout
        self._cursor = self._connection.execute(query, {"watermark": watermark})

    def rows(self) -> tuple[list[str], Sequence[Sequence[Any]]]:
        assert self._cursor is not None  # noqa: S101 - `ask` came first
        self._end = time.monotonic() + self._timeout
        rows = self._cursor.fetchmany(_ROWS)
        return [column[0] for column in self._cursor.description or ()], rows

    def done(self) -> None:
        if self._cursor is not None:
            self._cursor.close()

    def close(self) -> None:
        self._connection.close()
