"""What waits to be joined or counted is part of the state, stays in its order, and takes little memory."""

from __future__ import annotations

import json
import tracemalloc
from collections import defaultdict

import numpy as np

from mlcanary.columns import PredictionColumns
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.monitor.backlog import ENOUGH, Backlog, Uncounted
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import ModelKey
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


class Decoded:
    """Batches of decoded lines with this many features."""

    def __init__(self, features: int = 20) -> None:
        self.features = {f"f{i}": i / 7 for i in range(features)}
        columns = {name: [0.2, 0.4, 0.6, 0.8] for name in (*self.features, "score")}
        plan = ModelPlan(reference=profile_columns(columns, ProfileOptions(bins=2)))
        self._decoder = NativeFormat(RowReader(MonitorPlan(default=plan).model))
        assert not self._decoder.decode_block(self._lines(["v0"], 0), NOW).rejects

    def block(self, versions: list[str], first: int = 0) -> list[PredictionColumns]:
        """A line per version named; its score is its number, in millionths."""
        found = self._decoder.decode_block(self._lines(versions, first), NOW)
        assert not found.records
        assert not found.rejects
        return list(found.predictions)

    def _lines(self, versions: list[str], first: int) -> bytes:
        lines = (
            {"id": f"r{i}", "ts": NOW, "version": name, "score": i / 1e6, "features": self.features}
            for i, name in enumerate(versions, first)
        )
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_every_row_is_counted_once_and_in_its_order_within_the_memory() -> None:
    random, most, decoded = np.random.default_rng(0), 400_000, Decoded()
    uncounted, counted = Uncounted(most), defaultdict[ModelKey, list[float]](list)
    told, fed, sizes = [], defaultdict[ModelKey, list[float]](list), []
    for block in range(60):
        names = [f"v{min(i, 30)}" for i in random.geometric(0.15, 200).tolist()]
        for batch in decoded.block(names, 200 * block):
            fed[batch.key] += batch.score.tolist()
            told += uncounted.add(batch, NOW + block)
            sizes.append(batch.nbytes)
            assert uncounted.nbytes <= most
    assert 0 < sum(len(due.rows) for due in told) < 60 * 200
    told += uncounted.take_all()
    for rows, _ in told:
        counted[rows.key] += rows.score.tolist()
    assert counted == fed
    assert (uncounted.nbytes, list(uncounted)) == (0, [])
    assert max(sizes) < most / 2, "more than one batch was kept"


def test_enough_rows_of_a_version_are_counted_at_once() -> None:
    uncounted, decoded = Uncounted(), Decoded()
    (first,), (second,) = decoded.block(["v1"] * (ENOUGH - 1)), decoded.block(["v1"])
    assert uncounted.add(first, NOW) == []
    (due,) = uncounted.add(second, NOW + 1)
    assert (len(due.rows), due.read_at, list(uncounted)) == (ENOUGH, NOW + 1, [])


def test_a_canary_with_few_rows_keeps_no_others_in_memory() -> None:
    names = ["v2" if i % 100 == 0 else "v1" for i in range(1000)]
    uncounted, decoded, ended = Uncounted(), Decoded(), 0
    decoded.block(names)
    tracemalloc.start()
    try:
        for block in range(40):
            for batch in decoded.block(names, 1000 * block):
                ended += sum(len(due.rows) for due in uncounted.add(batch, NOW))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ended == 40 * 990, "v1 was counted, and all rows of v2 wait"
    assert held < 3e6, "40 blocks are 10 MB"


def test_of_wide_rows_fewer_wait_to_be_joined() -> None:
    (batch,) = Decoded(features=300).block(["v1"] * 100)
    backlog = Backlog()
    while not backlog.full:
        backlog.add([], [batch], [])
    assert len(backlog) == 3400, "8 MiB of 300 numbers of 8 bytes, and 128 bytes more, a row"
