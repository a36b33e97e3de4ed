"""Whether the scenarios of the alerts notice small faults in the rules.

Run as `python tests/bench/rule_mutation.py [--alert NAME ...] [--recorded 100] [--sample N] [--seed 1]`: a line per
survivor, then killed and all by kind. Every alert's expression and `for` is mutated (see `rule_mutants.py`), and a
seeded sample of the recording rules that alerts read; each mutant is run through the scenarios of the alerts that read
it, one after the other, until one notices. Beside the scenarios each alert has worlds apart: one in which it fires, and
beside it one in which it does not, which differs in cluster, namespace or model.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from alert_expectations import EVERY, expectations  # noqa: E402 - beside this file, not installed
from alert_scenarios import ALWAYS, SCENARIOS  # noqa: E402 - beside this file, not installed
from alert_worlds import Scenario  # noqa: E402
from prometheus_tools import run  # noqa: E402
from promtool_cases import (  # noqa: E402
    case,
    evaluation_order,
    excerpt,
    read_by,
    recorded_names,
    shipped_groups,
)
from rule_mutants import Mutant, mutants  # noqa: E402

Groups = list[dict[str, Any]]
APART = ("cluster", "namespace", "model", "version", "job", "instance", "target")
"""Labels by which two worlds are apart."""

PLACES = ("cluster", "namespace")
"""Those that every series may have; the others are changed where they are."""


@dataclass(frozen=True)
class Subject:
    """A rule to be mutated: which alerts see it, its group and place there."""

    alerts: tuple[str, ...]
    group: str
    place: int
    rule: Mapping[str, Any]


def of_alerts(names: Sequence[str]) -> list[Subject]:
    """Every rule of these alerts, or of all."""
    return [
        Subject((rule["alert"],), group["name"], i, rule)
        for group in shipped_groups()
        for i, rule in enumerate(group["rules"])
        if rule.get("alert") not in {None, ALWAYS} and (not names or rule["alert"] in names)
    ]


def of_records(names: Sequence[str]) -> list[Subject]:
    """Every recording rule that alerts read, with those alerts, nearest first."""
    rules = [rule for group in shipped_groups() for rule in group["rules"]]
    reads = {rule["record"]: recorded_names(rule["expr"]) for rule in rules if "record" in rule}
    readers: dict[str, dict[str, int]] = {}
    for rule in rules:
        if rule.get("alert") in {None, ALWAYS} or (names and rule["alert"] not in names):
            continue
        level: set[str] = recorded_names(rule["expr"])
        known: set[str] = set()
        distance = 0
        while level:
            for name in level:
                readers.setdefault(name, {}).setdefault(rule["alert"], distance)
            known |= level
            level = {n for name in level for n in reads.get(name, ())} - known
            distance += 1
    return [
        Subject(
            tuple(alert for _, alert in sorted((far, alert) for alert, far in found.items())), group["name"], i, rule
        )
        for group in shipped_groups()
        for i, rule in enumerate(group["rules"])
        if (found := readers.get(rule.get("record", ""), {}))
    ]


@cache
def told(alert: str) -> tuple[Scenario, ...]:
    """Scenarios of an alert, firing ones first, then its worlds apart."""
    own = sorted((s for s in SCENARIOS if s.alert == alert), key=lambda s: not s.firing)
    quiet = [s for s in own if not s.firing and s.series]
    return (*own, *(two for other in quiet for label in APART if (two := apart(own[0], other, label))))


def apart(firing: Scenario, quiet: Scenario, label: str) -> Scenario | None:
    """The first scenario beside the second one, under another label; None where they cannot be told apart so."""
    if firing.minutes != quiet.minutes or not (label in PLACES or any(f'{label}="' in s for s in quiet.series)):
        return None
    mine = {label: "a"} if label in PLACES else {}
    both = {_with(series, mine): values for series, values in firing.series.items()}
    both |= {_with(series, {label: "b"}): values for series, values in quiet.series.items()}
    expected = tuple((minute, tuple({**of, **mine} for of in sets)) for minute, sets in firing.firing)
    return replace(firing, because=f"beside another {label}: {quiet.because}", series=both, firing=expected)


def _with(series: str, labels: Mapping[str, str]) -> str:
    for name, value in labels.items():
        if f'{name}="' in series:
            series = re.sub(rf'\b{name}="[^"]*"', f'{name}="{value}"', series)
        elif name in PLACES:
            series = series.replace("}", f',{name}="{value}"}}').replace("{,", "{")
    return series


def passes(groups: Groups, scenarios: Sequence[Scenario], folder: Path) -> bool:
    """Whether all of these hold over these rules."""
    text = json.dumps({"groups": groups})
    (folder / "rules.json").write_text(text)
    for minutes in sorted({scenario.minutes for scenario in scenarios}):
        tests = [
            read_by(text, case(f"{minutes}m", scenario.series, expectations(scenario)))
            for scenario in scenarios
            if scenario.minutes == minutes
        ]
        document = {
            "rule_files": [str(folder / "rules.json")],
            "evaluation_interval": f"{EVERY[minutes]}m",
            "group_eval_order": evaluation_order(),
            "tests": tests,
        }
        (folder / "promtool.json").write_text(json.dumps(document))
        if run("promtool", "test", "rules", folder / "promtool.json")[0] != 0:
            return False
    return True


@cache
def sound(alert: str) -> tuple[Scenario, ...]:
    """The scenarios that hold over the shipped rules: worlds apart need not, where a label is not kept on purpose."""
    with tempfile.TemporaryDirectory() as name:
        groups = excerpt([alert])
        return tuple(s for s in told(alert) if not s.because.startswith("beside") or passes(groups, [s], Path(name)))


def killed(subject: Subject, mutant: Mutant, most: int = 3) -> bool:
    """Whether a scenario of the first alerts that read the rule notices."""
    with tempfile.TemporaryDirectory() as name:
        for alert in subject.alerts[:most]:
            groups = copy.deepcopy(excerpt([alert]))
            for group in groups:
                group["rules"] = [mutant.rule if rule == subject.rule else rule for rule in group["rules"]]
            if not passes(groups, sound(alert), Path(name)):
                return True
    return False


def chosen(subjects: Sequence[Subject], sample: int | None, seed: int) -> list[tuple[Subject, Mutant]]:
    """All mutants of some rules, or a seeded sample of them."""
    recorded = frozenset(rule["record"] for group in shipped_groups() for rule in group["rules"] if "record" in rule)
    every = [(subject, mutant) for subject in subjects for mutant in mutants(subject.rule, recorded)]
    return every if sample is None else random.Random(seed).sample(every, min(sample, len(every)))


def report(pairs: Sequence[tuple[Subject, Mutant]]) -> Iterator[str]:
    """Survivors, and a table by kind."""
    dead: Counter[str] = Counter()
    every: Counter[str] = Counter()
    for done, (subject, mutant) in enumerate(pairs):
        print(f"\r{done} of {len(pairs)} tried, {done - dead.total()} survive", end="", file=sys.stderr, flush=True)
        every[mutant.kind] += 1
        if killed(subject, mutant):
            dead[mutant.kind] += 1
        else:
            yield f"survives: {subject.rule.get('alert') or subject.rule['record']} ({subject.group}) {mutant.what}"
    print(file=sys.stderr)
    for kind, count in sorted(every.items()):
        yield f"| {kind} | {dead[kind]} | {count} |"
    yield f"| all | {dead.total()} | {every.total()} | {dead.total() / max(1, every.total()):.1%}"


def main() -> None:
    """Mutate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alert", nargs="*", default=())
    parser.add_argument("--recorded", type=int, default=0, help="mutants of recording rules")
    parser.add_argument("--sample", type=int, default=None, help="mutants of alerts; default: all")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    pairs = chosen(of_alerts(asked.alert), asked.sample, asked.seed)
    pairs += chosen(of_records(asked.alert), asked.recorded, asked.seed)
    for line in report(pairs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
