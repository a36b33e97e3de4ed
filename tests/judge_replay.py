"""Replays of releases through the judge: the same seeds, moments and settings for every disturbance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from judged_release import EPOCH, MemoryPrometheus, Release
from mlcanary.judge.cycle import Judge
from mlcanary.judge.settings import parse_settings
from mlcanary.judge.store import Store

SETTINGS = parse_settings("interval: 60s\ndefaults: {warm_up: 1m, min_age: 5m}", "x", "http://p:9090")
SECONDS = 900
NOW = tuple(range(0, SECONDS + 60, 20))
"""Seconds at which an undisturbed judge looks at the clock."""


def release(seed: int) -> Release:
    """Half of the canaries are bad."""
    return Release(seed, (0.2 if seed % 2 else 0.1, 0.1), seconds=SECONDS, requests=160.0)


def start(
    prometheus: MemoryPrometheus, directory: Path, checkpoint: Callable[[str], None] = lambda _name: None
) -> Judge:
    """A judge on the state file of the directory."""
    return Judge(prometheus, Store(directory / "judge.sqlite", checkpoint), SETTINGS, "1", lambda: 0.0)


def look(judge: Judge, prometheus: MemoryPrometheus, second: float) -> None:
    """What the service does at a moment: judge until nothing is due."""
    prometheus.clock = EPOCH + second
    judge.run_once()
    while judge.behind:
        judge.run_once()
