"""Who is compared with whom."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.catalog import Role
from mlcanary.judge.intake.reading import INFO, Reading, Sample
from mlcanary.judge.intake.roles import Arms, canary_models, find_arms, split_arms


def reading(*facts: tuple[str, str], model: str = "churn", **labels: str) -> Reading:
    """Pages that each say the role of one version."""
    return Reading(
        0.0,
        [
            Sample(INFO, {"instance": f"pod-{i}", "model": model, "version": version, "role": role, **labels}, 1.0)
            for i, (version, role) in enumerate(facts)
        ],
    )


def arms(canary: str, baseline: str, conflict: str = "") -> Arms:
    return Arms("", "", "churn", canary, baseline, conflict)


CASES = {
    "one of each": ([("v1", "baseline"), ("v2", "canary"), ("v2", "canary")], [arms("v2", "v1")]),
    "shadow and unassigned take no part": (
        [("v1", "baseline"), ("v2", "canary"), ("v3", "shadow"), ("v4", "unassigned")],
        [arms("v2", "v1")],
    ),
    "no canary": ([("v1", "baseline"), ("v3", "shadow")], []),
    "several canaries": (
        [("v1", "baseline"), ("v3", "canary"), ("v2", "canary")],
        [arms("v2", "v1"), arms("v3", "v1")],
    ),
    "no baseline": ([("v2", "canary")], [arms("v2", "", "no version of churn is the baseline")]),
    "two baselines": (
        [("v3", "baseline"), ("v1", "baseline"), ("v2", "canary")],
        [arms("v2", "v1", "v1 and v3 are all called the baseline")],
    ),
    "a canary with two roles": (
        [("v1", "baseline"), ("v2", "canary"), ("v2", "shadow")],
        [arms("v2", "v1", "exporters call v2 canary and shadow")],
    ),
    "a baseline with two roles": (
        [("v1", "baseline"), ("v1", "unassigned"), ("v2", "canary")],
        [arms("v2", "v1", "exporters call v1 baseline and unassigned")],
    ),
    "a version that is both": (
        [("v2", "baseline"), ("v2", "canary")],
        [arms("v2", "", "no version of churn is the baseline")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_arms(case: str) -> None:
    facts, expected = CASES[case]
    for order in itertools.permutations(facts):
        assert find_arms(reading(*order)) == expected


def test_models_are_told_apart_by_cluster_and_namespace() -> None:
    both = [
        *reading(("v1", "baseline"), ("v2", "canary"), namespace="prod").series,
        *reading(("v2", "baseline"), ("v1", "canary"), namespace="test", cluster="west").series,
    ]
    found = find_arms(Reading(0.0, both))
    assert found == [
        Arms("", "prod", "churn", "v2", "v1"),
        Arms("west", "test", "churn", "v1", "v2"),
    ]
    assert found[0].model_name == ("", "prod", "churn")
    assert found[0].name != found[1].name


def test_name_is_the_same_in_a_conflict() -> None:
    assert arms("v2", "v1").name == arms("v2", "v1", "disputed").name
    assert arms("v2", "v1").name != Arms("", "", "churn", "v2", "v1", split=True).name


def test_models_with_a_canary_and_a_baseline() -> None:
    parts = [
        reading(("v1", "baseline"), ("v2", "canary"), model="b"),
        reading(("v1", "baseline"), ("v2", "canary"), model="a"),
        reading(("v1", "baseline"), model="c"),
        reading(("v1", "canary"), model="d"),
    ]
    assert canary_models(Reading(0.0, [sample for part in parts for sample in part.series])) == ["a", "b"]


def test_split_needs_one_undisputed_baseline() -> None:
    assert split_arms(reading(("v1", "baseline"), ("v2", "canary"))) == [
        Arms("", "", "churn", "v1 (A/A)", "v1", split=True)
    ]
    for disputed in (
        [("v1", "baseline"), ("v3", "baseline")],
        [("v1", "baseline"), ("v1", "canary")],
        [("v1", "baseline"), ("v3", "baseline"), ("v3", "shadow")],
        [("v2", "canary")],
    ):
        assert split_arms(reading(*disputed)) == []


def test_series_that_are_not_1_or_of_other_families_say_nothing() -> None:
    series = reading(("v1", "baseline"), ("v2", "canary")).series
    other = Sample("up", {"role": "canary", "model": "churn", "version": "v9"}, 1.0)
    zero = Sample(INFO, {"role": "canary", "model": "churn", "version": "v9"}, 0.0)
    assert find_arms(Reading(0.0, [*series, other, zero])) == [arms("v2", "v1")]


@given(st.lists(st.tuples(st.sampled_from(["v1", "v2", "v3"]), st.sampled_from([*Role])), max_size=8))
def test_every_canary_is_answered_for_and_undisputed_arms_have_one_role_each(facts: list[tuple[str, Role]]) -> None:
    found = find_arms(reading(*((version, role.value) for version, role in facts)))
    assert {each.canary for each in found} == {version for version, role in facts if role is Role.CANARY}
    for each in found:
        if not each.conflict:
            assert {role for version, role in facts if version == each.canary} == {Role.CANARY}
            assert {version for version, role in facts if role is Role.BASELINE} == {each.baseline}
