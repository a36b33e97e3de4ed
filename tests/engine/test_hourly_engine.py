"""A tree of hourly files through the engine: few series, and no count lost when a file is closed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from exporter_process import Counters, parsed, total
from mlcanary.engine import Engine
from mlcanary.settings import Flags, load_settings

NOW = 1_793_600_000.0
HOURS = 130


def published(engine: Engine) -> Counters:
    """Read everything, publish, and parse the page."""
    while engine.read_some():
        pass
    engine.publish()
    return parsed(engine.page.text.decode())


def test_counts_of_closed_files_go_to_the_row_of_their_pattern(tmp_path: Path) -> None:
    for hour in range(HOURS):
        path = tmp_path / "capture" / "churn" / "canary" / "2026" / "10" / f"{1 + hour // 24:02}" / f"{hour % 24:02}"
        path.mkdir(parents=True)
        body = {"data": "0.7", "encoding": "CSV"}
        about = {"eventId": f"e-{hour}", "inferenceTime": "2026-10-01T00:00:00Z"}
        line = {"captureData": {"endpointInput": body, "endpointOutput": body}, "eventMetadata": about}
        (path / "a.jsonl").write_text(json.dumps(line) + "\nbroken\n")
        os.utime(path / "a.jsonl", (1.7e9 + hour, 1.7e9 + hour))
    config = tmp_path / "exporter.yml"
    config.write_text("sources:\n  - path: capture/**/*.jsonl\n    format: sagemaker\n")
    engine = Engine(load_settings(Flags(log_paths=(), config_file=config)), clock=lambda: NOW)
    page = published(engine)
    deadline = time.monotonic() + 30.0
    while total(page, "mlcanary_up") > 1:  # the next look for files, a second later, closes those that were read
        assert time.monotonic() < deadline
        time.sleep(0.1)
        page = published(engine)
    assert total(page, "mlcanary_predictions_total", model="churn", version="canary") == HOURS
    assert total(page, "mlcanary_log_lines_total") == 2 * HOURS
    assert total(page, "mlcanary_log_parse_errors_total", reason="json") == HOURS
