"""The guides for clusters and for existing stacks: commands, flags, configurations and file names in them are real."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from cluster_objects import RELEASES, check_core, named, objects, read
from mlcanary import bundle
from mlcanary.cli.main import cli
from mlcanary.documents import load_document
from mlcanary.settings import ExporterDocument
from prometheus_tools import ROOT, run

GUIDES = {
    name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("kubernetes", "existing-prometheus")
}


def blocks(name: str, language: str) -> list[str]:
    """Code blocks of a guide in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDES[name], flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for name in GUIDES for block in blocks(name, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("mlcanary ")]


@pytest.mark.parametrize("line", commands())
def test_a_command_and_its_flags_exist(line: str) -> None:
    command: click.Command | None = cli
    words = shlex.split(line)[1:]
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert flags <= {option for parameter in command.params for option in parameter.opts}


def test_configurations_of_the_exporter_are_valid() -> None:
    shown = [b for name in GUIDES for b in blocks(name, "yaml") if b.startswith("sources:")]
    assert len(shown) == 3
    for text in shown:
        assert load_document(text, "guide", ExporterDocument).sources


def test_prometheus_takes_the_jobs(tmp_path: Path) -> None:
    (text,) = (b for b in blocks("existing-prometheus", "yaml") if b.startswith("rule_files:"))
    bundle.export(tmp_path / "mlcanary")
    (tmp_path / "mlcanary" / "secrets").mkdir()
    (tmp_path / "mlcanary" / "secrets" / "prometheus").write_text("token")
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/mlcanary", str(tmp_path / "mlcanary")))
    status, output = run("promtool", "check", "config", "--lint=none", tmp_path / "prometheus.yml")
    assert status == 0, output
    assert "rule files found" in output


