"""The examples for Prometheus are valid, and what they choose is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlcanary import bundle
from mlcanary.catalog import CATALOG, Group
from prometheus_tools import run
from promtool_cases import shipped_groups

EXAMPLES = {path.name: data.decode() for path, data in bundle.contents().items() if path.parts[0] == "prometheus"}
# Debian builds its Prometheus 2.42 without discovery by Kubernetes: the check would say that no such field exists.
READ_ALONE = {"kubernetes-sd.yml"}
WHOLE = sorted(name for name in EXAMPLES if name.endswith("-sd.yml") or name in {"remote-write.yml", "federate.yml"})
PORTS = {"exporters.yml": "10877", "judge.yml": "10878", "handler.yml": "10879"}


def document(name: str) -> Any:
    return yaml.safe_load(EXAMPLES[name])


@pytest.mark.parametrize("name", [name for name in WHOLE if name not in READ_ALONE])
def test_promtool_takes_an_example_where_it_was_exported(name: str, tmp_path: Path) -> None:
    bundle.export(tmp_path)
    (tmp_path / "prometheus" / "secrets").mkdir()
    (tmp_path / "prometheus" / "secrets" / "handler_token").write_text("token")
    status, output = run("promtool", "check", "config", "--lint=none", tmp_path / "prometheus" / name)
    assert status == 0, output
    assert "SUCCESS" in output


def test_discovery_by_kubernetes_asks_for_the_label_and_the_port_of_the_sidecar() -> None:
    (job,) = document("kubernetes-sd.yml")["scrape_configs"]
    keep = next(each for each in job["relabel_configs"] if each.get("action") == "keep")
    assert keep["source_labels"] == [
        "__meta_kubernetes_pod_labelpresent_mlcanary_role",
        "__meta_kubernetes_pod_container_port_name",
    ]
    assert keep["regex"] == "true;mlcanary"
    assert {each["target_label"] for each in job["relabel_configs"] if "target_label" in each} == {"namespace", "pod"}


def test_targets_are_lists_with_the_ports_of_the_processes() -> None:
    for name, port in PORTS.items():
        assert all(target.endswith(f":{port}") for each in document(name) for target in each["targets"])
    for entry in json.loads(EXAMPLES["http-sd.json"]):
        assert entry.keys() == {"targets", "labels"}
        assert all(isinstance(value, str) for value in entry["labels"].values())


def recorded() -> set[str]:
    return {rule["record"] for group in shipped_groups() for rule in group["rules"] if "record" in rule}


def test_remote_write_keeps_what_was_recorded_and_all_of_judge_and_handler() -> None:
    (kept,) = document("remote-write.yml")["remote_write"][0]["write_relabel_configs"]
    assert kept["source_labels"] == ["job", "__name__"]
    jobs = {Group.JUDGE: "mlcanary-judge", Group.HANDLER: "mlcanary-handler"}
    wanted = {f";{name}" for name in recorded() | {"ALERTS"}}
    wanted |= {f"{jobs[spec.group]};{spec.name}" for spec in CATALOG if spec.group in jobs}
    wanted |= {f"mlcanary-exporter;mlcanary_{name}" for name in ("model_info", "objective_threshold")}
    pattern = re.compile(kept["regex"])
    assert {name for name in wanted if not pattern.fullmatch(name)} == set()
    assert not pattern.fullmatch("mlcanary-exporter;mlcanary_feature_bin_total")
    assert {each["job_name"] for each in document("file-sd.yml")["scrape_configs"]} == {
        "mlcanary-exporter",
        *jobs.values(),
    }


def test_federation_takes_every_series_of_the_judge_and_what_was_recorded_of_versions() -> None:
    (job,) = document("federate.yml")["scrape_configs"]
    assert job["honor_labels"] is True
    patterns = [re.compile(re.findall(r'"(.+)"', text)[0]) for text in job["params"]["match[]"]]
    wanted = {spec.name for spec in CATALOG if spec.group is Group.JUDGE and spec.name.startswith("mlcanary_judge_")}
    wanted |= {name for name in recorded() if name.startswith("model_version:")}
    assert {name for name in wanted if not any(pattern.fullmatch(name) for pattern in patterns)} == set()
