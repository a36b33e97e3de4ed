"""A row is in one segment in the end: whatever dies when, whatever the disk does, and how old ones go."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlcanary.errors import StateError
from mlcanary.measures.plan import ModelPlan
from mlcanary.store.layout import journals
from mlcanary.store.writer import Store
from stored_log import NOW, StoredLog, rows, section, segment_count

DAY = 86_400.0


def line(i: int, model: str = "m") -> dict[str, Any]:
    """A prediction with a feature."""
    return {"id": f"r{i}", "ts": NOW + i, "model": model, "version": "v1", "features": {"a": float(i)}, "score": 0.5}


def ids(path: Path) -> list[str]:
    """Ids in the segments, in the order of arrival."""
    return [str(row["id"]) for row in rows(path, "predictions")]


def numbered(count: int) -> list[str]:
    """Ids of the first lines."""
    return [f"r{i}" for i in range(count)]


def test_rows_after_the_checkpoint_are_written_once_though_they_are_read_twice(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0), line(1)])
    saved = log.checkpoint()
    log.take([line(2), line(3)])
    log.store.record(NOW)  # written to the journal, but no checkpoint knows
    log.killed(saved)
    log.take([line(2), line(3)])
    log.end()
    assert ids(tmp_path) == numbered(4)


def test_a_segment_is_seen_only_after_the_checkpoint_that_closes_it(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, segment_rows=2)
    saved = log.checkpoint()
    log.take([line(0), line(1)])
    closing = log.store.record(NOW)
    assert segment_count(tmp_path) == 0
    log.killed(saved)  # that checkpoint was never durable
    assert segment_count(tmp_path) == 0
    log.take([line(0), line(1)])
    closing = log.store.record(NOW)
    log.killed(closing)  # this one was, and the kill came before the segment
    assert ids(tmp_path) == numbered(2)
    log.killed(closing)  # and again after it
    log.end()
    assert ids(tmp_path) == numbered(2)
    assert not journals(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["take", "record", "save", "kill", "late"]), max_size=24), st.integers(1, 7))
def test_whatever_happens_every_row_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], segment_rows: int
) -> None:
    """`record` without `save` is a checkpoint that failed; a kill goes back to the last one that did not."""
    path = tmp_path_factory.mktemp("store")
    log = StoredLog(path, segment_rows=segment_rows, segment_interval=60.0)
    now, at = NOW, 0
    saved, saved_at = log.checkpoint(now), 0
    for step in steps:
        now += 1.0
        if step == "take":
            log.take([line(at), line(at + 1)], now)
            at += 2
        elif step == "record":
            log.store.record(now)
        elif step == "save":
            saved, saved_at = log.store.record(now), at
            log.store.publish(now)
        elif step == "late":  # durable, and killed before anything is made of it
            saved, saved_at = log.store.record(now + 100), at
        else:
            log.killed(saved, now)
            at = saved_at
    log.end(now)
    assert ids(path) == numbered(at)
    assert log.store.kept["predictions"] == at
    assert not log.store.dropped


def test_segments_close_by_age_and_by_rows(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, segment_rows=3, segment_interval=60.0)
    log.take([line(0)])
    log.checkpoint(NOW)
    log.checkpoint(NOW + 59)
    assert segment_count(tmp_path) == 0
    log.checkpoint(NOW + 60)
    assert segment_count(tmp_path) == 1
    log.take([line(1), line(2), line(3)])
    log.checkpoint(NOW + 61)
    assert segment_count(tmp_path) == 2
    log.checkpoint(NOW + 6000)  # an empty one is none
    assert segment_count(tmp_path) == 2
    log.end()


def test_old_segments_go_by_age_and_their_directories_with_them(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, retention=DAY, segment_interval=1.0)
    for hour in range(4):
        log.take([line(hour)])
        log.checkpoint(NOW + hour * 3600)
        log.checkpoint(NOW + hour * 3600 + 1)
    log.checkpoint(NOW + DAY + 2 * 3600)
    assert ids(tmp_path) == ["r1", "r2", "r3"] or ids(tmp_path) == ["r2", "r3"]
    log.checkpoint(NOW + 3 * DAY)
    assert ids(tmp_path) == []
    assert list((tmp_path / "predictions").rglob("*")) == []
    found = {(s.name, s.labels): s.value for s in log.store.samples()}
    assert found["mlcanary_store_segments_removed_total", ("age",)] == 4
    assert found["mlcanary_store_bytes", ()] == 0
    log.end()


def test_the_oldest_segments_go_when_all_are_too_large(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, segment_rows=1, max_bytes=16 << 20)
    log.take([line(0)])
    log.checkpoint()
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    log.store._segments.trim(NOW, DAY, size)
    assert ids(tmp_path) == numbered(1)
    log.take([line(1)])
    log.checkpoint()
    log.store._segments.trim(NOW, DAY, size + 10)
    assert ids(tmp_path) == ["r1"]
    assert log.checkpoint()["removed"] == {"size": 1}
    log.end()


def test_a_full_disk_costs_only_what_it_has_no_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0)])
    log.checkpoint()
    write = os.pwrite

    def full(descriptor: int, data: Any, at: int) -> int:
        if len(data) > 60:
            write(descriptor, bytes(data)[:50], at)  # some of it fits
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    log.take([line(1), line(2)])
    log.checkpoint()
    monkeypatch.undo()
    log.take([line(3)])
    saved = log.checkpoint()
    log.killed(saved)
    assert log.store.dropped == {"disk": 2}
    log.end()
    assert ids(tmp_path) == ["r0", "r3"]


def test_a_disk_that_takes_no_segment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = StoredLog(tmp_path, segment_rows=1)
    replace = os.replace
    failures = []

    def refuse(source: Any, target: Any) -> None:
        failures.append(target)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", refuse)
    log.take([line(0)])
    log.checkpoint(NOW)
    log.checkpoint(NOW + 1)  # not at every page
    assert len(failures) == 1
    monkeypatch.setattr(os, "replace", replace)
    log.checkpoint(NOW + 60)
    assert ids(tmp_path) == ["r0"]
    assert not list((tmp_path / "_open").iterdir())
    log.end()


def test_a_journal_that_is_gone_is_counted(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0), line(1)])
    saved = log.checkpoint()
    log.store.close()
    for path in journals(tmp_path).values():
        path.unlink()
    log.store.__init__(section(tmp_path), lambda _model: ModelPlan())  # type: ignore[misc]
    log.store.restore(saved, NOW)
    assert log.store.dropped == {"lost": 2}
    log.end()


def test_a_lost_state_file_costs_no_row(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, segment_rows=2)
    log.take([line(0), line(1)])
    log.checkpoint()
    log.take([line(2)])
    log.checkpoint()
    log.killed(None)
    log.take([line(3)])
    log.end()
    assert sorted(ids(tmp_path)) == numbered(4)


def test_the_kind_of_a_feature_outlives_everything(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, segment_rows=1)
    log.take([line(0)])
    log.checkpoint()
    log.killed(None)
    log.take([{**line(1), "features": {"a": "text"}}])
    log.end()
    assert [row.get("features_other") for row in rows(tmp_path, "predictions")] == [None, '{"a":"text"}']


def test_one_process_holds_a_store(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    with pytest.raises(StateError, match="held by another process"):
        Store(section(tmp_path), lambda _model: ModelPlan())
    log.end()
    (tmp_path / "_store.json").write_text('{"layout": 9, "name": "x"}')
    with pytest.raises(StateError, match="layout 9, this version writes 1"):
        Store(section(tmp_path), lambda _model: ModelPlan())
