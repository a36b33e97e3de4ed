"""Inhibitions that are missing, too wide or written otherwise: told by what they hold."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from mlcanary.doctor.inhibitions import inhibition_link
from prometheus_tools import ROOT

SHIPPED: Mapping[str, Any] = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
Change = Callable[[list[dict[str, Any]]], object]
NAMES = "source_matchers"


def after(change: Change) -> tuple[bool, str]:
    """Whether a changed configuration is sound, and what is said."""
    rules = copy.deepcopy(SHIPPED["inhibit_rules"])
    change(rules)
    link = inhibition_link({"inhibit_rules": rules}, SHIPPED)
    assert link.sound or link.remedy
    return link.sound, link.what


def old_spelling(rules: list[dict[str, Any]]) -> None:
    rules[0] = {
        "source_match_re": {"alertname": "MLCanary(ExporterDown|Source.*|RoleConflict)"},
        "target_match": {"action": "rollback"},
        "equal": ["namespace", "model", "cluster"],
    }


def bound(rules: list[dict[str, Any]]) -> None:
    """As the operator does by default."""
    for rule in rules:
        for side in ("source_matchers", "target_matchers"):
            rule[side].append('namespace="models"')


def test_the_shipped_ones_are_in_force() -> None:
    assert after(lambda rules: None) == (True, "all 11 are in force")


@pytest.mark.parametrize("number", range(len(SHIPPED["inhibit_rules"])))
def test_each_one_that_is_left_out_is_missed(number: int) -> None:
    sound, said = after(lambda rules: rules.pop(number))
    assert not sound
    named = yaml.safe_dump(SHIPPED["inhibit_rules"][number]["source_matchers"])
    words = ("ExporterDown", "NoPredictions", "EdgesMismatch", "Verdict", "BudgetBurn")
    assert any(word in said for word in words if word in named)


@pytest.mark.parametrize(
    ("change", "sound", "says"),
    [
        (old_spelling, True, "all 11 are in force"),
        (bound, True, "in namespace=models only"),
        (
            lambda rules: rules.clear(),
            False,
            "11 of 11 are missing: while MLCanaryExporterDown fires, rollbacks",
        ),
        (lambda rules: rules[0].update(source_matchers=['alertname="MLCanaryExporterDown"']), False, "3 of 11"),
        (lambda rules: rules[0].update(target_matchers=['action="page"']), False, "4 of 11"),
        (lambda rules: rules[0].update(equal=["model", "team"]), False, "4 of 11"),  # nobody knows who has a team
        (lambda rules: rules[0].update(equal=["model", "instance"]), False, "4 of 11"),
        (lambda rules: rules[0].update(equal=["namespace"]), False, "ExporterDown, MLCanarySourceUnreadable"),
        (lambda rules: rules[2].update(equal=["model"]), False, "MLCanaryNoPredictions of one"),
        (lambda rules: rules.pop(3), False, "while MLCanaryEdgesMismatch fires, rollbacks by AUC of the same model"),
        (lambda rules: rules.pop(4), False, "2 of 11 are missing: beside MLCanaryRollbackVerdict people are told"),
        (lambda rules: rules.pop(5), False, "beside MLCanaryErrorBudgetBurn people are told of the same"),
        (lambda rules: rules.append({"nonsense": 1}), True, "all 11"),
    ],
)
def test_what_a_change_comes_to(change: Change, sound: bool, says: str) -> None:
    found, said = after(change)
    assert found is sound
    assert says in said


@pytest.mark.parametrize("rules", [None, {}, "x", [1]])
def test_a_configuration_without_any_is_told(rules: object) -> None:
    assert "11 of 11 are missing" in inhibition_link({"inhibit_rules": rules}, SHIPPED).what
