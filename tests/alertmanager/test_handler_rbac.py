"""The rights that are shipped for the handler in a cluster are the ones that it uses: no less, no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubernetes_api import KubernetesAPI, Object
from kubernetes_objects import (
    DEPLOYMENT_HASH,
    IMAGES,
    ROLLOUT_HASH,
    deployment,
    http_route,
    knative_service,
    place,
    replica_set,
    rollout,
    virtual_service,
)
from mlcanary.handler.targets import registry
from mlcanary.handler.targets.argo_rollouts import ArgoRolloutsSettings
from mlcanary.handler.targets.contract import Guard, State
from mlcanary.handler.targets.deployment import DeploymentSettings
from mlcanary.handler.targets.gateway_api import GatewayAPISettings
from mlcanary.handler.targets.istio import IstioSettings
from mlcanary.handler.targets.kserve import KServeSettings
from mlcanary.handler.targets.kubernetes import KubernetesSettings

ROOT = Path(__file__).parents[2]
DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "alertmanager" / "handler-rbac.yaml").read_text()))
ROLES = {document["metadata"]["name"]: document for document in DOCUMENTS if document["kind"] == "Role"}


def sets(hash_label: str, owner: str) -> list[Object]:
    """The ReplicaSets of both versions."""
    ready = {"v1": 2, "v2": 1}
    return [replica_set(v, i, n, hash_label=hash_label, owner=owner) for i, (v, n) in enumerate(ready.items(), start=1)]


KINDS: dict[str, tuple[Callable[[], list[Object]], type[KubernetesSettings], dict[str, object]]] = {
    "deployment": (
        lambda: [deployment(), *sets(DEPLOYMENT_HASH, "Deployment")],
        DeploymentSettings,
        {"versions": IMAGES},
    ),
    "argo_rollouts": (
        lambda: [rollout(), *sets(ROLLOUT_HASH, "Rollout")],
        ArgoRolloutsSettings,
        {"versions": IMAGES, "revert": True},
    ),
    "istio": (lambda: [virtual_service()], IstioSettings, {"versions": {"v1": "stable", "v2": "canary"}}),
    "gateway_api": (
        lambda: [http_route()],
        GatewayAPISettings,
        {"versions": {"v1": "clicks-stable", "v2": "clicks-canary"}},
    ),
    "kserve": (
        lambda: [knative_service()],
        KServeSettings,
        {"versions": {"v1": "clicks-predictor-00001", "v2": "clicks-predictor-00002"}, "mode": "knative"},
    ),
}


def granted(role: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    """Verb, group, resource and name, each alone; no name where any will do."""
    return {
        (verb, group, resource, name)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def role_of(kind: str) -> str:
    return f"mlcanary-handler-{kind.replace('_', '-')}"


def test_there_is_a_role_for_every_type_that_lives_in_a_cluster() -> None:
    inside = {kind for kind, made in registry.KINDS.items() if made.__module__.rpartition(".")[2] in KINDS}
    assert inside == set(KINDS)
    assert set(ROLES) == {role_of(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_role_grants_what_the_target_uses(kind: str, tmp_path: Path) -> None:
    documents, settings, keys = KINDS[kind]
    api = KubernetesAPI()
    api.add(*documents())
    async with api.serving():
        target = registry.create(settings(**place(api, tmp_path / "token"), **keys))  # type: ignore[arg-type]
        seen = await target.observe()
        assert isinstance(seen, State)
        await target.owner()
        await target.rehearse(seen.moved("v2", "v1"), Guard("a1", seen))
        await target.apply(seen.moved("v2", "v1"), Guard("a1", seen))
        await target.complete(seen.moved("v2", "v1"), Guard("a1", seen))
    assert api.writes >= 1
    assert api.used == granted(ROLES[role_of(kind)])


def test_nothing_is_granted_in_general() -> None:
    assert {document["kind"] for document in DOCUMENTS} == {"ServiceAccount", "Role", "RoleBinding"}
    for right in (right for role in ROLES.values() for right in granted(role)):
        verb, _, _, name = right
        assert "*" not in "".join(right)
        assert bool(name) == (verb != "list"), "list cannot be bound to names, all else is"


def test_each_role_is_bound_to_the_handler_s_account_in_its_own_namespace() -> None:
    (account,) = (document["metadata"] for document in DOCUMENTS if document["kind"] == "ServiceAccount")
    bindings = {d["roleRef"]["name"]: d for d in DOCUMENTS if d["kind"] == "RoleBinding"}
    assert set(bindings) == set(ROLES)
    for name, binding in bindings.items():
        assert binding["metadata"]["namespace"] == ROLES[name]["metadata"]["namespace"]
        assert binding["subjects"] == [{"kind": "ServiceAccount", **account}]
