"""The join alone: CPU microseconds per prediction with its late label, bytes per remembered row, time of a save.

Run it with `PYTHONPATH=exporter python tests/bench/join.py`. Ids and columns are made before the clock starts.
"""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

import numpy as np

from mlcanary.columns import Classes, FeatureColumns, LabelColumns, PredictionColumns
from mlcanary.joins.join import Join
from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.records import Label, ModelKey, Prediction
from mlcanary.sources.checkpoint import Checkpoint
from mlcanary.words import no_texts

RECORDS, CAPACITY, DELAY, RATE, SAVE_EVERY = 400_000, 200_000, 60_000, 10_000.0, 50_000
CLASSES = Classes()
for name in ("0", "1"):
    CLASSES.code(name)


def predictions(start: int, rows: int, version: str) -> PredictionColumns:
    """Plain predictions of one version, 10,000 a second."""
    random = np.random.default_rng(start)
    empty = np.full(rows, np.nan)
    return PredictionColumns(
        ModelKey("model", version),
        np.arange(start, start + rows) / RATE,
        [f"request-{i:012d}" for i in range(start, start + rows)],
        random.integers(0, 2, rows).astype(np.int32),
        random.random(rows),
        empty,
        empty,
        random.integers(0, 1 << 63, rows, dtype=np.uint64),
        np.ones(rows, dtype=np.bool_),
        CLASSES,
        FeatureColumns((), np.zeros((0, rows)), no_texts(rows)),
    )


def labels(start: int, rows: int) -> LabelColumns:
    """Their labels, which come when DELAY more predictions have come, out of order."""
    random = np.random.default_rng(start)
    order = (start + random.permutation(rows)).tolist()
    label = random.integers(0, 2, rows).astype(np.int32)
    return LabelColumns(None, [f"request-{i:012d}" for i in order], np.full(rows, start / RATE), label, CLASSES)


def compact(batch: int, maturity: float, checkpoint: Checkpoint | None = None) -> tuple[float, float, float, float]:
    """Microseconds per pair, those of saving it, bytes per row, and rows at the end."""
    policies = {"": JoinPolicy(maturity, 20.0)}
    join = Join(policies, capacity=CAPACITY, early_ttl=10.0, stored=checkpoint is not None)
    steps = []
    for start in range(0, RECORDS, batch):
        came = [predictions(start, batch // 2, "v1"), predictions(start + batch // 2, batch - batch // 2, "v2")]
        steps.append((start, came, [labels(start - DELAY, batch)] if start >= DELAY else []))
    gc.collect()
    saving, began = 0.0, time.process_time()  # not per step: the clock itself may cost as much as a step
    for at, (start, came, known) in enumerate(steps):
        join.predict_many(came)
        join.label_many(known)
        join.advance(start / RATE)
        join.take()
        if checkpoint is not None and at * batch % SAVE_EVERY < batch:
            before = time.process_time()
            checkpoint.save({"names": join.names()}, join.drain())
            saving += time.process_time() - before
    spent = time.process_time() - began - saving
    return spent / RECORDS * 1e6, saving / RECORDS * 1e6, join.nbytes / len(join), float(len(join))


def machine() -> float:
    """Microseconds per pair of the machine alone, on records."""
    join = JoinMachine({"": JoinPolicy(0.0, 20.0)}, capacity=CAPACITY, early_ttl=10.0)
    records = RECORDS // 4
    key = ModelKey("model", "v1")
    rows = [Prediction(key, i / RATE, f"request-{i:012d}", predicted="1", score=0.5) for i in range(records)]
    late = [Label(f"request-{i - DELAY:012d}", i / RATE, label="1") for i in range(records)]
    gc.collect()
    began = time.process_time()
    for i, row in enumerate(rows):
        join.predict(row)
        join.label(late[i])
        if i % 400 == 0:
            join.advance(i / RATE)
            join.take()
    return (time.process_time() - began) / records * 1e6


if __name__ == "__main__":
    print(f"machine alone, records              {machine():6.2f} us per prediction and label")
    for batch in (200, 400, 2000, 10_000):
        for maturity in (0.0, 5.0):
            us, _, size, rows = compact(batch, maturity)
            print(f"columns, batch {batch:6d}, maturity {maturity}   {us:6.2f} us  {size:5.1f} bytes x {rows:.0f} rows")
    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Checkpoint(Path(directory) / "state.db")
        us, saving, _, _ = compact(2000, 0.0, checkpoint)
        checkpoint.close()
        print(f"batch   2000, saved each {SAVE_EVERY}   {us:6.2f} us + {saving:.2f} us")
