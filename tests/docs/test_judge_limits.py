"""The table of margins and tolerances in the judge's guide is that of the code."""

from __future__ import annotations

import re

from guides import guide
from mlcanary.catalog import OBJECTIVES
from mlcanary.catalog.judge import MARGINS, RELATIVE_MARGINS
from mlcanary.judge.contract import Plan
from mlcanary.judge.settings import MEASURES, parse_settings

START, END = "<!-- margins and tolerances -->", "<!-- /margins and tolerances -->"


def rows() -> dict[str, tuple[str, str]]:
    """Margin and tolerance by measure, as written."""
    table = guide("judge").partition(START)[2].partition(END)[0]
    lines = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", table, flags=re.MULTILINE)
    return {measure: (margin, tolerance) for measure, margin, tolerance in lines}


def test_every_measure_that_can_be_named_has_its_row() -> None:
    assert rows().keys() == MEASURES["tolerances"]
    default = {objective.name: objective.default for objective in OBJECTIVES}
    for measure, (margin, tolerance) in rows().items():
        named = MARGINS.get(measure)
        if named is not None:
            assert margin == f"`{named}`, {default[named]:g}"
        else:
            assert margin == ("none, unless named" if measure in MEASURES["margins"] else "none")
        assert tolerance.startswith(f"{Plan().tolerances.get(measure, 0.0):g}, ")
        assert ("part of the baseline's" in tolerance) is (measure in RELATIVE_MARGINS)


def test_a_larger_objective_widens_the_margin_and_tolerates_nothing() -> None:
    plan = parse_settings("", "judge.yml", "http://127.0.0.1:9090").plan("churn", {"accuracy_drop": 0.2})
    assert (plan.margins["accuracy"], plan.tolerances.get("accuracy", 0.0)) == (0.2, 0.0)
