"""The one door through which an action goes out: freeze, quarantine and the storm brake stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind
from mlcanary.handler.core.machines import ACTION, ActionState
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.ledger import tables
from mlcanary.handler.ledger.book import EVERYTHING, STORM_BRAKE
from mlcanary.handler.ledger.releases import ReleaseRows

Storm = tuple[int, float]
"""So many targets rolled back automatically within so many seconds freeze everything."""


class Dispatch(StrEnum):
    """What became of a dispatch. Nothing was changed unless it went out."""

    OUT = "out"
    FROZEN = "frozen"
    QUARANTINED = "quarantined"


class DispatchRows(ReleaseRows):
    """See the module. Part of `Ledger`."""

    def dispatch(
        self,
        action: Action,
        now: float,
        *,
        gaining: Sequence[str] = (),
        force: bool = False,
        storm: Storm | None = None,
    ) -> Dispatch:
        """Mark an action as under way and count the attempt, unless it must not go out.

        Input: `gaining` are the digests of the versions that get more traffic. Freeze and quarantine are read in this
        transaction. An order of a person passes a freeze; with `force` it passes the quarantine. An automatic rollback
        that reaches `storm` still goes out, and everything is frozen in the same transaction.
        """
        with self._transaction("dispatch"):
            if action.actor == HANDLER and self._held(action):
                return Dispatch.FROZEN
            if not force and self._quarantined(self._model_of(action), gaining):
                return Dispatch.QUARANTINED
            ACTION.check(self._state_of("action", action.id), ActionState.DISPATCHED)
            self._db.execute(
                "UPDATE action SET state='dispatched', attempt=attempt+1,"
                " dispatched=CASE dispatched WHEN 0 THEN ? ELSE dispatched END WHERE id=?",
                (now, action.id),
            )
            body = {"action": action.id, "attempt": action.attempt + 1, "desired": dict(action.desired.weights)}
            self._audit(now, "dispatch", action.target, {**body, "plan": action.plan}, actor=action.actor)
            if storm is not None and action.actor == HANDLER and action.kind is ActionKind.ROLLBACK:
                self._brake(storm, now)
        return Dispatch.OUT

    def held(self, action: Action) -> bool:
        """Whether a freeze stops an automatic action.

        The storm brake lets the incidents go on that it found open: a freeze cancels nothing that is under way.
        """
        with self._reading():
            return self._held(action)

    # --- inside

    def _held(self, action: Action) -> bool:
        level = self._frozen(action.target)
        if level is FreezeLevel.ALL and action.kind is ActionKind.ROLLBACK:
            return not self._only_braked_after(action)
        return level is FreezeLevel.ALL or (level is FreezeLevel.PROMOTE and action.kind is ActionKind.STEP)

    def _only_braked_after(self, action: Action) -> bool:
        if self._freeze_file is not None and self._freeze_file.exists():
            return False
        where = "scope IN (?, ?) AND level=?"
        freezes = self._db.execute(
            tables.SELECT_FREEZE + where, (EVERYTHING, action.target, FreezeLevel.ALL)
        ).fetchall()
        opened = self._db.execute("SELECT opened FROM incident WHERE id=?", (action.incident,)).fetchone()
        found = [tables.freeze_of(row) for row in freezes]
        return opened is not None and all(f.actor == STORM_BRAKE and opened[0] <= f.since for f in found)

    def _model_of(self, action: Action) -> str:
        query = "SELECT model FROM incident WHERE id=? UNION SELECT model FROM release WHERE id=?"
        found = self._db.execute(query, (action.incident, action.release)).fetchone()
        return str(found[0]) if found else ""

    def _brake(self, storm: Storm, now: float) -> None:
        targets, window = storm
        query = "SELECT COUNT(DISTINCT target) FROM action WHERE kind='rollback' AND actor=? AND dispatched > ?"
        count = self._db.execute(query, (HANDLER, max(0.0, now - window))).fetchone()[0]
        braked = self._db.execute("SELECT 1 FROM freeze WHERE scope=? AND level='all'", (EVERYTHING,)).fetchone()
        if count >= targets and braked is None:
            reason = f"{count} targets were rolled back within {window:g} s"
            self._set_freeze(EVERYTHING, FreezeLevel.ALL, reason, STORM_BRAKE, now)

    def _state_of(self, table: str, name: str) -> str:
        found = self._db.execute(f"SELECT state FROM {table} WHERE id=?", (name,)).fetchone()
        return str(found[0]) if found else ""
