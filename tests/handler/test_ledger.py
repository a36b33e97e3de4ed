"""The ledger: unique keys, one open incident, freezes, and an audit that shows every change."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.errors import StateError
from mlcanary.handler.core.incidents import Action, ActionKind, Event, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.core.releases import Freeze, FreezeLevel, Version, VersionStatus
from mlcanary.handler.intake.payload import Alert, Measure, Window
from mlcanary.handler.ledger import audit, book
from mlcanary.handler.ledger.incidents import Dispatch
from mlcanary.handler.ledger.store import EVERYTHING, MOST_WAITING, Ledger
from mlcanary.handler.targets.contract import State

NOW = 1_700_000_000.0
BEFORE, AFTER = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})


@contextlib.contextmanager
def opened(path: Path, freeze_file: Path | None = None) -> Iterator[Ledger]:
    ledger = Ledger(path, freeze_file=freeze_file, checkpoint=lambda _name: None)
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path / "l.sqlite") as found:
        yield found


def alert(group: str = "g", fingerprint: str = "f", starts_at: str = "s", version: str = "v2") -> Alert:
    measure, window = Measure.ACCURACY, Window.FAST
    return Alert(group, fingerprint, starts_at, True, "Name", "clicks", version, measure, window, ())


def incident(number: int = 1, target: str = "router", bad: str = "v2") -> Incident:
    state = IncidentState.ACTING
    name = f"i{number}"
    return Incident(name, target, "clicks", bad, "v1", "accuracy", "5m", state, NOW, NOW, 0.0, 0.0, "{}", "")


def action(number: int = 1, target: str = "router") -> Action:
    kind, state = ActionKind.ROLLBACK, ActionState.PLANNED
    return Action(f"a{number}", f"i{number}", target, kind, AFTER, BEFORE, state, 0, NOW, 0.0, "")


def plan(ledger: Ledger, number: int = 1, target: str = "router", bad: str = "v2") -> bool:
    events: list[Event] = ledger.pending(target, NOW, recheck=3600.0)
    one, two = incident(number, target, bad), action(number, target)
    return ledger.plan(events, one, two, allowed=lambda view: not view.frozen, body={}, since=0.0, now=NOW)


keys = st.tuples(*(st.sampled_from(["a", "b"]) for _ in range(4)))


@settings(max_examples=30)
@given(st.lists(keys, max_size=30))
def test_a_delivery_key_is_new_once_for_each_target(deliveries: list[tuple[str, str, str, str]]) -> None:
    with memory() as ledger:
        new = [ledger.receive([(alert(g, f, s), target)], NOW)[0] for g, f, s, target in deliveries]
        assert sum(new) == len(set(deliveries))
        waiting = sum(len(ledger.pending(target, NOW, recheck=15.0)) for target in "ab")
        assert waiting == len(set(deliveries))


@contextlib.contextmanager
def memory() -> Iterator[Ledger]:
    """A ledger in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "l.sqlite") as found:
        yield found


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["router", "flag"]), st.sampled_from(["v2", "v3"])), max_size=12))
def test_a_target_has_one_open_incident_whatever_is_planned(plans: list[tuple[str, str]]) -> None:
    with memory() as ledger:
        numbers = itertools.count(1)
        opened_targets: set[str] = set()
        for target, bad in plans:
            if target in opened_targets:
                with pytest.raises(StateError, match="UNIQUE"):
                    plan(ledger, next(numbers), target, bad)
            else:
                assert plan(ledger, next(numbers), target, bad)
                opened_targets.add(target)
        assert {found.target for found in ledger.open_incidents()} == opened_targets
        assert ledger.verify_audit() is None


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path / "l.sqlite") as ledger:
        ledger.receive([(alert(), "router")], NOW)
        assert plan(ledger)
        assert ledger.dispatch(action(), NOW + 1) is Dispatch.OUT
        ledger.freeze("flag", reason="x", actor="me", now=NOW)
    with opened(tmp_path / "l.sqlite") as ledger:
        (found,) = ledger.unfinished("router")
        assert (found.state, found.attempt, found.dispatched) == (ActionState.DISPATCHED, 1, NOW + 1)
        assert (found.desired, found.expected) == (AFTER, BEFORE)
        assert ledger.open_incident("router") == incident()
        assert (ledger.frozen("flag"), ledger.frozen("router")) == (FreezeLevel.ALL, FreezeLevel.NONE)
        assert ledger.view("router", "clicks", 0.0).changed == (NOW + 1,)
        assert ledger.pending("router", NOW, recheck=15.0) == []


