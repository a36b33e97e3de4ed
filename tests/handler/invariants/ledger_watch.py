"""Reads the ledger's file beside the process, and tells what changed. Counts which moves of the machines were taken."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mlcanary.handler.core.incidents import Action, Incident
from mlcanary.handler.core.machines import ACTION, INCIDENT, RELEASE, Machine
from mlcanary.handler.core.releases import Order, Release
from mlcanary.handler.ledger import audit, tables

MOVES: Counter[tuple[str, str, str]] = Counter()
"""How often each move (machine, from, to) was seen, over all examples."""

_MACHINES: dict[str, Machine] = {"incident": INCIDENT, "action": ACTION, "release": RELEASE}
_NAMED: dict[str, Any] = {
    "incident": (tables.SELECT_INCIDENT, tables.incident_of),
    "action": (tables.SELECT_ACTION, tables.action_of),
    "release": (tables.SELECT_RELEASE, tables.release_of),
    "orders": (tables.SELECT_ORDER, tables.order_of),
}


@dataclass(frozen=True)
class Change:
    """A row that is new, another one than before, or gone. `dispatched`: an action went out for the first time."""

    table: str
    name: str
    source: str
    to: str
    row: Any
    dispatched: bool = False
    gone: bool = False
    illegal: bool = False


class LedgerWatch:
    """See the module. Sees only what is committed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._version = -1
        self._raw: dict[str, dict[str, tuple[Any, ...]]] = {table: {} for table in _NAMED}
        self._rows: dict[str, dict[str, Any]] = {table: {} for table in _NAMED}
        self.quarantined: frozenset[tuple[str, str]] = frozenset()
        self.proven: frozenset[tuple[str, str]] = frozenset()
        """Model and digest of artefacts. Digests are names here, and a name tells nothing of another model."""
        self._effects: dict[str, list[audit.AuditRow]] = {}
        self._audited = 0

    @property
    def incidents(self) -> dict[str, Incident]:
        return self._rows["incident"]

    @property
    def actions(self) -> dict[str, Action]:
        return self._rows["action"]

    @property
    def releases(self) -> dict[str, Release]:
        return self._rows["release"]

    @property
    def orders(self) -> dict[str, Order]:
        return self._rows["orders"]

    def changes(self) -> Iterator[Change]:
        """What changed since the last call."""
        if self._db is None:
            if not self._path.exists():
                return
            self._db = sqlite3.connect(self._path, isolation_level=None)
        version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        self._version = version
        try:
            found = [change for table in _NAMED for change in self._table(self._db, table)]
            status = self._db.execute("SELECT model, digest, status FROM version").fetchall()
        except sqlite3.OperationalError:  # the tables are not there yet
            return
        self.quarantined = frozenset((m, digest) for m, digest, state in status if state == "quarantined")
        self.proven = frozenset((m, digest) for m, digest, state in status if state == "proven")
        self._audit(self._db)
        yield from found

    def _table(self, db: sqlite3.Connection, table: str) -> Iterator[Change]:
        select, of = _NAMED[table]
        raw, rows = self._raw[table], self._rows[table]
        seen = set()
        for found in db.execute(select + "1 ORDER BY rowid"):
            name = found[0]
            seen.add(name)
            if raw.get(name) == found:
                continue
            raw[name] = found
            before, after = rows.get(name), of(found)
            rows[name] = after
            source, to = str(before.state) if before is not None else "", str(after.state)
            machine = _MACHINES.get(table)
            stays = before is not None and source == to and not self._again(table, before, after)
            if machine is not None and not stays:
                MOVES[table, source, to] += 1
            illegal = machine is not None and not stays and not machine.allows(source, to)
            dispatched = table == "action" and bool(after.dispatched) and (before is None or not before.dispatched)
            yield Change(table, name, source, to, after, dispatched, illegal=illegal)
        for name in set(rows) - seen:
            del rows[name], raw[name]
            yield Change(table, name, "", "", None, gone=True)

    @staticmethod
    def _again(table: str, before: Any, after: Any) -> bool:
        """Whether a row went from a state to the same one by a move: another attempt, step or stage."""
        if table == "action":
            return bool(before.attempt != after.attempt)
        if table == "release":
            return bool(before.step != after.step)
        stages = before.state == "acting" and before.note != after.note
        return bool(before.effect != after.effect) or stages

    def _audit(self, db: sqlite3.Connection) -> None:
        rows = db.execute("SELECT * FROM audit WHERE id>? AND kind='effect' ORDER BY id", (self._audited,))
        for found in rows:
            row = audit.AuditRow(*found)
            self._audited = row.id
            self._effects.setdefault(str(msgspec.json.decode(row.body).get("action")), []).append(row)

    def state(self) -> list[tuple[str, str, str]]:
        """Every incident, action and release with its state."""
        return [(table, name, str(row.state)) for table in _MACHINES for name, row in self._rows[table].items()]

    def freezes(self, target: str) -> list[tuple[str, str, float]]:
        """Freezes on a target, as committed: level, actor, since."""
        if self._db is None:
            return []
        query = "SELECT level, actor, since FROM freeze WHERE scope IN ('*', ?)"
        return list(self._db.execute(query, (target,)).fetchall())

    def frozen(self, target: str) -> str:
        """How far a target is frozen, as committed."""
        levels = {level for level, _, _ in self.freezes(target)}
        return "all" if "all" in levels else "promote" if "promote" in levels else ""

    def effect_rows(self, action: Action) -> Iterator[str]:
        """What is wrong with the audit of an action that has ended."""
        rows = self._effects.get(action.id, [])
        if len(rows) != 1:
            yield f"{len(rows)} audit rows of kind effect"
            return
        body = msgspec.json.decode(rows[0].body)
        if rows[0].actor != action.actor:
            yield f"actor {rows[0].actor} in the audit, {action.actor} in the action"
        if body.get("plan") != action.plan:
            yield f"plan {body.get('plan')!r} in the audit, {action.plan!r} in the action"
        if "evidence" not in body:
            yield "no evidence in the audit"
        if not action.plan:
            yield "no plan hash"

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
