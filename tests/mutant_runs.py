"""Runs many mutants of rules through scenarios at once: each mutant beside the shipped rules, under names of its own.

So series and shipped rules of a scenario are read and evaluated once for all mutants. A mutant of a recording rule
brings the rules that read it, up to the alert. What the shipped rules themselves do not hold is no evidence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from prometheus_tools import run
from promtool_cases import evaluation_order, excerpt, recorded_names
from rule_mutants import Mutant

Groups = list[dict[str, Any]]
AT_ONCE = 30
ROW = "no_such_label"
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
    tests: Sequence[Mapping[str, Any]],
    every: int,
    mutants: Mapping[int, tuple[Mapping[str, Any], Mutant]],
    folder: Path,
) -> set[int]:
    """Numbers of the mutants that promtool's tests of an alert tell from the shipped rules, evaluated so many minutes.

    What does not hold over the shipped rules either tells nothing.
    """
    found: set[int] = set()
    left = dict(mutants)
    while left:
        batch = dict(list(left.items())[:AT_ONCE])
        broken, failed = _outcome(alert, beside(alert, batch), tests, every, (SHIPPED, *batch), folder)
        assert SHIPPED not in broken, f"{alert}: shipped rules that cannot be evaluated"
        found |= broken
        if broken:
            left = {number: mutant for number, mutant in left.items() if number not in broken}
            continue  # Where one cannot be evaluated, promtool says nothing of the others.
        unsound = {row for row, number in failed if number == SHIPPED}
        found |= {number for row, number in failed if row not in unsound}
        left = {number: mutant for number, mutant in left.items() if number not in batch}
    return found


def _outcome(
    alert: str, groups: Groups, tests: Sequence[Mapping[str, Any]], every: int, numbers: Sequence[int], folder: Path
) -> tuple[set[int], set[tuple[int, int]]]:
    """Numbers of rules that cannot be evaluated; and which row of the tests fails for which number."""
    text = json.dumps({"groups": groups})
    (folder / "rules.json").write_text(text)
    rows = count()
    document = {
        "rule_files": [str(folder / "rules.json")],
        "evaluation_interval": f"{every}m",
        "group_eval_order": evaluation_order(),
        "tests": [_of_numbers(test, alert, numbers, rows) for test in tests],
    }
    (folder / "promtool.json").write_text(json.dumps(document))
    status, output = run("promtool", "test", "rules", folder / "promtool.json", seconds=1800.0)
    broken = {int(number or SHIPPED) for number in re.findall(r"^\s*rule: [\w:]*?(?:__(\d+))?, time", output, re.M)}
    of_row = rf'expr: .*?\\"{alert}(?:__(\d+))?\\",{ROW}!=\\"(\d+)'
    failed = {(int(row), int(number or SHIPPED)) for number, row in re.findall(of_row, output)}
    told = re.findall(rf"^\s*alertname: {alert}(?:__(\d+))?, time", output, re.M)
    failed |= {(-1, int(number or SHIPPED)) for number in told}
    assert bool(status) == bool(broken or failed), output
    return broken, failed


def _of_numbers(test: Mapping[str, Any], alert: str, numbers: Sequence[int], rows: Iterator[int]) -> dict[str, Any]:
    """A test of the alert as one of all these numbers."""
    asked = []
    for row, place in zip(test["promql_expr_test"], rows, strict=False):
        for number in numbers:
            old, new = f'alertname="{alert}"', f'alertname="{named(alert, number)}"'
            samples = [{**sample, "labels": sample["labels"].replace(old, new)} for sample in row["exp_samples"]]
            # promtool tells of an expression that fails, not of the test it is in.
            asked.append({**row, "expr": row["expr"].replace(old, f'{new},{ROW}!="{place}"'), "exp_samples": samples})
    told = [{**row, "alertname": named(alert, n)} for row in test.get("alert_rule_test", ()) for n in numbers]
    return {**test, "promql_expr_test": asked, **({"alert_rule_test": told} if told else {})}
