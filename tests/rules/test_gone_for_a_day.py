"""An alert about a process that is gone from discovery ends after a day: then it was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from promtool_cases import case, check, expression, series_name

STEP = 5
"""Minutes between two samples."""
THERE, GONE = 30 // STEP, 26 * 60 // STEP
GROUP = {"cluster": "c", "namespace": "m"}


@pytest.mark.parametrize("name", ["Handler", "Judge"])
def test_it_fires_for_the_rest_of_the_day_and_then_no_more(tmp_path: Path, name: str) -> None:
    job = {**GROUP, "job": f"mlcanary-{name.lower()}"}
    build = f"mlcanary_{name.lower()}_build_info"
    series = {
        series_name(metric, {**job, "instance": "10.0.0.1:1"}): [1.0] * THERE + [None] * GONE
        for metric in ("up", build)
    }
    firing = f'ALERTS{{alertname="MLCanary{name}Down",alertstate="firing"}}'
    severity = {"Handler": "critical", "Judge": "warning"}[name]
    told = {
        **job,
        "__name__": "ALERTS",
        "alertname": f"MLCanary{name}Down",
        "alertstate": "firing",
        "severity": severity,
    }
    tests = [expression(firing, f"{minute}m", (told, 1.0)) for minute in (45, 24 * 60 + 20)]
    tests += [expression(firing, f"{minute}m") for minute in (30, 24 * 60 + 40, 25 * 60)]
    check(tmp_path, f"{STEP}m", [case(f"{STEP}m", series, tests)], f"MLCanary{name}Down")
