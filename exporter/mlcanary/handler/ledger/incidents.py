"""Incidents and their actions: planned, dispatched and finished in single transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind, Event, Incident
from mlcanary.handler.core.machines import ACTION, INCIDENT, RELEASE, RELEASE_OF_INCIDENT, ActionState, IncidentState
from mlcanary.handler.core.policy import LedgerView
from mlcanary.handler.core.releases import Version, VersionStatus
from mlcanary.handler.ledger import tables
from mlcanary.handler.ledger.dispatch import Dispatch, DispatchRows
from mlcanary.handler.ledger.events import EventRows

__all__ = ["Dispatch", "IncidentRows"]

_TOLD = {
    IncidentState.AWAITING_APPROVAL: "approval",
    IncidentState.RESOLVED: "rolled_back",
    IncidentState.INEFFECTIVE: "ineffective",
    IncidentState.STUCK: "stuck",
    IncidentState.FAILED: "failed",
}
"""Which message tells that an incident got here."""


class IncidentRows(EventRows, DispatchRows):
    """See the module. Part of `Ledger`."""

    def view(self, target: str, model: str, since: float) -> LedgerView:
        """What the policy asks about a target and its model; `since` bounds the actions looked at."""
        with self._reading():
            return self._view(target, model, since)

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

        `action` is None for an incident that waits for approval or for capacity. The release of the bad version goes
        with it.
        """
        with self._transaction("plan"):
            if not allowed(self._view(incident.target, incident.model, since)):
                return False
            INCIDENT.check("", incident.state)
            tables.insert(self._db, "incident", incident)
            if action is not None:
                self._insert_action(action)
            self._mark(events, "decided", "act", "", now)
            self._mirror(incident, incident.state, now)
            told = {"incident": incident.id, "action": action.id if action is not None else "", "plan": incident.plan}
            self._audit(now, "plan", incident.target, {**told, **body}, actor=incident.actor)
            if incident.state is IncidentState.AWAITING_APPROVAL:
                self._tell(incident, incident.state, "waits for approval", now)
        return True

    def approve(self, incident: Incident, action: Action, *, now: float, order: str = "") -> None:
        """Let an incident that waits for approval act; `action` carries who approved.

        `order` is the order that said so: it is done in the same transaction, so it counts once.
        """
        with self._transaction("approve"):
            self._move(incident.id, IncidentState.ACTING, note=f"approved by {action.actor}", now=now)
            self._insert_action(action)
            self._mirror(incident, IncidentState.ACTING, now)
            self._db.execute("UPDATE orders SET state='done', note='approved' WHERE id=?", (order,))
            body = {"incident": incident.id, "action": action.id, "plan": incident.plan, "order": order}
            self._audit(now, "approve", incident.target, body, actor=action.actor)

    def abandon(self, incident: Incident, *, note: str, reopen: bool, now: float, actor: str = HANDLER) -> None:
        """End an incident that waits for approval. With `reopen` its alerts are decided afresh.

        The release of the bad version was not moved by it, and is not moved now.
        """
        with self._transaction("close"):
            self._move(incident.id, IncidentState.ABANDONED, note=note, now=now)
            if reopen:
                self._db.execute(tables.REOPEN_EVENTS, {"now": now, "incident": incident.id})
            body = {"incident": incident.id, "state": IncidentState.ABANDONED, "note": note, "plan": incident.plan}
            self._audit(now, "verdict", incident.target, body, actor=actor)
            self._tell(incident, IncidentState.ABANDONED, note, now)

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

    def finish(
        self,
        action: Action,
        state: ActionState,
        incident: IncidentState,
        *,
        note: str,
        now: float,
        proof: Mapping[str, object] | None = None,
    ) -> None:
        """Record how an action ended and where its incident goes; a confirmed effect restarts its clock.

        `proof` is what was read back. The audit row has all that led to the effect and shows it.
        """
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
                "proof": proof or {},
                "evidence": msgspec.json.decode(row.evidence),
            }
            self._audit(now, "effect", action.target, body, actor=action.actor)
            self._tell(row, incident, note, now)

    def finish_beside(
        self,
        action: Action,
        state: ActionState,
        *,
        note: str,
        now: float,
        proof: Mapping[str, object] | None = None,
    ) -> None:
        """Record how a reassert or a step ended; a running verification starts over."""
        with self._transaction("finish"):
            self._finish_action(action, state, note)
            if state is ActionState.CONFIRMED and action.kind is ActionKind.REASSERT:
                self._db.execute(
                    "UPDATE incident SET effect=? WHERE id=? AND state='verifying'", (now, action.incident)
                )
            expected = dict(action.expected.weights) if action.expected is not None else None
            body = {"action": action.id, "state": state, "note": note, "plan": action.plan, "release": action.release}
            told = {"incident": action.incident, "proof": proof or {}, "evidence": {"found": expected}}
            self._audit(now, "effect", action.target, {**body, **told}, actor=action.actor)

    def verify_from(self, incident: Incident, now: float) -> None:
        """Let a running verification start over now: the clock went back."""
        with self._transaction("verify"):
            self._db.execute("UPDATE incident SET effect=? WHERE id=? AND state='verifying'", (now, incident.id))
            note = "the clock went back: verified from now on"
            body = {"incident": incident.id, "note": note, "was": incident.effect}
            self._audit(now, "verify", incident.target, body)

    def close_incident(
        self,
        incident: Incident,
        state: IncidentState,
        *,
        note: str,
        now: float,
        actor: str = HANDLER,
        versions: Sequence[Version] = (),
    ) -> None:
        """Record how an incident ended, and what is known of its artefacts since."""
        with self._transaction("close"):
            self._move(incident.id, state, note=note, now=now)
            self._mirror(incident, state, now)
            for version in versions:
                self._set_version(version)
            done = self._db.execute(
                "SELECT id FROM action WHERE incident=? AND dispatched > 0 ORDER BY rowid", (incident.id,)
            )
            body = {
                "incident": incident.id,
                "state": state,
                "note": note,
                "bad": incident.bad,
                "plan": incident.plan,
                "actions": [row[0] for row in done],
                **{str(version.status): version.digest for version in versions},
            }
            self._audit(now, "verdict", incident.target, body, actor=actor)
            self._tell(incident, state, note, now)

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

    def _view(self, target: str, model: str, since: float) -> LedgerView:
        found = self._db.execute(
            f"SELECT bad FROM incident WHERE target=? AND {tables.OPEN_INCIDENT}", (target,)
        ).fetchone()
        changed = self._db.execute(
            "SELECT dispatched FROM action WHERE kind='rollback' AND stage=0 AND actor=? AND dispatched > ?"
            " AND target=? ORDER BY 1",
            (HANDLER, max(0.0, since), target),
        ).fetchall()
        release = self._open_release(target)
        return LedgerView(
            level=self._frozen(target),
            open_version=found[0] if found else None,
            changed=tuple(row[0] for row in changed),
            proven=self._artefacts(model, VersionStatus.PROVEN),
            quarantined=self._artefacts(model, VersionStatus.QUARANTINED),
            candidate=release.candidate if release is not None else "",
            stable=release.stable if release is not None else "",
        )

    def _tell(self, incident: Incident, state: IncidentState, note: str, now: float) -> None:
        """Queue the message about a move, in its transaction: told at least once, and never without the move."""
        kind = "approval" if state is IncidentState.ABANDONED else _TOLD.get(state)
        if kind is None or (state is IncidentState.ABANDONED and incident.state is not IncidentState.AWAITING_APPROVAL):
            return
        body = {
            "target": incident.target,
            "model": incident.model,
            "version": incident.bad,
            "destination": incident.good,
            "incident": incident.id,
            "plan": incident.plan,
            "state": state,
            "note": note,
            "actor": incident.actor,
            "expires": incident.expires,
            "figures": msgspec.json.decode(incident.evidence),
        }
        self._queue(kind, incident.target, body, now)

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
        if not RELEASE.allows(release.state, wanted):  # a staged release has nothing to give back
            return
        self._move_release(release, wanted, note=f"incident {incident.id}: {state}", now=now)

    def _finish_action(self, action: Action, state: ActionState, note: str) -> None:
        ACTION.check(self._state_of("action", action.id), state)
        self._db.execute("UPDATE action SET state=?, note=? WHERE id=?", (state, note, action.id))

    def _insert_action(self, action: Action) -> None:
        ACTION.check("", action.state)
        tables.insert(self._db, "action", action)

    def _incident(self, name: str) -> Incident:
        return tables.incident_of(self._db.execute(tables.SELECT_INCIDENT + "id=?", (name,)).fetchone())

    def _incidents(self, where: str, values: tuple[object, ...]) -> list[Incident]:
        return [tables.incident_of(row) for row in self._all(tables.SELECT_INCIDENT + where, values)]

    def _actions(self, where: str, values: tuple[object, ...]) -> list[Action]:
        return [tables.action_of(row) for row in self._all(tables.SELECT_ACTION + where, values)]
