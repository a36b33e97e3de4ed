"""A folder for `kubectl apply -k`: the objects for the operator, judge, handler, and the sidecar as a component.

Guarantee: the namespace and the labels stand in the top `kustomization.yaml`, once; files that people edit (judge.yml,
handler.yml, web.yml, exporter.yml, dashboards) are files, and the ConfigMaps are made of them.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mlcanary import __version__
from mlcanary.bundle import operator
from mlcanary.bundle.place import PART_OF, Place
from mlcanary.bundle.shipped import own, root
from mlcanary.bundle.yaml_text import comment_of, dumped, loaded
from mlcanary.errors import ConfigError

_API = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_COMPONENT = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
_IMAGES = [{"name": "mlcanary", "newName": "registry.example.org/mlcanary", "newTag": __version__}]
_TOP = """\
kubectl apply --server-side -k .
Leave out what you do not want: judge, handler, or monitoring where no Prometheus operator runs.
Not in here: handler-rbac/ (rights in the models' namespaces; take the types that you use), exporter-sidecar/ and
exporter-network-policy/ (components for your own model servers) and example/ (how such a server looks).
Off until you add `components: [network-policies, further-rules]` here (or export `--with` them): who may reach judge
and handler; what no dashboard reads, such as drift over 5m, which is dear for many models."""
_SIDECAR = """\
Patches every Deployment of the kustomization that names it. Models whose configurations differ: a copy of this folder
each. A reference profile, which exporter.yml names with `reference:`, is one file more under `files:`.
An edit of these files gives the ConfigMap another name and restarts the model servers, baseline and canary. To change
limits by a reload instead, add `options: {disableNameSuffixHash: true}` to its entry below; see "Change a limit" in
docs/kubernetes.md."""
_POLICY = Path("exporter-network-policy/policy.yaml")


def contents(place: Place, parts: Collection[str] = ()) -> dict[Path, bytes]:
    """All files of `--format kustomize`; the top one names the components `parts`.

    Raises ConfigError for the policy of exporters: it belongs into the kustomization of the model servers.
    """
    if _POLICY.parent.name in parts:
        raise ConfigError(
            f"--with: found {_POLICY.parent} with --format kustomize; allowed: network-policies, further-rules",
            hint=f"put components: [../mlcanary/{_POLICY.parent}] into the kustomization of your model servers",
        )
    made = {name: data for name, data in own("kubernetes").items() if name.name != "monitors.yaml"}
    made |= _monitoring(place)
    further = operator.further_rules(place)
    made |= further
    made[Path("handler-rbac/handler-rbac.yaml")] = _rights(place)
    made[_POLICY] = operator.exporter_policy(place)
    for folder, kustomization, comment in (
        (".", _top(place, parts), _TOP),
        ("judge", _with_files("judge", "judge.yml"), ""),
        ("handler", _with_files("handler", "handler.yml", "web.yml"), ""),
        ("handler-rbac", {**_API, "resources": ["handler-rbac.yaml"]}, ""),
        ("exporter-sidecar", _sidecar(), _SIDECAR),
        ("further-rules", {**_COMPONENT, "resources": sorted(path.name for path in further)}, ""),
        ("network-policies", {**_COMPONENT, "resources": ["policies.yaml"]}, ""),
        (
            "exporter-network-policy",
            {**_COMPONENT, "resources": ["policy.yaml"]},
            "In the kustomization of your model servers, beside exporter-sidecar/: one policy for its namespace.",
        ),
        ("example", {**_API, "resources": ["clicks.yaml"], "components": ["../exporter-sidecar"]}, ""),
    ):
        made[Path(folder) / "kustomization.yaml"] = dumped([kustomization], comment)
    return dict(sorted(made.items()))


def _top(place: Place, parts: Collection[str]) -> dict[str, Any]:
    return {
        **_API,
        "namespace": place.namespace,
        "resources": ["monitoring", "judge", "handler"],
        **({"components": sorted(set(parts))} if parts else {}),
        "labels": [{"pairs": {**PART_OF, **place.labels}, "includeSelectors": False}],
        "images": _IMAGES,
    }


def _monitoring(place: Place) -> dict[Path, bytes]:
    folder = Path("monitoring")
    made = {folder / "rules" / name: data for name, data in operator.prometheus_rules(place).items()}
    resources = [str(path.relative_to(folder)) for path in made]
    made[folder / "monitors.yaml"] = operator.monitors(place)
    made[folder / "routes.yaml"] = operator.routes(place)
    generated = []
    for name, data in operator.dashboards().items():
        file = Path("dashboards") / f"{name.removeprefix('mlcanary-dashboard-')}.json"
        made[folder / file] = data
        generated.append({"name": name, "files": [str(file)], "options": {"labels": operator.DASHBOARD}})
    for name, data in operator.templates().items():
        made[folder / "templates" / name] = data
    files = [f"templates/{name}" for name in operator.templates()]
    generated.append({"name": "mlcanary-alertmanager-templates", "files": files})
    made[folder / "kustomization.yaml"] = dumped(
        [
            {
                **_API,
                "resources": [*resources, "monitors.yaml", "routes.yaml"],
                "configMapGenerator": generated,
                # Others look these up by name.
                "generatorOptions": {"disableNameSuffixHash": True},
            }
        ]
    )
    return made


def _with_files(name: str, *files: str) -> dict[str, Any]:
    """A Deployment whose ConfigMap has a name that changes with it: an edit is a rollout."""
    generator = [{"name": f"mlcanary-{name}", "files": list(files)}]
    return {**_API, "resources": [f"{name}.yaml"], "configMapGenerator": generator}


def _sidecar() -> dict[str, Any]:
    return {
        **_COMPONENT,
        "configMapGenerator": [{"name": "mlcanary-exporter", "files": ["exporter.yml"]}],
        "patches": [{"path": "sidecar.yaml", "target": {"kind": "Deployment"}}],
        "images": _IMAGES,
    }


def _rights(place: Place) -> bytes:
    """The shipped rights, bound to the handler's account in the namespace of this export."""
    text = (root() / "alertmanager" / "handler-rbac.yaml").read_text(encoding="utf-8")
    made = []
    for document in loaded(text):
        if document["kind"] == "ServiceAccount":
            continue  # handler/ has it
        for subject in document.get("subjects", ()):
            subject["namespace"] = place.namespace
        made.append(document)
    return dumped(made, comment_of(text))
