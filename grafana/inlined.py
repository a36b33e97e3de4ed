"""Figures of features that no rule records, as queries about one model: dear for a fleet, cheap for one person."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path

from panels import MODEL

sys.path.insert(0, str(Path(__file__).parents[1]))
from rules import generate

_RECORDED = re.compile(r"\b[a-z_]+(?::[a-z0-9_]+)+")
_SCRAPED = re.compile(r"(?<![:\w])mlcanary_\w+(\{)?")
_OF_ALL_FEATURES = ("mlcanary_feature_rows_total",)


def inlined(recorded: str, feature: str = "", now: bool = False) -> str:
    """What the rule of this name says of the chosen model, over what alerts need anyway and over counters.

    What stands beside a counter, or is wanted for `now`, is made of counters too: what was recorded is older.
    """
    if recorded in _asked() and not now:
        level = recorded.partition(":")[0]
        return f"{recorded}{{{MODEL}{feature if '_feature' in level else ''}}}"

    def chosen(found: re.Match[str]) -> str:
        name = found[0].removesuffix("{")
        of_one = name.startswith("mlcanary_feature_") and name not in _OF_ALL_FEATURES
        return f"{name}{{{MODEL}{feature if of_one else ''}{', ' if found[1] else '}'}"

    expression = _expressions()[recorded]
    now = now or "rate(" in expression
    text = _SCRAPED.sub(chosen, expression)
    return f"({_RECORDED.sub(lambda found: inlined(found[0], feature, now and _windowed(found[0])), text)})"


def _windowed(recorded: str) -> bool:
    return recorded.endswith(tuple(generate.WINDOWS))


@cache
def _asked() -> frozenset[str]:
    return frozenset(generate.read_by_alerts())


@cache
def _expressions() -> dict[str, str]:
    return {row.name: row.expression for _, _, text in generate.texts() for row in generate.blocks(text)}
