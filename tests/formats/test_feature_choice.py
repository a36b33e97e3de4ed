"""Rows that are not looked at keep everything but their features; who is looked at does not depend on the way."""

from __future__ import annotations

import json
from collections import Counter
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
from mlcanary.stats.row_choice import chosen
from monitored_traffic import reference

NOW = 1_800_000_000.0
PLANS = {
    "m": ModelPlan(reference=reference(), segments=("plan",)),
    "half": ModelPlan(reference=reference(), task=Task.MULTICLASS, feature_share=0.5),
}


def line(row_id: Any, model: str = "m", **more: Any) -> dict[str, Any]:
    return {"id": row_id, "model": model, "version": "v1", "ts": NOW, "score": 0.5, "prediction": 1, **more}


KEYS = dict.fromkeys(["kind", "label", "user", "latency_ms", "features"]) | {"features": {"age": 1, "new": 2}}
WARM = [line("w", model, **{**KEYS, "kind": "prediction"}) for model in ("m", "half")]


def block(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in lines)


def decoder(share: float) -> NativeFormat:
    """One that has seen the models and their keys."""
    found = NativeFormat(RowReader(lambda model: PLANS.get(model, ModelPlan())))
    for _ in range(3):
        assert found.decode_block(block(WARM), NOW).lines == len(WARM)
    found.share = share
    return found


def bare(record: Record) -> str:
    """A record without its features and without whether they are counted."""
    return repr(record if isinstance(record, Label) else msgspec.structs.replace(record, features={}, sampled=True))


def looked_at(found: Decoded) -> list[Prediction]:
    """Predictions whose features a decoder gave in full."""
    columns = [record for batch in found.predictions for record in batch.rows() if record.sampled]
    return columns + [record for record in found.records if isinstance(record, Prediction)]


VALUE = st.one_of(st.none(), st.integers(-5, 5), st.floats(-1e16, 1e16), st.text(max_size=3))
FEATURES = st.one_of(
    st.fixed_dictionaries({}, optional={"age": VALUE, "plan": st.sampled_from(["pro", "é", None, 3]), "new": VALUE}),
    st.sampled_from([5, [], "text", {"newer": {"deep": [1]}}]),
)
LINE = st.builds(
    lambda row_id, model, features, label: line(row_id, model, features=features, label=label),
    st.one_of(st.none(), st.text(max_size=4)),
    st.sampled_from(["m", "half", "new"]),
    FEATURES,
    st.sampled_from([None, 0, 1]),
)


@given(st.lists(LINE, max_size=12), st.sampled_from([1 / 2, 1 / 8]))
def test_only_features_are_left_out(lines: list[dict[str, Any]], share: float) -> None:
    thin, whole = decoder(share).decode_block(block(lines), NOW), decoder(1.0).decode_block(block(lines), NOW)
    assert sorted(map(bare, thin.every_record())) == sorted(map(bare, whole.every_record()))
    assert sorted(thin.rejects) == sorted(whole.rejects)
    assert thin.reached(NOW) == whole.reached(NOW)
    everything = Counter(
        repr(msgspec.structs.replace(record, sampled=True, features=_known(record)))
        for record in decoder(1.0).decode_block(block(lines), NOW).every_record()
        if isinstance(record, Prediction)
    )
    told = Counter(repr(msgspec.structs.replace(r, sampled=True, features=_known(r))) for r in looked_at(thin))
    assert told <= everything


def _known(record: Prediction) -> dict[str, Any]:
    """Features without what columns do not carry: nulls, and names that the reference does not have."""
    return {
        name: float(v) if isinstance(v, int) else v
        for name, v in record.features.items()
        if v is not None and name in ("age", "plan")
    }


@pytest.mark.parametrize("size", [1, 7, 400])
@pytest.mark.parametrize("model", ["m", "half"])
def test_the_id_decides_whatever_the_blocks(size: int, model: str) -> None:
    lines = [line(f"r{i}", model, features={"age": i, "plan": "pro", "new": 1}) for i in range(400)]
    made, seen, strange = decoder(0.25), dict[str, bool](), 0
    for start in range(0, len(lines), size):
        for batch in made.decode_block(block(lines[start : start + size]), NOW).predictions:
            assert batch.sampled is not None
            seen |= {row.id or "": row.sampled for row in batch.rows()}
            strange += batch.features.strange["new"]
            for row in batch.rows():
                assert row.sampled == ("age" in row.features)
                assert row.features.get("plan") == ("pro" if row.sampled or model == "m" else None)
    share = 0.25 * PLANS[model].feature_share
    assert [seen[f"r{i}"] for i in range(400)] == chosen([f"r{i}" for i in range(400)], share).tolist()
    assert strange == sum(seen.values())


def test_segments_are_those_of_every_row() -> None:
    lines = [line(f"r{i}", features={"age": i, "plan": ["pro", "free", None][i % 3]}) for i in range(90)]
    (batch,) = decoder(1 / 16).decode_block(block(lines), NOW).predictions
    names = [batch.segment_values.names[code] for code in batch.segments[0]]
    assert names == ["pro", "free", "none"] * 30


def test_rows_without_an_id_go_on_being_chosen_after_a_restart() -> None:
    lines = [line(None, features={"age": i}) for i in range(200)]
    whole, first = decoder(0.25), decoder(0.25)
    (expected,) = whole.decode_block(block(lines), NOW).predictions
    (before,) = first.decode_block(block(lines[:90]), NOW).predictions
    second = decoder(0.25)
    second.load(msgspec.msgpack.decode(msgspec.msgpack.encode(first.dump())))
    (after,) = second.decode_block(block(lines[90:]), NOW).predictions
    assert expected.sampled is not None
    assert before.sampled is not None
    assert after.sampled is not None
    assert [*before.sampled, *after.sampled] == list(expected.sampled)
    assert 20 < expected.sampled.sum() < 80


def test_a_broken_text_is_rejected_wherever_it_stands() -> None:
    lines = block([line(f"r{i}", features={"age": 1}) for i in range(20)])
    broken = lines.replace(b'"age": 1', b'"age": "\xff"')
    found = decoder(1 / 16).decode_block(broken, NOW)
    assert [reject.reason for reject in found.rejects] == ["utf8"] * 20
    assert not found.every_record()
