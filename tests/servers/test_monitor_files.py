"""The files that a real BentoML writes give the counters of native lines that say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from formats.same_traffic import Tells, assert_same_counters
from mlcanary.formats.contract import FormatOptions
from servers.bentoml_server import ZONE, Logs, calls, recorded, retold, written
from servers.model_servers import missing


def assert_counted(logs: Logs) -> None:
    told, lines = retold(logs)
    assert len(told) == len(calls())
    options = FormatOptions("bentoml", model="churn", version="v1", mapping={"timezone": ZONE})
    assert_same_counters(told, lines, options, Tells(latency=False))


def test_recorded_files_give_the_counters_of_native() -> None:
    assert_counted(recorded())


@pytest.mark.timeout(300)
def test_a_server_that_runs_gives_the_counters_of_native(tmp_path: Path) -> None:
    if reason := missing("bentoml"):
        pytest.skip(f"not set up: {reason}")
    assert_counted(written(tmp_path))
