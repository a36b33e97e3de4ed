"""Whether a ledger's audit is whole and tells the same as its tables. Reads a file, also while a handler holds it.

Guarantee: a `Report` without problems means: the chain of hashes fits from the first row to the last; every action that
went out has one row for each dispatch and exactly one for its effect, by the same actor and under the same plan; each
automatic rollback carries its evidence; every incident that ended has its verdict. What the chain alone cannot show is
that its newest rows were cut off: for that, give the hash that the handler last logged.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from mlcanary.errors import InputError
from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind
from mlcanary.handler.core.machines import INCIDENT, ActionState
from mlcanary.handler.ledger import audit, tables

_ENDED = (ActionState.CONFIRMED, ActionState.CONFLICT, ActionState.FAILED, ActionState.UNKNOWN)
Bodies = Mapping[str, list[tuple[audit.AuditRow, dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `last` is the hash of the newest row, empty without one; `rows` are all of them."""

    rows: tuple[audit.AuditRow, ...]
    last: str
    problems: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_file(path: Path, *, expected: str = "") -> Report:
    """The report on a ledger's file. Raises InputError for what is no ledger.

    Input: `expected` is a hash that the chain must contain, as the handler logs them; at least its first digits.
    """
    try:
        db = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        try:
            return _verify(db, expected)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise InputError(f"{path}: is no ledger of a handler: {error}", hint="give the file of --state.path") from error


def _verify(db: sqlite3.Connection, expected: str) -> Report:
    rows = tuple(reversed(audit.newest(db, 2**62)))
    broken = audit.verify(db)
    if broken is not None:
        told = f"audit row {broken} does not fit the chain: it or a row before it was changed, removed or put in"
        return Report(rows, rows[-1].hash if rows else "", (told,))
    problems = list(_against_tables(db, rows))
    if expected and not any(row.hash.startswith(expected) for row in rows):
        problems.append(f"no row has the hash {expected}: rows at the end are missing, or it is another ledger")
    return Report(rows, rows[-1].hash if rows else "", tuple(problems))


def _against_tables(db: sqlite3.Connection, rows: tuple[audit.AuditRow, ...]) -> Iterator[str]:
    told: dict[str, list[tuple[audit.AuditRow, dict[str, Any]]]] = defaultdict(list)
    closed: set[str] = set()
    final = INCIDENT.final_states()
    for row in rows:
        body = msgspec.json.decode(row.body, type=dict[str, Any])
        told[f"{row.kind} {body.get('action')}"].append((row, body))
        if row.kind == "verdict":
            closed.add(str(body.get("incident")))
        elif row.kind == "effect" and body.get("incident") in final:  # the state that the incident went to
            closed.add(f"action {body.get('action')}")
    actions = [tables.action_of(found) for found in db.execute(tables.SELECT_ACTION + "1 ORDER BY rowid")]
    for action in actions:
        yield from _of_action(action, told)
    for found in db.execute(tables.SELECT_INCIDENT + "1 ORDER BY rowid"):
        incident = tables.incident_of(found)
        names = {incident.id, *(f"action {action.id}" for action in actions if action.incident == incident.id)}
        if incident.state in final and closed.isdisjoint(names):
            yield f"incident {incident.id} ended as {incident.state}, and no row of the audit says so"


def _of_action(action: Action, told: Bodies) -> Iterator[str]:
    out, effects = told.get(f"dispatch {action.id}", []), told.get(f"effect {action.id}", [])
    if len(out) != action.attempt:
        yield f"action {action.id} went out {action.attempt} times, the audit has {len(out)} dispatches"
    if len(effects) != (action.state in _ENDED):
        yield f"action {action.id} is {action.state}, the audit has {len(effects)} effects of it"
    for row, body in effects:
        if body.get("state") != action.state:
            yield f"action {action.id} is {action.state}, audit row {row.id} says {body.get('state')}"
        if row.actor != action.actor or body.get("plan", "") != action.plan:
            yield f"action {action.id}: audit row {row.id} names another actor or plan"
        automatic = action.kind is ActionKind.ROLLBACK and action.actor == HANDLER and action.attempt
        if automatic and not body.get("evidence"):
            yield f"action {action.id}: audit row {row.id} has no evidence"
