"""Objects for a cluster: valid by the schemas, free of collisions, equal to the shipped files, true to each other."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import bcrypt
import click
import kubernetes_validate
import msgspec
import pytest
import yaml

import operator_contract
from cluster_objects import OPERATOR, RELEASES, Object, check_core, named, objects, read
from handler_service import handling
from handler_world import until
from mlcanary import bundle
from mlcanary.cli.main import cli
from mlcanary.handler.settings import parse_settings, require_two_people
from mlcanary.judge.settings import parse_settings as parse_judge
from mlcanary.webserver.config import WebConfigFile
from prometheus_tools import LOADED_RULES, ROOT, run

PLACE = bundle.Place("watch", {"release": "prometheus"})
FOR_OPERATOR = objects(bundle.contents("prometheus-operator", PLACE))
WHOLE = bundle.contents("prometheus-operator", PLACE, bundle.PARTS)
MORE = objects({path: data for path, data in WHOLE.items() if path.parts[0] in bundle.PARTS})
KUSTOMIZE = bundle.contents("kustomize", PLACE)
FOR_KUSTOMIZE = objects(KUSTOMIZE)
HANDLER = KUSTOMIZE[Path("handler/handler.yml")].decode()
ALL = [*FOR_OPERATOR, *MORE, *FOR_KUSTOMIZE]
OF_THE_CORE = [each for each in ALL if OPERATOR not in each["apiVersion"]]
OF_THE_OPERATOR = [each for each in ALL if OPERATOR in each["apiVersion"]]
MEBIBYTE = 1 << 20


@pytest.mark.parametrize("release", RELEASES)
def test_objects_of_the_core_are_valid_and_have_no_unknown_field(release: str) -> None:
    assert {each["kind"] for each in OF_THE_CORE} >= {"ConfigMap", "Deployment", "Service", "Role"}
    for document in OF_THE_CORE:
        if document["metadata"]["name"] != "any":  # the patch of the component is whole only in a Deployment
            check_core(document, release)


def test_a_misspelt_field_is_found() -> None:
    wrong = copy.deepcopy(named(OF_THE_CORE, "Deployment", "mlcanary-judge"))
    wrong["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="redinessProbe"):
        check_core(wrong, RELEASES[-1])


def test_objects_of_the_operator_are_those_of_its_definitions() -> None:
    kinds = {"PrometheusRule", "PodMonitor", "ServiceMonitor", "AlertmanagerConfig"}
    assert {each["kind"] for each in OF_THE_OPERATOR} == kinds
    for each in OF_THE_OPERATOR:
        operator_contract.check(each)
    wrong = copy.deepcopy(named(FOR_OPERATOR, "PodMonitor", "mlcanary-exporter"))
    wrong["spec"]["podMetricsEndpoints"][0]["filterRuning"] = True
    with pytest.raises(msgspec.ValidationError, match="filterRuning"):
        operator_contract.check(wrong)


def test_names_are_ours_and_no_two_objects_share_one() -> None:
    for found in ([*FOR_OPERATOR, *MORE], FOR_KUSTOMIZE):
        names = [(each["kind"], each["metadata"]["name"]) for each in found]
        ours = [name for name in names if name[1] not in {"any", "clicks"}]
        assert len(ours) == len(set(ours))
        assert all(name.startswith("mlcanary-") and re.fullmatch(r"[a-z0-9-]{1,63}", name) for _, name in ours)


def test_every_object_is_small_enough_for_the_api_server() -> None:
    for each in [*FOR_OPERATOR, *MORE]:
        assert len(json.dumps(each)) < MEBIBYTE


def test_namespace_and_labels_are_on_every_object_for_the_operator() -> None:
    for each in [*FOR_OPERATOR, *MORE]:
        # Each but one: it goes into every namespace with models.
        nowhere = each["metadata"]["name"] == "mlcanary-exporter" and each["kind"] == "NetworkPolicy"
        assert each["metadata"].get("namespace") == (None if nowhere else "watch")
        assert each["metadata"]["labels"].items() >= {
            ("release", "prometheus"),
            ("app.kubernetes.io/part-of", "mlcanary"),
        }


def test_rules_are_the_shipped_groups_and_promtool_takes_them(tmp_path: Path) -> None:
    shipped = {path.stem: yaml.safe_load(path.read_text()) for path in LOADED_RULES}
    assert {each["metadata"]["name"] for each in FOR_OPERATOR if each["kind"] == "PrometheusRule"} == {
        f"mlcanary-{stem.replace('.', '-')}" for stem in shipped
    }
    for stem, document in shipped.items():
        made = named(FOR_OPERATOR, "PrometheusRule", f"mlcanary-{stem.replace('.', '-')}")
        assert made["spec"] == document
        (tmp_path / f"{stem}.yml").write_text(json.dumps(made["spec"]))
    status, output = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *sorted(tmp_path.iterdir()))
    assert status == 0, output
    assert output.count("SUCCESS") == len(shipped)


def test_dashboards_are_the_shipped_files() -> None:
    shipped = {f"mlcanary-dashboard-{path.stem}": path for path in (ROOT / "grafana" / "dashboards").glob("*.json")}
    assert shipped
    for name, path in shipped.items():
        made = named(FOR_OPERATOR, "ConfigMap", name)
        assert made["data"] == {path.name: path.read_text()}
        assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert KUSTOMIZE[Path("monitoring/dashboards") / path.name] == path.read_bytes()


def test_alertmanager_objects_route_and_inhibit_as_the_shipped_configuration() -> None:
    shipped = yaml.safe_load((ROOT / "alertmanager" / "alertmanager.yml").read_text())
    handler = named(FOR_OPERATOR, "AlertmanagerConfig", "mlcanary-handler")["spec"]
    watchdog = named(FOR_OPERATOR, "AlertmanagerConfig", "mlcanary-watchdog")["spec"]
    for made, route in zip((handler, watchdog), shipped["route"]["routes"], strict=False):
        told = [f'{m["name"]}{m["matchType"]}"{m["value"]}"' for m in made["route"]["matchers"]]
        assert (made["route"]["receiver"], told) == (route["receiver"], route["matchers"])
        assert made["route"]["groupBy"] == route["group_by"]
        assert made["route"]["groupWait"] == route["group_wait"]
        assert made["receivers"][0]["name"] == route["receiver"]
        assert made["receivers"][0]["webhookConfigs"][0]["url"] == "http://mlcanary-handler.watch.svc:10879/v1/alerts"
    assert handler["route"]["continue"] is True
    assert len(handler["inhibitRules"]) == len(shipped["inhibit_rules"])
    assert handler["inhibitRules"][-1]["equal"] == shipped["inhibit_rules"][-1]["equal"]


def ports(pod: Object) -> dict[str, int]:
    """Named ports of a pod, of its sidecars too."""
    spec = pod["spec"]
    return {
        port["name"]: port["containerPort"]
        for container in [*spec["containers"], *spec.get("initContainers", ())]
        for port in container.get("ports", ())
    }


def test_monitors_find_ports_and_labels_that_are_there() -> None:
    found = FOR_KUSTOMIZE
    pods = named(found, "PodMonitor", "mlcanary-exporter")["spec"]
    sidecar = read(KUSTOMIZE[Path("exporter-sidecar/sidecar.yaml")])[0]["spec"]["template"]["spec"]["initContainers"][0]
    assert pods["podMetricsEndpoints"][0]["port"] in {port["name"] for port in sidecar["ports"]}
    example = named(found, "Deployment", "clicks")["spec"]["template"]["metadata"]["labels"]
    assert pods["selector"]["matchExpressions"] == [{"key": "mlcanary-role", "operator": "Exists"}]
    read_by_the_sidecar = {
        re.findall(r"'(.+)'", e["valueFrom"]["fieldRef"]["fieldPath"])[0] for e in sidecar["env"] if "valueFrom" in e
    }
    assert read_by_the_sidecar == {"mlcanary-model", "mlcanary-version", "mlcanary-role"} <= set(example)
    for name, port in {"judge": 10878, "handler": 10879}.items():
        monitor = named(found, "ServiceMonitor", f"mlcanary-{name}")["spec"]
        service = named(found, "Service", f"mlcanary-{name}")
        template = named(found, "Deployment", f"mlcanary-{name}")["spec"]["template"]
        assert service["metadata"]["labels"].items() >= monitor["selector"]["matchLabels"].items()
        assert template["metadata"]["labels"].items() >= service["spec"]["selector"].items()
        assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
        assert ports(template)[service["spec"]["ports"][0]["targetPort"]] == service["spec"]["ports"][0]["port"] == port


def test_arguments_of_the_containers_are_flags_of_their_commands() -> None:
    seen = set()
    for pod in (each["spec"]["template"]["spec"] for each in FOR_KUSTOMIZE if each["kind"] == "Deployment"):
        for container in [*pod.get("containers", ()), *pod.get("initContainers", ())]:
            if container["image"] != "mlcanary":
                continue
            name, *flags = container["args"]
            command = cli.get_command(click.Context(cli), name)
            assert command is not None
            known = {option for parameter in command.params for option in parameter.opts}
            assert {flag.partition("=")[0] for flag in flags} <= known
            seen.add(name)
    assert seen == {"exporter", "judge", "handler"}


def test_names_of_ports_are_short_enough_and_probes_name_one_of_them() -> None:
    for each in FOR_KUSTOMIZE:
        if each["kind"] != "Deployment":
            continue
        spec = each["spec"]["template"]["spec"]
        for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
            names = {port["name"] for port in container.get("ports", ())}
            assert all(len(name) <= 15 for name in names)
            probes = [container[key]["httpGet"]["port"] for key in container if key.endswith("Probe")]
            assert set(probes) <= names


def test_containers_of_ours_may_write_their_volumes_and_nothing_else() -> None:
    spec = [each["spec"]["template"]["spec"] for each in FOR_KUSTOMIZE if each["kind"] == "Deployment"]
    containers = [c for pod in spec for c in [*pod.get("containers", ()), *pod.get("initContainers", ())]]
    ours = [container for container in containers if container["image"] == "mlcanary"]
    assert len(ours) == 3
    for container in ours:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is security["runAsNonRoot"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"].keys() == {"memory"}
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/var/lib/mlcanary"]


def test_the_sidecar_is_a_native_one_that_never_takes_its_server_out_of_service() -> None:
    sidecar = read(KUSTOMIZE[Path("exporter-sidecar/sidecar.yaml")])[0]["spec"]["template"]["spec"]["initContainers"][0]
    assert sidecar["restartPolicy"] == "Always"
    assert "readinessProbe" not in sidecar
    assert sidecar["startupProbe"]["httpGet"]["path"] == "/-/healthy", "the server starts after it"


def test_the_configurations_are_valid() -> None:
    judge = parse_judge(KUSTOMIZE[Path("judge/judge.yml")].decode(), "judge.yml")
    assert judge.prometheus.url == "http://prometheus-operated:9090"
    handler = parse_settings(HANDLER, "handler.yml")
    assert [(target.name, target.mode) for target in handler.targets] == [("example", "observe")]
    yours = parse_settings(re.sub("^#  ", "  ", HANDLER, flags=re.MULTILINE), "handler.yml")
    assert [(target.name, target.mode) for target in yours.targets] == [("example", "observe"), ("clicks", "observe")]


async def test_the_target_of_the_example_wakes_nobody(tmp_path: Path) -> None:
    text = HANDLER.replace("prometheus-operated:9090", "127.0.0.1:1").replace(
        "alertmanager-operated:9093", "127.0.0.1:1"
    )
    async with handling(tmp_path, text) as handler:
        await until(lambda: handler.count("target_up", "example") == 1.0)
        assert handler.service.ready() == ""
        assert handler.count("rollbacks_total", "example", "example", "failed") == 0.0


def test_the_people_of_the_example_are_two(tmp_path: Path) -> None:
    document = yaml.safe_load(KUSTOMIZE[Path("handler/web.yml")])
    for number, each in enumerate(document["principals"]):
        each["bearer_token_file"] = f"{tmp_path}/{each['name']}"
        (tmp_path / each["name"]).write_text(f"a-token-of-the-tests-only-{number}")
    (tmp_path / "web.yml").write_text(json.dumps(document))
    careful = HANDLER.replace("mode: observe", "approval: {required: true, four_eyes: true}", 1)
    require_two_people(parse_settings(careful, "handler.yml"), WebConfigFile(tmp_path / "web.yml").current())


def test_a_browser_gets_in_once_the_last_lines_of_the_example_are_taken_in(tmp_path: Path) -> None:
    text = KUSTOMIZE[Path("handler/web.yml")].decode().replace("/run/secrets/mlcanary", str(tmp_path))
    for name in re.findall(rf"{tmp_path}/(\w+)", text):
        (tmp_path / name).write_text(f"a-token-of-the-tests-only-{name}")
    text = re.sub(r"^#(  - |basic_auth_users)", r"\1", text, flags=re.MULTILINE)
    hashed = bcrypt.hashpw(b"a-password-of-the-tests-only", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(text.replace("$2b$12$...", hashed))
    known = WebConfigFile(tmp_path / "web.yml").current().directory
    assert known.users["alice"] in {identity for _, identity in known.tokens}


def test_policies_let_in_who_scrapes_and_nobody_out_of_the_model_server() -> None:
    labels = {
        name: named(FOR_KUSTOMIZE, "Deployment", f"mlcanary-{name}")["spec"]["template"]["metadata"]["labels"]
        for name in ("judge", "handler")
    }
    for name, port in {"judge": 10878, "handler": 10879}.items():
        spec = named(FOR_KUSTOMIZE, "NetworkPolicy", f"mlcanary-{name}")["spec"]
        assert labels[name].items() >= spec["podSelector"]["matchLabels"].items()
        assert [each["port"] for rule in spec["ingress"] for each in rule["ports"]] == [port]
    spec = named(FOR_KUSTOMIZE, "NetworkPolicy", "mlcanary-exporter")["spec"]
    scrape, others = spec["ingress"]
    monitor = named(FOR_KUSTOMIZE, "PodMonitor", "mlcanary-exporter")["spec"]
    assert spec["podSelector"] == monitor["selector"]
    assert scrape["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "watch"}
    assert [each["port"] for each in scrape["ports"]] == [10877]
    open_ports = [range(p["port"], p["endPort"] + 1) for p in others["ports"] if p["protocol"] == "TCP"]
    assert {port for each in open_ports for port in each} == set(range(1, 65536)) - {10877}
    assert "from" not in others


def test_what_is_asked_for_is_what_the_components_of_kustomize_hold() -> None:
    """Policies and rules are the same in both formats, but for the namespace, which a kustomization adds."""
    assert {each["kind"] for each in MORE} == {"NetworkPolicy", "PrometheusRule"}
    for each in MORE:
        kind, name = each["kind"], each["metadata"]["name"]
        assert each["spec"] == named(FOR_KUSTOMIZE, kind, name)["spec"]
    policies = WHOLE[Path("network-policies/policies.yaml")].decode()
    assert "argo-rollouts" in policies, "what people are to add stands in a comment"


def test_tokens_are_keys_of_one_secret() -> None:
    web = yaml.safe_load(KUSTOMIZE[Path("handler/web.yml")])
    files = {Path(each["bearer_token_file"]) for each in web["principals"]}
    assert {path.parent for path in files} == {Path("/run/secrets/mlcanary")}
    monitor = named(FOR_OPERATOR, "ServiceMonitor", "mlcanary-handler")["spec"]["endpoints"][0]
    hook = named(FOR_OPERATOR, "AlertmanagerConfig", "mlcanary-handler")["spec"]["receivers"][0]["webhookConfigs"][0]
    used = [monitor["authorization"]["credentials"], hook["httpConfig"]["authorization"]["credentials"]]
    assert {secret["name"] for secret in used} == {"mlcanary-handler-tokens"}
    assert {secret["key"] for secret in used} <= {path.name for path in files}


def test_rights_are_bound_to_the_account_in_the_namespace_of_the_export() -> None:
    found = objects({path: data for path, data in KUSTOMIZE.items() if path.parent.name == "handler-rbac"})
    bindings = [each for each in found if each["kind"] == "RoleBinding"]
    assert {each["kind"] for each in found} == {"Role", "RoleBinding"}
    assert {(s["name"], s["namespace"]) for b in bindings for s in b["subjects"]} == {("mlcanary-handler", "watch")}
