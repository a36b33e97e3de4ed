"""The bundle beside what others have loaded already: no name is taken twice, and nobody's alerts go elsewhere."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster_objects import objects
from mlcanary import bundle
from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK, WATCHDOG_ALERT
from prometheus_tools import ROOT, RULE_FILES, run
from promtool_cases import asks_for_rollback, shipped_groups

HERE = Path(__file__).parent / "other_mixins"
GUIDE = (ROOT / "docs" / "existing-prometheus.md").read_text(encoding="utf-8")
NAMES = yaml.safe_load((HERE / "names.yml").read_text())
THEIRS = yaml.safe_load((HERE / "alertmanager.yml").read_text())
OURS = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
CATCH_ALL = 'alertname=~"MLCanary.+"'
Configuration = dict[str, Any]


def their_group(name: str, rules: list[str]) -> Configuration:
    made = [{"record" if ":" in rule else "alert": rule, "expr": "vector(0) > 1"} for rule in rules]
    return {"name": name, "rules": made}


def test_rules_of_both_load_together_and_share_no_name(tmp_path: Path) -> None:
    theirs = [their_group(name, rules) for name, rules in NAMES["groups"].items()]
    groups = Counter(group["name"] for group in [*theirs, *shipped_groups()])
    assert [name for name, count in groups.items() if count > 1] == []
    rules = {rule.get("record") or rule["alert"] for group in theirs for rule in group["rules"]}
    ours = {rule.get("record") or rule["alert"] for group in shipped_groups() for rule in group["rules"]}
    assert rules & ours == set()
    assert all("mlcanary_" in name if ":" in name else name.startswith("MLCanary") for name in ours)
    (tmp_path / "theirs.yml").write_text(json.dumps({"groups": theirs}))
    for path in RULE_FILES:
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "prometheus.json").write_text(json.dumps({"rule_files": ["*.yml"]}))
    status, output = run("promtool", "check", "config", "--lint=all", "--lint-fatal", tmp_path / "prometheus.json")
    assert status == 0, output
    assert f"SUCCESS: {len(RULE_FILES) + 1} rule files found" in output


def test_dashboards_share_no_uid_and_no_title() -> None:
    shipped = [json.loads(path.read_text()) for path in (ROOT / "grafana" / "dashboards").glob("*.json")]
    assert len({each["uid"] for each in shipped}) == len({each["title"] for each in shipped}) == len(shipped)
    assert all(each["uid"].startswith("mlcanary-") and each["title"].startswith("mlcanary / ") for each in shipped)
    assert {each["uid"] for each in shipped} & NAMES["dashboards"].keys() == set()
    assert {each["title"] for each in shipped} & set(NAMES["dashboards"].values()) == set()


@pytest.mark.parametrize("kind", ["prometheus-operator", "kustomize"])
def test_objects_share_no_name(kind: str) -> None:
    ours = {(each["kind"], each["metadata"]["name"]) for each in objects(bundle.contents(kind))}
    assert ours & {(kind, name) for kind, names in NAMES["objects"].items() for name in names} == set()


def merged(theirs: Configuration, ours: Configuration) -> Configuration:
    """As docs/existing-prometheus.md says: our two routes first, theirs, and one last for people."""
    first = [
        route for route in ours["route"]["routes"] if route["receiver"] in {"mlcanary-handler", "mlcanary-watchdog"}
    ]
    last = {"matchers": [CATCH_ALL], "receiver": theirs["route"]["receiver"]}
    receivers = [each for each in ours["receivers"] if each["name"] != "mlcanary-people"]
    return {
        **theirs,
        "route": {**theirs["route"], "routes": [*first, *theirs["route"]["routes"], last]},
        "receivers": [*theirs["receivers"], *receivers],
        "inhibit_rules": [*theirs["inhibit_rules"], *ours["inhibit_rules"]],
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("merged")
    written = {}
    for name, document in {"theirs": THEIRS, "merged": merged(THEIRS, OURS)}.items():
        written[name] = folder / f"{name}.yml"
        written[name].write_text(json.dumps(document))
    return written


def receivers(configuration: Path, labels: dict[str, str]) -> list[str]:
    """Whom amtool names."""
    status, output = run(
        "amtool", "config", "routes", "test", f"--config.file={configuration}", *(f"{k}={v}" for k, v in labels.items())
    )
    assert status == 0, output
    return output.splitlines()[0].split(",")  # what follows are warnings


def test_the_merged_configuration_is_valid_and_no_receiver_is_named_twice(files: dict[str, Path]) -> None:
    status, output = run("amtool", "check-config", files["merged"])
    assert status == 0, output
    names = Counter(each["name"] for each in [*THEIRS["receivers"], *OURS["receivers"]])
    assert [name for name, count in names.items() if count > 1] == []


def alerts() -> list[dict[str, str]]:
    """Labels of every shipped alert; where the action is a template, with both of its values."""
    found = []
    for rule in (rule for group in shipped_groups() for rule in group["rules"] if "alert" in rule):
        labels = {"alertname": rule["alert"], "namespace": "shop", "model": "clicks", "version": "v2", **rule["labels"]}
        if asks_for_rollback(rule) and rule["labels"][ACTION_LABEL] != ACTION_ROLLBACK:
            found.append({**labels, ACTION_LABEL: "inform"})
            labels[ACTION_LABEL] = ACTION_ROLLBACK
        found.append(labels)
    return found


def test_our_alerts_reach_the_handler_and_whom_theirs_would_reach(files: dict[str, Path]) -> None:
    told = {}
    for labels in alerts():
        before = "Critical" if labels["severity"] == "critical" else "Default"
        if labels["alertname"] == WATCHDOG_ALERT:
            wanted = ["mlcanary-watchdog"]
        elif labels.get(ACTION_LABEL) == ACTION_ROLLBACK:
            wanted = ["mlcanary-handler", before]
        else:
            wanted = [before]
        told[json.dumps(labels)] = (receivers(files["merged"], labels), wanted)
    assert {labels: pair for labels, pair in told.items() if pair[0] != pair[1]} == {}
    assert len(told) > 40


def test_their_alerts_go_where_they_went(files: dict[str, Path]) -> None:
    for name, severity in (
        ("Watchdog", "none"),
        ("InfoInhibitor", "none"),
        ("KubePodNotReady", "warning"),
        ("KubeAPIDown", "critical"),
    ):
        labels = {"alertname": name, "severity": severity, "namespace": "shop"}
        assert receivers(files["merged"], labels) == receivers(files["theirs"], labels)


def test_our_inhibitions_touch_no_alert_of_theirs() -> None:
    for rule in OURS["inhibit_rules"]:
        sources = [re.fullmatch(r'alertname=~?"(.+)"', text) for text in rule["source_matchers"]]
        named = [name for match in sources if match for name in match[1].split("|")]
        assert named
        assert all(name.startswith("MLCanary") for name in named)


def test_the_guide_shows_this_very_merge(tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    (block,) = (text for text in blocks if text.startswith("route:"))
    shown = yaml.safe_load(block)
    wanted = merged(THEIRS, OURS)
    first, second, *_, last = shown["route"]["routes"]
    assert [first, second] == wanted["route"]["routes"][:2]
    assert last["matchers"] == [CATCH_ALL]
    assert last["receiver"] == shown["route"]["receiver"]
    assert shown["receivers"][-2:] == wanted["receivers"][-2:]
    (tmp_path / "shown.yml").write_text(block)
    status, output = run("amtool", "check-config", tmp_path / "shown.yml")
    assert status == 0, output
