"""The kustomization builds, and what comes out is valid: with the kustomize inside a real kubectl."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import operator_contract
from cluster_objects import OPERATOR, RELEASES, Object, check_core, named, read
from guides import blocks, guide
from mlcanary import bundle

PLACE = bundle.Place("watch", {"release": "prometheus"})


def kustomize() -> str:
    """kubectl with a kustomize that knows components. Debian 12's own kubectl 1.20 has one of 2019."""
    told = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"Kustomize Version: v(\d+)", told)
    if version is None or int(version[1]) < 5:
        pytest.skip("this kubectl has no kustomize 5: nothing else is left out")
    return "kubectl"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported = tmp_path_factory.mktemp("kustomize")
    bundle.export(exported, bundle.contents("kustomize", PLACE))
    return exported


def built(folder: Path) -> list[Object]:
    """What would be applied."""
    done = subprocess.run(
        [kustomize(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()
    return read(done.stdout)


def test_the_whole_is_valid_in_its_namespace_and_an_edit_of_a_file_is_a_rollout(folder: Path) -> None:
    found = built(folder)
    for each in found:
        assert each["metadata"]["namespace"] == "watch"
        assert each["metadata"]["labels"]["release"] == "prometheus"
        if OPERATOR in each["apiVersion"]:
            operator_contract.check(each)
        else:
            check_core(each, RELEASES[1])
    for name in ("judge", "handler"):
        pod = named(found, "Deployment", f"mlcanary-{name}")["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"].startswith("registry.example.org/mlcanary:")
        (configuration,) = (v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v)
        assert re.fullmatch(rf"mlcanary-{name}-[a-z0-9]{{10}}", configuration)
        assert named(found, "ConfigMap", configuration)
    dashboards = [each for each in found if each["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert {each["metadata"]["name"] for each in dashboards} >= {"mlcanary-dashboard-overview"}


def test_the_component_gives_a_model_server_its_exporter(folder: Path) -> None:
    found = built(folder / "example")
    server = named(found, "Deployment", "clicks")
    check_core(server, RELEASES[0])
    pod = server["spec"]["template"]["spec"]
    assert [container["name"] for container in pod["containers"]] == ["server"]
    (sidecar,) = pod["initContainers"]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for c in (sidecar, *pod["containers"]) for mount in c["volumeMounts"]} == volumes
    (configuration,) = (v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v)
    assert "/var/log/model/" in named(found, "ConfigMap", configuration)["data"]["exporter.yml"]


def test_labels_and_profile_reach_the_sidecar_as_the_guide_shows(tmp_path: Path) -> None:
    bundle.export(tmp_path, bundle.contents("kustomize", PLACE))
    shown = blocks(guide("kubernetes"), "yaml")
    sidecar, one = tmp_path / "exporter-sidecar", tmp_path / "example"
    generator = next(each for each in shown if each.startswith("configMapGenerator:") and "profile" in each)
    text = (sidecar / "kustomization.yaml").read_text()
    shipped = re.findall(r"configMapGenerator:\n(?: .*\n)+", text)[0]
    (sidecar / "kustomization.yaml").write_text(text.replace(shipped, generator))
    (sidecar / "clicks.profile.json").write_text("{}")
    (sidecar / "exporter.yml").write_text(next(each for each in shown if "POD_NAME  " in each))
    (one / "fill-in.yaml").write_text(next(each for each in shown if "mlcanary-fill-in" in each))
    (patches,) = re.findall(r"`(patches: \[\{path: fill-in.*?\])`", guide("kubernetes"))
    with (one / "kustomization.yaml").open("a") as file:
        file.write(patches + "\n")
    found = built(one)
    server = named(found, "Deployment", "clicks")
    check_core(server, RELEASES[0])
    pod = server["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["mlcanary-fill-in", "mlcanary-exporter"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["mlcanary-configuration"] == {"name": "mlcanary-configuration", "emptyDir": {}}
    data = named(found, "ConfigMap", volumes["mlcanary-template"]["configMap"]["name"])["data"]
    assert data.keys() == {"exporter.yml", "clicks.profile.json"}
    assert "POD_NAME" in data["exporter.yml"]


def test_a_change_of_a_limit_is_a_rollout_unless_the_name_is_fixed(tmp_path: Path) -> None:
    bundle.export(tmp_path, bundle.contents("kustomize", PLACE))
    sidecar = tmp_path / "exporter-sidecar"
    generator = next(each for each in blocks(guide("kubernetes"), "yaml") if "disableNameSuffixHash" in each)
    text = (sidecar / "kustomization.yaml").read_text()
    shipped = re.findall(r"configMapGenerator:\n(?: .*\n)+", text)[0]
    for kustomization, same in ((text, False), (text.replace(shipped, generator), True)):
        (sidecar / "kustomization.yaml").write_text(kustomization)
        before = named(built(tmp_path / "example"), "Deployment", "clicks")
        with (sidecar / "exporter.yml").open("a") as file:
            file.write("models: [{name: clicks, objectives: {accuracy_drop: 0.03}}]\n")
        assert (named(built(tmp_path / "example"), "Deployment", "clicks") == before) is same


def test_policies_are_off_until_a_kustomization_names_them(folder: Path, tmp_path: Path) -> None:
    assert "components:" not in re.sub("(?m)^#.*", "", (folder / "kustomization.yaml").read_text())
    assert "policy" not in (folder / "example" / "kustomization.yaml").read_text()
    for name, component in (("watch", "network-policies"), ("models", "exporter-network-policy")):
        found = added(folder / component, tmp_path / name)
        assert {(each["kind"], each["metadata"]["namespace"]) for each in found} == {("NetworkPolicy", name)}
        for each in found:
            check_core(each, RELEASES[0])


def test_the_further_rules_are_off_until_a_kustomization_names_them(folder: Path, tmp_path: Path) -> None:
    further = {f"mlcanary-further-{part}-recording" for part in ("canary", "estimated", "users", "values")}
    assert {each["metadata"]["name"] for each in built(folder)} & further == set()
    found = added(folder / "further-rules", tmp_path / "watch")
    assert {(each["kind"], each["metadata"]["name"]) for each in found} == {
        ("PrometheusRule", name) for name in further
    }


def test_what_the_export_was_asked_for_is_applied_with_the_rest(tmp_path: Path) -> None:
    bundle.export(tmp_path, bundle.contents("kustomize", PLACE, ("network-policies", "further-rules")))
    found = built(tmp_path)
    assert {each["metadata"]["namespace"] for each in found} == {"watch"}
    assert named(found, "PrometheusRule", "mlcanary-further-canary-recording")["metadata"]["labels"]["release"]
    for name in ("judge", "handler"):
        check_core(named(found, "NetworkPolicy", f"mlcanary-{name}"), RELEASES[0])


def added(component: Path, one: Path) -> list[Object]:
    """What a kustomization of only this component would apply."""
    one.mkdir()
    place = f"{'../' * len(one.parts)}{component.relative_to('/')}"
    (one / "kustomization.yaml").write_text(f"namespace: {one.name}\ncomponents: [{place}]\n")
    return built(one)


def test_rights_stay_in_the_namespace_of_the_models(folder: Path) -> None:
    assert {each["metadata"]["namespace"] for each in built(folder / "handler-rbac")} == {"models"}
