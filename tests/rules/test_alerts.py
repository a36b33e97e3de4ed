"""Each shipped alert fires, does not fire for a stated reason, and resolves: by promtool on the shipped files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_expectations import EVERY, durations
from alert_scenarios import ALWAYS, SCENARIOS
from alert_worlds import HEALTHY, judge
from mlcanary.catalog import ACTION_ROLLBACK
from promtool_cases import asks_for_rollback, case, check, expression, shipped_groups
from side_by_side import worlds

ALERTS = [rule for group in shipped_groups() for rule in group["rules"] if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
TEXTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("alert_texts.yml").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_alert_behaves_in_every_scenario(tmp_path: Path, name: str) -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.alert == name]
    for minutes in sorted({scenario.minutes for scenario in scenarios}):
        check(tmp_path, f"{EVERY[minutes]}m", worlds([s for s in scenarios if s.minutes == minutes]), name)


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_scenarios_in_which_it_fires_resolves_and_stays_silent(name: str) -> None:
    scenarios = [scenario for scenario in SCENARIOS if scenario.alert == name]
    fired = [s for s in scenarios if s.firing]
    assert fired
    if name != ALWAYS:
        assert any(max(s.quiet) > s.firing[-1][0] for s in fired), "no scenario in which it resolves"
        assert any(not s.firing for s in scenarios), "no scenario in which it stays silent"


def test_the_durations_of_every_scenario_are_kept() -> None:
    told = {(s.alert, s.because) for s in SCENARIOS}
    assert len(told) == len(SCENARIOS), "two scenarios of an alert with the same reason"
    assert told == {(alert, because) for alert, kept in durations().items() for because in kept}


def test_every_rule_that_asks_for_a_rollback_fires_in_a_scenario() -> None:
    asked = {(r["alert"], r["labels"]["window"]) for r in ALERTS if asks_for_rollback(r)}
    fired = {
        (s.alert, labels["window"])
        for s in SCENARIOS
        for _, sets in s.firing
        for labels in sets
        if labels.get("action") == ACTION_ROLLBACK
    }
    assert asked == fired


def test_nothing_fires_and_no_rollback_is_even_pending_while_all_is_well(tmp_path: Path) -> None:
    """From the first minute on, when no window is full yet, beside a judge that holds."""
    firing = f'count_over_time(ALERTS{{alertname!="{ALWAYS}",alertstate="firing"}}[75m])'
    pending = f'count_over_time(ALERTS{{action="{ACTION_ROLLBACK}"}}[75m])'
    check(tmp_path, "1m", [case("1m", HEALTHY | judge(), [expression(text, "75m") for text in (firing, pending)])])


@pytest.mark.parametrize("name", NAMES)
def test_texts_read_well_at_night(tmp_path: Path, name: str) -> None:
    """The rendered texts, held against `alert_texts.yml`, which is there to be read."""
    scenario = next(s for s in SCENARIOS if s.alert == name and s.firing)
    minute, label_sets = scenario.firing[0]
    rule = next(r for r in ALERTS if r["alert"] == name)
    annotations = {"runbook_url": rule["annotations"]["runbook_url"], **TEXTS[name]}
    alerts = [{"exp_labels": dict(labels), "exp_annotations": annotations} for labels in label_sets]
    test = {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": alerts}
    every = 1 if scenario.minutes == 1 else EVERY[scenario.minutes]
    check(tmp_path, f"{every}m", [case(f"{scenario.minutes}m", scenario.series, [], alert_rule_test=[test])], name)
