"""Runs many mutants of rules through scenarios at once: each mutant beside the shipped rules, under names of its own.

So series and shipped rules of a scenario are read and evaluated once for all mutants. A mutant of a recording rule
brings the rules that read it, up to the alert. What the shipped rules themselves do not hold is no evidence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alert_expectations import EVERY, durations, expectations
from alert_worlds import Scenario
from prometheus_tools import run
from promtool_cases import case, evaluation_order, excerpt, recorded_names
from rule_mutants import Mutant

Groups = list[dict[str, Any]]
AT_ONCE = 40
PLACE = "no_such_label"
SHIPPED = 0
"""The number of the rules without a fault."""


def beside(alert: str, mutants: Mapping[int, tuple[Mapping[str, Any], Mutant]]) -> Groups:
    """The rules of an alert with these mutants beside them, each a shipped rule and what takes its place."""
    groups = excerpt([alert])
    rules = [rule for group in groups for rule in group["rules"]]
    reads = {rule["record"]: recorded_names(rule["expr"]) for rule in rules if "record" in rule}
    for group in groups:
        with_mutants = []
        for rule in group["rules"]:
            with_mutants.append(rule)
            for number, (shipped, mutant) in mutants.items():
                renamed = _above(shipped.get("record"), reads)
                if rule.get("alert") == alert or rule.get("record") in renamed:
                    with_mutants.append(_named(mutant.rule if rule == shipped else rule, renamed, number))
        group["rules"] = with_mutants
    return groups


def _above(record: str | None, reads: Mapping[str, set[str]]) -> frozenset[str]:
    """A recorded series and all that are made from it."""
    found: set[str] = {record} if record else set()
    while more := {name for name, read in reads.items() if read & found} - found:
        found |= more
    return frozenset(found)


def _named(rule: Mapping[str, Any], renamed: frozenset[str], number: int) -> dict[str, Any]:
    def new(text: str) -> str:
        names = recorded_names(text) & renamed
        return re.sub(r"[a-zA-Z0-9_:]+", lambda f: named(f[0], number) if f[0] in names else f[0], text)

    found = {**rule, "expr": new(rule["expr"])}
    for key in ("labels", "annotations"):
        if key in rule:
            found[key] = {name: new(text) for name, text in rule[key].items()}
    key = "alert" if "alert" in rule else "record"
    return {**found, key: named(rule[key], number)}


def named(name: str, number: int) -> str:
    """The name of a rule of a mutant."""
    return name if number == SHIPPED else f"{name}__{number}"


def noticed(
    alert: str,
    scenarios: Sequence[Scenario],
    mutants: Mapping[int, tuple[Mapping[str, Any], Mutant]],
    folder: Path,
    texts: Mapping[str, Any] | None = None,
) -> set[int]:
    """Numbers of the mutants that some scenario tells from the shipped rules, which hold in it.

    `texts`: the annotations of the alert in the first minute in which it fires in the scenario, then the only one.
    """
    found: set[int] = set()
    left = dict(mutants)
    while left:
        batch = dict(list(left.items())[:AT_ONCE])
        groups = beside(alert, batch)
        broken, failed = _outcome(alert, groups, scenarios, (SHIPPED, *batch), folder, texts)
        assert SHIPPED not in broken, "shipped rules that cannot be evaluated"
        unsound = {scenario for scenario, number in failed if number == SHIPPED}
        found |= broken
        if broken:
            left = {number: mutant for number, mutant in left.items() if number not in broken}
            continue  # Where one cannot be evaluated, promtool says nothing of the others.
        found |= {number for scenario, number in failed if scenario not in unsound}
        left = {number: mutant for number, mutant in left.items() if number not in batch}
    return found


def sound(alert: str, scenarios: Sequence[Scenario], folder: Path) -> list[Scenario]:
    """Those of the scenarios that hold over the shipped rules."""
    groups = excerpt([alert])
    broken, failed = _outcome(alert, groups, scenarios, (SHIPPED,), folder, None)
    if broken:
        half = len(scenarios) // 2
        parts = (scenarios[:half], scenarios[half:]) if half else ()
        return [one for part in parts for one in sound(alert, part, folder)]
    unsound = {place for place, _ in failed}
    return [scenario for place, scenario in enumerate(scenarios) if place not in unsound]


def _outcome(
    alert: str,
    groups: Groups,
    scenarios: Sequence[Scenario],
    numbers: Iterable[int],
    folder: Path,
    texts: Mapping[str, Any] | None,
) -> tuple[set[int], set[tuple[int, int]]]:
    """Numbers of rules that cannot be evaluated; and which scenario fails for which number."""
    text = json.dumps({"groups": groups})
    (folder / "rules.json").write_text(text)
    names = set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text))
    broken: set[int] = set()
    failed: set[tuple[int, int]] = set()
    for minutes in sorted({scenario.minutes for scenario in scenarios}):
        tests = []
        for place, scenario in enumerate(scenarios):
            if scenario.minutes != minutes:
                continue
            asked = [] if texts else [row for number in numbers for row in _asked(scenario, alert, number, place)]
            told = [_told(scenario, alert, number, texts) for number in numbers] if texts else []
            series = {name: values for name, values in scenario.series.items() if name.partition("{")[0] in names}
            tests.append(case(f"{minutes}m", series, asked, **({"alert_rule_test": told} if told else {})))
        document = {
            "rule_files": [str(folder / "rules.json")],
            "evaluation_interval": "1m" if texts and minutes == 1 else f"{EVERY[minutes]}m",
            "group_eval_order": evaluation_order(),
            "tests": tests,
        }
        (folder / "promtool.json").write_text(json.dumps(document))
        status, output = run("promtool", "test", "rules", folder / "promtool.json")
        if status:
            of_broken, of_failed = _read(output, alert)
            assert of_broken or of_failed, output
            broken |= of_broken
            failed |= of_failed
    return broken, failed


def _asked(scenario: Scenario, alert: str, number: int, place: int) -> list[dict[str, Any]]:
    kept = scenario.because in durations().get(scenario.alert, {})
    rows = expectations(scenario)
    if kept and not scenario.firing:
        rows = rows[-1:]  # That it is never pending holds more than that it does not fire at some minutes.
    old, own = f'alertname="{alert}"', f'alertname="{named(alert, number)}"'
    of_place = f'{own},{PLACE}!="{place}"'  # promtool tells of an expression that fails, not of the test it is in.

    return [
        {
            **row,
            "expr": row["expr"].replace(old, of_place),
            "exp_samples": [{**sample, "labels": sample["labels"].replace(old, own)} for sample in row["exp_samples"]],
        }
        for row in rows
    ]


def _told(scenario: Scenario, alert: str, number: int, texts: Mapping[str, Any] | None) -> dict[str, Any]:
    minute, label_sets = scenario.firing[0]
    alerts = [{"exp_labels": dict(labels), "exp_annotations": texts} for labels in label_sets]
    return {"eval_time": f"{minute}m", "alertname": named(alert, number), "exp_alerts": alerts}


def _read(output: str, alert: str) -> tuple[set[int], set[tuple[int, int]]]:
    broken = {int(number or SHIPPED) for number in re.findall(r"^\s*rule: [\w:]*?(?:__(\d+))?, time", output, re.M)}
    failed = {
        (int(place), int(number or SHIPPED))
        for number, place in re.findall(rf'expr: .*?{alert}(?:__(\d+))?\\",{PLACE}!=\\"(\d+)', output)
    }
    told = re.findall(rf"^\s*alertname: {alert}(?:__(\d+))?, time", output, re.M)
    return broken, failed | {(0, int(number or SHIPPED)) for number in told}
