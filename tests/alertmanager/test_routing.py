"""Who gets which alert, by the shipped Alertmanager configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK, WATCHDOG_ALERT
from prometheus_tools import ROOT, program
from prometheus_tools import run as run_program
from promtool_cases import asks_for_rollback, shipped_groups

CONFIGURATION = ROOT / "alertmanager" / "alertmanager.yml"
ALERTS = [rule for group in shipped_groups() for rule in group["rules"] if "alert" in rule]
DOCUMENT = yaml.safe_load(CONFIGURATION.read_text())


def test_amtool_accepts_the_configuration() -> None:
    status, output = run_program("amtool", "check-config", CONFIGURATION)
    assert status == 0, output
    assert program("prometheus-alertmanager", "alertmanager")


def sent() -> list[Any]:
    """Each rule with the labels that its alerts carry: where the action is a template, with both of its values."""
    cases = []
    for rule in ALERTS:
        choice = asks_for_rollback(rule) and rule["labels"][ACTION_LABEL] != ACTION_ROLLBACK
        for action in (ACTION_ROLLBACK, "inform") if choice else (rule["labels"].get(ACTION_LABEL),):
            labels = {**rule["labels"], **({ACTION_LABEL: action} if action else {})}
            name = "-".join(filter(None, (rule["alert"], labels.get("window"), labels.get("stuck"), action)))
            cases.append(pytest.param({"alert": rule["alert"], "labels": labels}, id=name))
    return cases


@pytest.mark.parametrize("rule", sent())
def test_alert_reaches_its_receivers(rule: Mapping[str, Any]) -> None:
    """The handler gets what asks for a rollback, people that and all else; the watchdog goes to the handler alone."""
    labels = {"alertname": rule["alert"], "model": "clicks", "version": "v2", **rule["labels"]}
    status, output = run_program(
        "amtool", "config", "routes", "test", f"--config.file={CONFIGURATION}", *(f"{k}={v}" for k, v in labels.items())
    )
    assert status == 0, output
    if rule["alert"] == WATCHDOG_ALERT:
        expected = "mlcanary-watchdog"
    else:
        expected = (
            "mlcanary-handler,mlcanary-people"
            if rule["labels"].get(ACTION_LABEL) == ACTION_ROLLBACK
            else "mlcanary-people"
        )
    assert expected in output.splitlines()


def test_the_action_route_is_quick_whole_and_one_group_per_version() -> None:
    route = next(r for r in DOCUMENT["route"]["routes"] if r["receiver"] == "mlcanary-handler")
    assert route["group_by"] == ["cluster", "namespace", "model", "version"]
    assert (route["group_wait"], route["group_interval"], route["continue"]) == ("15s", "1m", True)
    (verdicts,) = route["routes"]
    assert verdicts == {"matchers": ['measure="verdict"'], "group_wait": "5s"}


def test_webhooks_go_to_the_handlers_port_with_a_token_from_a_file_next_to_the_configuration() -> None:
    hooks = [hook for receiver in DOCUMENT["receivers"] for hook in receiver.get("webhook_configs", ())]
    assert len(hooks) == 2
    for hook in hooks:
        assert hook["url"] == "http://127.0.0.1:10879/v1/alerts"
        assert hook["http_config"]["authorization"] == {"type": "Bearer", "credentials_file": "secrets/handler_token"}
    assert hooks[0]["send_resolved"] is True
    assert hooks[0]["max_alerts"] == 0


def test_inhibitions_name_alerts_that_exist() -> None:
    shipped = {rule["alert"] for rule in ALERTS}
    named = {
        name
        for rule in DOCUMENT["inhibit_rules"]
        for matcher in rule["source_matchers"]
        if matcher.startswith("alertname")
        for name in matcher.split('"')[1].split("|")
    }
    assert named <= shipped
    assert len(named) >= 6
