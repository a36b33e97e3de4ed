"""Durable state of the exporter: positions, counters and waiting predictions in one transaction.

Guarantee: after a kill at any instant the file holds one state that was true at one moment: what had been read
up to the saved positions is in the saved counters, and nothing else. Since the page is published only after its
state is durable (see app.py), a restart never shows a counter below what was scraped.
Cost: the counters are written whole (some 10 kB per version), the join only where it changed: 16 kB per page of 256
predictions, each id once.
SQLite does the work: WAL, synchronous=NORMAL, which survives the death of the process; after a power cut the
last few checkpoints may be missing, and lines are then read again.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from mlcanary.errors import StateError
from mlcanary.joins.pages import PAGE_BITS, JoinChanges, StoredJoin, thinned

LAYOUT = 3
"""Raised when the saved form changes; another layout is refused, never guessed at."""

_TABLES = (
    "CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS join_rows (page INTEGER PRIMARY KEY, rows BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS join_ids (first INTEGER PRIMARY KEY, ids BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS join_odd "
    "(model TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, row BLOB NOT NULL, PRIMARY KEY (model, id))",
)


class Checkpoint:
    """One state file, held by one process for its life."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises StateError if another process holds it or it cannot be used."""
        self.path = path
        self._lock = _lock(path)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            for table in _TABLES:
                self._db.execute(table)
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise self.damaged(error) from error

    def load(self) -> dict[str, Any] | None:
        """The saved state by name, or None if nothing was saved yet. Raises StateError on another layout."""
        try:
            rows = {name: msgspec.msgpack.decode(value) for name, value in self._db.execute("SELECT * FROM state")}
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise self.damaged(error) from error
        if not rows:
            return None
        if rows.get("layout") != LAYOUT:
            raise StateError(
                f"{self.path}: layout {rows.get('layout')}, this version writes {LAYOUT}",
                hint="move the file away to start anew, or run the version that wrote it",
            )
        return rows

    def joins(self) -> StoredJoin:
        """The rows of the join, read as they are asked for."""
        return StoredJoin(
            self._rows("SELECT page, rows FROM join_rows ORDER BY page"),
            self._rows("SELECT first, ids FROM join_ids ORDER BY first"),
            (
                ((model, row_id), row, seq)
                for model, row_id, row, seq in self._rows("SELECT model, id, row, seq FROM join_odd ORDER BY rowid")
            ),
        )

    def save(self, state: dict[str, Any], joins: JoinChanges) -> None:
        """Make a state and what changed in the join durable, all or nothing.

        Raises StateError, leaving what was saved before.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._save_joins(joins)
            for name, value in {"layout": LAYOUT, **state}.items():
                self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, msgspec.msgpack.encode(value)))
            self._db.execute("COMMIT")
        except (sqlite3.Error, ValueError, KeyError, msgspec.DecodeError) as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StateError(f"{self.path}: cannot write: {error}", hint="free space or fix permissions") from error

    def _save_joins(self, joins: JoinChanges) -> None:
        if joins.whole:
            self._db.execute("DELETE FROM join_rows")
            self._db.execute("DELETE FROM join_ids")
        if joins.odd_whole:
            self._db.execute("DELETE FROM join_odd")
        for page, rows in joins.pages:
            if rows is None:
                self._db.execute("DELETE FROM join_rows WHERE page = ?", (page,))
                self._db.execute("DELETE FROM join_ids WHERE first >= ? AND first < ?", _span(page))
            else:
                self._db.execute("INSERT OR REPLACE INTO join_rows VALUES (?, ?)", (page, rows))
        self._db.executemany("INSERT OR REPLACE INTO join_ids VALUES (?, ?)", joins.ids)
        for page, keep in joins.thin:
            chunks = self._db.execute("SELECT first, ids FROM join_ids WHERE first >= ? AND first < ?", _span(page))
            thin = thinned(chunks.fetchall(), keep)
            self._db.execute("DELETE FROM join_ids WHERE first >= ? AND first < ?", _span(page))
            self._db.execute("INSERT INTO join_ids VALUES (?, ?)", thin)
        gone = [key for key, row, _ in joins.odd if row is None]
        self._db.executemany("DELETE FROM join_odd WHERE model = ? AND id = ?", gone)
        # An upsert keeps the rowid, so that the order of insertion, which is the order of eviction, lasts.
        self._db.executemany(
            "INSERT INTO join_odd VALUES (?, ?, ?, ?) "
            "ON CONFLICT (model, id) DO UPDATE SET seq = excluded.seq, row = excluded.row",
            [(*key, seq, row) for key, row, seq in joins.odd if row is not None],
        )

    def _rows(self, query: str) -> Iterator[Any]:
        try:
            yield from self._db.execute(query)
        except sqlite3.DatabaseError as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> StateError:
        """What to tell of a file that does not hold what was saved."""
        hint = "move it away to start anew; counters then begin at what the log still holds"
        return StateError(f"{self.path}: not a usable state file: {error}", hint=hint)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
        self._lock.close()


def _span(page: int) -> tuple[int, int]:
    """First sequence number of a page, and of the next."""
    return page << PAGE_BITS, page + 1 << PAGE_BITS


def _lock(path: Path) -> IO[str]:
    """An OS lock that dies with the process: two exporters on one state would count everything twice."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}", hint="choose a directory that this user may write") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise StateError(f"{path}: held by another process", hint="give each exporter its own --state.path") from error
    return handle
