"""Values that a JSON document may hold and that a float, a page or a type of msgspec cannot: found by `make fuzz`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from formats.rows_of import NOW, block, decoded
from mlcanary.columns import Classes
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.json_path import decode
from mlcanary.formats.registry import make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction
from monitored_traffic import reference

HUGE = 10**400
REQUEST = {"type": "org.kubeflow.serving.inference.request", "id": "a", "data": {"instances": [[1]]}}
PLAN = ModelPlan(reference=reference(), segments=("plan",))


@pytest.mark.parametrize(
    ("name", "line", "mapping"),
    [
        ("kserve", {**REQUEST, "time": HUGE}, None),
        ("cloudevents", {"type": "a", "id": "a", "time": HUGE, "data": {"score": 0.5}}, None),
        ("oip-v2", {"id": "a", "request": {"instances": [[1]]}, "response": {"predictions": [[HUGE, 1]]}}, None),
        ("seldon1", {"type": "io.seldon.serving.feedback", "requestid": "r", "data": {"reward": HUGE}}, None),
        ("mapping", {"t": HUGE, "s": 0.5}, {"ts": {"path": "t", "unit": "ms"}, "score": "s"}),
        ("mapping", {"l": HUGE}, {"latency_ms": "l"}),
    ],
)
def test_a_number_that_no_float_holds_is_a_reject(name: str, line: dict[str, Any], mapping: dict[str, Any]) -> None:
    records, rejects = decoded(name, [line, line], mapping=mapping)
    assert not records
    assert {reject.reason for reject in rejects} == {"type"}


def test_half_a_character_beside_a_bare_nan_is_a_reject() -> None:
    line = b'{"id": "\\ud800", "user": "\\ud800", "score": 0.5, "x": NaN}'
    records, rejects = decoded("mapping", [line], mapping={"id": "id", "user": "user", "score": "score"})
    assert (records, [reject.reason for reject in rejects]) == ([], ["utf8"])
    assert decode('{"a": "\\ud83d\\ude42", "x": NaN}') == {"a": "🙂", "x": None}


def test_messages_stay_short() -> None:
    _, rejects = decoded("native", [{"id": "a", "ts": "x" * 100_000, "score": 0.5}])
    assert len(rejects[0].detail) <= 500


def _native(lines: list[dict[str, Any]]) -> list[Prediction]:
    reader = make_format(FormatOptions(model="m"), lambda _model: PLAN)
    first = reader.decode_block(block([{"id": "first", "score": 0.5, "features": {"age": 1}}]), NOW)
    found = reader.decode_block(block(lines), NOW)
    assert (found.rejects, found.lines, len(first.every_record())) == ([], len(lines), 1)
    return [record for record in found.every_record() if isinstance(record, Prediction)]


def test_keys_that_no_type_can_have_do_not_end_the_columns() -> None:
    odd: dict[str, Any] = {"id": "a", "score": 0.5, 'x"y': 1, "tab\t": 2, "features": {'a"b': 1, "age": 2, "c\\": 3}}
    assert len(_native([odd, {"id": "b", "score": 0.1}])) == 2
    line = b'{"id": "a", "score": 0.5, "\xb8": 1}'
    reader = make_format(FormatOptions(model="m"), lambda _model: PLAN)
    reader.decode_block(block([{"id": "first", "score": 0.5}]), NOW)
    assert len(reader.decode_block(block([line, line]), NOW).every_record()) == 2


def test_null_features_are_none_in_columns_and_lines() -> None:
    assert next(iter(_native([{"id": "a", "score": 0.5, "features": None}]))).features.get("age") is None
    records, rejects = decoded("native", [{"id": "a", "score": 0.5, "features": None}])
    assert (len(records), rejects) == (1, [])


def test_more_categories_and_classes_than_codes_leave_those_of_the_configuration_right() -> None:
    lines: list[dict[str, Any]] = [
        {"id": f"r{i}", "prediction": f"c{i}", "features": {"plan": f"p{i}"}} for i in range(1500)
    ]
    lines += [{"id": f"s{i}", "score": i / 10, "features": {"plan": "free"}} for i in range(10)]
    found = {str(each.id): each for each in _native(lines)}
    assert [found[f"s{i}"].predicted for i in range(10)] == ["0"] * 5 + ["1"] * 5
    classes = Classes(limit=1)
    assert (classes.code("a"), classes.code("b"), classes.own("b"), classes.name(1)) == (0, None, 1, "b")


def test_many_versions_in_one_block_are_all_there() -> None:
    found = _native([{"id": f"r{i}", "version": f"v{i}", "score": 0.5} for i in range(300)])
    assert {each.key.version for each in found} == {f"v{i}" for i in range(300)}


def test_an_option_that_aliases_of_yaml_made_enormous_is_told_shortly() -> None:
    bomb: list[Any] = ["x"] * 10
    for _ in range(9):
        bomb = [bomb] * 10
    with pytest.raises(ValueError, match=r"^id: found .*; allowed: a path") as caught:
        decoded("mapping", [], mapping={"id": bomb})
    assert len(str(caught.value)) < 10_000
    assert json.dumps(str(caught.value))
