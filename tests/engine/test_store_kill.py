"""kill -9 at any moment, while the log grows and rotates: every line of it is in the store exactly once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from exporter_process import ExporterProcess, total
from mlcanary.formats.profile import write_profile
from stored_log import REFERENCE, rows

KILLS = 4


def start(directory: Path) -> ExporterProcess:
    flags = ["--config.file", str(directory / "mlcanary.yml"), "--state.path", str(directory / "state.db")]
    return ExporterProcess(
        *flags, "--publish.interval", "50ms", "--poll.interval", "10ms", log=directory / "exporter.log"
    )


def test_every_line_is_stored_once_whatever_kills_the_exporter(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    (tmp_path / "profile.json").write_bytes(write_profile(REFERENCE))
    (tmp_path / "mlcanary.yml").write_text(
        f"sources: [{{path: {tmp_path}/log*.jsonl}}]\n"
        "defaults: {reference: profile.json}\n"
        "store: {path: kept, segment_rows: 700, segment_interval: 1s}\n"
    )
    log = tmp_path / "log.jsonl"
    written: Counter[tuple[str, str]] = Counter()
    made = 0
    exporter = start(tmp_path)
    for step in range(KILLS + 1):
        for _ in range(4):
            lines = []
            for _ in range(int(random.integers(50, 400))):
                features = {"a": made / 8, "b": made, "city": "ulm", **({"new": 1} if made % 50 == 0 else {})}
                lines.append(
                    {"id": f"r{made}", "model": "m", "version": "v1", "ts": 1e9, "score": 0.5, "features": features}
                )
                lines.append({"kind": "label", "id": f"r{made}", "ts": 1e9, "label": 1})
                written["predictions", f"r{made}"] += 1
                written["outcomes", f"r{made}"] += 1
                made += 1
            with log.open("ab") as handle:
                handle.writelines(json.dumps(line).encode() + b"\n" for line in lines)
            exporter.pause(float(random.uniform(0, 0.15)))
        if step == KILLS // 2:
            log.rename(tmp_path / "log.1.jsonl")
        if step < KILLS:
            exporter.kill()
            exporter = start(tmp_path)
    page = exporter.wait_for(lambda now: total(now, "mlcanary_store_rows_total", dataset="outcomes") >= made)
    assert exporter.terminate() == 0
    assert total(page, "mlcanary_store_rows_total", dataset="predictions") == made
    assert total(page, "mlcanary_store_rows_dropped_total") == 0
    found = Counter(
        (name, str(row["id"])) for name in ("predictions", "outcomes") for row in rows(tmp_path / "kept", name)
    )
    assert found == written
    assert not list((tmp_path / "kept" / "_open").iterdir())
