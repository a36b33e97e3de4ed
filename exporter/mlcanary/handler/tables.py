"""The tables of the ledger, its longer statements, and rows to values."""

from __future__ import annotations

import dataclasses

from mlcanary.handler.incidents import Action, ActionKind, ActionState, Incident, IncidentState
from mlcanary.handler.targets.contract import State

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY, group_key TEXT NOT NULL, fingerprint TEXT NOT NULL, starts_at TEXT NOT NULL,
    target TEXT NOT NULL, version TEXT NOT NULL, measure TEXT NOT NULL, window TEXT NOT NULL,
    raw TEXT NOT NULL, received REAL NOT NULL, since REAL NOT NULL, next_try REAL NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 1, state TEXT NOT NULL DEFAULT 'pending',
    decision TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '',
    UNIQUE (group_key, fingerprint, starts_at, target));
CREATE INDEX IF NOT EXISTS event_pending ON event (target, next_try) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS incident (
    id TEXT PRIMARY KEY, target TEXT NOT NULL, model TEXT NOT NULL, bad TEXT NOT NULL, good TEXT NOT NULL,
    measure TEXT NOT NULL, window TEXT NOT NULL, state TEXT NOT NULL, received REAL NOT NULL,
    opened REAL NOT NULL, effect REAL NOT NULL DEFAULT 0, closed REAL NOT NULL DEFAULT 0,
    evidence TEXT NOT NULL, note TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX IF NOT EXISTS incident_open ON incident (target) WHERE state IN ('acting', 'verifying');
CREATE TABLE IF NOT EXISTS action (
    id TEXT PRIMARY KEY, incident TEXT NOT NULL REFERENCES incident (id), target TEXT NOT NULL,
    kind TEXT NOT NULL, desired TEXT NOT NULL, expected TEXT, state TEXT NOT NULL, attempt INTEGER NOT NULL,
    planned REAL NOT NULL, dispatched REAL NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT '');
CREATE UNIQUE INDEX IF NOT EXISTS action_dispatched ON action (target) WHERE state = 'dispatched';
CREATE UNIQUE INDEX IF NOT EXISTS action_rollback ON action (incident) WHERE kind = 'rollback';
CREATE TABLE IF NOT EXISTS freeze (
    scope TEXT PRIMARY KEY, reason TEXT NOT NULL, actor TEXT NOT NULL, since REAL NOT NULL);
"""
SELECT_EVENT = "SELECT id, target, version, measure, window, received, since, state, decision, reason FROM event WHERE "
SELECT_INCIDENT = (
    "SELECT id, target, model, bad, good, measure, window, state, received, opened, effect, closed,"
    " evidence, note FROM incident WHERE "
)
SELECT_ACTION = (
    "SELECT id, incident, target, kind, desired, expected, state, attempt, planned, dispatched, note FROM action WHERE "
)
INSERT_EVENT = (
    "INSERT OR IGNORE INTO event (group_key, fingerprint, starts_at, target, version, measure, window, raw,"
    " received, since, next_try) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)
REPEAT_EVENT = (
    "UPDATE event SET deliveries = deliveries + 1,"
    " since = CASE state WHEN 'decided' THEN :now ELSE MIN(since, :now) END,"
    " next_try = CASE state WHEN 'decided' THEN :now ELSE MIN(next_try, :now) END,"
    " state = CASE WHEN EXISTS (SELECT 1 FROM incident i WHERE i.target = event.target"
    " AND i.state IN ('acting', 'verifying')) THEN state ELSE 'pending' END"
    " WHERE group_key = :g AND fingerprint = :f AND starts_at = :s AND target = :t"
)
REOPEN_EVENTS = (
    "UPDATE event SET state = 'pending', since = :now, next_try = :now"
    " WHERE decision IN ('act', 'attach') AND (target, version) ="
    " (SELECT target, bad FROM incident WHERE id = :incident)"
    " AND since >= (SELECT received FROM incident WHERE id = :incident)"
)


def incident_of(row: tuple[str, str, str, str, str, str, str, str, float, float, float, float, str, str]) -> Incident:
    """An incident from its row."""
    return dataclasses.replace(Incident(*row), state=IncidentState(row[7]))  # type: ignore[arg-type]


def action_of(row: tuple[str, str, str, str, str, str | None, str, int, float, float, str]) -> Action:
    """An action from its row."""
    expected = None if row[5] is None else State.from_json(row[5])
    kind, desired, state = ActionKind(row[3]), State.from_json(row[4]), ActionState(row[6])
    return Action(row[0], row[1], row[2], kind, desired, expected, state, row[7], row[8], row[9], row[10])
