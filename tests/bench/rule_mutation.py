"""Whether the scenarios of the alerts notice small faults in the rules.

Run as `python tests/bench/rule_mutation.py [--alert NAME ...] [--recorded 100] [--sample N] [--seed 1]`: a line per
survivor, then killed and all by kind and stage. The expression and durations of every alert are mutated (see
`rule_mutants.py`), and a seeded sample of the recording rules that alerts read. These are first run through the worlds
in which tests hold recorded figures against raw events. Mutants are run through the scenarios of the alerts that read
them, many at once. Then come their texts, and the scenarios in places that differ in one label only.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from alert_expectations import EVERY  # noqa: E402 - beside this file, not installed
from alert_scenarios import ALWAYS, SCENARIOS  # noqa: E402
from alert_worlds import Scenario  # noqa: E402
from mutant_runs import noticed, noticed_in  # noqa: E402
from promtool_cases import case, excerpt, recorded_names, shipped_groups  # noqa: E402
from rule_mutants import Mutant, mutants  # noqa: E402
from side_by_side import PLACES, stays_alone, worlds  # noqa: E402
from value_worlds import World, collected  # noqa: E402

TEXTS = HERE.parent / "rules" / "alert_texts.yml"
STAGES = ("values", "scenarios", "texts", "cluster", "namespace", "model")
"""What the tests run: figures against raw events, alerts, the texts that they read; and scenarios that differ in one
label, which only this file runs."""

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass(frozen=True)
class Subject:
    """A rule to be mutated: which alerts see it, its group and place there."""

    alerts: tuple[str, ...]
    group: str
    place: int
    rule: Mapping[str, Any]


Pair = tuple[Subject, Mutant]


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
    """Scenarios of an alert, firing ones first."""
    return tuple(sorted((s for s in SCENARIOS if s.alert == alert), key=lambda s: not s.firing))


def survivors(
    pairs: Sequence[Pair], stages: Sequence[str] = STAGES, values: Sequence[World] = ()
) -> dict[int, str | None]:
    """By the place of each mutant, the first stage that notices it; None where none does, which is printed.

    `values`: the worlds of the first stage.
    """
    found: dict[int, str | None] = dict.fromkeys(range(len(pairs)))
    with tempfile.TemporaryDirectory() as name:
        for world in values:
            left = {
                place + 1: (subject.rule, mutant) for place, (subject, mutant) in enumerate(pairs) if not found[place]
            }
            found |= {place - 1: "values" for place in noticed_in(world, left, Path(name))}
        order = list(dict.fromkeys(alert for subject, _ in pairs for alert in subject.alerts))
        for alert in order:
            for stage in (stage for stage in stages if stage != "values"):
                left = {
                    place + 1: (subject.rule, mutant)
                    for place, (subject, mutant) in enumerate(pairs)
                    if found[place] is None and alert in subject.alerts
                }
                for tests, every in of_stage(alert, stage) if left else ():
                    for place in noticed(alert, tests, every, left, Path(name)):
                        found[place - 1] = stage
                        del left[place]
            for place, (subject, mutant) in enumerate(pairs):
                if found[place] is None and max(subject.alerts, key=order.index) == alert:
                    print(f"- {subject.rule.get('alert') or subject.rule['record']}, {mutant.what}", flush=True)
            print(f"{alert}: {sum(v is None for v in found.values())} left", file=sys.stderr, flush=True)
    return found


def of_stage(alert: str, stage: str) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """promtool's tests of an alert in a stage, and the minutes from one evaluation to the next."""
    scenarios = told(alert)
    names = {name for group in excerpt([alert]) for rule in group["rules"] for name in NAME.findall(rule["expr"])}
    if stage == "texts":
        every = 1 if scenarios[0].minutes == 1 else EVERY[scenarios[0].minutes]
        minute, label_sets = scenarios[0].firing[0]
        alerts = [{"exp_labels": dict(labels), "exp_annotations": texts_of(alert)} for labels in label_sets]
        asked = {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": alerts}
        test = case(f"{scenarios[0].minutes}m", scenarios[0].series, [], alert_rule_test=[asked])
        yield [read_only(test, names)], every
        return
    for minutes in sorted({scenario.minutes for scenario in scenarios}):
        group = [scenario for scenario in scenarios if scenario.minutes == minutes]
        company = sum(not stays_alone(scenario) for scenario in group) > 1
        has_it = stage in PLACES or any(f'{stage}="' in name for name in group[0].series)
        if stage == "scenarios" or (company and has_it):
            tests = worlds(group) if stage == "scenarios" else worlds(group, [stage])[:1]
            yield [read_only(test, names) for test in tests], EVERY[minutes]


def read_only(test: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The test without series that have none of these names."""
    series = [row for row in test["input_series"] if row["series"].partition("{")[0] in names]
    return {**test, "input_series": series}


def texts_of(alert: str) -> dict[str, Any]:
    """The annotations that the alert has in its first scenario."""
    rule = next(rule for group in shipped_groups() for rule in group["rules"] if rule.get("alert") == alert)
    return {"runbook_url": rule["annotations"]["runbook_url"], **yaml.safe_load(TEXTS.read_text())[alert]}


def chosen(subjects: Sequence[Subject], sample: int | None, seed: int) -> list[Pair]:
    """All mutants of some rules, or a seeded sample of them."""
    recorded = frozenset(rule["record"] for group in shipped_groups() for rule in group["rules"] if "record" in rule)
    every = [(subject, mutant) for subject in subjects for mutant in mutants(subject.rule, recorded)]
    return every if sample is None else random.Random(seed).sample(every, min(sample, len(every)))


def report(pairs: Sequence[Pair], stages: Sequence[str]) -> Iterator[str]:
    """A table by kind; survivors are printed as they are found."""
    recorded = any("record" in subject.rule for subject, _ in pairs)
    found = survivors(pairs, stages, collected() if recorded and "values" in stages else ())
    dead: Counter[tuple[str, str]] = Counter()
    for place, (_, mutant) in enumerate(pairs):
        if stage := found[place]:
            dead[mutant.kind, stage] += 1
    every = Counter(mutant.kind for _, mutant in pairs)
    yield ""
    yield f"| kind | {' | '.join(stages)} | killed | all | |"
    yield "| --- " * (len(stages) + 4) + "|"
    for kind, count in (*sorted(every.items()), ("all", len(pairs))):
        by = [sum(n for (k, s), n in dead.items() if s == stage and kind in {k, "all"}) for stage in stages]
        yield f"| {kind} | {' | '.join(map(str, by))} | {sum(by)} | {count} | {sum(by) / max(1, count):.1%} |"


def main() -> None:
    """Mutate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alert", nargs="*", default=())
    parser.add_argument("--recorded", type=int, default=0, help="mutants of recording rules")
    parser.add_argument("--sample", type=int, default=None, help="mutants of alerts; default: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", nargs="*", default=STAGES, choices=STAGES)
    asked = parser.parse_args()
    for title, pairs in (
        ("Rules of alerts", chosen(of_alerts(asked.alert), asked.sample, asked.seed)),
        ("Recording rules", chosen(of_records(asked.alert), asked.recorded, asked.seed)),
    ):
        if pairs:
            print(f"{title}:\n", flush=True)
            print(*report(pairs, asked.stages), sep="\n", flush=True)


if __name__ == "__main__":
    main()
