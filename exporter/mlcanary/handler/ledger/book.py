"""The file of the ledger: lock, transactions, reading, freezes and the audit that every part writes to."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from mlcanary import durable
from mlcanary.errors import StateError
from mlcanary.handler.core.incidents import HANDLER
from mlcanary.handler.core.releases import Freeze, FreezeLevel
from mlcanary.handler.ledger import audit, tables

log = logging.getLogger(__name__)

Checkpoint = durable.Checkpoint
"""Called before and after each commit and each call to a target, with its name. Nothing in production."""

EVERYTHING = "*"
STORM_BRAKE = "storm brake"
"""Actor of the freeze of everything after too many rollbacks."""
MOST_NOTICES = 1000
"""So many messages may wait for one receiver: one that does not answer takes nothing from the others."""
CHECKED_AT_START = 10_000
"""Rows of the audit that a start checks, the newest ones: it must not take longer the longer the handler has run."""
FREEZE_FILE = "file"
"""Scope of the freeze by `freeze_file`, for people."""


class Book:
    """What the parts of the ledger share. `freeze_file` freezes everything while it exists. Raises StateError.

    Guarantee: a file whose newest `CHECKED_AT_START` rows of the audit do not fit their chain is refused. All rows are
    checked by `verify_audit` and by `mlcanary explain --verify` only.
    """

    def __init__(self, path: Path, *, freeze_file: Path | None, checkpoint: Checkpoint) -> None:
        self._freeze_file = freeze_file
        self._checkpoint = checkpoint
        self._receivers: Callable[[str], Sequence[str]] = lambda _kind: ()
        self._queued: Callable[[], None] = lambda: None
        self._lock = _lock(path)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._prepare()
        except sqlite3.Error as error:
            os.close(self._lock)
            raise StateError(f"{path}: {error}", hint="move the file away or restore a copy") from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        tables.prepare(self._db)
        self._db.executescript(audit.SCHEMA)
        broken = audit.verify(self._db, CHECKED_AT_START)
        if broken is not None:
            raise sqlite3.DatabaseError(f"audit row {broken} does not fit the chain: the file was changed")

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
        os.close(self._lock)

    # --- freeze and audit

    def frozen(self, target: str) -> FreezeLevel:
        """How far automatic action on a target is stopped. A store that cannot be read raises: that is frozen too."""
        with self._reading():
            return self._frozen(target)

    def freezes(self) -> list[Freeze]:
        """Every freeze in force, for people."""
        found = [
            tables.freeze_of(row) for row in self._all(tables.SELECT_FREEZE + "1 ORDER BY scope, since, actor", ())
        ]
        if self._freeze_file is not None and self._freeze_file.exists():
            found.append(Freeze(FREEZE_FILE, FreezeLevel.ALL, f"{self._freeze_file} exists", "file system", 0.0))
        return found

    def freeze(self, scope: str, *, reason: str, actor: str, now: float, level: FreezeLevel = FreezeLevel.ALL) -> None:
        """Stop automatic action on a target, or on all with `EVERYTHING`.

        Replaces the freeze by the same actor there; of those by several the highest level is in force.
        """
        with self._transaction("freeze"):
            self._set_freeze(scope, level, reason, actor, now)

    def unfreeze(self, scope: str, *, actor: str, now: float) -> None:
        """Allow it again: lifts what each actor froze there. The audit names them."""
        with self._transaction("freeze"):
            rows = self._db.execute("SELECT actor, level FROM freeze WHERE scope=? ORDER BY actor", (scope,)).fetchall()
            self._db.execute("DELETE FROM freeze WHERE scope=?", (scope,))
            self._audit(now, "unfreeze", scope, {"lifted": dict(rows)}, actor=actor)

    def audit_rows(self, count: int) -> list[audit.AuditRow]:
        """The newest rows of the audit, newest first."""
        with self._reading():
            return audit.newest(self._db, count)

    def audit_after(self, row: int, count: int) -> list[audit.AuditRow]:
        """The rows of the audit after a row, oldest first."""
        return [audit.AuditRow(*found) for found in self._all(audit.SELECT + "id>? ORDER BY id LIMIT ?", (row, count))]

    def audit_about(self, target: str, names: Sequence[str], since: float) -> list[audit.AuditRow]:
        """Rows about a target since a time whose body names one of these incidents, actions or releases."""
        if not names:
            return []
        named = " OR ".join("instr(body, ?)" for _ in names)
        query = audit.SELECT + f"target=? AND at>=? AND ({named}) ORDER BY id"
        return [audit.AuditRow(*found) for found in self._all(query, (target, since, *names))]

    def audit_of_kind(self, target: str, kind: str, since: float, count: int) -> list[audit.AuditRow]:
        """The newest rows of a kind about a target since a time, newest first."""
        query = audit.SELECT + "target=? AND at>=? AND kind=? ORDER BY at DESC, id DESC LIMIT ?"
        return [audit.AuditRow(*found) for found in self._all(query, (target, since, kind, count))]

    def verify_audit(self) -> int | None:
        """The first audit row of all that does not fit, None if all do."""
        with self._reading():
            return audit.verify(self._db)

    # --- inside

    def _set_freeze(self, scope: str, level: FreezeLevel, reason: str, actor: str, now: float) -> None:
        columns = "INSERT OR REPLACE INTO freeze (scope, level, reason, actor, since)"
        self._db.execute(columns + " VALUES (?,?,?,?,?)", (scope, level, reason, actor, now))
        self._audit(now, "freeze", scope, {"reason": reason, "level": level}, actor=actor)
        if actor in (HANDLER, STORM_BRAKE):
            body = {"target": scope, "reason": reason, "level": level, "actor": actor}
            self._queue("frozen", scope, body, now)

    def address(self, receivers: Callable[[str], Sequence[str]], queued: Callable[[], None]) -> None:
        """Whom the messages that belong to a move go to, by kind; `queued` is told of each."""
        self._receivers, self._queued = receivers, queued

    def _queue(self, kind: str, target: str, body: Mapping[str, object], now: float) -> None:
        """A message to people, in the transaction of what it tells of."""
        receivers = self._receivers(kind)
        for name in self._queue_to(receivers, kind, target, body, now):
            log.error(
                "too many messages wait, one is left out", extra={"kind": kind, "target": target, "receiver": name}
            )
        self._queued()

    def _queue_to(
        self, receivers: Sequence[str], kind: str, target: str, body: Mapping[str, object], now: float
    ) -> list[str]:
        """Queue a message to each receiver; those for whom too many wait already, who do not get it."""
        counts = self._db.execute("SELECT receiver, COUNT(*) FROM outbox WHERE sent=0 GROUP BY receiver")
        full = {name for name, waiting in counts if waiting >= MOST_NOTICES}
        text = msgspec.json.encode(body, order="sorted").decode()
        self._db.executemany(
            "INSERT INTO outbox (receiver, at, kind, target, body, next_try) VALUES (?,?,?,?,?,?)",
            [(receiver, now, kind, target, text, now) for receiver in receivers if receiver not in full],
        )
        return [receiver for receiver in receivers if receiver in full]

    def _frozen(self, target: str) -> FreezeLevel:
        if self._freeze_file is not None and self._freeze_file.exists():
            return FreezeLevel.ALL
        query = "SELECT level FROM freeze WHERE scope IN (?, ?)"
        levels = {row[0] for row in self._db.execute(query, (EVERYTHING, target))}
        return next((level for level in (FreezeLevel.ALL, FreezeLevel.PROMOTE) if level in levels), FreezeLevel.NONE)

    def _transaction(self, name: str) -> contextlib.AbstractContextManager[None]:
        return durable.transaction(self._db, name, self._checkpoint, _unwritten)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(f"the ledger cannot be read: {error}", hint="nothing is done without it") from error

    def _audit(self, now: float, kind: str, target: str, body: Mapping[str, object], *, actor: str = HANDLER) -> None:
        audit.append(self._db, now=now, actor=actor, kind=kind, target=target, body=body)

    def _one(self, query: str, values: tuple[object, ...]) -> tables.Row | None:
        with self._reading():
            found: tables.Row | None = self._db.execute(query, values).fetchone()
            return found

    def _all(self, query: str, values: tuple[object, ...]) -> list[tables.Row]:
        with self._reading():
            return self._db.execute(query, values).fetchall()


def _unwritten(error: sqlite3.Error) -> StateError:
    return StateError(f"the ledger cannot be written: {error}", hint="nothing is done without it")


def _lock(path: Path) -> int:
    held = durable.lock(path)
    if held is None:
        raise StateError(f"{path}: another handler holds it", hint="run one handler per state file")
    return held
