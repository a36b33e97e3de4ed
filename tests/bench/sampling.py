"""What looking at fewer rows' features saves: CPU time per record at each step of load shedding, in turn in one run.

`python tests/bench/sampling.py [RECORDS]`. The least of a few rounds; compare the shares, as absolute times belong to
the machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bench_records import VERSIONS, lines  # noqa: E402 - beside this file, not installed

from mlcanary.catalog import JOINT_DRIFT  # noqa: E402
from mlcanary.columns import PredictionColumns, alike, joined  # noqa: E402
from mlcanary.formats.native import NativeFormat  # noqa: E402
from mlcanary.formats.rows import RowReader  # noqa: E402
from mlcanary.measures.plan import ModelPlan  # noqa: E402
from mlcanary.measures.profiling import ProfileOptions, profile_columns  # noqa: E402
from mlcanary.monitor.monitor import MonitorPlan  # noqa: E402
from mlcanary.monitor.panel import Panel  # noqa: E402
from mlcanary.records import ModelKey  # noqa: E402
from mlcanary.shedding import STEPS, Step  # noqa: E402
from mlcanary.tables import read_columns  # noqa: E402

BLOCK, ENOUGH = 1 << 18, 2048
ROUNDS = 15


def plan(directory: Path, data: bytes) -> MonitorPlan:
    """Of a model with a reference and a sample of it, so that joint drift is measured."""
    head = directory / "head.jsonl"
    head.write_bytes(b"".join(data.splitlines(keepends=True)[:4000]))
    columns, _ = read_columns(head)
    return MonitorPlan(default=ModelPlan(reference=profile_columns(columns, ProfileOptions(sample_rows=1000))))


def seconds(the_plan: MonitorPlan, blocks: list[bytes], step: Step, now: float) -> tuple[float, float]:
    """CPU seconds of decoding, and of counting; labels are left out, as what is shed does not touch them."""
    decoder = NativeFormat(RowReader(the_plan.model))
    keys = [ModelKey("fraud", version) for version in VERSIONS]
    panels = {key: Panel(key, the_plan.default, the_plan.windows, now) for key in keys}
    for panel in panels.values():
        panel.resting = frozenset() if step.joint else frozenset({JOINT_DRIFT})
    decoder.share = step.features
    waiting: dict[ModelKey, list[PredictionColumns]] = {}
    spent = [0.0, 0.0]

    def count(key: ModelKey) -> None:
        panels[key].on_prediction_columns(joined(waiting[key]), now)

    for block in blocks:
        start = time.process_time()
        found = decoder.decode_block(block, now)
        middle = time.process_time()
        for batch in found.predictions:
            kept = waiting.setdefault(batch.key, [])
            if kept and (sum(map(len, kept)) >= ENOUGH or not alike(kept[-1], batch)):
                count(batch.key)
                kept = waiting[batch.key] = []
            kept.append(batch)
        spent[0] += middle - start
        spent[1] += time.process_time() - middle
    start = time.process_time()
    for key in waiting:
        count(key)
    return spent[0], spent[1] + time.process_time() - start


def main(records: int) -> None:
    """Print a table."""
    now = time.time()
    each = [line for line in lines(records, now - records / 1000, 1000) if not line.startswith(b'{"kind"')]
    data = b"".join(each)
    blocks, start = [], 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + BLOCK) + 1
        blocks.append(data[start:end])
        start = end
    with tempfile.TemporaryDirectory() as directory:
        the_plan = plan(Path(directory), data)
    taken: list[list[tuple[float, float]]] = [[] for _ in STEPS]
    for turn in range(ROUNDS + 1):
        for step, found in zip(STEPS, taken, strict=True):
            spent = seconds(the_plan, blocks, step, now)
            if turn:
                found.append(spent)
    print(f"{len(each)} lines; microseconds per line")
    whole = 0.0
    for step, found in zip(STEPS, taken, strict=True):
        decoding, counting = (1e6 * min(column) / len(each) for column in zip(*found, strict=True))
        whole = whole or decoding + counting
        share = (decoding + counting) / whole
        print(
            f"features {step.features:6.4f} joint {step.joint!s:5}  decode {decoding:5.2f}  count {counting:5.2f}  "
            f"of all {share:.2f}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
