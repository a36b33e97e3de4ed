"""What a log says is what the store holds: as columns, as single records, with odd values, under hostile names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import dataset

from mlcanary.measures.plan import Limits, ModelPlan
from stored_log import NOW, REFERENCE, StoredLog, rows


def line(i: int, **more: Any) -> dict[str, Any]:
    """A prediction of which every part is known."""
    features = {"a": i / 8, "b": i, "city": "ulm" if i % 2 else "bonn"}
    base = {"id": f"r{i}", "ts": NOW - 100 + i, "model": "m", "version": "v1", "features": features, "score": 0.25}
    return base | {"latency_ms": 8.0, "queue_ms": 2.0} | more


def expected(written: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The row of such a prediction."""
    features = {f"feature_{name}": value for name, value in written["features"].items()}
    return {
        "model": "m",
        "ts": datetime.fromtimestamp(written["ts"], UTC),
        "arrived": datetime.fromtimestamp(NOW, UTC),
        "id": written["id"],
        "version": written["version"],
        "prediction": "0",
        "prediction_number": 0.0,
        "score": written["score"],
        "latency_seconds": 0.008,
        "queue_seconds": 0.002,
        "weight": 1.0,
        "features_read": True,
        **features,
        **more,
    }


@pytest.mark.parametrize("plan", [ModelPlan(), ModelPlan(reference=REFERENCE)], ids=["records", "columns"])
def test_every_part_of_a_prediction_comes_back(tmp_path: Path, plan: ModelPlan) -> None:
    log = StoredLog(tmp_path, plan)
    written = [line(i) for i in range(40)]
    for start in range(0, 40, 10):
        log.take(written[start : start + 10])
    log.end()
    found = sorted(rows(tmp_path, "predictions"), key=lambda row: int(row["id"][1:]))
    assert found == [expected(each) for each in written]
    assert log.store.kept == {"predictions": 40}
    assert not log.store.dropped


@pytest.mark.parametrize("plan", [ModelPlan(), ModelPlan(reference=REFERENCE)], ids=["records", "columns"])
def test_labels_and_events_come_back_with_their_arrival(tmp_path: Path, plan: ModelPlan) -> None:
    log = StoredLog(tmp_path, plan)
    log.take([line(0)])
    label = {"kind": "label", "id": "r0", "ts": NOW - 5, "label": True}
    event = {"kind": "label", "id": "r0", "ts": NOW - 4, "model": "m", "event": "purchase", "value": 12.5}
    log.take([label, event], NOW)
    log.take([label, {**label, "model": "m"}], NOW + 3)
    log.end(NOW + 3)
    found = rows(tmp_path, "outcomes")
    assert [(row["model"], row.get("label"), row.get("event"), row.get("value")) for row in found] == [
        (None, "1", None, None),
        (None, "1", None, None),
        ("m", None, "purchase", 12.5),
        ("m", "1", None, None),
    ]
    assert {row["arrived"].timestamp() for row in found} == {NOW, NOW + 3}
    assert {row["ts"].timestamp() for row in found} == {NOW - 5, NOW - 4}


@pytest.mark.parametrize("plan", [ModelPlan(), ModelPlan(reference=REFERENCE)], ids=["records", "columns"])
def test_values_that_fit_no_column_are_kept_as_json(tmp_path: Path, plan: ModelPlan) -> None:
    log = StoredLog(tmp_path, plan)
    log.take([line(0)])
    odd = {"a": "many", "b": 2**60, "city": 7, "new": [1, {"x": None}], "A": 3.5, "flag": True, "none": None}
    log.take([line(1, features=odd)])
    log.take([line(2)])
    log.end()
    first, second, third = sorted(rows(tmp_path, "predictions"), key=lambda row: str(row["id"]))
    assert json.loads(second["features_other"]) == {
        "a": "many",
        "b": 2**60,
        "city": 7,
        "new": [1, {"x": None}],
        "A": 3.5,
    }
    assert second["feature_flag"] == 1.0
    assert "features_other" not in first
    assert third == expected(line(2))


def test_a_feature_beside_the_reference_keeps_its_values(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, ModelPlan(reference=REFERENCE))
    written = [line(i, features={"a": i / 8, "extra": float(i)}) for i in range(30)]
    for start in range(0, 30, 10):
        log.take(written[start : start + 10])
    log.end()
    assert [row["feature_extra"] for row in rows(tmp_path, "predictions")] == [float(i) for i in range(30)]


