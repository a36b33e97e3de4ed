"""Unknown lines: what each value is taken for, what is left to a person, and that the proposal can be loaded."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.samples import diagnosed, records, replayed
from formats.same_traffic import START
from mlcanary.catalog import Task
from mlcanary.doctor.guess import guess_mapping

RANDOM = random.Random(5)
NUMBERS = [(i, round(RANDOM.random(), 3)) for i in range(60)]


def flat(i: int, p: float) -> Any:
    return {"requestId": f"r{i}", "eventTime": START + i, "age": 20 + i % 40, "plan": "ab"[i % 2], "probability": p} | {
        "modelVersion": f"v{1 + i % 2}",
        "durationMs": 3 + i % 5,
        "churned": i % 2,
        "hostname": "pod-1",
    }


def nested(i: int, p: float) -> Any:
    inner = {"features": {"age": 20 + i, "income": p * 1000}}
    return {
        "meta": {"uuid": f"u{i}", "ts": "2026-11-01T08:00:00"},
        "in": json.dumps(inner),
        "out": {"proba": [1 - p, p]},
    }


def terse(i: int, p: float) -> Any:
    return {
        "rid": f"r{i}",
        "eventtime": START + i,
        "responsetime": 7,
        "fraudscore": p,
        "rel": "v1",
        "x": {"a": i, "b": p},
    }


def vector(i: int, p: float) -> Any:
    return {"id": i, "timestamp": int((START + i) * 1000), "features": [i, p, i % 3], "prediction": p, "variant": "b"}


def called(i: int, p: float) -> Any:
    return {"trace_id": f"t{i}", "time": START + i, "took": 0.013} | {
        "req": json.dumps({"instances": [[i, p], [i, 1 - p]]}),
        "res": json.dumps({"predictions": [p, 1 - p]}),
    }


def amount(i: int, p: float) -> Any:
    return {
        "id": f"r{i}",
        "ts": START + i,
        "version": "v1",
        "inputs": {"area": i, "rooms": i % 5},
        "predicted": 1e5 * p,
    }


def outcome(i: int, _p: float) -> Any:
    return {"request_id": f"r{i}", "observed_at": START + i, "outcome": i % 2}


def clicked(i: int, p: float) -> Any:
    return {"request_id": f"r{i}", "at": START + i, "event": "purchase", "amount": 10 * p}


CASES: tuple[tuple[Callable[[int, float], Any], dict[str, Any]], ...] = (
    (
        flat,
        {
            "id": "requestId",
            "ts": "eventTime",
            "latency_ms": "durationMs",
            "version": "modelVersion",
            "score": "probability",
            "label": "churned",
            "features": {"age": "age", "plan": "plan"},
        },
    ),
    (
        nested,
        {
            "id": "meta.uuid",
            "ts": "meta.ts",
            "score": "out.proba[-1]",
            "features": "in.features",
            "timezone": "UTC",
        },
    ),
    (
        terse,
        {"id": "rid", "ts": "eventtime", "latency_ms": "responsetime", "score": "fraudscore", "features": "x"},
    ),
    (vector, {"id": "id", "ts": "timestamp", "version": "variant", "score": "prediction", "features": "features"}),
    (
        called,
        {"id": "trace_id", "ts": "time", "request": "req", "response": "res"}
        | {"latency_ms": {"path": "took", "unit": "s"}},
    ),
    (amount, {"id": "id", "ts": "ts", "version": "version", "prediction": "predicted", "features": "inputs"}),
    (outcome, {"kind": {"const": "label"}, "id": "request_id", "ts": "observed_at", "label": "outcome"}),
    (clicked, {"kind": {"const": "label"}, "id": "request_id", "ts": "at", "event": "event", "value": "amount"}),
)


@pytest.mark.parametrize(("shape", "wanted"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_values_are_taken_for_what_they_are(shape: Callable[[int, float], Any], wanted: dict[str, Any]) -> None:
    guess = guess_mapping(records(shape(i, p) for i, p in NUMBERS))
    assert guess is not None
    assert guess.mapping == wanted


@pytest.mark.parametrize("shape", [shape for shape, _ in CASES], ids=lambda shape: shape.__name__)
def test_what_is_proposed_loads_and_reads_every_line(shape: Callable[[int, float], Any], tmp_path: Path) -> None:
    found = diagnosed(tmp_path, records(shape(i, p) for i, p in NUMBERS))
    (reading,) = found.readings
    assert (len(reading.seen), reading.rejects.total()) == (60 * (2 if shape is called else 1), 0)
    predictions, _, rejects = replayed(found, tmp_path)
    assert (predictions, rejects) == (len(reading.predictions), 0)


def test_outcomes_in_the_file_of_their_predictions_are_joined(tmp_path: Path) -> None:
    lines = [amount(i, p) for i, p in NUMBERS] + [{"id": f"r{i}", "ts": START + 90, "actual": i} for i in range(50)]
    found = diagnosed(tmp_path, records(lines))
    assert "id: id   # 60 different values in 110; lines of outcomes repeat them" in found.yaml
    assert replayed(found, tmp_path) == (60, 50, 0)


def test_amounts_make_it_a_regression(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, records(amount(i, p) for i, p in NUMBERS))
    assert found.readings[0].task is Task.REGRESSION
    assert "task: regression" in found.yaml


def test_a_logit_is_left_out_and_told(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, records({**flat(i, p), "probability": 8 * p - 4} for i, p in NUMBERS))
    assert "score:" not in found.yaml
    assert "# probability looks like a score but runs from" in found.yaml


def test_csv_without_names_gets_some_by_its_look(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, [f"r{i};{START + i};{i % 7};{p:.4f}".encode() for i, p in NUMBERS])
    assert "csv: [id, ts, column3, score]   # decide:" in found.yaml
    assert "delimiter: ';'" in found.yaml.replace('"', "'")
    assert replayed(found, tmp_path) == (60, 0, 0)


def test_odd_names_are_spelt_as_paths(tmp_path: Path) -> None:
    lines = records({"the id": f"r{i}", "a.b": {"it's": p}, "score": p, "x y": i} for i, p in NUMBERS)
    found = diagnosed(tmp_path, lines)
    assert replayed(found, tmp_path)[0] == 60


@given(
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["id", "score", "features", "ts", "a b", "]", "'"]), inner, max_size=4
                )
            ),
            max_leaves=12,
        ),
        max_size=6,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_json_gives_a_mapping_that_can_be_used_or_none(documents: list[Any]) -> None:
    guess = guess_mapping(records(documents))
    assert guess is None or guess.mapping.keys() & {
        "features",
        "score",
        "prediction",
        "scores",
        "label",
        "event",
        "response",
    }


@given(st.lists(st.binary(max_size=40), max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_bytes_give_a_mapping_that_can_be_used_or_none(lines: list[bytes]) -> None:
    guess = guess_mapping(lines)
    assert guess is None or guess.mapping
