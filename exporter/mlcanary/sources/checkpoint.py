"""Durable state of the exporter: positions, counters and waiting predictions in one transaction.

Guarantee: after a kill at any instant the file holds one state that was true at one moment: what had been read
up to the saved positions is in the saved counters, and nothing else. Since the page is published only after its
state is durable (see app.py), a restart never shows a counter below what was scraped.
Cost: the counters are written whole (some 10 kB per version), the join table only where it changed.
SQLite does the work: WAL, synchronous=NORMAL, which survives the death of the process; after a power cut the
last few checkpoints may be missing, and lines are then read again.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from mlcanary.errors import StateError

LAYOUT = 2
"""Raised when the saved form changes; another layout is refused, never guessed at."""

Key = tuple[str, str]


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
            self._db.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS waiting "
                "(model TEXT NOT NULL, id TEXT NOT NULL, row BLOB NOT NULL, PRIMARY KEY (model, id))"
            )
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise self._damaged(error) from error

    def load(self) -> dict[str, Any] | None:
        """The saved state by name, or None if nothing was saved yet. Raises StateError on another layout."""
        try:
            rows = {name: msgspec.msgpack.decode(value) for name, value in self._db.execute("SELECT * FROM state")}
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise self._damaged(error) from error
        if not rows:
            return None
        if rows.get("layout") != LAYOUT:
            raise StateError(
                f"{self.path}: layout {rows.get('layout')}, this version writes {LAYOUT}",
                hint="move the file away to start anew, or run the version that wrote it",
            )
        return rows

    def waiting(self) -> Iterator[tuple[Key, bytes]]:
        """Rows of the join table, oldest first."""
        try:
            for model, row_id, row in self._db.execute("SELECT model, id, row FROM waiting ORDER BY rowid"):
                yield (model, row_id), row
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def save(self, state: dict[str, Any], changed: Iterable[tuple[Key, bytes | None]], *, whole: bool = False) -> None:
        """Make a state and the changed rows durable, all or nothing; `whole`: there are no rows but these.

        Raises StateError, leaving what was saved before.
        """
        upserts: list[tuple[str, str, bytes]] = []
        gone: list[Key] = []
        for key, row in changed:
            if row is None:
                gone.append(key)
            else:
                upserts.append((*key, row))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            if whole:
                self._db.execute("DELETE FROM waiting")
            self._db.executemany("DELETE FROM waiting WHERE model = ? AND id = ?", gone)
            # An upsert keeps the rowid, so that the order of insertion, which is the order of eviction, lasts.
            self._db.executemany(
                "INSERT INTO waiting VALUES (?, ?, ?) ON CONFLICT (model, id) DO UPDATE SET row = excluded.row",
                upserts,
            )
            for name, value in {"layout": LAYOUT, **state}.items():
                self._db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, msgspec.msgpack.encode(value)))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StateError(f"{self.path}: cannot write: {error}", hint="free space or fix permissions") from error

    def _damaged(self, error: Exception) -> StateError:
        hint = "move it away to start anew; counters then begin at what the log still holds"
        return StateError(f"{self.path}: not a usable state file: {error}", hint=hint)

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
        self._lock.close()


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
