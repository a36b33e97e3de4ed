"""Durable state of the exporter: positions, counters and waiting predictions in one transaction.

Guarantee: after a kill at any instant the file holds one state that was true at one moment: what had been read
up to the saved positions is in the saved counters, and nothing else. Since the page is published only after its
state is durable (see app.py), a restart never shows a counter below what was scraped.
A file that was damaged is told and refused, never counted on with: every value carries the checksum of its place and
its bytes, and so a flipped bit or two rows that changed places cannot become counters that nobody doubts.
Cost: the counters are written whole (some 10 kB per version), the join only where it changed: 16 kB per page of 256
predictions, each id once. Checksums: 1 ms per 2 MB.
SQLite does the work: WAL, synchronous=NORMAL, which survives the death of the process; after a power cut the
last few checkpoints may be missing, and lines are then read again.
"""

from __future__ import annotations

import fcntl
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from mlcanary.errors import StateError
from mlcanary.joins.pages import PAGE_BITS, JoinChanges, StoredJoin, thinned

LAYOUT = 4
"""Raised when the saved form changes; another layout is refused, never guessed at."""

_LAYOUT_ROW = "layout"
_CHECKSUM_BYTES = 4
_DAMAGE = (sqlite3.DatabaseError, ValueError, TypeError, RecursionError)
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
            rows = dict(self._db.execute("SELECT name, value FROM state"))
            if not rows:
                return None
            layout = msgspec.msgpack.decode(rows.pop(_LAYOUT_ROW, b""), type=int)
            if layout == LAYOUT:
                return {name: msgspec.msgpack.decode(_opened(value, name)) for name, value in rows.items()}
        except (*_DAMAGE, msgspec.MsgspecError) as error:
            raise self.damaged(error) from error
        raise StateError(
            f"{self.path}: layout {layout}, this version writes {LAYOUT}",
            hint="move the file away to start anew, or run the version that wrote it",
        )

    def joins(self) -> StoredJoin:
        """The rows of the join, read as they are asked for."""
        return StoredJoin(
            (
                (page, _opened(rows, "rows", page))
                for page, rows in self._rows("SELECT page, rows FROM join_rows ORDER BY page")
            ),
            (
                (first, _opened(ids, "ids", first))
                for first, ids in self._rows("SELECT first, ids FROM join_ids ORDER BY first")
            ),
            (
                ((model, row_id), _opened(row, model, row_id, seq), seq)
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
            values = [(name, _sealed(msgspec.msgpack.encode(value), name)) for name, value in state.items()]
            values.append((_LAYOUT_ROW, msgspec.msgpack.encode(LAYOUT)))
            self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values)
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
                self._db.execute("INSERT OR REPLACE INTO join_rows VALUES (?, ?)", (page, _sealed(rows, "rows", page)))
        self._db.executemany("INSERT OR REPLACE INTO join_ids VALUES (?, ?)", _sealed_ids(joins.ids))
        for page, keep in joins.thin:
            found = self._db.execute("SELECT first, ids FROM join_ids WHERE first >= ? AND first < ?", _span(page))
            thin = thinned([(first, _opened(ids, "ids", first)) for first, ids in found.fetchall()], keep)
            self._db.execute("DELETE FROM join_ids WHERE first >= ? AND first < ?", _span(page))
            self._db.executemany("INSERT INTO join_ids VALUES (?, ?)", _sealed_ids([thin]))
        gone = [key for key, row, _ in joins.odd if row is None]
        self._db.executemany("DELETE FROM join_odd WHERE model = ? AND id = ?", gone)
        # An upsert keeps the rowid, so that the order of insertion, which is the order of eviction, lasts.
        self._db.executemany(
            "INSERT INTO join_odd VALUES (?, ?, ?, ?) "
            "ON CONFLICT (model, id) DO UPDATE SET seq = excluded.seq, row = excluded.row",
            [(*key, seq, _sealed(row, *key, seq)) for key, row, seq in joins.odd if row is not None],
        )

    def _rows(self, query: str) -> Iterator[Any]:
        try:
            for row in self._db.execute(query):  # noqa: UP028  # closes the cursor, perhaps after its database
                yield row
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


def _sealed(value: bytes, *place: object) -> bytes:
    """A value behind the checksum of itself and of where it stands."""
    return zlib.crc32(value, zlib.crc32(repr(place).encode())).to_bytes(_CHECKSUM_BYTES) + value


def _sealed_ids(ids: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """One at a time: after a long page there may be some MB of them."""
    return ((first, _sealed(value, "ids", first)) for first, value in ids)


def _opened(stored: object, *place: object) -> bytes:
    """What `_sealed` made. Raises ValueError for anything else."""
    value = stored[_CHECKSUM_BYTES:] if isinstance(stored, bytes) else b""
    if stored != _sealed(value, *place):
        raise ValueError(f"{' '.join(map(str, place))!r:.80}: its checksum does not fit")
    return value


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
