"""What a line must hold, and what is kept of it, by the task of its model."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from mlcanary.catalog import Task
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import REASONS, RowReader
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.records import Label, Prediction, Record

NOW = 1_800_000_000.0
LONG = "x" * 129


def decoded(task: Task, fields: dict[str, Any], **plan: Any) -> Record | str:
    """The record of a line, or `reason: words` of its reject."""
    line = json.dumps(fields).encode() + b"\n"
    found = NativeFormat(RowReader(lambda _model: ModelPlan(task=task, **plan))).decode_block(line, NOW)
    assert len(found.records) + len(found.rejects) == 1
    if found.records:
        return found.records[0]
    (reject,) = found.rejects
    assert reject.reason in REASONS
    return f"{reject.reason}: {reject.detail}"


def prediction(task: Task, fields: dict[str, Any], **plan: Any) -> Prediction:
    """The record of a line that is a prediction."""
    found = decoded(task, fields, **plan)
    assert isinstance(found, Prediction), found
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.5"), (3, "3"), (3.0, "3"), (-0.0, "0"), (-1e15, "-1000000000000000"), (1e-300, "1e-300")],
)
def test_numbers_of_a_regression_model_have_one_spelling(value: float, text: str) -> None:
    found = prediction(Task.REGRESSION, {"prediction": value, "label": value})
    assert (found.predicted, found.label, found.score) == (text, text, None)
    line = {"kind": "label", "id": 1, "model": "m", "label": value}
    assert decoded(Task.REGRESSION, line) == Label("1", NOW, "m", text)


@pytest.mark.parametrize(
    ("task", "fields", "told"),
    [
        (Task.REGRESSION, {"prediction": "2.5"}, "type: prediction '2.5' is no number, and the task is regression"),
        (Task.REGRESSION, {"prediction": True}, "type: prediction True is no number"),
        (Task.REGRESSION, {"prediction": 1e16}, "type: prediction 1e+16 lies outside ±1e+15"),
        (Task.REGRESSION, {"score": 0.5}, "empty: a prediction needs `prediction` or `features`"),
        (Task.REGRESSION, {"prediction": 1, "label": "cat"}, "type: label 'cat' is no number"),
        (Task.REGRESSION, {"prediction": 1, "label": [1]}, "label: a list or an object is no label of a regression"),
        (Task.REGRESSION, {"kind": "label", "id": 1, "model": "m", "label": -2e15}, "type: label -2000000000000000.0"),
        (Task.RANKING, {}, "empty: a prediction needs `items` or `features`"),
        (Task.RANKING, {"prediction": "a"}, "empty: a prediction needs `items` or `features`"),
        (Task.RANKING, {"items": [1.5]}, "type: Expected `int | str`, got `float` - at `$.items[0]`"),
        (Task.RANKING, {"items": [None]}, "type: Expected `int | str`, got `null` - at `$.items[0]`"),
        (Task.RANKING, {"items": "a"}, "type: Expected `array | null`, got `str` - at `$.items`"),
        (Task.RANKING, {"items": ["a", LONG]}, "type: an item is longer than 128 characters"),
        (Task.RANKING, {"items": ["a"], "label": "a"}, "label: 'a': a ranking needs a list of the right items"),
        (Task.RANKING, {"items": ["a"], "label": {"a": -1}}, "label: right items: a list, or grades of 0 and more"),
        (Task.RANKING, {"items": ["a"], "label": {"a": True}}, "type: Expected `float`, got `bool`"),
        (Task.RANKING, {"items": ["a"], "label": ["x" * 4096]}, "label: right items"),
        (Task.RANKING, {"kind": "label", "id": 1, "model": "m", "label": 1}, "label: '1': a ranking needs a list"),
        (Task.MULTICLASS, {"scores": {}}, "empty: a prediction needs `prediction`, `scores` or `features`"),
        (Task.MULTICLASS, {"scores": {"a": 1.2, "b": 0.1}}, "score: score 1.2 of class 'a' lies outside 0..1"),
        (Task.MULTICLASS, {"scores": {"a": 0.9, LONG: 0.1}}, "type: a class in scores is longer than 128 characters"),
        (
            Task.MULTICLASS,
            {"prediction": "a", "label": ["a"]},
            "label: a list or an object is no label of a multi",
        ),
        (Task.BINARY, {"prediction": 1, "label": {"a": 1}}, "label: a list or an object is no label of a binary model"),
        (Task.BINARY, {"prediction": 1, "user": True}, "type: Expected `int | str | null`, got `bool` - at `$.user`"),
        (Task.BINARY, {"prediction": 1, "queue_ms": 1e16}, "type: queue_ms 1e+16 lies outside ±1e+15"),
    ],
)
def test_what_a_task_cannot_use_is_rejected_with_a_reason(task: Task, fields: dict[str, Any], told: str) -> None:
    found = decoded(task, fields)
    assert isinstance(found, str), found
    assert found.startswith(told)


def test_items_are_texts_in_the_order_shown_and_cut_at_the_cap() -> None:
    found = prediction(Task.RANKING, {"items": ["b", 7, "b", 2**70]})
    assert (found.items, found.predicted) == (("b", "7", "b", str(2**70)), None)
    assert prediction(Task.RANKING, {"items": []}).items == ()
    assert prediction(Task.RANKING, {"features": {"a": 1}}).items is None
    cut = prediction(Task.RANKING, {"items": [*range(5), LONG]}, limits=Limits(items=5), ranks=(3,))
    assert cut.items == ("0", "1", "2", "3", "4"), "what is not kept is not judged"
    asked = prediction(Task.RANKING, {"items": list(range(9))}, limits=Limits(items=5), ranks=(3, 7))
    assert asked.items == tuple("0123456"), "a figure at 7 wants 7 places"


@pytest.mark.parametrize(
    ("label", "relevance"),
    [
        (["b", "a", "b"], '{"a":1.0,"b":1.0}'),
        ([7], '{"7":1.0}'),
        ({"b": 2, "a": 0.5, "c": 0}, '{"a":0.5,"b":2.0}'),
        ([], "{}"),
        ({"a": 0}, "{}"),
        (["日本"], '{"日本":1.0}'),
    ],
)
def test_relevance_has_one_spelling_on_both_kinds_of_lines(label: object, relevance: str) -> None:
    assert prediction(Task.RANKING, {"items": ["a"], "label": label}).label == relevance
    line = {"kind": "label", "id": 1, "model": "m", "label": label}
    assert decoded(Task.RANKING, line) == Label("1", NOW, "m", relevance)


def test_class_probabilities_are_kept_and_the_likeliest_is_the_prediction() -> None:
    scores = {"ant": 0.2, "bee": 0.5, "cat": 0.3}
    found = prediction(Task.MULTICLASS, {"scores": scores})
    assert (found.predicted, found.scores) == ("bee", scores)
    assert prediction(Task.MULTICLASS, {"scores": scores, "prediction": "ant"}).predicted == "ant"
    tied = {"b": 0.5, "a": 0.5}
    assert prediction(Task.MULTICLASS, {"scores": tied}).predicted == "b"
    assert prediction(Task.BINARY, {"scores": {"1": 0.7, "0": 0.3}}).scores is None
    assert prediction(Task.REGRESSION, {"prediction": 1, "scores": scores}).scores is None


def test_a_user_is_a_hash_that_only_the_same_salt_gives_again() -> None:
    def user(fields: dict[str, Any], salt: bytes = b"salt") -> int | None:
        return prediction(Task.BINARY, {"prediction": 1, **fields}, user_salt=salt).user

    assert user({"user": "u-7"}) == user({"user": "u-7"}) == user({"user_id": "u-7"})
    assert user({"user": 7}) == user({"user": "7"})
    one = {"user": "u-7"}
    hashes = {user(one), user({"user": "u-8"}), user(one, b"pepper"), user(one, b"")}
    assert len(hashes) == 4
    assert all(isinstance(found, int) and 0 <= found < 2**64 for found in hashes)
    assert user({"user": "u-7"}, b"s" * 100) is not None
    assert user({}) is None
    assert user({"user": ""}) is None, "nobody is not a user"


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("status", [200, 503])
def test_the_id_of_a_user_never_reaches_the_record(task: Task, status: int) -> None:
    secret = "jane.doe@example.org"
    line = {"id": "r", "prediction": 1, "items": ["a"], "scores": {"a": 0.5}, "user": secret, "status": status}
    record = prediction(task, line)
    assert record.user is not None
    assert re.search("jane|doe", msgspec.json.encode(record).decode()) is None


def test_time_in_the_queue_is_seconds_and_never_negative() -> None:
    assert prediction(Task.BINARY, {"prediction": 1, "queue_ms": 12.5, "latency_ms": 20}).queue == 0.0125
    assert prediction(Task.BINARY, {"prediction": 1, "queue_ms": -3}).queue == 0.0
    assert prediction(Task.BINARY, {"prediction": 1}).queue is None
    failed = prediction(Task.RANKING, {"status": 503, "queue_ms": 5, "user": "u", "items": ["a"]})
    assert (failed.queue, failed.items, failed.error) == (0.005, None, "503")
    assert failed.user is not None
