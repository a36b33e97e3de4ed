"""Runs many mutants of rules through scenarios at once: each mutant beside the shipped rules, under names of its own.

So series and shipped rules of a scenario are read and evaluated once for all mutants. A mutant of a recording rule
brings the rules that read it, up to the alert. What the shipped rules themselves do not hold is no evidence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from prometheus_tools import run
from promtool_cases import evaluation_order, excerpt, read_by, recorded_names, shipped_groups, with_left_edge
from rule_mutants import Mutant
from value_worlds import World

Groups = list[dict[str, Any]]
Mutants = Mapping[int, tuple[Mapping[str, Any], Mutant]]
"""By their numbers, each a shipped rule and what takes its place."""
Outcome = tuple[set[int], set[tuple[int, int]]]
"""Numbers of rules that cannot be evaluated; and which row of the tests fails for which number."""
AT_ONCE = 30
ROW = "no_such_label"
SHIPPED = 0
"""The number of the rules without a fault."""


def beside(mutants: Mutants, alerts: Sequence[str] = (), records: Collection[str] = ()) -> Groups:
    """The rules of these alerts and records, with the mutants beside them, and what these may read instead."""
    instead = {name for _, mutant in mutants.values() for name in recorded_names(mutant.rule["expr"])}
    groups = excerpt(alerts, {*records, *instead})
    reads = _reads(groups)
    for group in groups:
        with_mutants = []
        for rule in group["rules"]:
            with_mutants.append(rule)
            for number, (shipped, mutant) in mutants.items():
                renamed = _above(shipped.get("record"), reads)
                if "alert" in rule or rule["record"] in renamed:
                    with_mutants.append(_named(mutant.rule if rule == shipped else rule, renamed, number))
        group["rules"] = with_mutants
    return groups


def _reads(groups: Groups) -> dict[str, set[str]]:
    """What each recorded series is made from."""
    rules = (rule for group in groups for rule in group["rules"])
    return {rule["record"]: recorded_names(rule["expr"]) for rule in rules if "record" in rule}


def _above(record: str | None, reads: Mapping[str, set[str]]) -> frozenset[str]:
    """A recorded series and all that are made from it."""
    found: set[str] = {record} if record else set()
    while more := {name for name, read in reads.items() if read & found} - found:
        found |= more
    return frozenset(found)


def _named(rule: Mapping[str, Any], renamed: frozenset[str], number: int) -> dict[str, Any]:
    found = {**rule, "expr": _renamed(rule["expr"], renamed, number)}
    for key in ("labels", "annotations"):
        if key in rule:
            found[key] = {name: _renamed(text, renamed, number) for name, text in rule[key].items()}
    key = "alert" if "alert" in rule else "record"
    return {**found, key: named(rule[key], number)}


def _renamed(text: str, names: Collection[str], number: int) -> str:
    return re.sub(r"[a-zA-Z0-9_:]+", lambda f: named(f[0], number) if f[0] in names else f[0], text)


def named(name: str, number: int) -> str:
    """The name of a rule of a mutant."""
    return name if number == SHIPPED else f"{name}__{number}"


def noticed(alert: str, tests: Sequence[Mapping[str, Any]], every: int, mutants: Mutants, folder: Path) -> set[int]:
    """Numbers of the mutants that promtool's tests of an alert tell from the shipped rules; `every`: minutes."""

    def outcome(batch: Mutants) -> Outcome:
        return _outcome(alert, beside(batch, [alert]), tests, every, (SHIPPED, *batch), folder)

    return _told_apart(mutants, outcome)


def noticed_in(world: World, mutants: Mutants, folder: Path) -> set[int]:
    """Numbers of the mutants of recording rules for which what a world expects does not hold."""
    reads = _reads(shipped_groups())
    rows = [(row, recorded_names(row["expr"]) & reads.keys()) for row in world.test["promql_expr_test"]]
    above = {number: _above(shipped.get("record"), reads) for number, (shipped, _) in mutants.items()}

    def outcome(batch: Mutants) -> Outcome:
        asked = []
        read: set[str] = set()
        for place, (row, names) in enumerate(rows):
            concerned = [number for number in batch if names & above[number]]
            read |= names if concerned else set()
            asked += [_of_number(row, above.get(n, ()), place, n) for n in (SHIPPED, *concerned) if concerned]
        groups = with_left_edge(json.dumps({"groups": beside(batch, records=read)}))
        test = {**read_by(groups, world.test), "promql_expr_test": asked}
        output = _promtool(groups, [test], world.every, world.order, folder)
        return _found(output, {(int(p), int(n)) for p, n in re.findall(r'# (\d+) (\d+)", time', output)})

    seen = {number for number, names in above.items() if any(read & names for _, read in rows)}
    return _told_apart({number: mutants[number] for number in seen}, outcome)


def _of_number(row: Mapping[str, Any], names: Collection[str], place: int, number: int) -> dict[str, Any]:
    """A row that reads the series of a mutant; promtool repeats the remark where it fails."""
    samples = [{**one, "labels": _renamed(one["labels"], names, number)} for one in row["exp_samples"]]
    return {**row, "expr": f"{_renamed(row['expr'], names, number)}\n# {place} {number}", "exp_samples": samples}


def _told_apart(mutants: Mutants, outcome: Callable[[Mutants], Outcome]) -> set[int]:
    """Numbers of those that differ from the shipped rules; what does not hold over these either tells nothing."""
    found: set[int] = set()
    left = dict(mutants)
    while left:
        batch = dict(list(left.items())[:AT_ONCE])
        broken, failed = outcome(batch)
        assert SHIPPED not in broken, "shipped rules that cannot be evaluated"
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
) -> Outcome:
    rows = count()
    asked = [_of_numbers(test, alert, numbers, rows) for test in tests]
    output = _promtool(json.dumps({"groups": groups}), asked, f"{every}m", evaluation_order(), folder)
    of_row = rf'expr: .*?\\"{alert}(?:__(\d+))?\\",{ROW}!=\\"(\d+)'
    failed = {(int(row), int(number or SHIPPED)) for number, row in re.findall(of_row, output)}
    told = re.findall(rf"^\s*alertname: {alert}(?:__(\d+))?, time", output, re.M)
    return _found(output, failed | {(-1, int(number or SHIPPED)) for number in told})


def _promtool(rules: str, tests: Sequence[Mapping[str, Any]], every: str, order: Sequence[str], folder: Path) -> str:
    """What promtool says; nothing where all holds."""
    (folder / "rules.json").write_text(rules)
    document = {
        "rule_files": [str(folder / "rules.json")],
        "evaluation_interval": every,
        "group_eval_order": order,
        "tests": tests,
    }
    (folder / "promtool.json").write_text(json.dumps(document))
    status, output = run("promtool", "test", "rules", folder / "promtool.json", seconds=1800.0)
    return output if status else ""


def _found(output: str, failed: set[tuple[int, int]]) -> Outcome:
    of_rule = re.findall(r"^\s*rule: [\w:]*?(?:__(\d+))?, time", output, re.M)
    broken = {int(number or SHIPPED) for number in of_rule}
    assert bool(output) == bool(broken or failed), output
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
