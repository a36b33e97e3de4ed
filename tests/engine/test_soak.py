"""A few seconds of `tests/bench/soak.py`: columns, a reference, late labels, rotation, SIGKILL; every counter exact."""

from __future__ import annotations

from pathlib import Path

from soak import Plan, soak

SHORT = Plan(
    seconds=7.0,
    rate=1000,
    rotate=1.5,
    keep=50,  # nothing may be lost to a slow machine
    kill=2.5,
    label_delay=1.0,
    progress=2.0,
    settle=0.0,
    flags=("--publish.interval", "500ms", "--poll.interval", "100ms"),
)


def test_nothing_is_lost_or_counted_twice(tmp_path: Path) -> None:
    report = soak(SHORT, tmp_path)
    assert report.mismatches == {}
    assert report.lag == 0
    assert min(report.predictions, report.kills, report.rotations) > 0
    assert report.memory
