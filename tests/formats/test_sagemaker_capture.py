"""SageMaker Data Capture: encodings, batches, ids, the variant of the path, ground truth."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from formats.rows_of import NOW, decoded, row_format
from mlcanary.records import Label, Prediction

PATH = "/capture/churn/canary/2026/11/01/10/23-44-11-aa.jsonl"
NAMES = {"feature_names": ["age", "plan"]}


def body(data: str, encoding: str = "CSV", content: str = "text/csv") -> dict[str, str]:
    return {"observedContentType": content, "mode": "INPUT", "data": data, "encoding": encoding}


def captured(asked: dict[str, str] | None, answered: dict[str, str] | None, **about: Any) -> dict[str, Any]:
    parts = {"endpointInput": asked, "endpointOutput": answered}
    return {
        "captureData": {name: part for name, part in parts.items() if part is not None},
        "eventMetadata": {"eventId": "e-1", "inferenceTime": "2026-11-01T10:00:00Z", **about},
        "eventVersion": "0",
    }


def predictions(line: dict[str, Any], source: str = PATH, **options: Any) -> list[Prediction]:
    records, rejects = decoded("sagemaker", [line], source, **options)
    assert rejects == []
    return [record for record in records if isinstance(record, Prediction)]


def test_variant_and_endpoint_come_from_the_path_and_the_id_from_the_caller() -> None:
    line = captured(body("41,a\n"), body("0.7", content="text/csv; charset=utf-8"), inferenceId="r-1")
    (found,) = predictions(line, mapping=NAMES)
    assert found.key == ("churn", "canary")
    assert (found.id, found.score, found.features) == ("r-1", 0.7, {"age": 41, "plan": "a"})
    (other,) = predictions(captured(body("41,a"), body("0.7")))
    assert (other.id, other.features) == ("e-1", {"f0": 41, "f1": "a"})


def test_without_a_tree_the_configured_names_hold() -> None:
    (found,) = predictions(captured(body("41"), body("0.7")), "/tmp/capture.jsonl", model="m", version="v9")
    assert found.key == ("m", "v9")


def test_a_batch_has_a_row_per_line_and_empty_cells_are_missing() -> None:
    found = predictions(captured(body("41,a\n,b\n"), body("0.7\n0.1\n")), mapping=NAMES)
    assert [(row.id, row.score) for row in found] == [("e-1/0", 0.7), ("e-1/1", 0.1)]
    assert found[1].features == {"age": None, "plan": "b"}


def test_quoted_cells_may_hold_commas() -> None:
    (found,) = predictions(captured(body('41,"a,b"'), body("0.7")), mapping=NAMES)
    assert found.features == {"age": 41, "plan": "a,b"}


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (body('{"instances":[{"features":[41,"a"]}]}', "JSON"), body('{"predictions":[{"score":0.7}]}', "JSON")),
        (body('{"age":41,"plan":"a"}', "JSON"), body("[0.3,0.7]", "BASE64", "text/csv")),
        (body('{"features":{"age":41,"plan":"a"}}\n', "JSON", "application/jsonlines"), body("0.3,0.7")),
    ],
)
def test_bodies_in_json_and_base64(asked: dict[str, str], answered: dict[str, str]) -> None:
    if answered["encoding"] == "BASE64":
        answered = body(base64.b64encode(b"0.3,0.7").decode(), "BASE64")
    (found,) = predictions(captured(asked, answered), mapping=NAMES)
    assert (found.score, found.features) == (0.7, {"age": 41, "plan": "a"})


def test_columns_of_an_answer_are_named_by_output() -> None:
    line = captured(body("41,a"), body("1,0.7"))
    (found,) = predictions(line, mapping={**NAMES, "output": ["prediction", "score"]})
    assert (found.predicted, found.score) == ("1", 0.7)


def test_ground_truth_is_as_old_as_the_hour_of_its_folder() -> None:
    truth = {"groundTruthData": {"data": "1", "encoding": "CSV"}, "eventMetadata": {"eventId": "r-1"}}
    many = {"groundTruthData": {"data": "1\n0", "encoding": "CSV"}, "eventMetadata": {"eventId": "r-2"}}
    records, rejects = decoded("sagemaker", [truth, many], "/truth/2026/11/01/10/a.jsonl")
    assert rejects == []
    hour = 1793530800.0  # 2026-11-01T11:00Z
    assert records == [
        Label("r-1", hour, None, "1"),
        Label("r-2/0", hour, None, "1"),
        Label("r-2/1", hour, None, "0"),
    ]
    (late,), _ = decoded("sagemaker", [truth], "/truth/2126/11/01/10/a.jsonl")
    assert late.ts == NOW


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (captured(None, None), "no_payload"),
        (captured(body("1\n2"), body("0.7")), "payload"),
        (captured(body("AAAA", "BASE64", "application/x-npy"), body("0.7")), "payload"),
        (captured(body("1", "AVRO"), body("0.7")), "payload"),
        (captured(body("{", "JSON"), body("0.7")), "json"),
        ({"eventMetadata": {"eventId": "e"}}, "payload"),
        ({"captureData": {}}, "type"),
        (captured(body("1"), body("0.7"), inferenceTime="yesterday"), "timestamp"),
        ({"groundTruthData": {"data": "{}", "encoding": "JSON"}, "eventMetadata": {"eventId": "e"}}, "label"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_its_reason_and_takes_nothing_else(
    line: dict[str, Any], reason: str
) -> None:
    good = captured(body("41,a"), body("0.7"))
    records, rejects = decoded("sagemaker", [line, good], PATH)
    assert [reject.reason for reject in rejects] == [reason]
    assert len(records) == 1


@pytest.mark.parametrize("mapping", [{"output": ["colour"]}, {"feature_names": "age"}, {"names": ["a"]}])
def test_options_that_cannot_be_used_are_told(mapping: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        row_format("sagemaker", mapping=mapping)
