"""Releases and the versions that they are about."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from mlcanary.handler.core.incidents import HANDLER, Action, ActionKind
from mlcanary.handler.core.machines import ACTION, RELEASE, ActionState, ReleaseState
from mlcanary.handler.core.releases import Release, Version, VersionStatus
from mlcanary.handler.ledger import tables
from mlcanary.handler.ledger.book import Book


class ReleaseRows(Book):
    """See the module. Part of `Ledger`."""

    def submit(self, release: Release, now: float) -> None:
        """Stage a release; its artefact is a candidate unless more is known. Raises StateError if one is open."""
        with self._transaction("submit"):
            RELEASE.check("", release.state)
            tables.insert(self._db, "release", release)
            if self._status(release.model, release.digest) is None:
                self._set_version(_version(release, VersionStatus.CANDIDATE, f"release {release.id}", now))
            body = {"release": release.id, "candidate": release.candidate, "digest": release.digest}
            self._audit(now, "submit", release.target, {**body, "stable": release.stable}, actor=release.actor)
            self._say("submitted", release, now)

    def move_release(self, release: Release, state: ReleaseState, *, note: str, now: float) -> Release:
        """Record where a release goes, and give it as it is then; a hold remembers what it interrupted."""
        with self._transaction("release"):
            return self._move_release(release, state, note=note, now=now)

    def plan_step(
        self, release: Release, action: Action, *, note: str, evidence: Mapping[str, object], now: float
    ) -> Release:
        """Go to the step that `action.stage` names, with the action that sets its split and the evidence for it."""
        with self._transaction("plan"):
            ACTION.check("", action.state)
            tables.insert(self._db, "action", action)
            gone = self._move_release(release, ReleaseState.STEP, note=note, now=now, step=action.stage)
            body = {"release": release.id, "action": action.id, "step": action.stage, "plan": action.plan}
            told = {**body, "note": note, "evidence": evidence}
            self._audit(now, "step", release.target, told, actor=action.actor)
        return gone

    def begin_step(self, release: Release, *, trials: float, now: float, share: str = "") -> Release:
        """The split of the step is confirmed: from now on, and from so many judged trials, it is looked at.

        Called again, with the time of the effect, once the judge has told how many trials that were. People are told
        of a `share`.
        """
        with self._transaction("release"):
            self._db.execute("UPDATE release SET effect=?, trials=? WHERE id=?", (now, trials, release.id))
            if share:
                self._say("step", release, now, share=share, note=release.note)
        return dataclasses.replace(release, effect=now, trials=trials)

    def tell_release(self, release: Release, *, why: str, now: float) -> Release:
        """Tell people, once, that the release waits for too long."""
        with self._transaction("release"):
            self._db.execute("UPDATE release SET told=? WHERE id=?", (now, release.id))
            self._say("held", release, now, note=why)
        return dataclasses.replace(release, told=now)

    def prove(self, release: Release, *, stable: str, evidence: Mapping[str, object], note: str, now: float) -> Release:
        """End a release: its candidate is the proven version now, and the version before stays one to go back to.

        Input: `stable` is the digest of the version before.
        """
        with self._transaction("prove"):
            known = self._status(release.model, stable)
            if known is None or known is VersionStatus.CANDIDATE:
                reason = f"stable before release {release.id}"
                before = Version(release.model, stable, release.stable, VersionStatus.PROVEN, reason, HANDLER, now)
                self._set_version(before)
                self._audit(now, "proven", release.target, {"digest": stable, "name": release.stable})
            self._set_version(_version(release, VersionStatus.PROVEN, f"release {release.id}", now))
            told = {"digest": release.digest, "name": release.candidate, "release": release.id}
            self._audit(now, "proven", release.target, {**told, "evidence": evidence})
            self._say("promoted", release, now)
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

    def _say(self, kind: str, release: Release, now: float, **more: str) -> None:
        """Queue a message about a release, in the transaction of what it tells of."""
        about = {"target": release.target, "model": release.model, "release": release.id, "actor": release.actor}
        body = {**about, "version": release.candidate, "stable": release.stable, **more}
        self._queue(kind, release.target, body, now)

    def _set_version(self, v: Version) -> None:
        if v.actor == HANDLER and v.status is not VersionStatus.QUARANTINED and self._quarantined(v.model, [v.digest]):
            return  # only a person takes a quarantine back
        self._db.execute("DELETE FROM version WHERE model=? AND digest=?", (v.model, v.digest))
        tables.insert(self._db, "version", v)

    def _status(self, model: str, digest: str) -> VersionStatus | None:
        query = "SELECT status FROM version WHERE model=? AND digest=?"
        row = self._db.execute(query, (model, digest)).fetchone()
        return None if row is None else VersionStatus(row[0])

    def _quarantined(self, model: str, digests: Sequence[str]) -> bool:
        """Whether one of these artefacts of a model is quarantined."""
        return not self._artefacts(model, VersionStatus.QUARANTINED).isdisjoint(digests)

    def _artefacts(self, model: str, status: VersionStatus) -> frozenset[str]:
        """Digests with a status. One that is only a version's name tells nothing of another model's version."""
        query = "SELECT digest FROM version WHERE status=? AND (model=? OR digest<>name)"
        return frozenset(row[0] for row in self._db.execute(query, (status, model)))

    def _open_release(self, target: str) -> Release | None:
        row = self._db.execute(tables.SELECT_RELEASE + f"target=? AND {tables.OPEN_RELEASE}", (target,)).fetchone()
        return None if row is None else tables.release_of(row)

    def _move_release(
        self, release: Release, state: ReleaseState, *, note: str, now: float, step: int | None = None
    ) -> Release:
        RELEASE.check(release.state, state)
        interrupted = release.state if release.state is ReleaseState.SOAK else ReleaseState.STEP
        gone = dataclasses.replace(
            release,
            state=state,
            step=release.step if step is None else step,
            since=now,
            effect=release.effect if step is None else 0.0,
            resume=interrupted if state is ReleaseState.HOLD else "",
            closed=now if state in RELEASE.final_states() else 0.0,
            note=note,
            told=0.0,
        )
        changed = ("state", "step", "since", "effect", "resume", "closed", "note", "told")
        values = tuple(getattr(gone, name) for name in changed)
        columns = ", ".join(f"{name}=?" for name in changed)
        self._db.execute(f"UPDATE release SET {columns} WHERE id=?", (*values, gone.id))
        self._audit(now, "release", release.target, {"release": release.id, "state": state, "note": note})
        return gone


def _version(release: Release, status: VersionStatus, reason: str, now: float) -> Version:
    return Version(release.model, release.digest, release.candidate, status, reason, HANDLER, now)
