"""BentoML monitor files: what goes wrong with their schema, their times and their request ids."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from formats.rows_of import NOW, block, decoded, row_format
from mlcanary.catalog import Task
from mlcanary.formats.bentoml import BentoMLFormat
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.rows import Row

DATA, SCHEMA = "/m/churn/data/data.1.log", "/m/churn/schema/schema.1.log"


def schema(version: str = "v2", **columns: tuple[str, str]) -> dict[str, Any]:
    described = [{"name": name, "role": role, "type": kind} for name, (role, kind) in columns.items()]
    return {"meta_data": {"bento_name": "churn", "bento_version": version}, "columns": described}


PLAIN = schema(age=("feature", "numerical"), churns=("prediction", "categorical"))


def data(request: str = "7", **values: Any) -> dict[str, Any]:
    return {**values, "timestamp": "2026-11-01T10:00:00.120345", "request_id": request, "trace_id": "0"}


class Reader:
    """One format over several logs."""

    def __init__(self, **mapping: Any) -> None:
        self.format = BentoMLFormat(FormatOptions("bentoml", mapping=mapping))

    def rows(self, source: str, *lines: object) -> list[Row]:
        return [row for line in block(lines).splitlines() for row in self.format.rows(line, source, NOW)]

    def reasons(self) -> list[str]:
        return [reject.reason for reject in self.format.take_dropped()]

    def restarted(self) -> Reader:
        other = Reader()
        other.format.load(msgspec.msgpack.decode(msgspec.msgpack.encode(self.format.dump())))
        return other


def test_a_batch_as_bentoml_1_4_39_writes_it_outside_a_built_bento() -> None:
    reader = Reader(timezone="America/New_York")
    columns = [
        {"name": "age", "role": "feature", "type": "numerical"},
        {"name": "churns", "role": "prediction", "type": "categorical"},
        {"name": "probability", "role": "prediction", "type": "numerical"},
    ]
    reader.rows(SCHEMA, {"meta_data": {"bento_name": "Churn", "bento_version": "not available"}, "columns": columns})
    rows = reader.rows(
        DATA,
        b'{"age": 61.0, "churns": 1, "probability": 0.61, "timestamp": "2026-11-25T20:01:27.269808", '
        b'"request_id": "5770438810215199533", "trace_id": "56715247900122951256341114036700469016"}',
        b'{"age": null, "churns": 0, "probability": 0.0, "timestamp": "2026-11-25T20:01:27.269808", '
        b'"request_id": "5770438810215199533", "trace_id": "56715247900122951256341114036700469016"}',
    )
    assert [(row.features, row.prediction, row.score) for row in rows] == [
        ({"age": 61.0}, 1, 0.61),
        ({"age": None}, 0, 0.0),
    ]
    assert [row.id for row in rows] == ["5770438810215199533", "5770438810215199533/1"]
    assert rows[0].ts == pytest.approx(1795654887.269808)  # 2026-11-26T01:01:27Z
    assert {row.version for row in rows} == {None}


def test_data_before_its_schema_waits_also_over_a_restart() -> None:
    reader = Reader()
    assert reader.rows(DATA, data(age=1, churns=0), data("8", age=2, churns=1)) == []
    reader = reader.restarted()
    assert [(row.features or {})["age"] for row in reader.rows(SCHEMA, PLAIN)] == [1, 2]
    reader = reader.restarted()
    assert [row.version for row in reader.rows(DATA, data("9", age=3, churns=1))] == ["v2"]


def test_lines_whose_schema_never_comes_are_bounded_and_counted() -> None:
    reader = Reader()
    for number in range(1500):
        assert reader.rows(DATA, data(str(number), age=number)) == []
    assert reader.reasons() == ["no_schema"] * 500
    assert len(msgspec.msgpack.encode(reader.format.dump())) < 300_000


def test_two_monitors_in_one_file_are_told_apart_by_their_columns() -> None:
    other = schema("v2", price=("feature", "numerical"), sold=("prediction", "categorical"))
    reader = Reader()
    reader.rows(SCHEMA, PLAIN)
    reader.rows("/m/sales/schema/schema.1.log", other)
    rows = reader.rows(DATA, data(age=1, churns=0), data("8", price=5, sold=1))
    assert [row.features for row in rows] == [{"age": 1}, {"price": 5}]


def test_the_schema_of_another_folder_does_not_lend_its_version() -> None:
    reader = Reader()
    reader.rows("/m/canary/schema/schema.1.log", PLAIN)
    assert reader.rows(DATA, data(age=1, churns=0)) == []
    assert [row.version for row in reader.rows(SCHEMA, {**PLAIN, "meta_data": {"bento_version": "v1"}})] == ["v1"]


def test_a_call_that_leaves_a_column_out_has_a_missing_feature() -> None:
    reader = Reader()
    reader.rows(SCHEMA, PLAIN)
    (row,) = reader.rows(DATA, data(churns=1))
    assert (row.features, row.prediction) == ({"age": None}, 1)


def test_a_missing_number_as_python_writes_it_is_missing() -> None:
    reader = Reader()
    reader.rows(SCHEMA, PLAIN)
    (row,) = reader.rows(DATA, b'{"age": NaN, "churns": 1, "timestamp": "2026-11-01T10:00:00", "request_id": "7"}')
    assert row.features == {"age": None}


def test_the_rows_of_a_call_are_numbered_over_blocks_and_restarts() -> None:
    reader = Reader()
    reader.rows(SCHEMA, PLAIN)
    ids = [row.id for row in reader.rows(DATA, data(age=1, churns=0), data("8", age=1, churns=0))]
    reader = reader.restarted()
    ids += [row.id for row in reader.rows(DATA, data(age=1, churns=0), data("8", age=1, churns=0))]
    assert ids == ["7", "8", "7/1", "8/1"]


def test_targets_and_roles_of_native_keys_are_understood() -> None:
    line = schema(
        age=("feature", "numerical"),
        shares=("prediction", "numerical_sequence"),
        churned=("target", "categorical"),
        took=("latency_ms", "numerical"),
        order=("id", "categorical"),
        note=("comment", "categorical"),
    )
    values = data(age=1, shares=[0.3, 0.7], churned=1, took=12.0, order="o-1", note="x")
    reader = Reader()
    reader.rows(SCHEMA, line)
    (row,) = reader.rows(DATA, values)
    assert (row.score, row.label, row.latency_ms, row.id) == (0.7, 1, 12.0, "o-1")
    assert row.features == {"age": 1}


@pytest.mark.parametrize(("task", "expected"), [(Task.BINARY, ("1", 0.7)), (Task.REGRESSION, ("0.7", None))])
def test_one_number_is_a_score_or_an_amount_by_the_task(task: Task, expected: tuple[str, float | None]) -> None:
    line = schema(age=("feature", "numerical"), answer=("prediction", "numerical"))
    (record,), rejects = decoded("bentoml", [line, data(age=1, answer=0.7)], task=task)
    assert rejects == []
    assert (record.predicted, record.score) == expected  # type: ignore[union-attr]  # a prediction


def test_columns_of_the_configuration_stand_in_for_a_schema() -> None:
    reader = Reader(columns={"age": "feature", "churns": "prediction", "y": "target"})
    (row,) = reader.rows(DATA, data(age=1, churns=0, y=1))
    assert (row.features, row.prediction, row.label) == ({"age": 1}, 0, 1)


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone: found 'Mars/Olympus'; allowed: a name of the time zone database"),
        ({"output": "number"}, "output: found 'number'; allowed: auto, score, prediction"),
        ({"columns": {"age": "colour"}}, "columns.age: found 'colour'; allowed: feature, target, kind, id"),
        ({"zone": "UTC"}, "zone: no such key; allowed: timezone, output, batch, columns"),
    ],
)
def test_options_that_cannot_be_used_are_told(mapping: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        row_format("bentoml", mapping=mapping)
    assert told in str(caught.value)
