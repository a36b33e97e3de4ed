"""A process that stores rows does not load what it does not need, though that is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from mlcanary.measures.plan import ModelPlan
from mlcanary.store.lean import keep_small
keep_small()
sys.path.insert(0, sys.argv[2])
from stored_log import NOW, REFERENCE, StoredLog
for plan in (ModelPlan(), ModelPlan(reference=REFERENCE)):
    log = StoredLog(Path(sys.argv[1]) / str(plan.reference is None), plan, user=True)
    for i in range(4):
        line = {"id": f"r{i}", "ts": NOW, "score": 0.5, "user": "u", "features": {"a": i, "city": "ulm"}}
        log.take([line, {"kind": "label", "id": f"r{i}", "ts": NOW, "label": 1}])
    log.end()
    assert log.store.kept == {"predictions": 4, "outcomes": 4}, log.store.kept
print(*sorted(sys.modules))
import pandas
"""


def test_neither_pandas_nor_compute_is_loaded(tmp_path: Path) -> None:
    tests = Path(__file__).parent.parent
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(tests)]
    loaded = set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert "pyarrow.parquet" in loaded
    assert loaded & {"pandas", "pyarrow.compute", "pyarrow.dataset", "scipy"} == set()