def test_the_name_of_a_version_tells_nothing_of_another_model(ledger: Ledger) -> None:
    for model, digest in (("other", "v1"), ("other", "sha256:a"), ("clicks", "v9")):
        row = Version(model, digest, "v1" if model == "other" else "v9", VersionStatus.QUARANTINED, "", "ann", NOW)
        ledger.set_version(row, target="elsewhere")
    assert ledger.view("router", "clicks", 0.0).quarantined == {"sha256:a", "v9"}
    plan(ledger)
    for gaining in ("sha256:a", "v9"):
        assert ledger.dispatch(action(), NOW, gaining=[gaining]) is Dispatch.QUARANTINED
    assert ledger.dispatch(action(), NOW, gaining=["v1"]) is Dispatch.OUT


def test_the_story_of_an_incident_is_found_without_reading_the_whole_audit(tmp_path: Path) -> None:
    with opened(tmp_path / "l.sqlite"):
        pass
    with contextlib.closing(sqlite3.connect(tmp_path / "l.sqlite")) as db:
        query = audit.SELECT + "target=? AND at>=? AND instr(body, ?) ORDER BY id"
        told = db.execute(f"EXPLAIN QUERY PLAN {query}", ("router", 0.0, "x")).fetchall()
    assert "audit_target" in str(told)


def test_an_action_that_was_confirmed_starts_the_verification(ledger: Ledger) -> None:
    plan(ledger)
    ledger.dispatch(action(), NOW)
    ledger.finish(action(), ActionState.CONFIRMED, IncidentState.VERIFYING, note="seen", now=NOW + 2)
    found = ledger.open_incident("router")
    assert found is not None
    assert (found.state, found.effect, found.closed) == (IncidentState.VERIFYING, NOW + 2, 0.0)
    ledger.close_incident(found, IncidentState.RESOLVED, note="ok", now=NOW + 9)
    assert ledger.open_incident("router") is None


def test_an_abandoned_incident_lets_its_events_wait_again(ledger: Ledger) -> None:
    ledger.receive([(alert(), "router")], NOW)
    plan(ledger)
    assert ledger.pending("router", NOW + 5, recheck=15.0) == []
    ledger.finish(action(), ActionState.FAILED, IncidentState.ABANDONED, note="cut off", now=NOW + 5)
    assert [event.since for event in ledger.pending("router", NOW + 5, recheck=15.0)] == [NOW + 5]


def test_a_repeat_asks_again_unless_an_incident_is_open(ledger: Ledger) -> None:
    ledger.receive([(alert(), "router")], NOW)
    ledger.decided(ledger.pending("router", NOW, recheck=15.0), "suppress", "stale_evidence", body={}, now=NOW)
    assert ledger.next_try("router") is None
    assert ledger.receive([(alert(), "router")], NOW + 60) == [False]
    assert [event.since for event in ledger.pending("router", NOW + 60, recheck=15.0)] == [NOW + 60]
    plan(ledger)
    ledger.decided(ledger.pending("router", NOW + 60, recheck=15.0), "attach", "", body={}, now=NOW + 60)
    assert ledger.receive([(alert(), "router")], NOW + 120) == [False]
    assert ledger.pending("router", NOW + 120, recheck=15.0) == []


