"""Every indicator equals its reference library, or keeps its bound, at every prefix of every stream."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from indicators.oracles import Concern, Oracle, Values
from mlcanary.catalog import BY_NAME, INDICATORS, Group
from mlcanary.measures.contract import Measure
from nasty_streams import EVERY_PREFIX, STREAMS

HERE = Path(__file__).parent
CONCERNS: dict[str, Concern] = {
    path.stem.removeprefix("concern_"): importlib.import_module(f"indicators.{path.stem}").CONCERN
    for path in sorted(HERE.glob("concern_*.py"))
}
METRICS = {row.name: f"mlcanary_{row.metric}" for row in INDICATORS}
ELSEWHERE: dict[str, str] = {
    path.stem: path.read_text() for path in sorted(HERE.parent.rglob("test_*.py")) if path.parent != HERE
}
"""Texts of the other test modules: an indicator that is no statistic of a stream is named there."""


def shown(measure: Measure) -> dict[str, dict[tuple[str, ...], float]]:
    """Gauges and facts by family and own labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name, suffix, labels, value in (*measure.gauges(60.0), *measure.facts(0.0)):
        assert math.isfinite(value), (name, labels, value)
        found.setdefault(name + suffix, {})[labels] = value
    return found


def compare(name: str, oracle: Oracle, found: dict[str, Values], expected: Values, where: object) -> None:
    """Assert that a figure is what the library says."""
    metric = METRICS[name]
    values = found.get(metric, {})
    assert set(values) == set(expected), (name, where)
    for labels, wanted in expected.items():
        value = values[labels]
        if oracle.lower or oracle.upper:
            low, high = (found[f"mlcanary_{bound}"][labels] for bound in (oracle.lower, oracle.upper))
            slack = 1e-9 * max(1.0, abs(wanted))
            assert low - slack <= wanted <= high + slack, (name, labels, where, low, wanted, high)
            assert low - slack <= value <= high + slack, (name, labels, where, low, value, high)
            continue
        near = oracle.within * max(1.0, abs(wanted))
        if oracle.bound:
            near = found[f"mlcanary_{oracle.bound}"][labels] + 1e-12
        assert abs(value - wanted) <= near, (name, labels, where, value, wanted, near)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("concern", CONCERNS)
def test_indicators_equal_their_library_at_every_prefix(concern: str, stream: str) -> None:
    subject = CONCERNS[concern]
    rows, measure, fed = list(subject.rows(stream)), subject.make(), 0
    for n in (n for n in EVERY_PREFIX if n <= len(rows)):
        subject.take(measure, rows[fed:n])
        fed = n
        found: dict[str, Values] = dict(shown(measure))
        for name, oracle in subject.oracles.items():
            compare(name, oracle, found, oracle.expected(rows[:n]), (concern, stream, n))


def test_every_indicator_has_an_oracle_or_a_test_that_names_it() -> None:
    held = [name for concern in CONCERNS.values() for name in concern.oracles]
    assert len(held) == len(set(held))
    assert set(held) <= set(METRICS), "an oracle for something that the catalogue does not list"
    named = " ".join(ELSEWHERE.values())
    assert [row.name for row in INDICATORS if row.name not in held and f'"{row.name}"' not in named] == []


def test_indicators_are_unique_and_point_to_families() -> None:
    assert len(METRICS) == len(INDICATORS)
    for row in INDICATORS:
        spec = BY_NAME.get(METRICS[row.name])
        assert row.metric == "" or (spec is not None and spec.group in {Group.WINDOW, Group.CONTRACT, Group.SELF}), row
        assert row.metric or row.recorded, row
        assert row.exact, row
        assert row.source, row
