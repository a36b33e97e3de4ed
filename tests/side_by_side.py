"""Puts the scenarios of an alert into one Prometheus, each in a place of its own, where none may disturb another.

So a rule that mixes up places fails, and all scenarios together are no dearer than one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from alert_expectations import expectations
from alert_worlds import Scenario, Series
from promtool_cases import Labels, Values, case

PLACES = ("cluster", "namespace")
"""Labels that every series may have."""


def worlds(scenarios: Sequence[Scenario], labels: Sequence[str] = PLACES) -> list[dict[str, Any]]:
    """promtool's tests of these scenarios: those that bear company in one, each of the others in its own.

    They differ from the first one in one of the labels, these by turns. Samples are as far apart as in the first one.
    """
    together, alone = beside(scenarios, labels)
    interval = f"{scenarios[0].minutes}m"
    series: Series = {}
    asked: list[dict[str, Any]] = []
    for scenario, place in together:
        series = placed(scenario.series, place) | series
        asked += expectations(scenario, place)
    shared = [case(interval, series, asked)] if together else []
    return [*shared, *(case(interval, one.series, expectations(one)) for one in alone)]


def beside(
    scenarios: Sequence[Scenario], labels: Sequence[str] = PLACES
) -> tuple[list[tuple[Scenario, dict[str, str]]], list[Scenario]]:
    """Scenarios with the labels of their places, and those that must stay alone."""
    alone = [scenario for scenario in scenarios if stays_alone(scenario)]
    together = []
    for i, scenario in enumerate(s for s in scenarios if s not in alone):
        here = labels[i % len(labels)]
        together.append((scenario, {name: f"{name[0]}{i if name == here else 0}" for name in labels}))
    return together, alone


def stays_alone(scenario: Scenario) -> bool:
    """Whether it is about all places: nothing is there, it has places itself, or what it says holds in all of them."""
    told = " ".join(scenario.series)
    return (
        not scenario.series
        or any(f"{name}=" in told for name in PLACES)
        or "mlcanary_target_share_ratio" in told
        or any(set(labels) == {"severity"} for _, sets in scenario.firing for labels in sets)
    )


def placed(series: Mapping[str, Values], place: Labels) -> Series:
    """The series with these labels: in all series where every one may have the label, else where it is there."""
    return {_with(name, place): values for name, values in series.items()}


def _with(series: str, place: Mapping[str, str]) -> str:
    for label, value in place.items():
        if label in PLACES:
            series = f'{series.removesuffix("}")},{label}="{value}"}}'
        else:
            series = re.sub(rf'\b{label}="[^"]*"', f'{label}="{value}"', series)
    return series.replace("{,", "{")
