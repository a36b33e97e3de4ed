"""Faults put into rules are noticed by the scenarios: a sample; `tests/bench/rule_mutation.py` does all."""

from __future__ import annotations

from pathlib import Path

from rule_mutation import chosen, of_alerts, of_records, survivors

from alert_scenarios import SCENARIOS
from alert_worlds import Scenario, Series
from promtool_cases import case, expression, series_name
from rule_mutants import Mutant, mutants
from side_by_side import beside, placed, stays_alone
from value_worlds import World, collected

RULE = {"alert": "A", "expr": 'sum by (model) (rate(x_total{role="canary"}[5m])) > 3 and y:z1h < 2', "for": "10m"}
ERRORS = "model_version:mlcanary_prediction_errors:ratio5m"
KEPT = RULE | {"keep_firing_for": "1h"}


def test_every_kind_of_fault_is_put_in() -> None:
    found = list(mutants(KEPT, frozenset({"y:z1h", "y:z5m"})))
    texts = {mutant.rule["expr"] for mutant in found}
    assert {mutant.kind for mutant in found} == {
        *("operator", "threshold", "matcher", "window", "labels", "aggregation", "for", "keep_firing_for"),
    }
    for changed in ("< 3", "unless", "> 12", 'role!="canary"', "[20m]", "y:z5m", "by ()", "max by"):
        assert any(changed in text for text in texts), changed
    assert {mutant.rule["for"] for mutant in found} == {"10m", "0s", "30m"}
    assert {mutant.rule["keep_firing_for"] for mutant in found} == {"1h", "0s", "3h"}


def test_no_series_is_named_that_nobody_records() -> None:
    found = list(mutants(RULE, frozenset({"y:z1h"})))
    assert not any("y:z5m" in mutant.rule["expr"] for mutant in found)


def test_an_aggregation_is_changed_only_where_it_makes_a_difference() -> None:
    def changed(expr: str, text: str = "It is down.", kind: str = "alert") -> bool:
        rule = {kind: "A", "expr": expr, "annotations": {"description": text}}
        return any(mutant.kind == "aggregation" for mutant in mutants(rule, frozenset()))

    assert not changed("group by (job) (up == 0) unless on (job) x")
    assert not changed("x > 1 unless on (job) max by (job) (share) == 0", "{{ $value }}")
    assert not changed('(\n  sum by (job) (open{a!="b"}) > 0\n)')
    for expr in ("group by (job) (up) * x", "max by (job) (up) == 1", "max by (job) (up) > 0.5"):
        assert changed(expr), expr
    assert changed("group by (job) (up == 0)", "{{ $value }}")
    assert changed("group by (job) (up == 0)", kind="record")
    of = "max by (cluster, namespace, model, version)"
    assert not changed(f"{of} (model_version:x:sum and on (model) y) * 2", kind="record")
    for inside in (
        "model_version_class:x:sum",
        "model_version:x:sum or y",
        "model_version:x:sum / on () group_left (z) y",
    ):
        assert changed(f"{of} ({inside})", kind="record"), inside


def test_scenarios_notice_faults() -> None:
    pairs = chosen(of_alerts(["MLCanaryRoleConflict", "MLCanaryTargetDown"]), 5, seed=2)
    assert survivors(pairs, ["scenarios"]) == dict.fromkeys(range(5), "scenarios")


def test_a_rule_without_a_fault_passes() -> None:
    for subjects in (of_alerts(["MLCanaryTargetDown"]), of_records(["MLCanaryExporterDown"])[:1]):
        (subject,) = subjects
        assert survivors([(subject, Mutant(subject.rule, "none", "as shipped"))]) == {0: None}


def test_figures_notice_faults_in_recording_rules() -> None:
    (subject,) = (s for s in of_records(["MLCanaryErrorsAboveBaseline"]) if s.rule["record"] == ERRORS)
    faults = [(subject, mutant) for mutant in mutants(subject.rule, frozenset())]
    same = Mutant(subject.rule, "none", "as shipped")
    of = {"model": "m", "version": "v1"}
    world = case(
        "1m",
        {
            series_name("mlcanary_predictions_total", of): [30.0 * minute for minute in range(11)],
            series_name("mlcanary_prediction_errors_total", of): [6.0 * minute for minute in range(11)],
        },
        [
            expression(ERRORS, "10m", ({**of, "__name__": ERRORS}, 0.2)),
            expression(f"{ERRORS} + 0", "10m", (of, 7.0)),  # does not hold, so it tells nothing
        ],
    )
    found = survivors([(subject, same), *faults], ["values"], [World(world, "1m")])
    assert found == {0: None} | dict.fromkeys(range(1, len(faults) + 1), "values")
    assert faults


def test_worlds_are_taken_from_the_tests_of_figures() -> None:
    worlds = collected([Path(__file__).with_name("test_noiseless_values.py")])
    assert len(worlds) == 4


def test_scenarios_side_by_side_differ_from_the_first_one_in_one_label() -> None:
    scenarios = [
        scenario for scenario in SCENARIOS if scenario.alert == "MLCanaryHandlerDown" and scenario.minutes == 1
    ]
    together, alone = beside(scenarios)
    assert len(together) + len(alone) == len(scenarios)
    first = together[0][1]
    assert all(sum(place[name] != first[name] for name in place) == 1 for _, place in together[1:])
    assert len({tuple(place.values()) for _, place in together}) == len(together)


def test_scenarios_about_all_places_stay_alone() -> None:
    series: Series = {"up{}": [1.0]}
    alone = (
        Scenario("A", "nothing is there", {}),
        Scenario("A", "it has a place", {'up{cluster="a"}': [1.0]}),
        Scenario("A", "it fires for everything", series, ((1, ({"severity": "critical"},)),)),
    )
    assert all(stays_alone(scenario) for scenario in alone)
    assert not stays_alone(Scenario("A", "it fires for a job", series, ((1, ({"job": "a"},)),)))
    assert placed({"up{}": [1.0]}, {"cluster": "c1"}) == {'up{cluster="c1"}': [1.0]}
    assert placed({'x{model="a"}': [1.0]}, {"model": "m1"}) == {'x{model="m1"}': [1.0]}
