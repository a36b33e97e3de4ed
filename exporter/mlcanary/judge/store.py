"""Durable memory of the judge: what was read, every step of every canary, every decision. SQLite, one file, one leader.

Guarantees: one grid time is ONE transaction (WAL, `synchronous=FULL`): its steps, the memory of the counters, the time
up to which was read, snapshots and records are on disk together or not at all. A kill at any instant therefore leaves
a state from which the next grid times are read as they would have been. A commit names the time that it follows; one
that does not follow what the file holds is refused, so that no step is ever counted twice. Steps are the archive:
snapshots only save work at a start. An operating-system lock on the file is held for life, and dies with the process.

Calls block for the time of a disk flush; they come from one thread at a time, but for `record`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from mlcanary import durable
from mlcanary.errors import StateError
from mlcanary.judge.contract import CanaryKey, Counts, Plan, Step

Checkpoint = durable.Checkpoint
"""Called before and after each commit with its name. Nothing in production."""

LAYOUT = 1
FIRST_HASH = ""
"""`previous` of the first record."""

_LEVEL, _QUICK = 6, 1
_EXACT = 2.0**53
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS canary (
    id INTEGER PRIMARY KEY, cluster TEXT NOT NULL, namespace TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    baseline TEXT NOT NULL, start REAL NOT NULL, plan BLOB NOT NULL, life BLOB NOT NULL,
    ended REAL, why TEXT NOT NULL DEFAULT '', snapshot BLOB, snapshot_seq INTEGER NOT NULL DEFAULT 0,
    UNIQUE (cluster, namespace, model, version, baseline, start));
CREATE TABLE IF NOT EXISTS step (
    canary INTEGER NOT NULL REFERENCES canary (id), seq INTEGER NOT NULL, start REAL NOT NULL, end REAL NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (canary, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY, canary INTEGER NOT NULL REFERENCES canary (id), at REAL NOT NULL, verdict TEXT NOT NULL,
    body BLOB NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS record_canary ON record (canary);
CREATE TRIGGER IF NOT EXISTS record_no_update BEFORE UPDATE ON record
    BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER IF NOT EXISTS record_no_delete BEFORE DELETE ON record
    BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
"""
_KEY = "cluster, namespace, model, version, baseline, start"


class HeldError(StateError):
    """Another judge leads on this file. It may end at any time."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What says whether a canary has ended; Unix seconds of Prometheus time.

    `seen`: last time at which it was named a canary. `active`: last time at which it gained a count. `missed`: requests
    that the baseline had since.
    """

    seen: float
    active: float
    missed: float = 0.0


@dataclass(frozen=True, slots=True)
class SavedCanary:
    """A canary whose judging goes on. `snapshot` holds the first `snapshot_steps` of its `steps` steps.

    `recorded`: verdict of its newest record, None before the first.
    """

    key: CanaryKey
    plan: Plan
    life: Life
    steps: int
    snapshot: bytes | None
    snapshot_steps: int
    recorded: str | None


