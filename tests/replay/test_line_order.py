"""Times that go back are said by `replay`, with the judge or without, and by `doctor`; jitter is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mlcanary.cli.doctor import command as doctor
from mlcanary.cli.replay import command as replay
from mlcanary.line_order import Backwards, LineOrder

START = 1_793_527_200.0
SAID = (
    "  times go back: 700 of 1,400 predictions are older than a line before them by more than a minute, by up to "
    "117 min; the judge reads lines in their order: sort each file by time, such as with `jq -sc 'sort_by(.ts)[]'`"
)


def order(*files: tuple[str, list[float]]) -> Backwards | None:
    found = LineOrder()
    for name, times in files:
        found.read(name, [np.array(times)])
    return found.backwards


def logged(folder: Path, times: list[float], version: Callable[[int], str], **more: Any) -> tuple[Path, Path]:
    """A log of predictions at these times, and a configuration that names both arms."""
    log, config = folder / "log.jsonl", folder / "exporter.yml"
    rows = [
        {"id": f"p{i}", "ts": ts, "model": "churn", "version": version(i), "score": 0.7, "label": 1, **more}
        for i, ts in enumerate(times)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config.write_text("models: [{name: churn, roles: {v1: baseline, v2: canary}}]")
    return log, config


def in_turns(*, sort: bool) -> list[float]:
    """Two writers of one file, one two hours behind the other, a line each in turn; five seconds apart."""
    times = [START + 10 * (i // 2) + (0 if i % 2 else 7000) for i in range(1400)]
    return sorted(times) if sort else times


@pytest.mark.parametrize("more", [{}, {"features": {"x": [1]}}], ids=["columns", "records"])
@pytest.mark.parametrize("judge", [(), ("--judge",)], ids=["figures", "judge"])
@pytest.mark.parametrize("sort", [False, True])
def test_replay_says_that_times_go_back(tmp_path: Path, judge: tuple[str], sort: bool, more: dict[str, Any]) -> None:
    log, config = logged(tmp_path, in_turns(sort=sort), lambda i: "v1" if i % 4 < 2 else "v2", **more)
    arguments = ["--log.path", str(log), "--config.file", str(config), *judge]
    result = CliRunner().invoke(replay, arguments, catch_exceptions=False)
    assert (SAID in result.output.splitlines()) != sort
    assert ("times go back" in result.output) != sort
    document = json.loads(CliRunner().invoke(replay, [*arguments, "--output", "json"]).output)
    assert document["backwards"] == (
        None if sort else {"behind": 700, "lines": 1400, "furthest": pytest.approx(6990, abs=20)}
    )


@pytest.mark.parametrize("sort", [False, True])
def test_the_doctor_says_so_of_the_sample(tmp_path: Path, sort: bool) -> None:
    log, _ = logged(tmp_path, in_turns(sort=sort), lambda i: f"v{1 + i % 2}")
    said = CliRunner().invoke(doctor, ["--log.path", str(log)], catch_exceptions=False).output
    assert (
        "times go back: 500 of 1000 predictions are older than a line before them by more than a minute" in said
    ) != sort
    assert ("sort a finished log by time; let each client write a file of its own" in said) != sort


def test_jitter_retries_one_clock_ahead_and_several_files_are_no_disorder() -> None:
    rng = np.random.default_rng(1)
    steady = START + np.arange(2000.0)
    assert order(("a", (steady + rng.uniform(0, 50, 2000)).tolist())) is None
    retried = [*steady.tolist(), *(steady[:15] + 1).tolist()]
    assert order(("a", retried)) is None
    ahead = steady.copy()
    ahead[1000] += 3000
    assert order(("a", ahead.tolist())) is None
    assert order(("a", steady.tolist()), ("b", steady.tolist())) is None
    assert order(("a", [])) is None


def test_a_block_is_held_against_the_blocks_before_it_in_its_file() -> None:
    steady = START + np.arange(100.0)
    assert order(("a", (steady + 500).tolist()), ("a", steady.tolist())) == Backwards(100, 200, 597.0)
    assert order(("a", (steady + 500).tolist()), ("b", steady.tolist())) is None