def test_a_reason_is_audited_when_it_changes(ledger: Ledger) -> None:
    ledger.receive([(alert(), "router")], NOW)
    for i, reason in enumerate(("frozen", "frozen", "cooldown", "cooldown")):
        events = ledger.pending("router", NOW + i, recheck=15.0)
        ledger.postponed(events, reason, body={}, now=NOW + i, next_try=NOW + i + 1)
    assert [row.body for row in ledger.audit_rows(9)][::-1] == [
        '{"decision":"wait","reason":"frozen"}',
        '{"decision":"wait","reason":"cooldown"}',
    ]


@pytest.mark.parametrize("scope", [EVERYTHING, "router"])
def test_a_frozen_target_is_not_dispatched(ledger: Ledger, scope: str) -> None:
    plan(ledger)
    ledger.freeze(scope, reason="", actor="me", now=NOW)
    assert ledger.dispatch(action(), NOW) is Dispatch.FROZEN
    assert ledger.unfinished("router")[0].state is ActionState.PLANNED
    ledger.unfreeze(scope, actor="me", now=NOW)
    assert ledger.dispatch(action(), NOW) is Dispatch.OUT


def test_a_freeze_by_the_handler_stands_beside_the_one_by_a_person(ledger: Ledger) -> None:
    ledger.freeze("router", reason="day", actor="ann", now=NOW, level=FreezeLevel.PROMOTE)
    ledger.freeze("router", reason="reverted", actor="handler", now=NOW + 1)
    ledger.freeze("router", reason="night", actor="ann", now=NOW + 2, level=FreezeLevel.PROMOTE)
    told = [(f.actor, f.level, f.reason) for f in ledger.freezes()]
    assert told == [("handler", "all", "reverted"), ("ann", "promote", "night")]
    assert ledger.frozen("router") is FreezeLevel.ALL
    ledger.unfreeze("router", actor="bob", now=NOW + 3)
    assert ledger.freezes() == []
    assert ledger.frozen("router") is FreezeLevel.NONE
    assert ledger.audit_rows(1)[0].body == '{"lifted":{"ann":"promote","handler":"all"}}'


def test_a_freeze_of_an_older_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(
            "CREATE TABLE freeze (scope TEXT PRIMARY KEY, reason TEXT NOT NULL, actor TEXT NOT NULL, since REAL)"
        )
        db.execute("INSERT INTO freeze VALUES ('*', 'audit', 'ann', 5.0)")
        db.execute("PRAGMA user_version=1")
    for _ in range(2):
        with opened(path) as ledger:
            assert ledger.freezes() == [Freeze(EVERYTHING, FreezeLevel.ALL, "audit", "ann", 5.0)]
            ledger.freeze(EVERYTHING, reason="storm", actor="storm brake", now=NOW)
            assert len(ledger.freezes()) == 2
            ledger.unfreeze(EVERYTHING, actor="ann", now=NOW)
            ledger.freeze(EVERYTHING, reason="audit", actor="ann", now=5.0)


def test_the_freeze_file_counts_while_it_exists(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    with opened(tmp_path / "l.sqlite", stop) as ledger:
        plan(ledger)
        stop.touch()
        assert ledger.dispatch(action(), NOW) is Dispatch.FROZEN
        stop.unlink()
        assert ledger.dispatch(action(), NOW) is Dispatch.OUT


def test_a_ledger_that_cannot_be_written_dispatches_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "l.sqlite") as ledger:
        plan(ledger)
        other = sqlite3.connect(tmp_path / "l.sqlite", isolation_level=None)
        other.execute("DROP TABLE freeze")
        other.close()
        with pytest.raises(StateError, match="cannot be written"):
            ledger.dispatch(action(), NOW)
        with pytest.raises(StateError, match="cannot be read"):
            ledger.frozen("router")


def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.write_bytes(b"this is a text file, and a long one at that" * 100)
    with pytest.raises(StateError, match="file is not a database"), opened(path):
        pass
    path.unlink()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(StateError, match="schema version 99; allowed: up to 2"), opened(path):
        pass


def test_old_decided_events_are_dropped(ledger: Ledger) -> None:
    ledger.receive([(alert(), "router")], NOW)
    ledger.decided(ledger.pending("router", NOW, recheck=15.0), "suppress", "dry_run", body={}, now=NOW)
    ledger.prune(NOW + 8 * 86400)
    assert ledger.receive([(alert(), "router")], NOW) == [True]


