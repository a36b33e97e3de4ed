"""Durable memory of the handler: events, incidents, actions, freezes, audit. SQLite, one file, one process.

Guarantees: what a method returned from is on disk (WAL, `synchronous=FULL`); a write is one transaction that
takes the write lock at its start; at most one incident per target is open and at most one action per target
is dispatched, by unique indexes; a dispatch reads the freeze in its own transaction. An operating-system
lock on the file is held for life, so that two handlers never share a ledger. Any failure of the store is a
StateError: a caller that cannot read it must not act.

Calls block for the time of a disk flush. The handler makes a few per incident, and calls them from one event
loop without awaiting in between, which also makes them atomic there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from mlcanary import durable
from mlcanary.errors import StateError
from mlcanary.handler import audit, tables
from mlcanary.handler.incidents import Action, ActionState, Event, Incident, IncidentState
from mlcanary.handler.payload import Alert
from mlcanary.handler.policy import LedgerView

Checkpoint = durable.Checkpoint
"""Called before and after each commit and each call to a target, with its name. Nothing in production."""

EVERYTHING = "*"
MOST_WAITING = 10_000
KEPT_SECONDS = 7 * 86400.0


class Ledger:
    """See the module. `freeze_file` freezes everything while it exists. Raises StateError."""

    def __init__(self, path: Path, *, freeze_file: Path | None, checkpoint: Checkpoint) -> None:
        self._freeze_file = freeze_file
        self._checkpoint = checkpoint
        self._lock = _lock(path)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            self._prepare(path)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise StateError(f"{path}: {error}", hint="move the file away or restore a copy") from error

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, tables.SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"schema version {version}; allowed: {tables.SCHEMA_VERSION}")
        self._db.executescript(tables.SCHEMA + audit.SCHEMA + f"PRAGMA user_version={tables.SCHEMA_VERSION};")
        broken = audit.verify(self._db)
        if broken is not None:
            raise sqlite3.DatabaseError(f"audit row {broken} does not fit the chain: the file was changed")

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
        os.close(self._lock)

    # --- events

    def receive(self, alerts: Sequence[tuple[Alert, str]], now: float) -> list[bool]:
        """Which of these alerts, each with its target, are new; all of them in one transaction.

        A repeat of a decided one waits for a decision again, unless an incident is open that covers it.
        Raises StateError if too many wait already: the sender tries again.
        """
        with self._transaction("event"):
            waiting = self._db.execute("SELECT COUNT(*) FROM event WHERE state='pending'").fetchone()[0]
            if waiting + len(alerts) > MOST_WAITING:
                raise StateError(f"{waiting} alerts wait already", hint="is somebody flooding the webhook?")
            return [self._receive(alert, target, now) for alert, target in alerts]

    def _receive(self, alert: Alert, target: str, now: float) -> bool:
        raw = msgspec.json.encode(dict(alert.labels)).decode()
        values = (*alert.delivery_key, target, alert.version, alert.measure, alert.window, raw, now, now, now)
        new = self._db.execute(tables.INSERT_EVENT, values).rowcount
        if not new:
            key = dict(zip("gfs", alert.delivery_key, strict=True))
            self._db.execute(tables.REPEAT_EVENT, {"now": now, "t": target, **key})
        return bool(new)

    def pending(self, target: str, now: float, *, recheck: float) -> list[Event]:
        """Events of a target whose turn has come, oldest first.

        Nobody postpones an event by more than `recheck` seconds: one that is due later was put off by a clock
        that has gone back since, and is due now.
        """
        where = "target = ? AND state = 'pending' AND (next_try <= ? OR next_try > ?) ORDER BY id"
        return self._events(where, (target, now, now + recheck))

    def next_try(self, target: str) -> float | None:
        """When the next waiting event of a target is due."""
        found = self._one("SELECT MIN(next_try) FROM event WHERE target=? AND state='pending'", (target,))
        return None if found is None or found[0] is None else float(found[0])

    def decided(
        self, events: Sequence[Event], decision: str, reason: str, *, body: Mapping[str, object], now: float
    ) -> None:
        """Record a decision that ends the waiting."""
        with self._transaction("decision"):
            self._mark(events, "decided", decision, reason, now)
            self._audit(now, "decision", events[0].target, {"decision": decision, "reason": reason, **body})

    def postponed(
        self, events: Sequence[Event], reason: str, *, body: Mapping[str, object], now: float, next_try: float
    ) -> None:
        """Record why nothing is done yet. Only a new reason is audited."""
        with self._transaction("postpone"):
            self._mark(events, "pending", "suppress", reason, next_try)
            if any(event.reason != reason for event in events):
                self._audit(now, "decision", events[0].target, {"decision": "wait", "reason": reason, **body})

    # --- incidents and actions

    def view(self, target: str, since: float) -> LedgerView:
        """What the policy asks about a target; `since` bounds the actions looked at."""
        with self._reading():
            return self._view(target, since)

    def plan(
        self,
        events: Sequence[Event],
        incident: Incident,
        action: Action,
        *,
        allowed: Callable[[LedgerView], bool],
        body: Mapping[str, object],
        since: float,
        now: float,
    ) -> bool:
        """Open an incident with its planned action, if `allowed` still says so in this transaction."""
        with self._transaction("plan"):
            if not allowed(self._view(incident.target, since)):
                return False
            self._insert_incident(incident)
            self._insert_action(action)
            self._mark(events, "decided", "act", "", now)
            self._audit(now, "plan", incident.target, {"incident": incident.id, "action": action.id, **body})
        return True

    def plan_reassert(self, action: Action, now: float) -> None:
        """Plan to set the state of an incident again."""
        with self._transaction("plan"):
            self._insert_action(action)
            self._audit(now, "reassert", action.target, {"incident": action.incident, "action": action.id})

    def dispatch(self, action: Action, now: float) -> bool:
        """Mark an action as under way and count the attempt. False, with nothing changed, while frozen."""
        with self._transaction("dispatch"):
            if self._frozen(action.target):
                return False
            self._db.execute(
                "UPDATE action SET state='dispatched', attempt=attempt+1,"
                " dispatched=CASE dispatched WHEN 0 THEN ? ELSE dispatched END WHERE id=?",
                (now, action.id),
            )
            body = {"action": action.id, "attempt": action.attempt + 1, "desired": dict(action.desired.weights)}
            self._audit(now, "dispatch", action.target, body)
        return True

    def finish(self, action: Action, state: ActionState, incident: IncidentState, *, note: str, now: float) -> None:
        """Record how an action ended and where its incident goes; a confirmed effect restarts its clock."""
        effect = now if incident is IncidentState.VERIFYING else 0.0
        closed = 0.0 if incident in (IncidentState.ACTING, IncidentState.VERIFYING) else now
        with self._transaction("finish"):
            self._db.execute("UPDATE action SET state=?, note=? WHERE id=?", (state, note, action.id))
            self._db.execute(
                "UPDATE incident SET state=?, note=?, closed=?, effect=CASE ? WHEN 0.0 THEN effect ELSE ? END"
                " WHERE id=?",
                (incident, note, closed, effect, effect, action.incident),
            )
            if incident is IncidentState.ABANDONED:
                # Nothing was done: whatever led to it waits for a decision on fresh evidence.
                self._db.execute(tables.REOPEN_EVENTS, {"now": now, "incident": action.incident})
            body = {"action": action.id, "state": state, "incident": incident, "note": note}
            self._audit(now, "effect", action.target, body)

    def finish_reassert(self, action: Action, state: ActionState, *, note: str, now: float) -> None:
        """Record how setting a state again ended; a running verification starts over."""
        with self._transaction("finish"):
            self._db.execute("UPDATE action SET state=?, note=? WHERE id=?", (state, note, action.id))
            if state is ActionState.CONFIRMED:
                self._db.execute(
                    "UPDATE incident SET effect=? WHERE id=? AND state='verifying'", (now, action.incident)
                )
            body = {"action": action.id, "state": state, "note": note}
            self._audit(now, "effect", action.target, body)

    def close_incident(self, incident: Incident, state: IncidentState, *, note: str, now: float) -> None:
        """Record how an incident ended."""
        with self._transaction("close"):
            self._db.execute(
                "UPDATE incident SET state=?, note=?, closed=? WHERE id=?", (state, note, now, incident.id)
            )
            body = {"incident": incident.id, "state": state, "note": note, "bad": incident.bad}
            self._audit(now, "verdict", incident.target, body)

    def open_incidents(self) -> list[Incident]:
        """Every incident that still runs."""
        return self._incidents("state IN ('acting', 'verifying')", ())

    def open_incident(self, target: str) -> Incident | None:
        """The incident of a target that still runs."""
        return next(iter(self._incidents("target=? AND state IN ('acting','verifying')", (target,))), None)

    def last_incident(self, target: str) -> Incident | None:
        """The newest incident of a target."""
        return next(iter(self._incidents("target=? ORDER BY opened DESC LIMIT 1", (target,))), None)

    def actions(self, incident: str) -> list[Action]:
        """Actions of an incident, oldest first."""
        with self._reading():
            rows = self._db.execute(tables.SELECT_ACTION + "incident=? ORDER BY rowid", (incident,))
            return [tables.action_of(row) for row in rows]

    def unfinished(self, target: str) -> list[Action]:
        """Actions of a target that are planned or under way, oldest first."""
        with self._reading():
            where = "target=? AND state IN ('planned', 'dispatched') ORDER BY rowid"
            rows = self._db.execute(tables.SELECT_ACTION + where, (target,))
            return [tables.action_of(row) for row in rows]

    # --- freeze and audit

    def frozen(self, target: str) -> bool:
        """Whether automatic action on a target is stopped."""
        with self._reading():
            return self._frozen(target)

    def freeze(self, scope: str, *, reason: str, actor: str, now: float) -> None:
        """Stop automatic action on a target, or on all with `EVERYTHING`."""
        with self._transaction("freeze"):
            self._db.execute("INSERT OR REPLACE INTO freeze VALUES (?,?,?,?)", (scope, reason, actor, now))
            audit.append(self._db, now=now, actor=actor, kind="freeze", target=scope, body={"reason": reason})

    def unfreeze(self, scope: str, *, actor: str, now: float) -> None:
        """Allow it again."""
        with self._transaction("freeze"):
            self._db.execute("DELETE FROM freeze WHERE scope=?", (scope,))
            audit.append(self._db, now=now, actor=actor, kind="unfreeze", target=scope, body={})

    def audit_rows(self, count: int) -> list[audit.AuditRow]:
        """The newest rows of the audit, newest first."""
        with self._reading():
            return audit.newest(self._db, count)

    def verify_audit(self) -> int | None:
        """The first audit row that does not fit, None if all do."""
        with self._reading():
            return audit.verify(self._db)

    def prune(self, now: float) -> None:
        """Drop decided events that nobody repeats any more."""
        with self._transaction("prune"):
            self._db.execute("DELETE FROM event WHERE state='decided' AND since < ?", (now - KEPT_SECONDS,))

    # --- inside

    def _transaction(self, name: str) -> contextlib.AbstractContextManager[None]:
        return durable.transaction(self._db, name, self._checkpoint, _unwritten)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(f"the ledger cannot be read: {error}", hint="nothing is done without it") from error

    def _frozen(self, target: str) -> bool:
        if self._freeze_file is not None and self._freeze_file.exists():
            return True
        query = "SELECT 1 FROM freeze WHERE scope IN (?, ?)"
        return self._db.execute(query, (EVERYTHING, target)).fetchone() is not None

    def _view(self, target: str, since: float) -> LedgerView:
        bad = self._db.execute(
            "SELECT bad FROM incident WHERE target=? AND state IN ('acting', 'verifying')", (target,)
        ).fetchone()
        changed = self._db.execute(
            "SELECT dispatched FROM action WHERE target=? AND kind='rollback' AND dispatched > ? ORDER BY 1",
            (target, max(0.0, since)),
        ).fetchall()
        return LedgerView(self._frozen(target), bad[0] if bad else None, tuple(row[0] for row in changed))

    def _mark(self, events: Sequence[Event], state: str, decision: str, reason: str, next_try: float) -> None:
        self._db.executemany(
            "UPDATE event SET state=?, decision=?, reason=?, next_try=? WHERE id=?",
            [(state, decision, reason, next_try, event.id) for event in events],
        )

    def _audit(self, now: float, kind: str, target: str, body: Mapping[str, object]) -> None:
        audit.append(self._db, now=now, actor="handler", kind=kind, target=target, body=body)

    def _insert_incident(self, i: Incident) -> None:
        values = (i.id, i.target, i.model, i.bad, i.good, i.measure, i.window, i.state, i.received, i.opened)
        self._db.execute(
            "INSERT INTO incident VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (*values, i.effect, i.closed, i.evidence, i.note),
        )

    def _insert_action(self, a: Action) -> None:
        expected = a.expected.to_json() if a.expected else None
        values = (a.id, a.incident, a.target, a.kind, a.desired.to_json(), expected, a.state, a.attempt)
        self._db.execute(
            "INSERT INTO action VALUES (?,?,?,?,?,?,?,?,?,?,?)",
            (*values, a.planned, a.dispatched, a.note),
        )

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[float | None, ...] | None:
        with self._reading():
            found: tuple[float | None, ...] | None = self._db.execute(query, values).fetchone()
            return found

    def _events(self, where: str, values: tuple[object, ...]) -> list[Event]:
        with self._reading():
            return [Event(*row) for row in self._db.execute(tables.SELECT_EVENT + where, values)]

    def _incidents(self, where: str, values: tuple[object, ...]) -> list[Incident]:
        with self._reading():
            rows = self._db.execute(tables.SELECT_INCIDENT + where, values).fetchall()
            return [tables.incident_of(row) for row in rows]


def _unwritten(error: sqlite3.Error) -> StateError:
    return StateError(f"the ledger cannot be written: {error}", hint="nothing is done without it")


def _lock(path: Path) -> int:
    held = durable.lock(path)
    if held is None:
        raise StateError(f"{path}: another handler holds it", hint="run one handler per state file")
    return held