@dataclass(frozen=True, slots=True)
class Saved:
    """All that a start needs, but for the steps."""

    read_at: float | None
    counters: bytes | None
    canaries: tuple[SavedCanary, ...]
    notes: Mapping[str, bytes]
    last_hash: str


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A decision record to keep."""

    key: CanaryKey
    at: float
    verdict: str
    body: bytes
    previous: str
    hash: str


@dataclass(slots=True)
class Changes:
    """What one grid time changes. `previous`: the time read before, None at the first reading.

    `ended`: canaries that end, and why. `snapshots`: state after all steps, those of these changes among them. `notes`:
    small facts by name.
    """

    previous: float | None
    read_at: float
    counters: bytes
    started: list[tuple[CanaryKey, Plan, Life]] = field(default_factory=list)
    steps: list[tuple[CanaryKey, Step]] = field(default_factory=list)
    lives: dict[CanaryKey, Life] = field(default_factory=dict)
    ended: dict[CanaryKey, str] = field(default_factory=dict)
    snapshots: dict[CanaryKey, bytes] = field(default_factory=dict)
    records: list[NewRecord] = field(default_factory=list)
    notes: dict[str, bytes] = field(default_factory=dict)


class Archive(Protocol):
    """What the judge needs of its memory; what each call promises stands at `Store`."""

    def load(self) -> Saved:
        """Everything but the steps."""

    def steps(self, key: CanaryKey, after: int = 0) -> Iterator[Step]:
        """Steps of a canary, oldest first."""

    def commit(self, changes: Changes) -> None:
        """Keep one grid time, all or nothing."""

    def save_snapshots(self, snapshots: Mapping[CanaryKey, bytes]) -> None:
        """Keep the state of canaries."""

    def prune(self, before: float) -> None:
        """Drop the steps of canaries that ended before a time."""

    def close(self) -> None:
        """The judge needs it no more."""


class Store:
    """See the module. Raises HeldError while another judge leads, StateError for a file that cannot be used."""

    def __init__(self, path: Path, checkpoint: Checkpoint = lambda _name: None) -> None:
        self.path = path
        self._checkpoint = checkpoint
        self._lock = _lock(path)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, LAYOUT):
                raise sqlite3.DatabaseError(f"layout {found}, this version writes {LAYOUT}")
            self._db.executescript(_SCHEMA + f"PRAGMA user_version={LAYOUT};")
        except sqlite3.Error as error:
            os.close(self._lock)
            hint = "move it away to start anew: canaries then begin again, each with an alpha of its own"
            raise StateError(f"{path}: not a usable state file: {error}", hint=hint) from error

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
        os.close(self._lock)

    # --- reading

    def load(self) -> Saved:
        """Everything but the steps."""
        with self._reading():
            notes = dict(self._db.execute("SELECT name, value FROM meta"))
            read_at, counters = notes.pop("read_at", None), notes.pop("counters", None)
            rows = self._db.execute(
                f"SELECT {_KEY}, plan, life, snapshot, snapshot_seq,"  # noqa: S608 - our own column names
                " (SELECT COALESCE(MAX(seq), 0) FROM step WHERE canary = canary.id),"
                " (SELECT verdict FROM record WHERE canary = canary.id ORDER BY id DESC LIMIT 1)"
                " FROM canary WHERE ended IS NULL ORDER BY id"
            ).fetchall()
            last = self._db.execute("SELECT hash FROM record ORDER BY id DESC LIMIT 1").fetchone()
            return Saved(
                read_at=None if read_at is None else msgspec.msgpack.decode(read_at, type=float),
                counters=None if counters is None else zlib.decompress(counters),
                canaries=tuple(_saved(row) for row in rows),
                notes=notes,
                last_hash=FIRST_HASH if last is None else last[0],
            )

    def steps(self, key: CanaryKey, after: int = 0) -> Iterator[Step]:
        """Steps of a canary, oldest first, without the first `after` ones."""
        with self._reading():
            query = "SELECT body FROM step WHERE canary = ? AND seq > ? ORDER BY seq"
            for (body,) in self._db.execute(query, (self._id(key), after)):
                yield msgspec.msgpack.decode(zlib.decompress(body), type=Step)

    def record(self, key: CanaryKey) -> bytes | None:
        """The newest decision record of a canary, None before its first decision. May come from any thread."""
        try:
            with contextlib.closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)) as db:
                query = (
                    "SELECT body FROM record WHERE canary = (SELECT id FROM canary WHERE cluster = ? AND namespace = ?"
                    " AND model = ? AND version = ? AND baseline = ? AND start = ?) ORDER BY id DESC LIMIT 1"
                )
                found: tuple[bytes] | None = db.execute(query, _columns(key)).fetchone()
                return None if found is None else found[0]
        except sqlite3.Error as error:
            raise StateError(f"{self.path}: cannot be read: {error}") from error

    # --- writing

    def commit(self, changes: Changes) -> None:
        """Make one grid time durable, all or nothing. Raises StateError and changes nothing."""
        with self._transaction("cycle"):
            found = self._db.execute("SELECT value FROM meta WHERE name = 'read_at'").fetchone()
            held = None if found is None else msgspec.msgpack.decode(found[0], type=float)
            if held != changes.previous or (held is not None and changes.read_at <= held):
                raise StateError(f"{self.path}: read up to {held}, which {changes.read_at} does not follow")
            for key, plan, life in changes.started:
                self._db.execute(
                    f"INSERT INTO canary ({_KEY}, plan, life) VALUES (?,?,?,?,?,?,?,?)",  # noqa: S608
                    (*_columns(key), msgspec.msgpack.encode(plan), msgspec.msgpack.encode(life)),
                )
            self._append(changes.steps)
            for key, life in changes.lives.items():
                self._db.execute("UPDATE canary SET life=? WHERE id=?", (msgspec.msgpack.encode(life), self._id(key)))
            for key, snapshot in changes.snapshots.items():
                self._db.execute(
                    "UPDATE canary SET snapshot=?, snapshot_seq=(SELECT COALESCE(MAX(seq), 0) FROM step"
                    " WHERE canary = canary.id) WHERE id=?",
                    (zlib.compress(snapshot, _QUICK), self._id(key)),
                )
            for record in changes.records:
                values = (self._id(record.key), record.at, record.verdict, record.body, record.previous, record.hash)
                self._db.execute(
                    "INSERT INTO record (canary, at, verdict, body, previous, hash) VALUES (?,?,?,?,?,?)", values
                )
            for key, why in changes.ended.items():
                end = "UPDATE canary SET ended=?, why=?, snapshot=NULL, snapshot_seq=0 WHERE id=?"
                self._db.execute(end, (changes.read_at, why, self._id(key)))
            encoded = msgspec.msgpack.encode(changes.read_at)
            notes = {"read_at": encoded, "counters": zlib.compress(changes.counters, _QUICK), **changes.notes}
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?,?)", notes.items())

    def save_snapshots(self, snapshots: Mapping[CanaryKey, bytes]) -> None:
        """Keep the state of canaries after all of their steps."""
        with self._transaction("snapshot"):
            self._db.executemany(
                "UPDATE canary SET snapshot=?, snapshot_seq=(SELECT COALESCE(MAX(seq), 0) FROM step"
                " WHERE canary = canary.id) WHERE id=?",
                [(zlib.compress(snapshot, _QUICK), self._id(key)) for key, snapshot in snapshots.items()],
            )

    def prune(self, before: float) -> None:
        """Drop the steps of canaries that ended before a time. Records stay."""
        with self._transaction("prune"):
            query = "DELETE FROM step WHERE canary IN (SELECT id FROM canary WHERE ended < ?)"
            self._db.execute(query, (before,))

    # --- inside

    def _append(self, steps: Iterable[tuple[CanaryKey, Step]]) -> None:
        query = (
            "INSERT INTO step SELECT id, (SELECT COALESCE(MAX(seq), 0) + 1 FROM step WHERE canary = canary.id), ?, ?, ?"
            " FROM canary WHERE id = ?"
        )
        for key, step in steps:
            self._db.execute(query, (step.start, step.end, _packed(step), self._id(key)))

    def _id(self, key: CanaryKey) -> int:
        query = (
            "SELECT id FROM canary WHERE cluster = ? AND namespace = ? AND model = ? AND version = ? AND baseline = ?"
            " AND start = ?"
        )
        found: tuple[int] | None = self._db.execute(query, _columns(key)).fetchone()
        if found is None:
            raise StateError(f"{self.path}: no canary {key.model}/{key.version} that began at {key.start:.0f}")
        return found[0]

    def _transaction(self, name: str) -> contextlib.AbstractContextManager[None]:
        return durable.transaction(self._db, name, self._checkpoint, self._unwritten)

    def _unwritten(self, error: sqlite3.Error) -> StateError:
        return StateError(f"{self.path}: cannot write: {error}", hint="free space or fix permissions")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, zlib.error, msgspec.MsgspecError) as error:
            hint = "move it away to start anew: canaries then begin again, each with an alpha of its own"
            raise StateError(f"{self.path}: cannot be read: {error}", hint=hint) from error


def _columns(key: CanaryKey) -> tuple[str, str, str, str, str, float]:
    return key.cluster, key.namespace, key.model, key.version, key.baseline, key.start


def _saved(row: tuple[Any, ...]) -> SavedCanary:
    *key, plan, life, snapshot, snapshot_seq, steps, recorded = row
    return SavedCanary(
        key=CanaryKey(*key),
        plan=msgspec.msgpack.decode(plan, type=Plan),
        life=msgspec.msgpack.decode(life, type=Life),
        steps=steps,
        snapshot=None if snapshot is None else zlib.decompress(snapshot),
        snapshot_steps=snapshot_seq,
        recorded=recorded,
    )


def _packed(step: Step) -> bytes:
    """Whole numbers are written as such: a third of the size, and the same floats when they are read."""
    fields = {name: getattr(step, name) for name in step.__struct_fields__}
    fields |= {"canary": _whole(step.canary), "baseline": _whole(step.baseline)}
    return zlib.compress(msgspec.msgpack.encode(fields), _LEVEL)


def _whole(counts: Counts) -> dict[str, list[float]]:
    return {
        name: [int(v) if v != 0 and v.is_integer() and abs(v) < _EXACT else v for v in values]
        for name, values in counts.items()
    }


def _lock(path: Path) -> int:
    held = durable.lock(path)
    if held is None:
        raise HeldError(f"{path}: another judge leads", hint="this one waits for it to end")
    return held
