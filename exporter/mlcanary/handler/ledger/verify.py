"""Whether a ledger's audit is whole and tells the same as its tables. Reads a file, also while a handler holds it.

Guarantee: a `Report` without problems means: the chain of hashes fits from the first row to the last; every action that
went out has one row for each dispatch and exactly one for its effect, by the same actor and under the same plan; each
automatic rollback carries its evidence; every incident that ended has its verdict. What the chain alone cannot show is
that its newest rows were cut off: for that, give the hash that the handler last logged.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from mlcanary.errors import InputError
from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind
from mlcanary.handler.core.machines import INCIDENT, ActionState
from mlcanary.handler.ledger import audit, tables

_ENDED = (ActionState.CONFIRMED, ActionState.CONFLICT, ActionState.FAILED, ActionState.UNKNOWN)
_FINAL = INCIDENT.final_states()
SHOWN = 20


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in `count` rows. `rows` are the newest `SHOWN`, `last` the hash of the newest, empty without one.

    The rows after one that does not fit are neither counted nor shown.
    """

    count: int
    rows: tuple[audit.AuditRow, ...]
    last: str
    problems: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Effect:
    """What a row tells of the end of an action."""

    row: int
    actor: str
    state: str
    plan: str
    evidence: bool


@dataclass(slots=True)
class _Told:
    """What the audit tells, by action and by incident: of each row only this is kept."""

    dispatches: Counter[str] = field(default_factory=Counter)
    effects: dict[str, list[_Effect]] = field(default_factory=lambda: defaultdict(list))
    closed: set[str] = field(default_factory=set)
    closed_by: set[str] = field(default_factory=set)  # actions whose effect ended their incident

    def take(self, row: audit.AuditRow) -> None:
        """Remember what a row tells."""
        if row.kind not in ("dispatch", "effect", "verdict"):
            return
        body = msgspec.json.decode(row.body, type=dict[str, Any])
        action = str(body.get("action"))
        if row.kind == "dispatch":
            self.dispatches[action] += 1
        elif row.kind == "verdict":
            self.closed.add(str(body.get("incident")))
        else:
            state, plan = str(body.get("state")), str(body.get("plan", ""))
            self.effects[action].append(_Effect(row.id, row.actor, state, plan, bool(body.get("evidence"))))
            if body.get("incident") in _FINAL:  # the state that the incident went to
                self.closed_by.add(action)


def verify_file(path: Path, *, expected: str = "") -> Report:
    """The report on a ledger's file, all of one moment. Raises InputError for what is no ledger.

    Input: `expected` is a hash that the chain must contain, as the handler logs them; at least its first digits.
    """
    try:
        db = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None)
        try:
            db.execute("BEGIN")
            return _verify(db, expected)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise InputError(f"{path}: is no ledger of a handler: {error}", hint="give the file of --state.path") from error


def _verify(db: sqlite3.Connection, expected: str) -> Report:
    told, newest, problems = _Told(), deque[audit.AuditRow](maxlen=SHOWN), list[str]()
    count, met = 0, not expected
    for row, fits in audit.walk(db):
        count += 1
        newest.append(row)
        if not fits:
            problem = f"audit row {row.id} does not fit the chain: it or a row before it was changed, removed or put in"
            return Report(count, tuple(newest), row.hash, (problem,))
        met = met or row.hash.startswith(expected)
        told.take(row)
    problems += _against_tables(db, told)
    if not met:
        problems.append(f"no row has the hash {expected}: rows at the end are missing, or it is another ledger")
    return Report(count, tuple(newest), newest[-1].hash if newest else "", tuple(problems))


def _against_tables(db: sqlite3.Connection, told: _Told) -> Iterator[str]:
    closed = set(told.closed)
    for found in db.execute(tables.SELECT_ACTION + "1 ORDER BY rowid"):
        action = tables.action_of(found)
        if action.id in told.closed_by:
            closed.add(action.incident)
        yield from _of_action(action, told)
    for found in db.execute(tables.SELECT_INCIDENT + "1 ORDER BY rowid"):
        incident = tables.incident_of(found)
        if incident.state in _FINAL and incident.id not in closed:
            yield f"incident {incident.id} ended as {incident.state}, and no row of the audit says so"


def _of_action(action: Action, told: _Told) -> Iterator[str]:
    out, effects = told.dispatches[action.id], told.effects.get(action.id, [])
    if out != action.attempt:
        yield f"action {action.id} went out {action.attempt} times, the audit has {out} dispatches"
    if len(effects) != (action.state in _ENDED):
        yield f"action {action.id} is {action.state}, the audit has {len(effects)} effects of it"
    for effect in effects:
        if effect.state != action.state:
            yield f"action {action.id} is {action.state}, audit row {effect.row} says {effect.state}"
        if effect.actor != action.actor or effect.plan != action.plan:
            yield f"action {action.id}: audit row {effect.row} names another actor or plan"
        automatic = action.kind is ActionKind.ROLLBACK and action.actor == HANDLER and action.attempt
        if automatic and not effect.evidence:
            yield f"action {action.id}: audit row {effect.row} has no evidence"
