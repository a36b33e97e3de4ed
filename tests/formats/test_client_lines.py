"""What clients say they dropped, among the lines of a log."""

from __future__ import annotations

import numpy as np
import pytest

from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import Reference, numeric_reference

PREDICTION = b'{"id": "r-1", "ts": 1793527200, "score": 0.7}\n'
NOW = 1793527260.0


def test_drops_are_counted_and_the_other_lines_go_their_way() -> None:
    said = b'{"kind":"client","ts":1793527200,"dropped":{"queue_full":12,"new reason":3}}\n'
    block = PREDICTION + said + b"no json\n" + said + PREDICTION.replace(b"r-1", b"r-2")
    decoded = NativeFormat(RowReader(lambda _model: ModelPlan())).decode_block(block, NOW)
    assert [record.id for record in decoded.records] == ["r-1", "r-2"]
    assert [reject.reason for reject in decoded.rejects] == ["json"]
    assert decoded.lines == 5
    assert decoded.client_dropped == {"queue_full": 24, "other": 6}


def test_a_block_of_nothing_else_is_no_line_too_many() -> None:
    decoded = NativeFormat(RowReader(lambda _model: ModelPlan())).decode_block(
        b'{ "dropped" : {} , "kind" : "client" }\n', NOW
    )
    assert (decoded.lines, decoded.records, decoded.rejects, decoded.client_dropped) == (1, [], [], {})


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind": "client"}\n',
        b'{"kind": "client", "dropped": {"queue_full": -1}}\n',
        b'{"kind": "client", "dropped": {"queue_full": 1e15}}\n',
        b'{"kind": "client", "dropped": 3}\n',
        b'{"kind": "client", "dropped": {"queue_full": "\xff"}}\n',
        b'{"kind": "client", "dropped": ' + b"[" * 100_000 + b"\n",
    ],
)
def test_a_broken_one_is_a_reject(line: bytes) -> None:
    decoded = NativeFormat(RowReader(lambda _model: ModelPlan())).decode_block(PREDICTION + line, NOW)
    assert [record.id for record in decoded.records] == ["r-1"]
    assert len(decoded.rejects) == 1
    assert decoded.client_dropped == {}


def test_features_of_that_name_are_left_alone() -> None:
    block = b'{"id": "r-1", "features": {"client": "client", "dropped": "x"}, "score": 0.5}\n' * 3
    decoded = NativeFormat(RowReader(lambda _model: ModelPlan())).decode_block(block, NOW)
    assert (len(decoded.records), decoded.rejects, decoded.client_dropped) == (3, [], {})


def test_they_are_found_among_lines_that_become_columns() -> None:
    reference = Reference({"age": numeric_reference(np.arange(20.0, 60.0), 3)}, None, rows=40, model="churn")
    native = NativeFormat(RowReader(lambda _model: ModelPlan(reference=reference)))
    lines = [b'{"id":"r-%d","ts":1793527200,"features":{"age":41},"score":0.7}\n' % i for i in range(200)]
    first, second = b"".join(lines[:100]), b"".join(lines[100:])
    native.decode_block(first, NOW)
    decoded = native.decode_block(second + b'{"kind":"client","ts":1793527200,"dropped":{"closed":7}}\n', NOW)
    assert (decoded.lines, decoded.rejects, decoded.client_dropped) == (101, [], {"closed": 7})
    assert decoded.predictions
    assert sum(len(batch.ids) for batch in decoded.predictions) + len(decoded.records) == 100
