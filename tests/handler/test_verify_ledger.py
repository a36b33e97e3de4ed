"""`mlcanary explain --verify`: a ledger that was touched is told from one that was not, also while a handler runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from mlcanary.cli.explain import command
from mlcanary.errors import InputError
from mlcanary.handler.core.incidents import Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.ledger.verify import verify_file
from mlcanary.handler.targets.contract import State

NOW = 1_700_000_000.0
EVIDENCE = '{"delta":-0.3}'
BEFORE, AFTER = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "l.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """One incident, from its plan to its proof."""
    found = Ledger(path, freeze_file=None, checkpoint=lambda _name: None)
    incident = Incident(
        "i1",
        "router",
        "clicks",
        "v2",
        "v1",
        "accuracy",
        "5m",
        IncidentState.ACTING,
        NOW,
        NOW,
        0,
        0,
        '{"delta":-0.3}',
        "",
    )
    kind, planned = ActionKind.ROLLBACK, ActionState.PLANNED
    action = Action("a1", "i1", "router", kind, AFTER, BEFORE, planned, 0, NOW, 0.0, "", plan="c0ffee")
    found.plan([], incident, action, allowed=lambda _view: True, body={}, since=0.0, now=NOW)
    found.dispatch(action, NOW + 1)
    found.finish(action, ActionState.CONFIRMED, IncidentState.VERIFYING, note="seen", now=NOW + 2)
    found.close_incident(incident, IncidentState.RESOLVED, note="proven", now=NOW + 60)
    yield found
    found.close()


def test_an_untouched_ledger_is_whole_while_it_is_held(ledger: Ledger, path: Path) -> None:
    report = verify_file(path)
    assert report.problems == ()
    assert report.count == 4
    assert [row.kind for row in report.rows] == ["plan", "dispatch", "effect", "verdict"]
    assert report.last == ledger.audit_rows(1)[0].hash
    assert verify_file(path, expected=report.rows[1].hash[:12]).whole


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("statements", "told"),
    [
        ("UPDATE audit SET body='{}' WHERE id=2", "audit row 2 does not fit the chain"),
        ("UPDATE audit SET actor='alice' WHERE id=3", "audit row 3 does not fit the chain"),
        ("DELETE FROM audit WHERE id=1", "audit row 2 does not fit the chain"),
        ("DELETE FROM audit WHERE id=4", "incident i1 ended as resolved, and no row of the audit says so"),
        ("DELETE FROM audit WHERE id>=3", "action a1 is confirmed, the audit has 0 effects of it"),
        ("UPDATE action SET state='failed'", "action a1 is failed, audit row 3 says confirmed"),
        ("UPDATE action SET attempt=2", "action a1 went out 2 times, the audit has 1 dispatches"),
        ("UPDATE action SET actor='alice'", "action a1: audit row 3 names another actor or plan"),
        ("UPDATE action SET plan='deadbeef'", "action a1: audit row 3 names another actor or plan"),
    ],
)
def test_each_forgery_is_told(path: Path, statements: str, told: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DROP TRIGGER audit_no_update")
    db.execute("DROP TRIGGER audit_no_delete")
    db.execute(statements)
    db.close()
    problems = verify_file(path).problems
    assert any(told in problem for problem in problems), problems


def test_a_long_audit_is_counted_whole_and_shown_at_its_end(ledger: Ledger, path: Path) -> None:
    for i in range(100):
        ledger.freeze("flag", reason=f"r{i}", actor="ann", now=NOW + 100 + i)
    report = verify_file(path, expected=ledger.audit_rows(104)[-1].hash)
    assert (report.problems, report.count) == ((), 104)
    assert [row.id for row in report.rows] == list(range(85, 105))


@pytest.mark.usefixtures("ledger")
def test_rows_that_were_cut_off_are_told_by_a_hash_of_the_log(path: Path) -> None:
    last = verify_file(path).last
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DROP TRIGGER audit_no_delete")
    db.execute("DELETE FROM audit WHERE id=4")
    db.execute("DELETE FROM incident")
    db.close()
    assert verify_file(path).whole
    assert "rows at the end are missing" in verify_file(path, expected=last).problems[0]


@pytest.mark.usefixtures("ledger")
def test_the_command_tells_and_ends_with_its_status(path: Path) -> None:
    runner = CliRunner()
    good = runner.invoke(command, ["--verify", str(path)])
    assert good.exit_code == 0
    assert good.output.splitlines()[-1].startswith(f"{path}: 4 rows, unbroken, and the tables say the same")
    bad = runner.invoke(command, ["--verify", str(path), "--last-hash", "0123", "--output", "json"])
    assert bad.exit_code == 1
    assert msgspec.json.decode(bad.output)["whole"] is False


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 1000)
    for name in ("text", "nothing"):
        with pytest.raises(InputError, match="is no ledger of a handler"):
            verify_file(tmp_path / name)
    assert not (tmp_path / "nothing").exists()
    assert CliRunner().invoke(command, ["--verify", "a", "b"]).exit_code == 2
