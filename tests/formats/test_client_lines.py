"""What clients say they dropped, among the lines of a log."""

from __future__ import annotations

import pytest

from mlcanary.formats.client_lines import without_client_lines
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan

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


def test_a_feature_of_that_name_is_left_alone() -> None:
    block = b'{"id": "r-1", "features": {"client": "client", "kind": "x"}, "score": 0.5}\n' * 3
    assert without_client_lines(block) == (block, 0, {})
