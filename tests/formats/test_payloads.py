"""Bodies of requests and responses: shapes, names, and what an output is."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcanary.formats.payloads import Answer, PayloadPlan, answers_of, features_of, truths_of
from mlcanary.formats.rows import Rejected

PLAN = PayloadPlan()


def tensor(name: str, shape: list[int], data: Any, datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


AGE, PLANS = tensor("age", [2], [41, 37]), tensor("plan", [2, 1], ["a", "b"], "BYTES")

REQUESTS: tuple[tuple[str, Any, list[dict[str, Any]]], ...] = (
    ("a tensor per feature", {"inputs": [AGE, PLANS]}, [{"age": 41, "plan": "a"}, {"age": 37, "plan": "b"}]),
    ("one flat matrix", {"inputs": [tensor("x", [2, 2], [1, 2, 3, 4])]}, [{"f0": 1, "f1": 2}, {"f0": 3, "f1": 4}]),
    (
        "one nested matrix",
        {"inputs": [tensor("x", [2, 2], [[1, 2], [3, 4]])]},
        [{"f0": 1, "f1": 2}, {"f0": 3, "f1": 4}],
    ),
    (
        "a matrix beside others",
        {"inputs": [AGE, tensor("x", [2, 2], [1, 2, 3, 4])]},
        [
            {"age": 41, "x_0": 1, "x_1": 2},
            {"age": 37, "x_0": 3, "x_1": 4},
        ],
    ),
    ("an open dimension", {"inputs": [tensor("age", [-1], [41])]}, [{"age": 41}]),
    ("an open number of rows", {"inputs": [tensor("x", [-1, 2], [1, 2])]}, [{"f0": 1, "f1": 2}]),
    ("no shape", {"inputs": [{"name": "age", "datatype": "FP64", "data": [1, 2]}]}, [{"age": 1}, {"age": 2}]),
    ("a scalar tensor", {"inputs": [tensor("age", [], [1])]}, [{"age": 1}]),
    ("instances", {"instances": [[41, 0], [37, None]]}, [{"f0": 41, "f1": 0}, {"f0": 37, "f1": None}]),
    ("scalar instances", {"instances": [41, "a"]}, [{"f0": 41}, {"f0": "a"}]),
    (
        "named instances",
        {"instances": [{"age": [41], "plan": "a"}, {"age": 37}]},
        [{"age": 41, "plan": "a"}, {"age": 37}],
    ),
    ("deep instances", {"instances": [[[1, 2], [3, 4]]]}, [{"f0": 1, "f1": 2, "f2": 3, "f3": 4}]),
    ("lists in a row", {"instances": [{"x": [1, [2, 3]], "y": {"z": 1}}]}, [{"x_0": 1, "x_1": 2, "x_2": 3}]),
    (
        "columns",
        {"inputs": {"age": [41, 37], "plan": ["a", "b"]}},
        [{"age": 41, "plan": "a"}, {"age": 37, "plan": "b"}],
    ),
    ("a column's only value", {"inputs": {"age": 41}}, [{"age": 41}]),
    ("rows as inputs", {"inputs": [[1, 2]]}, [{"f0": 1, "f1": 2}]),
    ("records", {"dataframe_records": [{"age": 41}, {"age": None}]}, [{"age": 41}, {"age": None}]),
    ("split", {"dataframe_split": {"columns": ["age", 7], "data": [[41, 1]]}}, [{"age": 41, "7": 1}]),
    ("split without names", {"dataframe_split": {"data": [[41, 1]]}}, [{"f0": 41, "f1": 1}]),
    ("Seldon's ndarray", {"data": {"names": ["age"], "ndarray": [[41], [37]]}}, [{"age": 41}, {"age": 37}]),
    ("Seldon's tensor", {"data": {"tensor": {"shape": [2, 1], "values": [1, 2]}}}, [{"f0": 1}, {"f0": 2}]),
    ("Seldon's JSON", {"jsonData": {"instances": [[1]]}}, [{"f0": 1}]),
    ("a list of rows", [{"age": 41}], [{"age": 41}]),
    ("one object", {"age": 41, "plan": "a"}, [{"age": 41, "plan": "a"}]),
    ("one object with features", {"id": "r", "features": {"age": 41}}, [{"age": 41}]),
)


@pytest.mark.parametrize(("body", "rows"), [case[1:] for case in REQUESTS], ids=[case[0] for case in REQUESTS])
def test_rows_of_a_request(body: Any, rows: list[dict[str, Any]]) -> None:
    assert features_of(body, PLAN) == rows


def test_columns_without_names_are_named_by_the_mapping() -> None:
    plan = PayloadPlan(feature_names=("age", "plan"))
    assert features_of({"instances": [[41, "a", 3]]}, plan) == [{"age": 41, "plan": "a", "f2": 3}]
    assert features_of({"inputs": [tensor("x", [1, 2], [41, 0])]}, plan) == [{"age": 41, "plan": 0}]
    assert features_of({"inputs": [AGE]}, plan) == [{"age": 41}, {"age": 37}]


def probabilities(*shares: float) -> dict[str, Any]:
    return {"outputs": [tensor("predict_proba", [len(shares) // 2, 2], list(shares))]}


RESPONSES: tuple[tuple[str, Any, str, list[Answer]], ...] = (
    (
        "the positive class is the last",
        probabilities(0.9, 0.1, 0.3, 0.7),
        "binary",
        [Answer(score=0.1), Answer(score=0.7)],
    ),
    (
        "classes and shares",
        {
            "outputs": [
                tensor("predict", [1], [1], "INT64"),
                tensor("predict_proba", [1, 2], [[0.3, 0.7]]),
            ]
        },
        "binary",
        [Answer(prediction=1, score=0.7)],
    ),
    (
        "ONNX's names",
        {
            "outputs": [
                tensor("output_label", [1], [1], "INT64"),
                tensor("output_probability", [1, 2], [0.3, 0.7]),
            ]
        },
        "binary",
        [Answer(prediction=1, score=0.7)],
    ),
    (
        "whole numbers of a type",
        {"outputs": [tensor("output-0", [2], [0, 1], "INT64")]},
        "binary",
        [Answer(prediction=0), Answer(prediction=1)],
    ),
    (
        "floats of a type",
        {"outputs": [tensor("output-0", [2], [0, 1], "FP32")]},
        "binary",
        [Answer(score=0.0), Answer(score=1.0)],
    ),
    ("texts", {"outputs": [tensor("output-0", [1], ["yes"], "BYTES")]}, "binary", [Answer(prediction="yes")]),
    ("shares", {"predictions": [0.1, 1]}, "binary", [Answer(score=0.1), Answer(score=1.0)]),
    ("shares in lists", {"predictions": [[0.1], [0.7]]}, "binary", [Answer(score=0.1), Answer(score=0.7)]),
    ("classes", {"predictions": [1, 0]}, "binary", [Answer(prediction=1), Answer(prediction=0)]),
    (
        "numbers that are no shares",
        {"predictions": [0.5, 3.5]},
        "binary",
        [Answer(prediction=0.5), Answer(prediction=3.5)],
    ),
    ("numbers of a regression", {"predictions": [0.5]}, "regression", [Answer(prediction=0.5)]),
    (
        "three classes",
        {"predictions": [[0.2, 0.3, 0.5]]},
        "multiclass",
        [Answer(scores={"0": 0.2, "1": 0.3, "2": 0.5})],
    ),
    (
        "two classes of a multiclass model",
        {"predictions": [[0.2, 0.8]]},
        "multiclass",
        [Answer(scores={"0": 0.2, "1": 0.8})],
    ),
    ("a ranking", {"predictions": [["a", 7]]}, "ranking", [Answer(items=["a", 7])]),
    ("a ranking of one", {"predictions": [["a"]]}, "ranking", [Answer(items=["a"])]),
    (
        "objects",
        {"predictions": [{"prediction": "yes", "score": 0.7}]},
        "binary",
        [Answer(prediction="yes", score=0.7)],
    ),
    ("shares by position", {"predictions": [{"0": 0.3, "1": 0.7}]}, "binary", [Answer(score=0.7)]),
    ("shares by name", {"predictions": [{"no": 0.3, "yes": 0.7}]}, "binary", [Answer(scores={"no": 0.3, "yes": 0.7})]),
    ("Seldon's positions", {"data": {"names": ["t:0", "t:1"], "ndarray": [[0.3, 0.7]]}}, "binary", [Answer(score=0.7)]),
    ("an object of shares", {"scores": {"a": 0.4, "b": 0.6}}, "multiclass", [Answer(scores={"a": 0.4, "b": 0.6})]),
    ("columns", {"outputs": {"probabilities": [[0.3, 0.7]]}}, "binary", [Answer(score=0.7)]),
    ("no answer to a row", {"predictions": [None, 0.7]}, "binary", [Answer(), Answer(prediction=0.7)]),
)


@pytest.mark.parametrize(
    ("body", "task", "answers"), [case[1:] for case in RESPONSES], ids=[case[0] for case in RESPONSES]
)
def test_answers_of_a_response(body: Any, task: str, answers: list[Answer]) -> None:
    assert answers_of(body, PLAN, task=task) == answers


def test_outputs_named_by_the_mapping() -> None:
    body = {"outputs": [tensor("a", [1], [0.2]), tensor("b", [1], [0.7]), tensor("label", [1], [3])]}
    assert answers_of(body, PayloadPlan(score="b")) == [Answer(score=0.7)]
    assert answers_of(body, PayloadPlan(score="b", prediction="a")) == [Answer(prediction=0.2, score=0.7)]
    assert answers_of({"predictions": [1]}, PayloadPlan(output="score")) == [Answer(score=1.0)]
    assert answers_of({"predictions": [0.5]}, PayloadPlan(output="prediction")) == [Answer(prediction=0.5)]
    named = PayloadPlan(class_names=("x", "y", "z"))
    assert answers_of({"predictions": [[0.2, 0.3, 0.5]]}, named, task="multiclass") == [
        Answer(scores={"x": 0.2, "y": 0.3, "z": 0.5})
    ]


def test_truths_of_a_feedback() -> None:
    assert truths_of({"data": {"ndarray": [[1], [0]]}}) == [1, 0]
    assert truths_of({"data": {"names": ["t"], "ndarray": [["yes"]]}}) == ["yes"]
    assert truths_of({"data": {"ndarray": [[0, 1]]}}) == [1]
    with pytest.raises(Rejected, match="no class"):
        truths_of({"data": {"ndarray": [[None]]}})


BAD: tuple[tuple[str, Any, str], ...] = (
    ("rows that do not agree", {"inputs": [AGE, tensor("x", [3], [1, 2, 3])]}, "have 2 to 3 rows"),
    ("values that do not fit", {"inputs": [tensor("x", [2, 2], [1, 2, 3])]}, r"of shape \[2, 2\] with 3 values"),
    ("a shape that lies", {"inputs": [tensor("x", [10**12], [1])]}, "with 1 values"),
    ("an empty tensor", {"inputs": [tensor("x", [10**12, 0], [])]}, "with 0 values"),
    ("a negative shape", {"inputs": [tensor("x", [-5], [1])]}, "with 1 values"),
    ("the binary extension", {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}, "binary extension"),
    ("data that is a text", {"inputs": [tensor("x", [1], "abc")]}, "whose data is no list"),
    ("no rows", {"instances": []}, "without rows"),
    ("a number", 7, "that is int"),
    ("a batch that is a text", {"instances": "a"}, "a batch that is str"),
    ("a row of another width", {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "do not have 1 columns"),
    ("data without rows", {"data": {"names": ["a"]}}, "data without rows"),
)


@pytest.mark.parametrize(("body", "words"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_body_that_does_not_fit_is_told(body: Any, words: str) -> None:
    with pytest.raises(Rejected, match=words) as caught:
        features_of(body, PLAN)
    assert caught.value.reason == "payload"


def test_answers_that_do_not_fit_are_told() -> None:
    for body in ({"predictions": [["a", "b"]]}, {"score": "high"}, {"predictions": [{"a": 1}, 2]}, {"score": True}):
        with pytest.raises(Rejected):
            answers_of(body, PLAN)


def test_rows_with_keys_of_their_own_make_no_square_of_them() -> None:
    rows: list[dict[str, Any]] = [{f"k{i}": 1.0 for i in range(3000)}, *({} for _ in range(3000))]
    assert sum(map(len, features_of({"instances": rows}, PLAN))) == 3000
    with pytest.raises(Rejected, match="keys of the first one"):
        answers_of({"predictions": rows}, PLAN)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(("a", "score", "BYTES")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("inputs", "outputs", "data", "shape", "name", "datatype", "ndarray", "predictions", "scores")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(ANY, st.sampled_from(("binary", "multiclass", "regression", "ranking")))
def test_any_document_gives_rows_or_is_rejected(document: Any, task: str) -> None:
    for read in (lambda: features_of(document, PLAN), lambda: answers_of(document, PLAN, task=task)):
        with suppress(Rejected):
            assert isinstance(read(), list)
