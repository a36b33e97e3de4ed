"""The tables of the ledger, how an older file is brought up to date, and rows to values."""

from __future__ import annotations

import dataclasses
import sqlite3
from typing import Any

from mlcanary.handler.core.incidents import Action, ActionKind, Event, Incident
from mlcanary.handler.core.machines import OPEN_INCIDENTS, OPEN_RELEASES, ActionState, IncidentState, ReleaseState
from mlcanary.handler.core.releases import (
    Freeze,
    FreezeLevel,
    Notice,
    Order,
    OrderKind,
    OrderState,
    Release,
    Version,
    VersionStatus,
)
from mlcanary.handler.targets.contract import State

Row = tuple[Any, ...]
SCHEMA_VERSION = 2


def _texts(states: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"


OPEN_INCIDENT = "state IN " + _texts(OPEN_INCIDENTS)
OPEN_RELEASE = "state IN " + _texts(OPEN_RELEASES)

_TABLES = """
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, group_key TEXT NOT NULL, fingerprint TEXT NOT NULL, starts_at TEXT NOT NULL,
    target TEXT NOT NULL, version TEXT NOT NULL, measure TEXT NOT NULL, window TEXT NOT NULL,
    raw TEXT NOT NULL, received REAL NOT NULL, since REAL NOT NULL, next_try REAL NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 1, state TEXT NOT NULL DEFAULT 'pending',
    decision TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    UNIQUE (group_key, fingerprint, starts_at, target));
CREATE TABLE IF NOT EXISTS incident (
    id TEXT PRIMARY KEY, target TEXT NOT NULL, model TEXT NOT NULL, bad TEXT NOT NULL, good TEXT NOT NULL,
    measure TEXT NOT NULL, window TEXT NOT NULL, state TEXT NOT NULL, received REAL NOT NULL,
    opened REAL NOT NULL, effect REAL NOT NULL DEFAULT 0, closed REAL NOT NULL DEFAULT 0,
    evidence TEXT NOT NULL, note TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS action (
    id TEXT PRIMARY KEY, incident TEXT NOT NULL, target TEXT NOT NULL,
    kind TEXT NOT NULL, desired TEXT NOT NULL, expected TEXT, state TEXT NOT NULL, attempt INTEGER NOT NULL,
    planned REAL NOT NULL, dispatched REAL NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS freeze (
    scope TEXT PRIMARY KEY, reason TEXT NOT NULL, actor TEXT NOT NULL, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS version (
    model TEXT NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
    actor TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (model, digest));
CREATE TABLE IF NOT EXISTS release (
    id TEXT PRIMARY KEY, target TEXT NOT NULL, model TEXT NOT NULL, candidate TEXT NOT NULL, digest TEXT NOT NULL,
    stable TEXT NOT NULL, state TEXT NOT NULL, step INTEGER NOT NULL, submitted REAL NOT NULL, since REAL NOT NULL,
    effect REAL NOT NULL, trials REAL NOT NULL, resume TEXT NOT NULL, closed REAL NOT NULL, actor TEXT NOT NULL,
    note TEXT NOT NULL, told REAL NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, target TEXT NOT NULL, kind TEXT NOT NULL, version TEXT NOT NULL, plan TEXT NOT NULL,
    reason TEXT NOT NULL, force INTEGER NOT NULL, actor TEXT NOT NULL, received REAL NOT NULL, state TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL,
    body TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL, sent REAL NOT NULL DEFAULT 0);
"""
_ADDED_IN_2 = (
    ("incident", "digest TEXT NOT NULL DEFAULT ''"),
    ("incident", "actor TEXT NOT NULL DEFAULT 'handler'"),
    ("incident", "plan TEXT NOT NULL DEFAULT ''"),
    ("incident", "expires REAL NOT NULL DEFAULT 0"),
    ("incident", "acknowledged REAL NOT NULL DEFAULT 0"),
    ("incident", "acknowledged_by TEXT NOT NULL DEFAULT ''"),
    ("incident", "forced INTEGER NOT NULL DEFAULT 0"),
    ("action", "release TEXT NOT NULL DEFAULT ''"),
    ("action", "stage INTEGER NOT NULL DEFAULT 0"),
    ("action", "plan TEXT NOT NULL DEFAULT ''"),
    ("action", "actor TEXT NOT NULL DEFAULT 'handler'"),
)
# A freeze of the handler stands beside one of a person: each has its own level.
_FREEZE_OF_2 = """
CREATE TABLE freeze_2 (
    scope TEXT NOT NULL, actor TEXT NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL,
    PRIMARY KEY (scope, actor));
INSERT INTO freeze_2 (scope, actor, level, reason, since) SELECT scope, actor, 'all', reason, since FROM freeze;
DROP TABLE freeze;
ALTER TABLE freeze_2 RENAME TO freeze;
"""
# What the indexes promise: one open incident and one open release per target, one action under way per target, each
# stage of an incident and each step of a release once.
_INDEXES = f"""
CREATE INDEX IF NOT EXISTS event_pending ON event (target, next_try) WHERE state = 'pending';
DROP INDEX IF EXISTS incident_open;
CREATE UNIQUE INDEX incident_open ON incident (target) WHERE {OPEN_INCIDENT};
CREATE UNIQUE INDEX IF NOT EXISTS action_dispatched ON action (target) WHERE state = 'dispatched';
DROP INDEX IF EXISTS action_rollback;
CREATE UNIQUE INDEX IF NOT EXISTS action_stage ON action (incident, stage) WHERE kind = 'rollback';
CREATE UNIQUE INDEX IF NOT EXISTS action_step ON action (release, stage) WHERE kind = 'step' AND state <> 'failed';
DROP INDEX IF EXISTS release_open;
CREATE UNIQUE INDEX release_open ON release (target) WHERE {OPEN_RELEASE};
CREATE INDEX IF NOT EXISTS order_pending ON orders (target) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (next_try) WHERE sent = 0;
"""

SELECT_EVENT = "SELECT id, target, version, measure, window, received, since, state, decision, reason FROM event WHERE "
_INCIDENT = tuple(field.name for field in dataclasses.fields(Incident))
_ACTION = tuple(field.name for field in dataclasses.fields(Action))
_RELEASE = tuple(field.name for field in dataclasses.fields(Release))
_VERSION = tuple(field.name for field in dataclasses.fields(Version))
_ORDER = tuple(field.name for field in dataclasses.fields(Order))
SELECT_INCIDENT = f"SELECT {', '.join(_INCIDENT)} FROM incident WHERE "
SELECT_ACTION = f"SELECT {', '.join(_ACTION)} FROM action WHERE "
SELECT_RELEASE = f"SELECT {', '.join(_RELEASE)} FROM release WHERE "
SELECT_VERSION = f"SELECT {', '.join(_VERSION)} FROM version WHERE "
SELECT_ORDER = f"SELECT {', '.join(_ORDER)} FROM orders WHERE "
SELECT_FREEZE = "SELECT scope, level, reason, actor, since FROM freeze WHERE "
SELECT_NOTICE = "SELECT id, receiver, at, kind, target, body, attempts, next_try FROM outbox WHERE "
INSERT_EVENT = (
    "INSERT OR IGNORE INTO event (group_key, fingerprint, starts_at, target, version, measure, window, raw,"
    " received, since, next_try) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)
REPEAT_EVENT = (
    "UPDATE event SET deliveries = deliveries + 1,"
    " since = CASE state WHEN 'decided' THEN :now ELSE MIN(since, :now) END,"
    " next_try = CASE state WHEN 'decided' THEN :now ELSE MIN(next_try, :now) END,"
    f" state = CASE WHEN EXISTS (SELECT 1 FROM incident i WHERE i.target = event.target AND i.{OPEN_INCIDENT})"
    " THEN state ELSE 'pending' END"
    " WHERE group_key = :g AND fingerprint = :f AND starts_at = :s AND target = :t"
)
REOPEN_EVENTS = (
    "UPDATE event SET state = 'pending', since = :now, next_try = :now"
    " WHERE decision IN ('act', 'attach') AND (target, version) ="
    " (SELECT target, bad FROM incident WHERE id = :incident)"
    " AND since >= (SELECT received FROM incident WHERE id = :incident)"
)


def prepare(db: sqlite3.Connection) -> None:
    """Create what is missing; bring a file of version 1 up to date. Raises sqlite3.Error for any other version."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, 1, SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"schema version {version}; allowed: up to {SCHEMA_VERSION}")
    db.execute("BEGIN IMMEDIATE")
    try:
        _run(db, _TABLES)
        if version < SCHEMA_VERSION:
            for table, column in _ADDED_IN_2:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            _run(db, _FREEZE_OF_2)
        _run(db, _INDEXES)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _run(db: sqlite3.Connection, script: str) -> None:
    """Statements one by one: `executescript` would commit in between."""
    for statement in filter(None, (part.strip() for part in script.split(";"))):
        db.execute(statement)


def insert(db: sqlite3.Connection, table: str, row: Incident | Action | Release | Version | Order) -> None:
    """Add a row whose columns are the fields of the value."""
    names = [field.name for field in dataclasses.fields(row)]
    values = [_stored(getattr(row, name)) for name in names]
    marks = ", ".join("?" for _ in names)
    db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)


def _stored(value: object) -> object:
    return value.to_json() if isinstance(value, State) else value


def event_of(row: Row) -> Event:
    """An event from its row."""
    return Event(*row)


def incident_of(row: Row) -> Incident:
    """An incident from its row."""
    found = dict(zip(_INCIDENT, row, strict=True))
    return Incident(**{**found, "state": IncidentState(found["state"]), "forced": bool(found["forced"])})


def action_of(row: Row) -> Action:
    """An action from its row."""
    found = dict(zip(_ACTION, row, strict=True))
    expected = None if found["expected"] is None else State.from_json(found["expected"])
    states = {"desired": State.from_json(found["desired"]), "expected": expected}
    return Action(**{**found, **states, "kind": ActionKind(found["kind"]), "state": ActionState(found["state"])})


def release_of(row: Row) -> Release:
    """A release from its row."""
    return Release(**{**dict(zip(_RELEASE, row, strict=True)), "state": ReleaseState(row[_RELEASE.index("state")])})


def version_of(row: Row) -> Version:
    """A version from its row."""
    return Version(**{**dict(zip(_VERSION, row, strict=True)), "status": VersionStatus(row[_VERSION.index("status")])})


def order_of(row: Row) -> Order:
    """An order from its row."""
    found = dict(zip(_ORDER, row, strict=True))
    kind, state = OrderKind(found["kind"]), OrderState(found["state"])
    return Order(**{**found, "kind": kind, "state": state, "force": bool(found["force"])})


def freeze_of(row: Row) -> Freeze:
    """A freeze from its row."""
    return Freeze(row[0], FreezeLevel(row[1]), *row[2:])


def notice_of(row: Row) -> Notice:
    """A notice from its row."""
    return Notice(*row)
