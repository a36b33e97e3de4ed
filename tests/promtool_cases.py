"""Writes promtool unit tests: series in, expressions and what they must give out."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK
from prometheus_tools import RULE_FILES, run

Labels = Mapping[str, str]
Values = Sequence[float | None]
"""Samples of a series, one per interval; None where there is none."""


def series_name(name: str, labels: Labels) -> str:
    """A series as PromQL writes it."""
    return name + "{" + ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items()) + "}"


def case(
    interval: str, series: Mapping[str, Values], expressions: Iterable[Mapping[str, Any]], **rest: object
) -> dict[str, Any]:
    """One entry of a promtool test file."""
    return {
        "interval": interval,
        "input_series": [{"series": name, "values": _values(values)} for name, values in series.items()],
        "promql_expr_test": list(expressions),
        **rest,
    }


def expression(text: str, at: str, *samples: tuple[Labels, float]) -> dict[str, Any]:
    """The expression gives exactly these samples at this time."""
    found = [{"labels": series_name(labels.get("__name__", ""), _rest(labels)), "value": v} for labels, v in samples]
    return {"expr": text, "eval_time": at, "exp_samples": found}


def near(text: str, value: float, within: float = 1e-9) -> str:
    """PromQL that gives 1 where an expression is as near to a value as `within`, of it or of 1 if that is more.

    promtool compares floats exactly, so closeness has to be part of the expression. Where windows are a millisecond
    longer, what is a difference of two rates, such as the few events above a score, is off by more than a rate is.
    """
    nearest = 3e-5 if leaves_out_left_edge() else 0.0
    return f"abs(({text}) - ({float(value)!r})) <= bool {float(max(within, nearest) * max(1.0, abs(value)))!r}"


def check(
    folder: Path,
    evaluation_interval: str,
    cases: Sequence[Mapping[str, Any]],
    *alerts: str,
    records: Collection[str] = (),
) -> None:
    """Run promtool on the shipped rules; AssertionError with its words when something differs.

    Where `alerts` or `records` are named, only their rules and what these read are evaluated, over the series that
    these read: the same text, many times faster. For `records` no group waits a cycle for what it reads.
    """
    files = [str(path) for path in RULE_FILES]
    if alerts or records or leaves_out_left_edge():
        rules = with_left_edge(json.dumps({"groups": excerpt(alerts, records)}))
        (folder / "excerpt.json").write_text(rules)
        files, cases = [str(folder / "excerpt.json")], [read_by(rules, test) for test in cases]
    document = {
        "rule_files": files,
        "evaluation_interval": evaluation_interval,
        "group_eval_order": evaluation_order(settled=bool(records)),
        "tests": cases,
    }
    path = folder / "promtool.json"
    path.write_text(with_left_edge(json.dumps(document)))
    status, output = run("promtool", "test", "rules", path)
    assert status == 0, output


def shipped_groups() -> list[dict[str, Any]]:
    """All groups of the shipped rule files."""
    return copy.deepcopy(_loaded())


@cache
def _loaded() -> list[dict[str, Any]]:
    return [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]


def asks_for_rollback(rule: Mapping[str, Any]) -> bool:
    """Whether alerts of the rule ask for a rollback, always or, by the template of the label, while no judge does."""
    return ACTION_ROLLBACK in rule["labels"].get(ACTION_LABEL, "")


def told_by(rule: Mapping[str, Any]) -> str:
    """All texts of an alert that may read series."""
    return " ".join((rule["expr"], *rule["labels"].values(), rule["annotations"]["description"]))


TIERS = ("recording-", "")
LAST = 100


def evaluation_order(*, settled: bool = False) -> list[str]:
    """Groups of a cycle: facts, what alerts and dashboards read, other recordings, what is further; then alerts.

    In a real Prometheus groups run side by side and are at most one cycle behind each other. Here business figures are
    behind those of users, unless all are to be `settled`.
    """

    def rank(group: Mapping[str, Any]) -> int:
        name = group["name"].removeprefix("mlcanary-")
        if any("alert" in rule for rule in group["rules"]):
            return LAST
        if name.startswith("further-"):
            return LAST - 2 if name.endswith("facts") else LAST - 1
        if settled and name.startswith("business-"):
            return LAST - 3
        tier = next(i for i, start in enumerate(TIERS) if name.startswith(start))
        return tier if name.endswith("facts") else len(TIERS) + tier

    return [group["name"] for group in sorted(shipped_groups(), key=rank)]


def recorded_names(text: str) -> set[str]:
    """Names of recorded series in a PromQL text: the only names with a colon."""
    return set(re.findall(r"\b[a-z_]+(?::[a-z0-9_]+)+", text))


def excerpt(alerts: Collection[str], records: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rules of these alerts and records, and of all that these read; all rules where none is named."""
    groups = shipped_groups()
    rules = [rule for group in groups for rule in group["rules"]]
    reads = {rule["record"]: recorded_names(rule["expr"]) for rule in rules if "record" in rule}
    wanted = set(records)
    for rule in rules:
        if rule.get("alert") in alerts:
            wanted |= recorded_names(told_by(rule))
    while more := {name for known in wanted for name in reads[known]} - wanted:
        wanted |= more
    if wanted or alerts:
        for group in groups:
            group["rules"] = [r for r in group["rules"] if r.get("alert") in alerts or r.get("record") in wanted]
    return [group for group in groups if group["rules"]]


@cache
def leaves_out_left_edge() -> bool:
    """Whether windows lack a sample on their left edge: so from Prometheus 3 on."""
    _, output = run("promtool", "--version")
    return int(re.findall(r"version (\d+)", output)[0]) >= 3


def with_left_edge(text: str) -> str:
    """Rules or tests whose windows hold a sample on their left edge, in every version.

    Samples of promtool lie on edges, and figures of raw events are exact with both alone. Where the left one is left
    out, windows are a millisecond longer: the same samples, and 3e-6 of 5 minutes more are extrapolated.
    """
    return re.sub(r"(\[(?:\d+[smhd])+)(:\w*)?\]", r"\g<1>1ms\g<2>]", text) if leaves_out_left_edge() else text


def read_by(rules: str, test: Mapping[str, Any]) -> dict[str, Any]:
    """A case without the series that neither the rules nor its own expressions read."""
    read = rules + json.dumps([row["expr"] for row in test["promql_expr_test"]])
    names = set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", read))
    series = [row for row in test["input_series"] if row["series"].partition("{")[0] in names]
    return {**test, "input_series": series}


def _rest(labels: Labels) -> Labels:
    return {key: value for key, value in labels.items() if key != "__name__"}


def _values(values: Values) -> str:
    """Samples in promtool's notation, runs of equal ones in short."""
    found = []
    for value, alike in groupby(values):
        n = sum(1 for _ in alike)
        found.append(_text(value) if n == 1 else f"_x{n}" if value is None else f"{_text(value)}+0x{n - 1}")
    return " ".join(found)


def _text(value: float | None) -> str:
    return "_" if value is None else repr(float(value))