def test_a_row_whose_features_were_stepped_over_says_so(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, ModelPlan(reference=REFERENCE, feature_share=0.5))
    for start in range(0, 90, 30):
        log.take([line(i) for i in range(start, start + 30)])
    log.end()
    found = rows(tmp_path, "predictions")
    assert len(found) == 90
    stepped_over = [row for row in found if not row["features_read"]]
    assert 10 < len(stepped_over) < 60
    assert all("feature_a" not in row for row in stepped_over)
    assert all("feature_a" in row for row in found if row["features_read"])


def test_features_above_the_cap_are_kept_as_json(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, ModelPlan(limits=Limits(features=200)))
    wide = {f"f{i}": float(i) for i in range(10_000)}
    log.take([line(0, features=wide)])
    log.end()
    (row,) = rows(tmp_path, "predictions")
    columns = {name.removeprefix("feature_"): value for name, value in row.items() if name.startswith("feature_")}
    assert len(columns) == 200
    assert columns | json.loads(row["features_other"]) == wide


def test_only_wanted_features_and_no_users_are_kept(tmp_path: Path) -> None:
    everything = StoredLog(tmp_path / "all", user=True)
    some = StoredLog(tmp_path / "some", exclude=("city", "b"))
    one = StoredLog(tmp_path / "one", include=("a",), labels=False)
    for log in (everything, some, one):
        log.take([line(1, user="ann"), line(2, user="bob"), {"kind": "label", "id": "r1", "ts": NOW, "label": 1}])
        log.end()
    hashes = [row["user_hash"] for row in rows(tmp_path / "all", "predictions")]
    assert len(set(hashes)) == 2
    for name in ("some", "one"):
        for row in rows(tmp_path / name, "predictions"):
            assert {key for key in row if key.startswith(("feature_", "user"))} == {"feature_a"}
    assert rows(tmp_path / "one", "outcomes") == []
    everywhere = b"".join(path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    assert b"ann" not in everywhere


def test_failures_scores_and_rankings_come_back(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0, status=503), line(1, label="yes"), {**line(2), "scores": {"1": 0.25, "0": 0.75}}])
    log.end()
    failed, labelled, _ = rows(tmp_path, "predictions")
    assert failed["error"] == "503"
    assert "prediction" not in failed
    assert labelled["label"] == "yes"


@pytest.mark.parametrize("name", ["a/b", "../../x", "model=1", "ü ñ%20", ".", "x" * 128])
def test_a_model_may_have_any_name(tmp_path: Path, name: str) -> None:
    log = StoredLog(tmp_path / "in")
    log.take([line(0, model=name), {"kind": "label", "id": "r0", "ts": NOW, "label": 1, "model": name}])
    log.end()
    assert [row["model"] for row in rows(tmp_path / "in", "predictions")] == [name]
    assert [row["model"] for row in rows(tmp_path / "in", "outcomes")] == [name]
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_models_above_the_cap_are_counted_and_left_out(tmp_path: Path) -> None:
    log = StoredLog(tmp_path, ModelPlan(limits=Limits(models=2)))
    log.take([line(i, model=f"m{i}") for i in range(5)] + [line(9, model="€" * 128)])
    log.end()
    assert {row["model"] for row in rows(tmp_path, "predictions")} == {"m0", "m1"}
    assert log.store.dropped == {"models": 4}


def test_times_outside_every_calendar_are_held_at_its_ends(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0, ts=-1e300), line(1, ts=0), line(2, ts="1969-12-31T23:59:59Z")])
    log.end()
    assert [row["ts"].year for row in rows(tmp_path, "predictions")] == [1, 1970, 1969]


def test_any_reader_of_partitioned_data_sets_reads_it(tmp_path: Path) -> None:
    log = StoredLog(tmp_path)
    log.take([line(0), line(1, features={"a": 1.0})])
    log.checkpoint(NOW)
    log.take([line(2, model="n m", features={"wider": "x"})])
    log.end(NOW + 3600)
    table = dataset.dataset(tmp_path / "predictions", partitioning="hive").to_table()
    assert table.num_rows == 3
    assert set(table["model"].to_pylist()) == {"m", "n m"}
    when = datetime.fromtimestamp(NOW + 3600, UTC)
    assert set(table["date"].to_pylist()) == {f"{when:%Y-%m-%d}"}
    assert {int(hour) for hour in table["hour"].to_pylist()} == {when.hour}
