"""Objects for the Prometheus operator and for Grafana's sidecar, made of the shipped files. Pure but for their reading.

Guarantee: the groups of a PrometheusRule are those of its rule file; a ConfigMap holds its file byte for byte. Every
object is called `mlcanary-...`, and no two of a kind have one name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mlcanary.bundle.alertmanager_config import alertmanager_configs
from mlcanary.bundle.place import Place
from mlcanary.bundle.shipped import own, root
from mlcanary.bundle.yaml_text import comment_of, dumped, loaded

DASHBOARD = {"grafana_dashboard": "1"}
"""What the dashboard sidecar of Grafana's and kube-prometheus-stack's charts looks for."""
ALERTMANAGER_NOTE = """\
Rollbacks and the watchdog go to the handler; people are told by your own routes. These objects add to the configuration
that your Alertmanager has. A Secret with a whole alertmanager.yaml would take the place of it, so none is made.

The alerts have the namespaces of the models: Alertmanager must not match this object's own. In the Alertmanager object:
  alertmanagerConfigMatcherStrategy: {type: None}
or, from operator 0.79 on, `OnNamespaceExceptForAlertmanagerNamespace` with these objects beside Alertmanager.
Leave alertmanagerConfigSelector as yours is, and give these objects the label that it asks for (--label). Set it only
where there is none: alertmanagerConfigSelector: {matchLabels: {app.kubernetes.io/part-of: mlcanary}}

Messages: in the Alertmanager object, configMaps: [mlcanary-alertmanager-templates]; in its own configuration,
templates: [/etc/alertmanager/configmaps/mlcanary-alertmanager-templates/*.tmpl]
A receiver that names a template which is not loaded sends nothing.

The operator lets the watchdog's route go on to yours: where one of them takes everything, put one to nobody before it,
with matchers: [alertname="MLCanaryWatchdog"]."""


def prometheus_rules(place: Place, folder: str = "rules") -> dict[Path, bytes]:
    """One PrometheusRule per rule file of a folder of the bundle, by the name of its file."""
    made = {}
    for path in _sorted(folder, "*.yml"):
        text = path.read_text(encoding="utf-8")
        name = f"mlcanary-{path.stem.replace('.', '-')}"
        document = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": place.metadata(name),
            "spec": {"groups": loaded(text)[0]["groups"]},
        }
        made[Path(f"{name}.yaml")] = dumped([document], comment_of(text))
    return made


def dashboards() -> dict[str, bytes]:
    """The dashboards by the names of their ConfigMaps."""
    return {f"mlcanary-dashboard-{path.stem}": path.read_bytes() for path in _sorted("grafana/dashboards", "*.json")}


def templates() -> dict[str, bytes]:
    """The templates of messages by the names of their files."""
    return {path.name: path.read_bytes() for path in _sorted("alertmanager/templates", "*.tmpl")}


def monitors(place: Place) -> bytes:
    """PodMonitor of the sidecars, ServiceMonitors of judge and handler."""
    text = own("kubernetes")[Path("monitors.yaml")].decode()
    return dumped([place.placed(document) for document in loaded(text)], comment_of(text))


def routes(place: Place) -> bytes:
    """The AlertmanagerConfigs."""
    (shipped,) = loaded((root() / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    return dumped(alertmanager_configs(shipped, place), ALERTMANAGER_NOTE)


def further_rules(place: Place) -> dict[Path, bytes]:
    """The PrometheusRules of what no alert and no dashboard reads."""
    return {Path("further-rules") / name: data for name, data in prometheus_rules(place, "rules/further").items()}


def exporter_policy(place: Place) -> bytes:
    """The exporter's NetworkPolicy. It lets the namespace of `place` in, and has none: it goes where models are."""
    text = own("kubernetes")[Path("exporter-network-policy/policy.yaml")].decode()
    (document,) = loaded(text)
    prometheus = document["spec"]["ingress"][0]["from"][0]
    prometheus["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] = place.namespace
    document["metadata"] = {k: v for k, v in place.placed(document)["metadata"].items() if k != "namespace"}
    return dumped([document], comment_of(text))


def contents(place: Place, parts: Collection[str] = ()) -> dict[Path, bytes]:
    """All files of `--format prometheus-operator`, with the `parts` that are wanted too."""
    made = {Path("rules") / name: data for name, data in prometheus_rules(place).items()}
    for name, data in dashboards().items():
        file = name.removeprefix("mlcanary-dashboard-") + ".json"
        made[Path("dashboards") / f"{name}.yaml"] = dumped([_config_map(place, name, {file: data}, DASHBOARD)])
    made[Path("monitors.yaml")] = monitors(place)
    made[Path("alertmanager") / "routes.yaml"] = routes(place)
    made[Path("alertmanager") / "templates.yaml"] = dumped(
        [_config_map(place, "mlcanary-alertmanager-templates", templates(), {})],
        "Messages: in the Alertmanager object, configMaps: [mlcanary-alertmanager-templates]; in its configuration,\n"
        "templates: [/etc/alertmanager/configmaps/mlcanary-alertmanager-templates/*.tmpl]",
    )
    made |= {name: data for part in parts for name, data in _part(part, place).items()}
    return dict(sorted(made.items()))


def _part(part: str, place: Place) -> dict[Path, bytes]:
    if part == "further-rules":
        return further_rules(place)
    if part == "network-policies":
        return {Path("network-policies/policies.yaml"): _policies(place)}
    note = f"# In each namespace with models: kubectl apply -n models -f {part}/\n#\n"
    return {Path(part) / "policy.yaml": note.encode() + exporter_policy(place)}


def _policies(place: Place) -> bytes:
    """The policies of judge and handler. Text, not documents: the comments inside say what to add where."""
    text = own("kubernetes")[Path("network-policies/policies.yaml")].decode()

    def placed(found: re.Match[str]) -> str:
        return dumped([{"metadata": place.metadata(found[1])}]).decode()

    return re.sub(r"metadata:\n  name: (\S+)\n", placed, text).encode()


def _config_map(place: Place, name: str, data: dict[str, bytes], labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": place.metadata(name, labels),
        "data": {file: text.decode() for file, text in data.items()},
    }


def _sorted(folder: str, pattern: str) -> list[Path]:
    return sorted((root() / folder).glob(pattern))
