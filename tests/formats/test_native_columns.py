"""Plain lines become columns, the others records: together they are what every line alone would be."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.catalog import Task
from mlcanary.formats.contract import Decoded
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, Prediction, Record
from monitored_traffic import reference

NOW = 1_800_000_000.0
PLANS = {
    "m": ModelPlan(reference=reference(), segments=("plan",), threshold=0.4),
    "many": ModelPlan(reference=reference(), task=Task.MULTICLASS),
    "split": ModelPlan(reference=reference(), segments=("new",)),
    "amount": ModelPlan(reference=reference(), task=Task.REGRESSION),
}
LEARNT = ModelPlan()


def plan_of(model: str) -> ModelPlan:
    """Two models whose requests may be columns, one whose may not, and others without a reference."""
    return PLANS.get(model, LEARNT)


WARM = [
    {"model": model, "version": "v1", "ts": NOW, "score": 0.5, "prediction": 1, "features": {"age": 1, "new": 2}}
    for model in ("m", "many")
]


KEYS = (
    "id request_id ts timestamp version score scores items user user_id "
    "latency_ms queue_ms status label event value features"
)
EVERY_KEY = dict.fromkeys(KEYS.split()) | {"kind": "prediction", "model": "m", "prediction": 1, "unknown key": 1}
EVERY_KEY["features"] = {"new": 1}


def warm(*, columns: bool, compiled: bool = True) -> NativeFormat:
    """A decoder that has seen the models."""
    found = NativeFormat(RowReader(plan_of), columns=columns, compiled=compiled)
    for line in [*WARM, EVERY_KEY, *WARM]:
        last = found.decode_block(json.dumps(line).encode() + b"\n", NOW)
    assert bool(last.predictions) == columns
    return found


def plain(record: Record) -> Any:
    """A record without what columns cannot tell apart: a null from a feature that is absent, 3 from 3.0."""
    if isinstance(record, Label):
        return msgspec.structs.replace(record)
    features = {
        name: float(v) if isinstance(v, int) and not isinstance(v, bool) else v
        for name, v in record.features.items()
        if v is not None and name != "new"
    }
    return msgspec.structs.replace(record, features=features)


def by_text(records: list[Record]) -> list[str]:
    """Comparable in any order."""
    return sorted(repr(plain(record)) for record in records)


def decode(lines: list[bytes], *, columns: bool) -> Decoded:
    """The lines as one block of a decoder that is warm."""
    return warm(columns=columns).decode_block(b"".join(line + b"\n" for line in lines), NOW)


CLASS = st.one_of(st.none(), st.booleans(), st.sampled_from(["1", "0", "yes", "x" * 200, 1, 0, 1.0, 2.5, -1]))
NUMBER = st.one_of(st.none(), st.integers(-5, 5), st.floats(-1e16, 1e16), st.text(max_size=3), st.booleans())
NAME = st.one_of(st.none(), st.sampled_from(["pro", "free", "other", "?"]), st.integers(0, 3))
TIME = st.sampled_from([None, 1.7e9, 1.7e12, 1.7e15, 1.7e18, "2026-01-01T00:00:00Z", "soon", 9e9, -5])
LINE = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["prediction", "label", "label", "other"]),
        "id": st.sampled_from(["a", "b", 7, None]),
        "request_id": st.sampled_from(["c", None]),
        "ts": TIME,
        "timestamp": TIME,
        "model": st.sampled_from(["m", "m", "m", "many", "split", "amount", "new", "x" * 200, None]),
        "version": st.sampled_from(["v1", "v2", 1, 1.5, "x" * 200, None]),
        "features": st.none()
        | st.fixed_dictionaries({}, optional={"age": NUMBER, "plan": NAME, "new": NUMBER, "newer": NUMBER}),
        "prediction": CLASS,
        "score": st.sampled_from([None, 0, 0.2, 0.4, 1, 1.5, "0.5"]),
        "scores": st.sampled_from([None, {"1": 0.7, "0": 0.3}, {"1": 7}]),
        "items": st.sampled_from([None, None, ["a"]]),
        "user": st.sampled_from([None, "u", 5, ""]),
        "user_id": st.sampled_from([None, "w"]),
        "latency_ms": st.sampled_from([None, 5, -5, 1e20]),
        "queue_ms": st.sampled_from([None, 1]),
        "status": st.sampled_from([None, 200, "200", 500, "x" * 200]),
        "label": st.one_of(CLASS, st.sampled_from([["a"], {"a": 1}, {"a": -1}])),
        "event": st.sampled_from([None, None, "click"]),
        "value": st.sampled_from([None, None, 5, 1e20]),
        "unknown key": st.just([1, {"deep": None}]),
        "another": st.just(1),
    },
)


@given(
    st.lists(LINE, max_size=12), st.lists(st.sampled_from([b"", b"{", b"[]", b'{"id":"\xff"}', b" {} "]), max_size=2)
)
def test_the_records_of_a_block_are_those_of_its_lines(lines: list[dict[str, Any]], broken: list[bytes]) -> None:
    encoded = [json.dumps(line).encode() for line in lines]
    for i, line in enumerate(broken):
        encoded.insert(i * 5, line)
    fast, slow = decode(encoded, columns=True), decode(encoded, columns=False)
    assert by_text(fast.every_record()) == by_text(slow.every_record())
    assert sorted(fast.rejects) == sorted(slow.rejects)
    assert fast.lines == slow.lines
    assert fast.reached(NOW) == slow.reached(NOW)
    assert not slow.predictions


def test_plain_lines_become_columns_with_their_segments_and_strange_names() -> None:
    lines = [
        {"id": f"r{i}", "model": "m", "version": f"v{i % 2}", "ts": 1.7e9, "score": i / 10, "user": f"u{i}",
         "features": {"age": i, "plan": "pro" if i % 2 else None, "new": None}}
        for i in range(10)
    ]  # fmt: skip
    decoder, block = warm(columns=True), b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    decoder.decode_block(block, NOW)
    found = decoder.decode_block(block, NOW)
    assert not found.records
    assert {batch.key.version: len(batch) for batch in found.predictions} == {"v0": 5, "v1": 5}
    for batch in found.predictions:
        assert batch.features.strange == {"new": 5}
        assert {batch.segment_values.names[code] for code in batch.segments[0].tolist()} == {
            "none" if batch.key.version == "v0" else "pro"
        }
        of_score = [batch.classes.names[code] for code in batch.predicted.tolist()]
        assert of_score == ["1" if score >= 0.4 else "0" for score in batch.score.tolist()]


def test_a_log_of_odd_lines_is_not_decoded_twice_for_ever() -> None:
    decoder = warm(columns=True, compiled=False)
    odd = json.dumps({"model": "m", "score": 0.5, "features": {"age": "a text"}}).encode() + b"\n"
    even = json.dumps({"model": "m", "score": 0.5, "features": {"age": 1}}).encode() + b"\n"
    assert len(decoder.decode_block(odd * 10, NOW).records) == 10
    assert len(decoder.decode_block(even, NOW).records) == 1
    for _ in range(60):
        found = decoder.decode_block(even, NOW)
    assert sum(map(len, found.predictions)) == 1


@pytest.mark.parametrize("wide", [399, 500])
def test_a_reference_of_many_features_is_decoded_one_way_or_the_other(wide: int) -> None:
    base = reference()
    age = base.features["age"]
    plan = ModelPlan(reference=type(base)(features={f"f{i}": age for i in range(wide)}))
    decoder = NativeFormat(RowReader(lambda _model: plan))
    line = json.dumps({"score": 0.5, "features": {f"f{i}": i for i in range(wide)}}).encode() + b"\n"
    for _ in range(2):
        records = decoder.decode_block(line, NOW).every_record()
    assert isinstance(records[0], Prediction)
    assert records[0].features == {f"f{i}": i for i in range(wide)}