def test_the_audit_refuses_changes_and_shows_those_made_by_force(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with opened(path) as ledger:
        for i in range(5):
            ledger.freeze("router", reason=f"r{i}", actor="me", now=NOW + i)
        assert ledger.verify_audit() is None
    db = sqlite3.connect(path)
    for statement in ("UPDATE audit SET body='{}' WHERE id=3", "DELETE FROM audit WHERE id=3"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.execute("DROP TRIGGER audit_no_update")
    db.execute("UPDATE audit SET body='{}' WHERE id=3")
    db.commit()
    assert audit.verify(db) == 3
    db.close()
    with pytest.raises(StateError, match="audit row 3 does not fit the chain"), opened(path):
        pass


@pytest.mark.parametrize(
    ("change", "at_start", "of_all"),
    [
        ("UPDATE audit SET body='{}' WHERE id=2", None, 2),
        ("UPDATE audit SET body='{}' WHERE id=4", 4, 4),
        ("DELETE FROM audit WHERE id=3", 4, 4),
        ("DELETE FROM audit WHERE id=5", 6, 6),
        ("UPDATE audit SET hash='ab' WHERE id=3", 4, 3),
    ],
)
def test_a_start_checks_the_newest_rows_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, at_start: int | None, of_all: int
) -> None:
    monkeypatch.setattr(book, "CHECKED_AT_START", 3)
    path = tmp_path / "l.sqlite"
    with opened(path) as ledger:
        for i in range(6):
            ledger.freeze("router", reason=f"r{i}", actor="me", now=NOW + i)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DROP TRIGGER audit_no_update")
        db.execute("DROP TRIGGER audit_no_delete")
        db.execute(change)
        assert (audit.verify(db, 3), audit.verify(db)) == (at_start, of_all)
    if at_start is not None:
        with pytest.raises(StateError, match=f"audit row {at_start} does not fit the chain"), opened(path):
            raise AssertionError
    else:
        with opened(path) as ledger:
            assert ledger.verify_audit() == of_all


def test_a_flood_is_refused_as_a_whole(ledger: Ledger) -> None:
    flood = [(alert(fingerprint=str(i)), "router") for i in range(MOST_WAITING)]
    assert all(ledger.receive(flood, NOW))
    with pytest.raises(StateError, match="10000 alerts wait already"):
        ledger.receive([(alert(fingerprint="x"), "router")], NOW)
    assert len(ledger.pending("router", NOW, recheck=15.0)) == MOST_WAITING


def test_a_clock_that_went_back_delays_nothing_and_a_repeat_hurries(ledger: Ledger) -> None:
    ledger.receive([(alert(), "router")], NOW)
    waiting = ledger.pending("router", NOW, recheck=15.0)
    ledger.postponed(waiting, "no_evidence", body={}, now=NOW, next_try=NOW + 15.0)
    assert ledger.pending("router", NOW + 1.0, recheck=15.0) == []
    assert len(ledger.pending("router", NOW - 3600.0, recheck=15.0)) == 1
    ledger.receive([(alert(), "router")], NOW - 3600.0)
    assert ledger.next_try("router") == NOW - 3600.0
    (event,) = ledger.pending("router", NOW - 3600.0, recheck=15.0)
    assert event.since == NOW - 3600.0


def test_a_commit_that_failed_blocks_no_later_one(tmp_path: Path) -> None:
    failing = ["before commit event"]

    def fail_once(name: str) -> None:
        if name in failing:
            failing.remove(name)
            raise sqlite3.OperationalError("database or disk is full")

    ledger = Ledger(tmp_path / "l.sqlite", freeze_file=None, checkpoint=fail_once)
    with contextlib.closing(ledger):
        with pytest.raises(StateError, match="disk is full"):
            ledger.receive([(alert(), "router")], NOW)
        assert ledger.receive([(alert(), "router")], NOW) == [True]
