"""A real BentoML service whose monitor writes files, and what it writes of the calls of `recordings`.

A recorded folder is named after the version that wrote it. The server's clock runs in New York: its times name no zone.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from formats.record_traffic import local
from formats.same_traffic import Call, traffic
from servers.model_servers import bentoml, post, version_of

FOLDER = Path(__file__).parent / "recorded"
ZONE = "America/New_York"
Logs = dict[str, list[bytes]]

_SERVICE = """
import bentoml

@bentoml.service(workers=1)
class Churn:
    @bentoml.api
    def predict(self, rows: list[dict[str, float | str | None]]) -> list[float]:
        answers = []
        with bentoml.monitor("churn") as monitor:
            for row in rows:
                probability = round(min(1.0, float(row["age"] or 0.0) / 100.0), 4)
                for name, kind in (("age", "numerical"), ("balance", "numerical"), ("plan", "categorical")):
                    monitor.log(row[name], name=name, role="feature", data_type=kind)
                monitor.log(int(probability >= 0.5), name="churns", role="prediction", data_type="categorical")
                monitor.log(probability, name="probability", role="prediction", data_type="numerical")
                answers.append(probability)
        return answers
"""


def calls() -> tuple[Call, ...]:
    """Single rows: the ids of a batch are a matter of `test_bentoml`."""
    return traffic(20, seed=5, largest_batch=1)


def written(folder: Path) -> Logs:
    """What the monitor of a running server writes of the calls."""
    (folder / "bentoml_service.py").write_text(_SERVICE)
    with bentoml(folder, {"TZ": ZONE, "BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}) as address:
        for call in calls():
            post(f"{address}/predict", {"rows": [row.features for row in call.rows]})
    return read(folder / "monitoring")


def record(scratch: Path) -> Path:
    """Write the files of the present version into its folder."""
    written(scratch)
    kept = FOLDER / f"bentoml-{version_of('bentoml', 'bentoml')}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(scratch / "monitoring", kept)
    return kept


def recorded() -> Logs:
    """The files in the repository."""
    (folder,) = FOLDER.glob("bentoml-*")
    return read(folder)


def read(folder: Path) -> Logs:
    """Lines by path, the data before the schema."""
    return {str(path): path.read_bytes().splitlines() for path in sorted(folder.glob("*/*/*.log"))}


def retold(logs: Logs) -> tuple[tuple[Call, ...], Logs]:
    """The calls as the server answered them, and its files with the times of the calls in place of its own."""
    answered, at = [], iter(calls())
    moved: Logs = {}
    for path, lines in logs.items():
        moved[path] = list(lines) if "/data/" not in path else []
        for line in lines if "/data/" in path else ():
            row: dict[str, Any] = json.loads(line)
            call = next(at)
            (asked,) = call.rows
            told = replace(asked, features={name: row[name] for name in asked.features})
            told = replace(told, score=row["probability"], prediction=row["churns"])
            answered.append(replace(call, id=row["request_id"], version="v1", rows=(told,)))
            moved[path].append(json.dumps({**row, "timestamp": local(call.ts)}).encode())
    return tuple(answered), moved
