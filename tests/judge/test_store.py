"""The state file of the judge: whole grid times or nothing, one leader, steps that come back bit for bit."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.errors import StateError
from mlcanary.judge.contract import CanaryKey, Facts, Plan, Step, Structure
from mlcanary.judge.store import FIRST_HASH, Changes, HeldError, Life, NewRecord, Store, _packed

KEY = CanaryKey("west", "prod", "clicks", "v2", "v1", 1000.0)
PLAN = Plan(alpha=0.02, margins={"ctr": 0.03})
LIFE = Life(seen=1000.0, active=1000.0)


def a_step(at: float, rows: float = 7.0) -> Step:
    """A step with whole numbers, a fraction and a structure."""
    born = {"latency": Structure(("0.1", "+Inf"), (1.0, 0.1 + 0.2))}
    return Step(at - 30, at, {"requests": (rows, 0.0), "log_loss": (3.0, 0.1 + 0.2, -0.0)}, {}, born, Facts(("a",)))


def first(at: float = 1000.0) -> Changes:
    """A first reading that begins a canary."""
    return Changes(previous=None, read_at=at, counters=b"counters", started=[(KEY, PLAN, LIFE)])


def test_what_was_committed_is_what_is_loaded(tmp_path: Path) -> None:
    store = Store(tmp_path / "judge.sqlite")
    assert store.load().read_at is None
    store.commit(first())
    steps = [a_step(1000.0 + 30 * k) for k in range(1, 4)]
    for k, step in enumerate(steps, start=1):
        changes = Changes(1000.0 + 30 * (k - 1), 1000.0 + 30 * k, b"%d" % k, steps=[(KEY, step)])
        changes.lives[KEY] = Life(seen=step.end, active=step.end)
        if k == 2:
            changes.snapshots[KEY] = b"two steps"
        store.commit(changes)
    store.close()
    store = Store(tmp_path / "judge.sqlite")
    saved = store.load()
    assert (saved.read_at, saved.counters, saved.last_hash) == (1090.0, b"3", FIRST_HASH)
    (canary,) = saved.canaries
    assert (canary.key, canary.plan, canary.steps) == (KEY, PLAN, 3)
    assert (canary.snapshot, canary.snapshot_steps, canary.life.seen) == (b"two steps", 2, 1090.0)
    assert list(store.steps(KEY)) == steps
    assert list(store.steps(KEY, after=2)) == steps[2:]
    store.close()


@given(st.lists(st.floats(allow_nan=False), max_size=8))
def test_a_step_comes_back_bit_for_bit(values: list[float]) -> None:
    step = Step(0.0, 30.0, {"value": tuple(values)}, {"value": tuple(values)})
    again = msgspec.msgpack.decode(zlib.decompress(_packed(step)), type=Step)
    assert repr(again) == repr(step)


def test_a_failed_commit_leaves_everything_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "judge.sqlite")
    store.commit(first())
    changes = Changes(
        1000.0, 1030.0, b"new", steps=[(KEY, a_step(1030.0)), (msgspec.structs.replace(KEY, start=1.0), a_step(1030.0))]
    )
    with pytest.raises(StateError, match="no canary clicks/v2"):
        store.commit(changes)
    assert store.load().read_at == 1000.0
    assert list(store.steps(KEY)) == []
    store.close()


def test_a_grid_time_is_committed_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "judge.sqlite")
    store.commit(first())
    store.commit(Changes(1000.0, 1030.0, b"", steps=[(KEY, a_step(1030.0))]))
    for previous, at in ((1000.0, 1030.0), (1000.0, 1060.0), (1030.0, 1030.0), (None, 1060.0)):
        with pytest.raises(StateError, match="does not follow"):
            store.commit(Changes(previous, at, b"", steps=[(KEY, a_step(at))]))
    assert len(list(store.steps(KEY))) == 1
    store.close()


def test_there_is_one_leader_until_it_ends(tmp_path: Path) -> None:
    leader = Store(tmp_path / "judge.sqlite")
    with pytest.raises(HeldError, match="another judge leads"):
        Store(tmp_path / "judge.sqlite")
    leader.close()
    Store(tmp_path / "judge.sqlite").close()


def test_records_are_kept_found_and_never_changed(tmp_path: Path) -> None:
    store = Store(tmp_path / "judge.sqlite")
    store.commit(first())
    assert store.record(KEY) is None
    for k, verdict in enumerate(("hold", "rollback")):
        changes = Changes(1000.0 + 30 * k, 1030.0 + 30 * k, b"")
        changes.records.append(NewRecord(KEY, 1030.0, verdict, verdict.encode(), "p", f"h{k}"))
        store.commit(changes)
    assert store.record(KEY) == b"rollback"
    assert (store.load().last_hash, store.load().canaries[0].recorded) == ("h1", "rollback")
    store.close()
    with sqlite3.connect(tmp_path / "judge.sqlite") as db, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        db.execute("UPDATE record SET verdict = 'promote'")
    db.close()


def test_an_ended_canary_is_not_loaded_and_its_steps_go_in_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "judge.sqlite")
    store.commit(first())
    changes = Changes(1000.0, 1030.0, b"", steps=[(KEY, a_step(1030.0))], ended={KEY: "gone"})
    store.commit(changes)
    assert store.load().canaries == ()
    again = msgspec.structs.replace(KEY, start=1060.0)
    store.commit(Changes(1030.0, 1060.0, b"", started=[(again, PLAN, LIFE)]))
    assert [c.key for c in store.load().canaries] == [again]
    store.prune(before=1030.0)
    assert len(list(store.steps(KEY))) == 1
    store.prune(before=1031.0)
    assert list(store.steps(KEY)) == []
    store.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 40])
def test_a_file_that_is_no_state_is_refused_and_let_go(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "judge.sqlite"
    path.write_bytes(content)
    with pytest.raises(StateError, match="not a usable state file"):
        Store(path)
    path.unlink()
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(StateError, match="layout 99, this version writes 1"):
        Store(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="No such file or directory"):
        Store(tmp_path / "absent" / "judge.sqlite")
