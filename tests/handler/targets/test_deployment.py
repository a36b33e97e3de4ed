"""The Deployment target against a small Kubernetes API, and its patch against the one that kubectl sends."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kubernetes_api import NAMESPACE, KubernetesAPI, Object
from kubernetes_objects import (
    DEPLOYMENT_HASH,
    IMAGES,
    UID,
    DeploymentController,
    deployment,
    place,
    replica_set,
)
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State
from mlcanary.handler.targets.deployment import DeploymentSettings, DeploymentTarget

V1, V2 = State.of({"v1": 1, "v2": 0}), State.of({"v1": 0, "v2": 1})
GUARD = Guard("a1", V2)


def old_and_new(**counts: int) -> list[Object]:
    ready = {"v1": 0, "v2": 3, **counts}
    return [
        replica_set(v, i, ready[v], hash_label=DEPLOYMENT_HASH, owner="Deployment")
        for i, v in enumerate(ready, start=1)
    ]


@pytest.fixture
async def api() -> AsyncIterator[KubernetesAPI]:
    served = KubernetesAPI()
    served.add(deployment(), *old_and_new())
    async with served.serving():
        yield served


@pytest.fixture
def target(api: KubernetesAPI, tmp_path: Path) -> DeploymentTarget:
    return DeploymentTarget(DeploymentSettings(**place(api, tmp_path / "token"), versions=IMAGES))


def template_image(api: KubernetesAPI) -> str:
    return str(api.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_it_brings_the_good_template_back_and_sees_it_roll_out(
    api: KubernetesAPI, target: DeploymentTarget
) -> None:
    assert await target.observe() == V2
    await target.apply(V1, GUARD)
    assert template_image(api) == IMAGES["v1"]
    assert await target.observe() == V2  # the controller has done nothing yet
    controller = DeploymentController(api)
    seen = []
    for _ in range(6):
        controller.step()
        seen.append(await target.observe())
    assert seen[0] == seen[1] == State.of({"v1": 1, "v2": 1})
    assert seen[-1] == V1
    await target.apply(V1, GUARD)
    assert api.writes == 1


async def test_a_rollout_that_has_only_new_pods_is_over_when_all_are_available(
    api: KubernetesAPI, target: DeploymentTarget
) -> None:
    found = api.one("Deployment")
    found["status"].update(availableReplicas=2, conditions=[{"type": "Progressing", "reason": "ReplicaSetUpdated"}])
    with pytest.raises(ActionError, match="the rollout to v2 is under way"):
        await target.observe()
    found["status"]["conditions"] = [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}]
    assert await target.observe() == V2  # one of its pods crashes: it serves all the same
    found["status"]["conditions"] = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
    assert await target.observe() == V2
    found["metadata"]["generation"] = 2
    with pytest.raises(ActionError, match="under way"):
        await target.observe()


async def test_a_release_is_rolled_back_in_the_middle(api: KubernetesAPI, target: DeploymentTarget) -> None:
    api.all("ReplicaSet")[0]["status"]["readyReplicas"] = 2
    both = State.of({"v1": 1, "v2": 1})
    assert await target.observe() == both
    api.all("ReplicaSet")[0]["status"]["readyReplicas"] = 0  # it goes on while the handler decides
    await target.apply(both.moved("v2", "v1"), Guard("a1", both))
    assert template_image(api) == IMAGES["v1"]


async def test_a_write_in_between_is_read_again(api: KubernetesAPI, target: DeploymentTarget) -> None:
    api.before_patch = [lambda: api.touch("Deployment", lambda d: d["metadata"].update(labels={"team": "clicks"}))]
    await target.apply(V1, GUARD)
    assert template_image(api) == IMAGES["v1"]
    assert api.one("Deployment")["metadata"]["labels"] == {"team": "clicks"}
    assert len(api.patches) == 2


async def test_a_version_that_nobody_expects_is_anothers(api: KubernetesAPI, target: DeploymentTarget) -> None:
    with pytest.raises(ConflictError, match="v2 serves"):
        await target.apply(V1, Guard("a1", V1))
    assert api.patches == []


async def test_a_version_that_is_not_configured_is_nobodys_state(api: KubernetesAPI, target: DeploymentTarget) -> None:
    api.touch("Deployment", lambda d: d["spec"]["template"]["spec"]["containers"][0].update(image="model:v9"))
    with pytest.raises(ActionError, match="'model:v9' is no configured version"):
        await target.observe()


@pytest.mark.parametrize("rehearsed", [False, True])
async def test_a_paused_deployment_or_a_pruned_revision_is_refused(
    api: KubernetesAPI, target: DeploymentTarget, rehearsed: bool
) -> None:
    act = target.rehearse if rehearsed else target.apply
    api.touch("Deployment", lambda d: d["spec"].update(paused=True))
    with pytest.raises(RefusedError, match="is paused"):
        await act(V1, GUARD)
    api.touch("Deployment", lambda d: d["spec"].update(paused=False))
    api.all("ReplicaSet")[0]["metadata"]["ownerReferences"][0]["uid"] = "of another one"
    with pytest.raises(RefusedError, match=r"no ReplicaSet with image registry\.example/model:v1 is left"):
        await act(V1, GUARD)
    assert api.patches == []


async def test_the_newest_revision_of_a_version_comes_back(api: KubernetesAPI, target: DeploymentTarget) -> None:
    newer = replica_set("v3", 7, 0, hash_label=DEPLOYMENT_HASH, owner="Deployment", image=IMAGES["v1"])
    api.add(newer)
    await target.apply(V1, GUARD)
    assert api.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == "v3"


@pytest.mark.parametrize("by", ["label:version", "annotation:example.com/model"])
async def test_a_version_can_be_named_by_a_label_or_an_annotation(api: KubernetesAPI, tmp_path: Path, by: str) -> None:
    place_of = {"label": "labels", "annotation": "annotations"}[by.partition(":")[0]]
    documents = {"v1": api.all("ReplicaSet")[0], "v2": api.all("ReplicaSet")[1]}
    for version, document in (*documents.items(), ("v2", api.one("Deployment"))):
        named = document["spec"]["template"]["metadata"].setdefault(place_of, {})
        named[by.partition(":")[2]] = f"clicks-{version}"
    versions = {"v1": "clicks-v1", "v2": "clicks-v2"}
    target = DeploymentTarget(DeploymentSettings(**place(api, tmp_path / "token"), versions=versions, by=by))
    await target.apply(V1, GUARD)
    assert template_image(api) == IMAGES["v1"]


async def test_the_owner_of_the_template_is_told(api: KubernetesAPI, target: DeploymentTarget) -> None:
    fields: Object = {"f:spec": {"f:template": {"f:spec": {}}}}
    metadata = api.one("Deployment")["metadata"]
    metadata["managedFields"] = [
        {"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": fields},
        {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": {"f:status": {}}},
    ]
    assert await target.owner() == ""
    metadata["managedFields"].append({"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields})
    assert await target.owner() == "field manager argocd-controller"
    metadata["ownerReferences"] = [{"kind": "InferenceService", "name": "clicks", "uid": UID, "controller": True}]
    assert await target.owner() == "InferenceService/clicks"


async def kubectl(api: KubernetesAPI, directory: Path, *arguments: str) -> None:
    """Run the real kubectl against the API."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": {"server": api.url}}],
        "users": [{"name": "tests", "user": {}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests", "namespace": NAMESPACE}}],
        "current-context": "tests",
    }
    (directory / "kubeconfig").write_text(json.dumps(config), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        str(shutil.which("kubectl")),
        f"--kubeconfig={directory / 'kubeconfig'}",
        f"--cache-dir={directory / 'cache'}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()


def without_nulls(value: Any) -> Any:
    """Without members that are null: older clients write `creationTimestamp: null`, newer ones leave it out."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


async def test_the_patch_is_the_one_that_kubectl_sends_but_for_the_guard(tmp_path: Path) -> None:
    bodies = []
    for ours in (True, False):
        api = KubernetesAPI(token="")
        api.add(deployment(), *old_and_new())
        async with api.serving():
            if ours:
                settings = DeploymentSettings(**place(api, tmp_path / "token"), versions=IMAGES)
                await DeploymentTarget(settings).apply(V1, GUARD)
            else:
                await kubectl(api, tmp_path, "rollout", "undo", "deployment/clicks", "--to-revision=1")
        (patch,) = api.patches
        assert (patch.kind, api.writes) == ("application/json-patch+json", 1)
        bodies.append((patch.path, patch.body, api.one("Deployment")))
    (our_path, ours_body, our_end), (their_path, their_body, their_end) = bodies
    assert our_path == their_path
    assert ours_body[0] == {"op": "test", "path": "/metadata/resourceVersion", "value": "1"}
    assert without_nulls(ours_body[1:]) == without_nulls(their_body)
    assert without_nulls(our_end) == without_nulls(their_end)


async def test_a_rehearsal_is_the_same_patch_as_a_dry_run(api: KubernetesAPI, target: DeploymentTarget) -> None:
    await target.rehearse(V1, GUARD)
    assert (api.writes, template_image(api)) == (0, IMAGES["v2"])
    await target.apply(V1, GUARD)
    rehearsed, done = api.patches
    assert rehearsed.body == done.body
    assert rehearsed.query == {"dryRun": "All", **done.query}
