"""Incidents and their actions: planned, dispatched and finished in single transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind, Event, Incident
from mlcanary.handler.core.machines import ACTION, INCIDENT, RELEASE_OF_INCIDENT, ActionState, IncidentState
from mlcanary.handler.core.policy import LedgerView
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.ledger import tables
from mlcanary.handler.ledger.events import EventRows
from mlcanary.handler.ledger.releases import ReleaseRows

STORM_SECONDS = 600.0
"""How long an automatic rollback of another target counts for the storm brake."""


class Dispatch(StrEnum):
    """What became of a dispatch. Nothing was changed unless it went out."""

    OUT = "out"
    FROZEN = "frozen"
    QUARANTINED = "quarantined"


class IncidentRows(EventRows, ReleaseRows):
    """See the module. Part of `Ledger`."""

    def view(self, target: str, since: float) -> LedgerView:
        """What the policy asks about a target; `since` bounds the actions looked at."""
        with self._reading():
            return self._view(target, since)

    def plan(
        self,
        events: Sequence[Event],
        incident: Incident,
        action: Action | None,
        *,
        allowed: Callable[[LedgerView], bool],
        body: Mapping[str, object],
        since: float,
        now: float,
    ) -> bool:
        """Open an incident with its planned action, if `allowed` still says so in this transaction.

        `action` is None for an incident that waits for approval. The release of the bad version goes with it.
        """
        with self._transaction("plan"):
            if not allowed(self._view(incident.target, since)):
                return False
            INCIDENT.check("", incident.state)
            tables.insert(self._db, "incident", incident)
            if action is not None:
                self._insert_action(action)
            self._mark(events, "decided", "act", "", now)
            self._mirror(incident, incident.state, now)
            told = {"incident": incident.id, "action": action.id if action is not None else "", "plan": incident.plan}
            self._audit(now, "plan", incident.target, {**told, **body}, actor=incident.actor)
        return True

    def approve(self, incident: Incident, action: Action, *, now: float) -> None:
        """Let an incident that waits for approval act; `action` carries who approved."""
        with self._transaction("approve"):
            self._move(incident.id, IncidentState.ACTING, note=f"approved by {action.actor}", now=now)
            self._insert_action(action)
            self._mirror(incident, IncidentState.ACTING, now)
            body = {"incident": incident.id, "action": action.id, "plan": action.plan}
            self._audit(now, "approve", incident.target, body, actor=action.actor)

    def plan_stage(self, action: Action, now: float) -> None:
        """Plan the next stage of an incident that is moved in several."""
        with self._transaction("plan"):
            self._insert_action(action)
            body = {"incident": action.incident, "action": action.id, "stage": action.stage}
            self._audit(now, "stage", action.target, body, actor=action.actor)

    def plan_reassert(self, action: Action, now: float) -> None:
        """Plan to set the state of an incident or of a release again."""
        with self._transaction("plan"):
            self._insert_action(action)
            body = {"incident": action.incident, "release": action.release, "action": action.id}
            self._audit(now, "reassert", action.target, body, actor=action.actor)

    def dispatch(self, action: Action, now: float, *, gaining: Sequence[str] = (), force: bool = False) -> Dispatch:
        """Mark an action as under way and count the attempt, unless it must not go out.

        Input: `gaining` are the digests of the versions that get more traffic. Freeze and quarantine are read in this
        transaction. An order of a person passes a freeze; with `force` it passes the quarantine.
        """
        with self._transaction("dispatch"):
            if action.actor == HANDLER and self._holds(action):
                return Dispatch.FROZEN
            if not force and self._quarantined(action.target, gaining):
                return Dispatch.QUARANTINED
            ACTION.check(self._state_of("action", action.id), ActionState.DISPATCHED)
            self._db.execute(
                "UPDATE action SET state='dispatched', attempt=attempt+1,"
                " dispatched=CASE dispatched WHEN 0 THEN ? ELSE dispatched END WHERE id=?",
                (now, action.id),
            )
            body = {"action": action.id, "attempt": action.attempt + 1, "desired": dict(action.desired.weights)}
            self._audit(now, "dispatch", action.target, body, actor=action.actor)
        return Dispatch.OUT

    def _holds(self, action: Action) -> bool:
        level = self._frozen(action.target)
        return level is FreezeLevel.ALL or (level is FreezeLevel.PROMOTE and action.kind is ActionKind.STEP)

    def finish(self, action: Action, state: ActionState, incident: IncidentState, *, note: str, now: float) -> None:
        """Record how an action ended and where its incident goes; a confirmed effect restarts its clock."""
        with self._transaction("finish"):
            self._finish_action(action, state, note)
            self._move(action.incident, incident, note=note, now=now)
            row = self._incident(action.incident)
            self._mirror(row, incident, now)
            if incident is IncidentState.ABANDONED:
                # Nothing was done: whatever led to it waits for a decision on fresh evidence.
                self._db.execute(tables.REOPEN_EVENTS, {"now": now, "incident": action.incident})
            body = {
                "action": action.id,
                "state": state,
                "incident": incident,
                "note": note,
                "plan": action.plan,
                "evidence": msgspec.json.decode(row.evidence),
            }
            self._audit(now, "effect", action.target, body, actor=action.actor)

    def finish_beside(self, action: Action, state: ActionState, *, note: str, now: float) -> None:
        """Record how a reassert or a step ended; a running verification starts over."""
        with self._transaction("finish"):
            self._finish_action(action, state, note)
            if state is ActionState.CONFIRMED and action.kind is ActionKind.REASSERT:
                self._db.execute(
                    "UPDATE incident SET effect=? WHERE id=? AND state='verifying'", (now, action.incident)
                )
            body = {"action": action.id, "state": state, "note": note, "plan": action.plan, "release": action.release}
            self._audit(now, "effect", action.target, body, actor=action.actor)

    def close_incident(
        self, incident: Incident, state: IncidentState, *, note: str, now: float, actor: str = HANDLER
    ) -> None:
        """Record how an incident ended."""
        with self._transaction("close"):
            self._move(incident.id, state, note=note, now=now)
            self._mirror(incident, state, now)
            body = {"incident": incident.id, "state": state, "note": note, "bad": incident.bad}
            self._audit(now, "verdict", incident.target, body, actor=actor)

    def acknowledge(self, incident: str, *, actor: str, now: float) -> bool:
        """Note that a person has seen it. False if there is no such incident or it is acknowledged."""
        with self._transaction("acknowledge"):
            done = self._db.execute(
                "UPDATE incident SET acknowledged=?, acknowledged_by=? WHERE id=? AND acknowledged=0",
                (now, actor, incident),
            ).rowcount
            if done:
                self._audit(now, "acknowledge", self._incident(incident).target, {"incident": incident}, actor=actor)
        return bool(done)

    # --- reading

    def incident(self, name: str) -> Incident | None:
        """An incident by id."""
        return next(iter(self._incidents("id=?", (name,))), None)

    def open_incidents(self) -> list[Incident]:
        """Every incident that still runs."""
        return self._incidents(tables.OPEN_INCIDENT, ())

    def ended_badly(self, since: float) -> list[Incident]:
        """Incidents that ended since then with the traffic not proven to be back: each of them pages."""
        states = (IncidentState.FAILED, IncidentState.STUCK, IncidentState.INEFFECTIVE)
        return self._incidents("state IN (?, ?, ?) AND closed >= ?", (*states, since))

    def open_incident(self, target: str) -> Incident | None:
        """The incident of a target that still runs."""
        return next(iter(self._incidents(f"target=? AND {tables.OPEN_INCIDENT}", (target,))), None)

    def last_incident(self, target: str) -> Incident | None:
        """The newest incident of a target."""
        return next(iter(self.incidents(target, 1)), None)

    def incidents(self, target: str, count: int) -> list[Incident]:
        """The newest incidents of a target, newest first."""
        return self._incidents("target=? ORDER BY opened DESC, rowid DESC LIMIT ?", (target, count))

    def actions(self, incident: str) -> list[Action]:
        """Actions of an incident, oldest first."""
        return self._actions("incident=? ORDER BY rowid", (incident,))

    def actions_of_release(self, release: str) -> list[Action]:
        """Actions of a release, oldest first."""
        return self._actions("release=? ORDER BY rowid", (release,))

    def unfinished(self, target: str) -> list[Action]:
        """Actions of a target that are planned or under way, oldest first."""
        return self._actions("target=? AND state IN ('planned', 'dispatched') ORDER BY rowid", (target,))

    # --- inside

    def _view(self, target: str, since: float) -> LedgerView:
        found = self._db.execute(
            f"SELECT bad FROM incident WHERE target=? AND {tables.OPEN_INCIDENT}", (target,)
        ).fetchone()
        automatic = "FROM action WHERE kind='rollback' AND stage=0 AND actor=? AND dispatched > ?"
        changed = self._db.execute(
            f"SELECT dispatched {automatic} AND target=? ORDER BY 1", (HANDLER, max(0.0, since), target)
        ).fetchall()
        others = self._db.execute(
            f"SELECT target, MAX(dispatched) {automatic} AND target<>? GROUP BY target",
            (HANDLER, max(0.0, since), target),
        ).fetchall()
        model = self._db.execute("SELECT digest, status FROM version").fetchall()
        return LedgerView(
            level=self._frozen(target),
            open_version=found[0] if found else None,
            changed=tuple(row[0] for row in changed),
            others=tuple(row[1] for row in others),
            proven=frozenset(row[0] for row in model if row[1] == "proven"),
            quarantined=frozenset(row[0] for row in model if row[1] == "quarantined"),
        )

    def _move(self, incident: str, state: IncidentState, *, note: str, now: float) -> None:
        INCIDENT.check(self._state_of("incident", incident), state)
        effect = now if state is IncidentState.VERIFYING else 0.0
        closed = now if state in INCIDENT.final_states() else 0.0
        self._db.execute(
            "UPDATE incident SET state=?, note=?, closed=?, effect=CASE ? WHEN 0.0 THEN effect ELSE ? END WHERE id=?",
            (state, note, closed, effect, effect, incident),
        )

    def _mirror(self, incident: Incident, state: IncidentState, now: float) -> None:
        """The release of the bad version goes where its incident goes, in the same transaction."""
        wanted = RELEASE_OF_INCIDENT.get(state)
        release = self._open_release(incident.target)
        if wanted is None or release is None or release.candidate != incident.bad or release.state is wanted:
            return
        self._move_release(release, wanted, note=f"incident {incident.id}: {state}", now=now)

    def _finish_action(self, action: Action, state: ActionState, note: str) -> None:
        ACTION.check(self._state_of("action", action.id), state)
        self._db.execute("UPDATE action SET state=?, note=? WHERE id=?", (state, note, action.id))

    def _insert_action(self, action: Action) -> None:
        ACTION.check("", action.state)
        tables.insert(self._db, "action", action)

    def _state_of(self, table: str, name: str) -> str:
        found = self._db.execute(f"SELECT state FROM {table} WHERE id=?", (name,)).fetchone()
        return str(found[0]) if found else ""

    def _incident(self, name: str) -> Incident:
        return tables.incident_of(self._db.execute(tables.SELECT_INCIDENT + "id=?", (name,)).fetchone())

    def _incidents(self, where: str, values: tuple[object, ...]) -> list[Incident]:
        return [tables.incident_of(row) for row in self._all(tables.SELECT_INCIDENT + where, values)]

    def _actions(self, where: str, values: tuple[object, ...]) -> list[Action]:
        return [tables.action_of(row) for row in self._all(tables.SELECT_ACTION + where, values)]
