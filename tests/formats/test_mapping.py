"""The `mapping:` section: paths, batches, CSV, units, shipped mappings, and options that cannot be used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.rows_of import decoded, row_format
from mlcanary.formats.json_path import Document, compile_path
from mlcanary.formats.registry import ROW_FORMATS
from mlcanary.records import Label, Prediction


def predictions(lines: list[object], name: str = "mapping", **mapping: Any) -> list[Prediction]:
    records, rejects = decoded(name, lines, mapping=mapping)
    assert rejects == []
    return [record for record in records if isinstance(record, Prediction)]


def reasons(lines: list[object], name: str = "mapping", **mapping: Any) -> list[str]:
    return [reject.reason for reject in decoded(name, lines, mapping=mapping)[1]]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.b", 1),
        ("$.a.b", 1),
        ('a["c.d"]', 2),
        ("a['c.d']", 2),
        ("list[0].x", 1),
        ("list[-1].x", 2),
        ("list[*].x", [1, 2]),
        ("text.in[1]", 6),
        ("texts[*].n", [1, None]),
        ("list[7].x", None),
        ("a.b.c", None),
        ("list.x", None),
        ("a[*]", None),
        ("broken.x", None),
    ],
)
def test_paths(path: str, found: object) -> None:
    document = {
        "a": {"b": 1, "c.d": 2},
        "list": [{"x": 1}, {"x": 2}],
        "text": '{"in": [5, 6]}',
        "texts": ['{"n": 1}', "no json"],
        "broken": "{",
    }
    assert compile_path(path).find(Document(document)) == found


@pytest.mark.parametrize("path", ["", "a..b", "a[", "a[x]", "a[*].b[*]", ".a", "a]", 'a["', "*"])
def test_paths_that_cannot_be_used(path: str) -> None:
    with pytest.raises(ValueError, match="allowed: a path such as"):
        compile_path(path)


@settings(max_examples=60)
@given(st.text("a.[]*$0-'\"{", max_size=10), st.sampled_from([None, 1, "[1]", [1, [2]], {"a": [3]}]))
def test_any_path_is_refused_or_finds_something_or_nothing(path: str, value: object) -> None:
    try:
        compiled = compile_path(path)
    except ValueError:
        return
    found = compiled.find(Document({"a": value}))
    assert found is None or not compiled.starred or isinstance(found, list)


def test_each_field_may_have_several_places_a_constant_or_a_unit() -> None:
    line = {"b": "r-1", "at": 1793520000123, "took": 0.25, "x": 1, "y": 0.7}
    (found,) = predictions(
        [line],
        id=["a", "b"],
        ts={"path": "at", "unit": "ms"},
        latency_ms={"path": "took", "unit": "s"},
        version={"const": "v2"},
        features={"age": "x", "gone": "nowhere"},
        score="y",
    )
    assert (found.id, found.ts, found.latency, found.key.version) == ("r-1", 1793520000.123, 0.25, "v2")
    assert found.features == {"age": 1, "gone": None}


def test_cells_with_decimal_commas_and_local_times() -> None:
    mapping: dict[str, Any] = {
        "csv": ["index", "at", "release", "amount", "p", "took"],
        "delimiter": ";",
        "decimal": ",",
    }
    mapping |= {"ts": {"path": "at", "format": "%d.%m.%Y %H:%M"}, "timezone": "Europe/Berlin"}
    mapping |= {"version": "release", "features": ["amount"], "score": "p", "latency_ms": "took"}
    lines = (b";at;release;amount;p;took", b"0;01.11.2026 13:05;1.100;1.234,5;0,25;1.200")
    records, rejects = decoded("mapping", [*lines, b"1;yesterday;2;3;0,5;4"], mapping=mapping)
    (found,) = records
    assert isinstance(found, Prediction)
    assert (found.ts, found.key.version, found.score, found.latency) == (1793534700.0, "1.100", 0.25, 1.2)
    assert found.features == {"amount": 1234.5}
    assert [reject.reason for reject in rejects] == ["timestamp"]


def test_columns_of_features_make_a_batch_with_what_all_rows_share() -> None:
    line = {"id": "r", "rows": [{"a": 1}, {"a": 2}], "site": "x", "p": [0.1, 0.2]}
    found = predictions([line], id="id", features={"a": "rows[*].a", "site": "site"}, score="p[*]")
    assert [(row.id, row.features, row.score) for row in found] == [
        ("r/0", {"a": 1, "site": "x"}, 0.1),
        ("r/1", {"a": 2, "site": "x"}, 0.2),
    ]


def test_features_as_a_list_get_names() -> None:
    (found,) = predictions([{"x": [1, "a"], "p": 0.5}], features="x", feature_names=["age", "plan"], score="p")
    assert found.features == {"age": 1, "plan": "a"}
    assert reasons([{"x": [1], "p": 0.5}], features="x", feature_names=["age", "plan"], score="p") == ["type"]


def test_label_lines_and_events_by_a_mapping() -> None:
    mapping = {"kind": {"const": "label"}, "id": "order", "event": {"const": "purchase"}, "value": "eur", "ts": "at"}
    records, rejects = decoded("mapping", [{"order": 7, "eur": "59.90", "at": 1793520000}], mapping=mapping)
    assert rejects == []
    assert records == [Label("7", 1793520000.0, None, None, "purchase", 59.9)]


@pytest.mark.parametrize("features", ["row", {"age": "row.age"}])
def test_predictions_and_outcomes_may_share_a_file_without_a_kind(features: object) -> None:
    mapping = {"id": "order", "features": features, "score": "p", "label": "churned", "event": "did", "status": "code"}
    answered = {"order": 7, "row": {"age": 41}, "p": 0.7}
    lines = [answered, {**answered, "order": 8, "churned": 1}, {"order": 7, "churned": 0}, {"order": 7, "did": "click"}]
    failed = {"order": 9, "code": 500, "churned": 1}
    records, rejects = decoded("mapping", [*lines, failed], mapping=mapping)
    assert rejects == []
    kinds = [(type(record).__name__, record.id, record.label) for record in records]
    assert kinds == [
        ("Prediction", "7", None),
        ("Prediction", "8", "1"),
        ("Label", "7", "0"),
        ("Label", "7", None),
        ("Prediction", "9", "1"),
    ]


def test_csv_lines_with_a_header_quotes_and_ids_that_look_like_numbers() -> None:
    lines = [b"id,age,note,p", b'007,41,"a,b",0.7', b"8,,x,0.1\r"]
    found = predictions(list(lines), csv=["id", "age", "note", "p"], id="id", features=["age", "note"], score="p")
    assert [(row.id, row.features, row.score) for row in found] == [
        ("007", {"age": 41, "note": "a,b"}, 0.7),
        ("8", {"age": None, "note": "x"}, 0.1),
    ]
    assert reasons([b"1,2"], csv=["a"], id="a", score={"const": 0.5}) == ["type"]


def test_times_without_a_zone_are_read_in_the_configured_one() -> None:
    (found,) = predictions([{"t": "2026-11-01T11:00:00", "p": 0.5}], ts="t", score="p", timezone="Europe/Berlin")
    assert found.ts == 1793527200.0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"p": [0.1, 0.2], "q": [1]}, "payload"),
        ({"p": ["x", 0.2], "q": [1, 1]}, "type"),
        ({"p": [7.0, 0.2], "q": [1, 1]}, "score"),
        (b"[", "json"),
        (b"\xff", "utf8"),
    ],
)
def test_what_cannot_be_used_is_rejected_and_takes_nothing_else(line: object, reason: str) -> None:
    good = {"p": [0.1], "q": [1]}
    records, rejects = decoded("mapping", [line, good], mapping={"score": "p[*]", "prediction": "q[*]"})
    assert [reject.reason for reject in rejects] == [reason]
    assert len(records) == (1 if reason in ("payload", "json", "utf8") else 2)


DATABRICKS = {
    "client_request_id": "r-1",
    "databricks_request_id": "d-1",
    "request_time": "2026-11-01T10:00:00.12Z",
    "status_code": 200,
    "execution_duration_ms": 12,
    "request": json.dumps({"dataframe_split": {"columns": ["age"], "data": [[41]]}}),
    "response": json.dumps({"predictions": [0.7]}),
    "served_entity_id": "churn-2",
    "logging_error_codes": [],
}


def test_a_databricks_row_without_the_callers_id_has_its_own() -> None:
    (found,) = predictions([{**DATABRICKS, "client_request_id": None}], "databricks")
    assert (found.id, found.score, found.features, found.latency) == ("d-1", 0.7, {"age": 41}, 0.012)


def test_a_databricks_payload_that_was_too_large_is_counted_and_no_failure_of_the_model() -> None:
    large = {**DATABRICKS, "request": None, "response": None, "logging_error_codes": ["MAX_REQUEST_SIZE_EXCEEDED"]}
    assert reasons([large], "databricks") == ["no_payload"]
    (half,) = predictions([{**large, "response": DATABRICKS["response"]}], "databricks")
    assert (half.score, half.error) == (0.7, None)


def test_a_failed_databricks_request_counts_as_an_error_whatever_its_body_says() -> None:
    failed = {**DATABRICKS, "status_code": 400, "response": json.dumps({"error_code": "BAD_REQUEST"})}
    too_large = {**DATABRICKS, "status_code": 413, "request": None, "response": None}
    too_large["logging_error_codes"] = ["MAX_REQUEST_SIZE_EXCEEDED"]
    assert [row.error for row in predictions([failed, too_large], "databricks")] == ["400", "413"]


def test_a_key_of_the_source_replaces_that_of_a_shipped_mapping() -> None:
    (found,) = predictions([DATABRICKS], "databricks", version={"const": "blue"}, output="prediction")
    assert (found.key.version, found.predicted) == ("blue", "0.7")


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({}, "found nothing to read"),
        ({"scor": "a"}, "scor: no such key; allowed: kind, id"),
        ({"score": "a..b"}, "score: found 'a..b'; allowed: a path such as"),
        ({"score": 7}, "score: found 7; allowed: a path"),
        ({"score": {}}, "score: found []; allowed: const, path"),
        ({"score": {"path": "a", "unit": "s"}}, "score: found ['path', 'unit']; allowed: const, path"),
        ({"ts": {"path": "a", "unit": "h"}}, "ts.unit: found 'h'; allowed: s, ms, us, ns"),
        ({"score": "a", "timezone": 3}, "timezone: found 3"),
        ({"score": "a", "csv": []}, "csv: found []; allowed: a list of names"),
        ({"score": "a", "csv": ["b", "b"]}, "csv: found a name twice"),
        ({"score": "a", "csv": ["b"]}, "score: found 'a'; allowed: a column of `csv`: b"),
        ({"score": "a", "decimal": ","}, "decimal: found ','; allowed: '.', or ',' together with `csv`"),
        ({"score": "a", "csv": ["a"], "decimal": ";"}, "decimal: found ';'"),
        ({"ts": {"path": "a", "format": "%H:%M"}}, "ts.format: found '%H:%M'; allowed: codes of Python's strptime"),
        ({"ts": {"path": "a", "format": "%d.%m.%Y", "unit": "s"}}, "ts.format: found"),
        ({"ts": {"path": "a", "format": 3}}, "ts.format: found 3"),
        ({"score": {"path": "a", "format": "%Y"}}, "score: found ['format', 'path']; allowed: const, path"),
        ({"score": "a", "delimiter": ";"}, "delimiter: found ';'; allowed: one character, together with `csv`"),
    ],
)
def test_options_that_cannot_be_used_are_told_by_their_key(mapping: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*") as caught:
        row_format("mapping", mapping=mapping)
    assert told in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    (
        *("request", "response", "status_code", "request_time", "data", "time", "type", "correlationid", "columns"),
        *("meta_data", "captureData", "eventMetadata", "groundTruthData", "request_payload", "response_payload", "p"),
    )
)


@pytest.mark.parametrize("name", sorted(ROW_FORMATS))
@settings(max_examples=30)
@given(line=st.dictionaries(KEYS, JSON | JSON.map(json.dumps), max_size=5).map(json.dumps) | JSON.map(json.dumps))
def test_no_line_makes_a_format_raise(name: str, line: str) -> None:
    mapping = {"score": "p[*]", "ts": "time", "features": "data"} if name == "mapping" else None
    records, rejects = decoded(name, [line.encode()], mapping=mapping)
    assert len(records) + len(rejects) <= 100
