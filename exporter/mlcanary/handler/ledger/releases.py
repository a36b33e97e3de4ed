"""Releases and the versions that they are about."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind
from mlcanary.handler.core.machines import ACTION, RELEASE, ActionState, ReleaseState
from mlcanary.handler.core.releases import Release, Version, VersionStatus
from mlcanary.handler.ledger import tables
from mlcanary.handler.ledger.book import Book


class ReleaseRows(Book):
    """See the module. Part of `Ledger`."""

    def submit(self, release: Release, now: float) -> None:
        """Stage a release. Raises StateError if one is open on the target."""
        with self._transaction("submit"):
            RELEASE.check("", release.state)
            tables.insert(self._db, "release", release)
            body = {"release": release.id, "candidate": release.candidate, "digest": release.digest}
            self._audit(now, "submit", release.target, {**body, "stable": release.stable}, actor=release.actor)

    def move_release(self, release: Release, state: ReleaseState, *, note: str, now: float) -> Release:
        """Record where a release goes, and give it as it is then; a hold remembers what it interrupted."""
        with self._transaction("release"):
            return self._move_release(release, state, note=note, now=now)

    def plan_step(self, release: Release, action: Action, *, note: str, now: float) -> Release:
        """Go to the step (or the soak) that `action.stage` names, with the action that sets its split."""
        with self._transaction("plan"):
            ACTION.check("", action.state)
            tables.insert(self._db, "action", action)
            gone = self._move_release(release, ReleaseState.STEP, note=note, now=now, step=action.stage)
            body = {"release": release.id, "action": action.id, "step": action.stage, "plan": action.plan}
            self._audit(now, "step", release.target, {**body, "note": note}, actor=action.actor)
        return gone

    def begin_step(self, release: Release, *, trials: float, now: float) -> Release:
        """The split of the step is confirmed: from now on, and from so many judged trials, it is looked at."""
        with self._transaction("release"):
            self._db.execute("UPDATE release SET effect=?, trials=? WHERE id=?", (now, trials, release.id))
        return dataclasses.replace(release, effect=now, trials=trials)

    def prove(self, release: Release, version: Version, *, note: str, now: float) -> Release:
        """End a release: its candidate is the proven version now."""
        with self._transaction("prove"):
            self._set_version(version)
            self._audit(now, "proven", release.target, {"digest": version.digest, "name": version.name})
            return self._move_release(release, ReleaseState.PROVEN, note=note, now=now)

    def open_release(self, target: str) -> Release | None:
        """The release of a target that still runs."""
        with self._reading():
            return self._open_release(target)

    def releases(self, target: str, count: int) -> list[Release]:
        """The newest releases of a target, newest first."""
        rows = self._all(
            tables.SELECT_RELEASE + "target=? ORDER BY submitted DESC, rowid DESC LIMIT ?", (target, count)
        )
        return [tables.release_of(row) for row in rows]

    def step_under_way(self, release: Release) -> Action | None:
        """The newest action of a release's step that did not fail."""
        where = "release=? AND kind=? AND state<>? ORDER BY rowid DESC LIMIT 1"
        rows = self._all(tables.SELECT_ACTION + where, (release.id, ActionKind.STEP, ActionState.FAILED))
        return tables.action_of(rows[0]) if rows else None

    # --- versions

    def set_version(self, version: Version, *, target: str) -> None:
        """Remember what an artefact is: proven, candidate, quarantined."""
        with self._transaction("version"):
            self._set_version(version)
            body = {"model": version.model, "digest": version.digest, "name": version.name, "reason": version.reason}
            self._audit(version.since, str(version.status), target, body, actor=version.actor)

    def versions(self, model: str) -> list[Version]:
        """Every artefact of a model that is remembered."""
        rows = self._all(tables.SELECT_VERSION + "model=? ORDER BY since", (model,))
        return [tables.version_of(row) for row in rows]

    # --- inside

    def _set_version(self, v: Version) -> None:
        if v.actor == HANDLER and v.status is not VersionStatus.QUARANTINED and self._quarantined(v.digest, [v.digest]):
            return  # only a person takes a quarantine back
        self._db.execute("DELETE FROM version WHERE model=? AND digest=?", (v.model, v.digest))
        tables.insert(self._db, "version", v)

    def _quarantined(self, target: str, digests: Sequence[str]) -> bool:
        """Whether one of these artefacts is quarantined. Digests are of artefacts, so the model does not matter."""
        del target
        quarantined = {
            row[0]
            for row in self._db.execute("SELECT digest FROM version WHERE status=?", (VersionStatus.QUARANTINED,))
        }
        return not quarantined.isdisjoint(digests)

    def _open_release(self, target: str) -> Release | None:
        row = self._db.execute(tables.SELECT_RELEASE + f"target=? AND {tables.OPEN_RELEASE}", (target,)).fetchone()
        return None if row is None else tables.release_of(row)

    def _move_release(
        self, release: Release, state: ReleaseState, *, note: str, now: float, step: int | None = None
    ) -> Release:
        RELEASE.check(release.state, state)
        resume = release.state if state is ReleaseState.HOLD else ""
        new_step = step is not None or state is ReleaseState.SOAK
        gone = dataclasses.replace(
            release,
            state=state,
            step=release.step if step is None else step,
            since=now,
            effect=0.0 if new_step and release.state is not ReleaseState.HOLD else release.effect,
            resume=resume,
            closed=now if state in RELEASE.final_states() else 0.0,
            note=note,
        )
        values = (gone.state, gone.step, gone.since, gone.effect, gone.resume, gone.closed, gone.note, gone.id)
        self._db.execute(
            "UPDATE release SET state=?, step=?, since=?, effect=?, resume=?, closed=?, note=? WHERE id=?", values
        )
        self._audit(now, "release", release.target, {"release": release.id, "state": state, "note": note})
        return gone
