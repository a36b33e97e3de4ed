"""Azure ML's collector: pairs in any order, versions, what lies elsewhere."""

from __future__ import annotations

from typing import Any

import msgspec

from formats.rows_of import NOW, block, decoded, row_format
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Prediction


def line(kind: str, data: object, key: str | None = "r-1", **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{kind}-{key}",
        "source": "/subscriptions/s/onlineEndpoints/churn/deployments/blue",
        "type": f"azureml.inference.model_{kind}",
        "datacontenttype": "application/json",
        "time": "2026-11-01T10:00:00Z",
        "data": data,
        "modelversion": "2",
        "collectdatatype": "pandas.core.frame.DataFrame",
        "contentrange": "bytes 0-30/31",
        **({} if key is None else {"correlationid": key}),
    } | more


ASKED = line("inputs", [{"age": 41, "plan": "a"}, {"age": 37, "plan": "b"}])
ANSWERED = line("outputs", [{"probability": 0.7}, {"probability": 0.1}])


def test_halves_meet_in_any_order_and_a_batch_gives_a_row_each() -> None:
    for lines in ([ASKED, ANSWERED], [ANSWERED, ASKED]):
        records, rejects = decoded("azureml", lines)
        assert rejects == []
        assert [(r.id, r.score, r.key) for r in records if isinstance(r, Prediction)] == [
            ("r-1/0", 0.7, ("churn", "2")),
            ("r-1/1", 0.1, ("churn", "2")),
        ]


def test_the_deployment_may_be_the_version_and_is_what_is_left_without_one() -> None:
    (first, *_), _ = decoded("azureml", [ASKED, ANSWERED], mapping={"version": "deployment"})
    bare = [{name: value for name, value in each.items() if name != "modelversion"} for each in (ASKED, ANSWERED)]
    (second, *_), _ = decoded("azureml", bare)
    assert [r.key.version for r in (first, second) if isinstance(r, Prediction)] == ["blue", "blue"]


def test_a_payload_that_lies_elsewhere_is_counted() -> None:
    large = {name: value for name, value in ASKED.items() if name != "data"} | {"datainblob": "true"}
    records, rejects = decoded("azureml", [large])
    assert records == []
    assert [reject.reason for reject in rejects] == ["no_payload"]


def test_lines_that_cannot_be_paired_are_counted_and_take_nothing_else() -> None:
    lines = [line("inputs", [{"age": 1}], None), line("metrics", []), b"{", ASKED, ANSWERED, ASKED]
    records, rejects = decoded("azureml", lines)
    assert len(records) == 2
    assert [reject.reason for reject in rejects] == ["no_id", "payload", "json"]


def test_halves_wait_over_a_restart() -> None:
    first = row_format("azureml")
    assert list(first.rows(block([ASKED])[:-1], "/a", NOW)) == []
    second = row_format("azureml")
    second.load(msgspec.msgpack.decode(msgspec.msgpack.encode(first.dump())))
    assert len(list(second.rows(block([ANSWERED])[:-1], "/a", NOW))) == 2


def test_the_format_is_made_by_its_name() -> None:
    reader = make_format(FormatOptions("azureml"), lambda _model: ModelPlan())
    assert {"unpaired", "duplicate", "payload", "no_payload"} <= set(reader.reasons)
