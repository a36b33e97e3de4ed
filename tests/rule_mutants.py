"""Small faults in a rule, which some test should notice: operator, threshold, matcher, window, labels, durations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Rule = Mapping[str, Any]

OPERATORS: Mapping[str, str] = {
    ">": "<",
    "<": ">",
    ">=": "<",
    "<=": ">",
    "==": "!=",
    "!=": "==",
    "and": "unless",
    "unless": "and",
    "or": "and",
    "+": "-",
    "-": "+",
    "*": "/",
    "/": "*",
}
AGGREGATIONS: Mapping[str, str] = {"sum": "max", "max": "sum", "min": "max", "group": "count", "avg": "sum"}
_TOKEN = re.compile(r"(?<=\s)(>=|<=|==|!=|>|<|and|unless|or|\+|-|\*|/)(?=\s)")
_NUMBER = re.compile(r"(?<![\w.:\[\"])(\d+(?:\.\d+)?(?:e-?\d+)?)(?![\w.:\]\"])")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_RANGE = re.compile(r"\[(\d+)([smhd])")
_WINDOW = re.compile(r"(?<=[a-z_])(5m|30m|1h|2h|6h|1d)\b")
_LABELS = re.compile(r"\b(by|on|without|ignoring) \(([^()]*)\)")
_AGGREGATION = re.compile(r"\b(sum|max|min|group|avg) (?=by|without)")
_RIGHT_SIDE = re.compile(r"\b(?:and|unless)(?: on \([^()]*\))?\s+(?:\(\s*)?$")
_TOKEN_FIRST = re.compile(r"\s*(?:[><+*/-]|[=!]=)")
_AGAINST_ZERO = re.compile(r"\s*(?:==|>) 0(?![.\d])")
_OF_ONE = {"sum", "max", "min", "avg"}
"""Aggregations that leave a single value as it is."""
_FLIPPED = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_DURATIONS = ("for", "keep_firing_for")
OTHER_WINDOW = {"5m": "1h", "1h": "5m", "30m": "6h", "6h": "30m", "2h": "1d", "1d": "2h"}


@dataclass(frozen=True)
class Mutant:
    """A rule with one fault, and what it is."""

    rule: Rule
    kind: str
    what: str


def mutants(rule: Rule, recorded: frozenset[str]) -> Iterator[Mutant]:
    """Every fault of the kinds above, in order of the text. `recorded`: names that exist."""
    text = rule["expr"]
    for kind, pattern, changes in _KINDS:
        for found in pattern.finditer(text):
            for new in changes(found):
                changed = text[: found.start()] + new + text[found.end() :]
                if kind == "window" and not _names(changed) <= recorded:
                    continue
                if kind == "aggregation" and _equal(rule, found, new.strip()):
                    continue
                where = text[: found.start()].count("\n") + 1
                yield Mutant({**rule, "expr": changed}, kind, f"line {where}: {found[0]} -> {new}")
    for key in (known for known in _DURATIONS if known in rule):
        for new in ("0s", f"{3 * int(rule[key][:-1])}{rule[key][-1]}"):
            yield Mutant({**rule, key: new}, key, f"{key}: {rule[key]} -> {new}")


def _equal(rule: Rule, found: re.Match[str], new: str) -> bool:
    """Whether another aggregation makes no difference, whatever the series are.

    It makes none where each series is the only one of its labels. And an alert fires by which series are left, not by
    their values, unless something compares or computes with these or a text shows them. So all aggregations by the same
    labels are as good as each other where nothing reads the value. And the sum of what is never negative (counts,
    shares, seconds, 0 or 1) is 0, or above 0, exactly where its maximum is.
    """
    text = rule["expr"]
    inside = text[: _end(text, text.index("(", text.index(")", found.end())))][found.end() :]
    if {found[1], new} <= _OF_ONE and _is_alone(inside):
        return True
    if "alert" not in rule:
        return False
    shown = any("$value" in told for told in (*rule.get("annotations", {}).values(), *rule.get("labels", {}).values()))
    if shown and not _RIGHT_SIDE.search(text[: found.start()]):
        return False
    behind = text[_end(text, text.index("(", text.index(")", found.end()))) :]
    if _TOKEN_FIRST.match(behind) is None:
        return True
    return {found[1], new} == {"max", "sum"} and _AGAINST_ZERO.match(behind) is not None


def _is_alone(aggregation: str) -> bool:
    """Whether it is by all labels of a recorded series: those in its name, and those of its place."""
    found = re.match(r"by \(([^()]*)\) \(\s*([a-z_]+):", aggregation)
    if found is None or re.search(r"\bor\b|group_left \(\w|label_replace", aggregation):
        return False
    return {"cluster", "namespace", *found[2].split("_")} <= set(found[1].split(", "))


def _end(text: str, opening: int) -> int:
    """Just behind the bracket that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    raise ValueError(text)


def _names(text: str) -> set[str]:
    return set(re.findall(r"\b[a-z_]+(?::[a-z0-9_]+)+", text))


def _operator(found: re.Match[str]) -> list[str]:
    return [OPERATORS[found[0]]]


def _number(found: re.Match[str]) -> list[str]:
    value = float(found[0])
    return ["1"] if value == 0 else [f"{value * 4:g}", f"{value / 4:g}"]


def _matcher(found: re.Match[str]) -> list[str]:
    return [f'{found[1]}{_FLIPPED[found[2]]}"{found[3]}"']


def _range(found: re.Match[str]) -> list[str]:
    return [f"[{4 * int(found[1])}{found[2]}"]


def _window(found: re.Match[str]) -> list[str]:
    return [OTHER_WINDOW[found[0]]]


def _labels(found: re.Match[str]) -> list[str]:
    names = [name for name in found[2].split(", ") if name]
    return [f"{found[1]} ({', '.join(n for n in names if n != name)})" for name in names]


def _aggregation(found: re.Match[str]) -> list[str]:
    return [f"{AGGREGATIONS[found[1]]} "]


_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], list[str]]], ...] = (
    ("operator", _TOKEN, _operator),
    ("threshold", _NUMBER, _number),
    ("matcher", _MATCHER, _matcher),
    ("window", _RANGE, _range),
    ("window", _WINDOW, _window),
    ("labels", _LABELS, _labels),
    ("aggregation", _AGGREGATION, _aggregation),
)
