"""The labelled window of a store is what the join would have said, and nothing of what came later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.errors import ConfigError
from mlcanary.formats.contract import Decoded
from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, ModelKey, Prediction
from mlcanary.store import labeled_rows
from mlcanary.store.labeled import schema_of
from mlcanary.store.writer import Store
from stored_log import NOW, StoredLog, joined, rows, section

FOREVER = 1e9


def line(i: int, **more: Any) -> dict[str, Any]:
    """A prediction at NOW + i."""
    base = {"id": f"r{i}", "ts": NOW + i, "model": "m", "version": "v1", "features": {"a": float(i)}, "score": 0.5}
    return base | more


def label(i: int, text: str, ts: float, **more: Any) -> dict[str, Any]:
    """A label of it."""
    return {"kind": "label", "id": f"r{i}", "ts": ts, "label": text, **more}


def outcomes(path: Path, **terms: Any) -> dict[str, str | None]:
    """Labels by id."""
    return {row["id"]: row["label"] for row in joined(labeled_rows(path, **terms))}


def test_nothing_of_what_came_later_is_seen(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0), line(1), line(2)], NOW + 2)
    log.take([label(0, "1", NOW + 10)], NOW + 10)
    log.take([label(1, "0", NOW + 10)], NOW + 500)  # it happened at 10 and was told at 500
    log.take([line(3, ts=NOW + 1)], NOW + 500)
    log.end()
    assert outcomes(tmp_path, as_of=NOW + 9, labeled_only=False) == {"r0": None, "r1": None, "r2": None}
    assert outcomes(tmp_path, as_of=NOW + 10, labeled_only=False) == {"r0": "1", "r1": None, "r2": None}
    assert outcomes(tmp_path, as_of=NOW + 500) == {"r0": "1", "r1": "0"}
    assert outcomes(tmp_path, as_of=NOW + 10, clock="event") == {"r0": "1", "r1": "0"}
    assert outcomes(tmp_path, as_of=NOW + 1, labeled_only=False) == {}  # nothing had arrived


def test_a_maturity_takes_the_newest_label_of_that_age_and_only_those_who_have_it(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0), line(1), line(50)], NOW + 50)
    log.take([label(0, "0", NOW + 5), label(0, "1", NOW + 60), label(0, "late", NOW + 61)], NOW + 61)
    log.end()
    wait = {"maturity": 60.0, "labeled_only": False}
    assert outcomes(tmp_path, as_of=NOW + 59, **wait) == {}
    assert outcomes(tmp_path, as_of=NOW + 61, **wait) == {"r0": "1", "r1": None}
    assert outcomes(tmp_path, **wait) == {"r0": "1", "r1": None, "r50": None}
    negative = joined(labeled_rows(tmp_path, as_of=NOW + 61, maturity=60.0, unlabeled="0"))
    assert [(row["id"], row["label"], row["label_assumed"]) for row in negative] == [
        ("r0", "1", False),
        ("r1", "0", True),
    ]
    assert negative[1]["label_ts"].timestamp() == NOW + 61


def test_a_row_has_its_features_events_and_times(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0, label="own"), line(1, status=500), line(2, id=None, label="x")])
    bought = {"kind": "label", "id": "r0", "event": "purchase"}
    log.take(
        [{**bought, "ts": NOW + 7, "value": 3}, {**bought, "ts": NOW + 6, "value": 2}, {**bought, "event": "click"}]
    )
    log.end()
    first, second = joined(labeled_rows(tmp_path))
    assert (first["id"], first["label"], first["feature_a"], second["label"]) == ("r0", "own", 0.0, "x")
    assert json.loads(first["events"]) == {"purchase": 2.0, "click": None}
    assert first["label_ts"] == first["ts"]
    assert list(first) == schema_of(tmp_path).names
    assert "error" not in first


def test_spans_and_models_are_cut_out(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(i, label="1", model="m" if i % 2 else "n", features={"a" if i % 2 else "z": i}) for i in range(8)])
    log.end()
    assert list(outcomes(tmp_path, since=NOW + 2, until=NOW + 6)) == ["r2", "r3", "r4", "r5"]
    assert list(outcomes(tmp_path, model="m", since=NOW + 2)) == ["r3", "r5", "r7"]
    assert list(outcomes(tmp_path, model="nobody")) == []
    assert "feature_z" not in schema_of(tmp_path, model="m").names
    with pytest.raises(ConfigError, match="no store"):
        list(labeled_rows(tmp_path / "elsewhere"))


def test_a_damaged_segment_is_named(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0)])
    log.end()
    (path,) = tmp_path.rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"segment-.*not a readable segment"):
        list(labeled_rows(tmp_path))


def test_many_buckets_say_what_one_says(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, segment_rows=300)
    for start in range(0, 1000, 100):
        log.take([line(i, **({"id": None, "label": "own"} if i % 7 == 0 else {})) for i in range(start, start + 100)])
        log.take([label(i, str(i % 2), NOW + i + 5) for i in range(start, start + 100, 3)])
        log.checkpoint()
    log.end()
    one = joined(labeled_rows(tmp_path))
    many = joined(labeled_rows(tmp_path, bucket_rows=50))
    key = str
    assert sorted(one, key=key) == sorted(many, key=key)
    assert len(one) == len([i for i in range(1000) if i % 7 == 0 or i % 100 % 3 == 0])


small = st.integers(0, 12)
predictions = st.one_of(
    st.builds(lambda i, version: ("p", i, i, version, None), small, st.sampled_from(["v1", "v2"])),
    st.builds(lambda i, text: ("p", i, i, "v1", text), st.integers(20, 24), st.sampled_from(["0", "1"])),
)
"""All versions answer a request at one time; a label on the line itself is that of a request that one version answered,
for the join tells a label of one line to versions that answer later, and the store keeps it with its line."""

labels = st.builds(
    lambda i, at, model, text: ("l", i, at, model, text),
    small | st.integers(20, 24), st.integers(-2, 40), st.sampled_from([None, "m"]), st.sampled_from(["0", "1", "2"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(predictions | labels, max_size=40), st.sampled_from([0.0, 10.0]), st.sampled_from([None, "0"]))
def test_it_says_what_the_join_says(
    tmp_path_factory: pytest.TempPathFactory, lines: list[Any], maturity: float, unlabeled: str | None
) -> None:
    path = tmp_path_factory.mktemp("store")
    records: list[Prediction | Label] = []
    for kind, i, at, name, text in lines:
        if kind == "p":
            records.append(Prediction(ModelKey("m", name), NOW + at, f"r{i}", label=text, predicted="1"))
        else:
            records.append(Label(f"r{i}", NOW + at, name, text))
    policy = JoinPolicy(maturity, 20.0, unlabeled)
    machine = JoinMachine({"": policy}, capacity=1000, early_ttl=FOREVER)
    store = Store(section(path), lambda _model: ModelPlan())
    store.restore(None, NOW)
    for n, record in enumerate(records):
        if isinstance(record, Prediction):
            machine.predict(record)
        else:
            machine.label(record)
        store.take(Decoded(records=[record]), NOW + n / 1000, 10)
    machine.advance(NOW + 1e6)
    store.finish()
    store.record(NOW)
    store.publish(NOW)
    store.close()
    said = {(x.waiting.key.version, x.waiting.ts, x.label, x.label_ts) for x in machine.take().joined}
    found = joined(labeled_rows(path, maturity=maturity, label_ttl=20.0, unlabeled=unlabeled)) if records else []
    assert {(r["version"], r["ts"].timestamp(), r["label"], r["label_ts"].timestamp()) for r in found} == said
    assert len(rows(path, "predictions")) == sum(isinstance(r, Prediction) for r in records)
