"""What a scenario expects of its alert, as promtool expressions; and for how long it is pending and fires.

The durations are kept in `rules/alert_durations.yml`, counted in evaluations until the last minute that a scenario
looks at. `python tests/alert_expectations.py` writes them anew: read the difference before you commit it. They are
those of Prometheus 2, which sees a series until its last sample is five minutes old; from 3 on one of that age is out,
and an alert that ends with its series may end one evaluation earlier.
"""

from __future__ import annotations

import json
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from alert_worlds import Scenario
from prometheus_tools import run
from promtool_cases import (
    Labels,
    case,
    evaluation_order,
    excerpt,
    expression,
    leaves_out_left_edge,
    read_by,
    series_name,
)

DURATIONS = Path(__file__).with_name("rules") / "alert_durations.yml"
EVERY = {1: 2, 4: 60, 20: 20}
"""Minutes between evaluations, by the minutes between the samples of a scenario."""

NOWHERE: Labels = {}
Durations = dict[str, dict[str, dict[str, int]]]


@cache
def durations() -> Durations:
    """By alert and scenario: how often each label set was pending or firing."""
    loaded: Durations = yaml.safe_load(DURATIONS.read_text()) or {}
    return loaded


def last(scenario: Scenario) -> int:
    """The last minute that a scenario looks at."""
    return max((*(minute for minute, _ in scenario.firing), *scenario.quiet))


def counted(scenario: Scenario, place: Labels = NOWHERE) -> str:
    """How often each label set was pending or firing."""
    return f"count_over_time({_alerts(scenario, place)}[{last(scenario) + 1}m])"


def _alerts(scenario: Scenario, place: Labels, **more: str) -> str:
    return series_name("ALERTS", {"alertname": scenario.alert, **more, **place})


def expectations(scenario: Scenario, place: Labels = NOWHERE) -> list[dict[str, Any]]:
    """All that is tested of a scenario, and of nothing else: of its alerts with the labels of its place."""
    firing = _alerts(scenario, place, alertstate="firing")
    common = {"__name__": "ALERTS", "alertname": scenario.alert, "alertstate": "firing"}
    tests = [
        expression(firing, f"{minute}m", *(({**common, **labels, **place}, 1.0) for labels in label_sets))
        for minute, label_sets in scenario.firing
    ]
    tests += [expression(firing, f"{minute}m") for minute in scenario.quiet]
    kept = durations().get(scenario.alert, {})
    if scenario.because in kept:
        tests += _lasts(scenario, kept[scenario.because], place)
    return tests


def _lasts(scenario: Scenario, kept: dict[str, int], place: Labels) -> list[dict[str, Any]]:
    """The kept durations, and no other label set; one evaluation less where that is all the same."""
    at, text = f"{last(scenario)}m", counted(scenario, place)
    if not leaves_out_left_edge() or not kept:
        sets = [({**dict(_pairs(labels)), **place}, float(times)) for labels, times in kept.items()]
        return [expression(text, at, *sets)]
    here = "".join(f',{name}="{value}"' for name, value in place.items())
    names = {name for labels in kept for name, _ in _pairs(labels)}
    within = []
    for labels, times in kept.items():
        lacking = "".join(f',{name}=""' for name in sorted(names - dict(_pairs(labels)).keys()))
        within.append(f"count({_of(text, labels + lacking + here)} >= {times - 1} <= {times})")
    return [expression(one, at, ({}, 1.0)) for one in within] + [
        expression(f"count({text})", at, ({}, float(len(kept))))
    ]


def _of(text: str, labels: str) -> str:
    return re.sub(r"\{.*\}", lambda _found: f"{{{labels}}}", text)


def _pairs(text: str) -> list[tuple[str, str]]:
    return re.findall(r'(\w+)="([^"]*)"', text)


def measured(scenario: Scenario, folder: Path) -> dict[str, int]:
    """What promtool says of the durations."""
    rules = json.dumps({"groups": excerpt([scenario.alert])})
    (folder / "rules.json").write_text(rules)
    asked = [expression(counted(scenario), f"{last(scenario)}m")]
    document = {
        "rule_files": [str(folder / "rules.json")],
        "evaluation_interval": f"{EVERY[scenario.minutes]}m",
        "group_eval_order": evaluation_order(),
        "tests": [read_by(rules, case(f"{scenario.minutes}m", scenario.series, asked))],
    }
    (folder / "promtool.json").write_text(json.dumps(document))
    status, output = run("promtool", "test", "rules", folder / "promtool.json")
    if status == 0:
        return {}
    found = re.search(r"got: (.*)$", output, re.MULTILINE)
    assert found, output
    return {labels: round(float(times)) for labels, times in re.findall(r"\{(.*?)\} (\S+?)(?:, |$)", found[1])}


def main() -> None:
    """Write the durations of all scenarios."""
    from alert_scenarios import SCENARIOS  # noqa: PLC0415 - they do not need this module

    found: Durations = {}
    with tempfile.TemporaryDirectory() as name:
        for scenario in SCENARIOS:
            found.setdefault(scenario.alert, {})[scenario.because] = measured(scenario, Path(name))
    head = "# How often each alert is pending and fires in its scenarios: written by alert_expectations.py.\n"
    DURATIONS.write_text(head + yaml.safe_dump(found, width=1000, allow_unicode=True))


if __name__ == "__main__":
    main()
