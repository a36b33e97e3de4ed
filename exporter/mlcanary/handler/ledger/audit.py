"""An append-only record of what was decided and done, each row bound to the one before it.

Guarantee: a row that was changed, removed or put in between makes `verify` name the first row that no longer
fits. (Cutting off the newest rows, or rewriting all of them, needs an outside copy of the last hash: it is
logged with every row.)
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
from collections.abc import Mapping
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


def verify(db: sqlite3.Connection) -> int | None:
    """The id of the first row that does not fit, None if the chain holds."""
    previous = _FIRST
    for expected, found in enumerate(db.execute("SELECT * FROM audit ORDER BY id"), start=1):
        row = AuditRow(*found)
        if row.id != expected or row.hash != _digest(previous, row):
            return row.id
        previous = row.hash
    return None


def newest(db: sqlite3.Connection, count: int) -> list[AuditRow]:
    """The last rows, newest first."""
    return [AuditRow(*r) for r in db.execute("SELECT * FROM audit ORDER BY id DESC LIMIT ?", (count,))]


def _digest(previous: str, row: AuditRow) -> str:
    parts = [previous, row.id, row.at, row.actor, row.kind, row.target, row.body]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