def test_the_server_of_the_guide_has_what_the_component_needs() -> None:
    (text,) = (b for b in blocks("kubernetes", "yaml") if "name: clicks-v2\n" in b)
    (server,) = read(text)
    example = named(objects(bundle.contents("kustomize")), "Deployment", "clicks")
    labels, wanted = (each["spec"]["template"]["metadata"]["labels"].keys() for each in (server, example))
    assert labels == wanted
    assert (
        server["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        == (example["spec"]["template"]["spec"]["containers"][0]["volumeMounts"])
    )
    check_core(server, RELEASES[-1])


def test_files_and_objects_that_are_named_are_exported() -> None:
    plain, kustomize = bundle.contents(), bundle.contents("kustomize")
    folders = {path.parts[0] for path in [*plain, *kustomize]}
    known = {str(path) for path in [*plain, *kustomize]}
    for text in GUIDES.values():
        named_files = set(re.findall(r"`((?:mlcanary/)?([a-z-]+)/[\w./-]+\.(?:yml|yaml|json|md|tmpl))`", text))
        missing = {
            file.removeprefix("mlcanary/") for file, folder in named_files if folder in {*folders, "mlcanary"}
        } - known
        assert missing <= {"templates/site.tmpl"}, "that one is the reader's own"
    names = {each["metadata"]["name"] for each in objects(kustomize)} | {
        each["name"]
        for path, data in kustomize.items()
        if path.name == "kustomization.yaml"
        for each in yaml.safe_load(data).get("configMapGenerator", ())
    }
    shown = set(re.findall(r"`(mlcanary-[a-z-]+)(?:\*)?`", GUIDES["kubernetes"].partition("## What each object")[2]))
    assert {name for name in shown if not any(each.startswith(name) for each in names)} <= {
        "mlcanary-handler-tokens",
        "mlcanary-role",
    }


def test_amtool_says_what_the_guide_says(tmp_path: Path) -> None:
    (text,) = (b for b in blocks("existing-prometheus", "yaml") if b.startswith("route:"))
    (tmp_path / "alertmanager.yml").write_text(text)
    (line,) = (x for b in blocks("existing-prometheus", "sh") for x in b.splitlines() if x.startswith("amtool config"))
    words = shlex.split(line.replace("alertmanager.yml", str(tmp_path / "alertmanager.yml")))
    status, output = run(words[0], *words[1:])
    assert status == 0, output
    assert f"The second line prints `{output.splitlines()[0]}`" in GUIDES["existing-prometheus"]


def test_the_objects_of_other_programs_are_yaml() -> None:
    for name in GUIDES:
        for text in blocks(name, "yaml"):
            assert json.dumps(read(text))


def test_what_kube_prometheus_needs_is_valid_and_lets_ours_in() -> None:
    shown = [each for text in blocks("kubernetes", "yaml") for each in read(text) if "apiVersion" in each]
    found = [each for each in shown if each["kind"] in {"NetworkPolicy", "Role", "RoleBinding"}]
    assert len(found) == 4
    for each in found:
        check_core(each, RELEASES[0])
    ours = objects(bundle.contents("kustomize"))
    for name, port in {"prometheus": 9090, "alertmanager": 9093}.items():
        (rule,) = named(found, "NetworkPolicy", f"mlcanary-reads-{name}")["spec"]["ingress"]
        (selector,) = (each["podSelector"] for each in rule["from"])
        allowed = selector.get("matchLabels", {}).values() or selector["matchExpressions"][0]["values"]
        for each in allowed:
            labels = named(ours, "Deployment", each)["spec"]["template"]["metadata"]["labels"]
            assert labels["app.kubernetes.io/name"] == each
        assert [each["port"] for each in rule["ports"]] == [port]
        assert "mlcanary-handler" in allowed
    role, binding = (named(found, kind, "prometheus-k8s") for kind in ("Role", "RoleBinding"))
    assert role["metadata"] == binding["metadata"]


def test_grafana_gets_every_dashboard() -> None:
    (text,) = (b for b in blocks("kubernetes", "yaml") if "projected:" in b)
    (volume,) = read(text)[0]["spec"]["template"]["spec"]["volumes"]
    shown = {each["configMap"]["name"] for each in volume["projected"]["sources"]}
    assert shown == {path.stem for path in bundle.contents("prometheus-operator") if path.parts[0] == "dashboards"}


def test_the_watchdog_reaches_the_handler_and_no_person(tmp_path: Path) -> None:
    """The operator puts routes of AlertmanagerConfigs first and lets each go on."""
    (text,) = (b for b in blocks("kubernetes", "yaml") if b.startswith("route:"))
    theirs, (shipped,) = yaml.safe_load(text), read((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    ours = [{**each, "continue": True} for each in shipped["route"]["routes"] if each["receiver"].endswith("er")]
    ours += [{**each, "continue": True} for each in shipped["route"]["routes"] if each["receiver"].endswith("dog")]
    theirs["route"]["routes"] = [*ours, *theirs["route"]["routes"]]
    theirs["receivers"] += [{"name": each["receiver"]} for each in ours]
    (tmp_path / "alertmanager.yml").write_text(json.dumps(theirs))
    for alert, reached in {"Watchdog": "mlcanary-watchdog,null", "RollbackVerdict": "mlcanary-handler,Default"}.items():
        labels = [f"alertname=MLCanary{alert}", *(["action=rollback"] if alert != "Watchdog" else [])]
        flag = f"--config.file={tmp_path / 'alertmanager.yml'}"
        status, output = run("amtool", "config", "routes", "test", flag, *labels)
        assert (status, output.splitlines()[0]) == (0, reached), output


def test_the_shown_inhibitions_are_all_the_shipped_ones() -> None:
    (text,) = (b for b in blocks("existing-prometheus", "yaml") if b.startswith("route:"))
    shipped = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    assert yaml.safe_load(text)["inhibit_rules"] == shipped["inhibit_rules"]


def test_limits_of_rulers_are_those_that_the_rules_need() -> None:
    groups = {
        folder: [
            each["rules"]
            for path in sorted((ROOT / folder).glob("*.yml"))
            for each in read(path.read_text())[0]["groups"]
        ]
        for folder in ("rules", "rules/further")
    }
    longest, further = (max(map(len, each)) for each in groups.values())
    count, more = (len(each) for each in groups.values())
    told = bundle.contents()[Path("prometheus/rulers.md")].decode()
    assert f"to {longest} (the longest group of `rules/*.yml`; {max(longest, further)} with `rules/further/`)" in told
    assert f"{count} groups more than yours ({count + more})" in told
    assert f"from 20 to {longest} or more" in GUIDES["existing-prometheus"]
