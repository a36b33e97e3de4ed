"""What waits to be joined belongs to the state that is saved, whichever half of it is asked for first."""

from __future__ import annotations

import json

from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from monitored_traffic import reference

NOW = 1_800_000_000.0


def test_rows_that_wait_are_in_both_halves_of_the_state() -> None:
    plan = MonitorPlan(default=ModelPlan(reference=reference()))
    decoder, monitor = NativeFormat(RowReader(plan.model)), Monitor(plan, NOW, stored=True)
    lines = [json.dumps({"id": f"r{i}", "ts": NOW, "score": 0.5, "features": {"age": i}}).encode() for i in range(3)]
    for line in lines:
        found = decoder.decode_block(line + b"\n", NOW)
        monitor.feed(found.records, NOW, found.predictions, found.labels)
    assert found.predictions, "the last ones travel as columns, and wait"
    changes = monitor.drain_joins()
    monitor.dump()
    assert sum(ids.count(b"r") for _, ids in changes.ids) == len(lines)
    assert not monitor.drain_joins().ids, "nothing was left for the next save"
