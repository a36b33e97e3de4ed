"""An append-only record of what was decided and done, each row bound to the one before it.

Guarantee: a row that was changed, removed or put in between makes `verify` name the first row that no longer
fits. (Cutting off the newest rows, or rewriting all of them, needs an outside copy of the last hash: it is
logged with every row.)
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL,
    body TEXT NOT NULL, hash TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS audit_target ON audit (target, at);
CREATE TRIGGER IF NOT EXISTS audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS audit_no_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
"""
SELECT = "SELECT id, at, actor, kind, target, body, hash FROM audit WHERE "
_FIRST = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row. `body` is JSON."""

    id: int
    at: float
    actor: str
    kind: str
    target: str
    body: str
    hash: str


def append(
    db: sqlite3.Connection, *, now: float, actor: str, kind: str, target: str, body: Mapping[str, object]
) -> None:
    """Add a row inside the caller's transaction."""
    last = db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    number, previous = (last[0] + 1, last[1]) if last else (1, _FIRST)
    text = msgspec.json.encode(body, order="sorted").decode()
    row = AuditRow(number, now, actor, kind, target, text, "")
    digest = _digest(previous, row)
    db.execute("INSERT INTO audit VALUES (?,?,?,?,?,?,?)", (number, now, actor, kind, target, text, digest))
    log.info("audit", extra={"row": number, "kind": kind, "target": target, "body": text, "hash": digest})


def walk(db: sqlite3.Connection, newest: int | None = None) -> Iterator[tuple[AuditRow, bool]]:
    """Rows, oldest first, one at a time, and whether each fits the one before it; what follows a misfit is not read.

    Input: with `newest`, only so many of the last rows; the hash of the row before them is taken as given.
    """
    last = db.execute("SELECT MAX(id) FROM audit").fetchone()[0] or 0
    first = 1 if newest is None else max(1, last - newest + 1)
    before = db.execute("SELECT hash FROM audit WHERE id=?", (first - 1,)).fetchone()
    previous = _FIRST if first == 1 else before[0] if before is not None else ""
    where = "" if first == 1 else f"WHERE id>={first} "  # a row below 1 fits nothing, and is met from the start only
    for expected, found in enumerate(db.execute(f"SELECT * FROM audit {where}ORDER BY id"), start=first):
        row = AuditRow(*found)
        fits = row.id == expected and row.hash == _digest(previous, row)
        yield row, fits
        if not fits:
            return
        previous = row.hash


def verify(db: sqlite3.Connection, newest: int | None = None) -> int | None:
    """The id of the first row that does not fit, None if the chain holds. Input: as of `walk`."""
    return next((row.id for row, fits in walk(db, newest) if not fits), None)


def newest(db: sqlite3.Connection, count: int) -> list[AuditRow]:
    """The last rows, newest first."""
    return [AuditRow(*r) for r in db.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (count,))]


def _digest(previous: str, row: AuditRow) -> str:
    parts = [previous, row.id, row.at, row.actor, row.kind, row.target, row.body]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
