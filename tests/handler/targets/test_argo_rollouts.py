"""The Argo Rollouts target against a small Kubernetes API with a controller that follows Argo's rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubernetes_api import KubernetesAPI, Object
from kubernetes_objects import HASHES, IMAGES, ROLLOUT_HASH, RolloutController, place, replica_set, rollout
from mlcanary.errors import ActionError
from mlcanary.handler.targets.argo_rollouts import ArgoRolloutsSettings, ArgoRolloutsTarget
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State

VERSIONS = {**IMAGES, "v3": "model:v3"}
CANARY = State.of({"v1": 80, "v2": 20, "v3": 0})
BACK = CANARY.moved("v2", "v1")
GUARD = Guard("a1", CANARY)


@pytest.fixture
async def api() -> AsyncIterator[KubernetesAPI]:
    served = KubernetesAPI()
    sets = [("v3", 1, 0), ("v1", 2, 3), ("v2", 3, 1)]
    served.add(rollout(), *(replica_set(v, i, n, hash_label=ROLLOUT_HASH, owner="Rollout") for v, i, n in sets))
    served.after_write = [RolloutController(served).step]
    async with served.serving():
        yield served


def target(api: KubernetesAPI, directory: Path, **changes: object) -> ArgoRolloutsTarget:
    keys = {**place(api, directory / "token"), "versions": VERSIONS, **changes}
    return ArgoRolloutsTarget(ArgoRolloutsSettings(**keys))


def bodies(api: KubernetesAPI) -> list[tuple[str, object]]:
    return [(patch.path.rpartition("/")[2], patch.body) for patch in api.patches]


@pytest.mark.parametrize("subresource", [True, False])
async def test_a_canary_is_aborted(api: KubernetesAPI, tmp_path: Path, subresource: bool) -> None:
    api.status_subresource = subresource
    argo = target(api, tmp_path)
    assert await argo.observe() == CANARY
    await argo.apply(BACK, GUARD)
    assert await argo.observe() == State.of({"v1": 100, "v2": 0, "v3": 0})
    assert api.one("Rollout")["status"]["phase"] == "Degraded"
    body = {"status": {"abort": True}}
    assert bodies(api) == [("status", body)] + [("clicks", body)] * (not subresource)
    assert {patch.kind for patch in api.patches} == {"application/merge-patch+json"}
    await argo.apply(BACK, GUARD)
    await argo.complete(BACK, GUARD)
    assert api.writes == 1


async def test_an_abort_that_argo_has_not_followed_shows_the_weights_as_they_are(
    api: KubernetesAPI, tmp_path: Path
) -> None:
    api.after_write = []
    argo = target(api, tmp_path)
    await argo.apply(BACK, GUARD)
    assert await argo.observe() == CANARY
    await argo.apply(BACK, GUARD)
    assert api.writes == 1
    RolloutController(api).step()
    assert BACK.fulfilled_by(await argo.observe())


async def test_a_step_of_argo_in_between_is_no_conflict(api: KubernetesAPI, tmp_path: Path) -> None:
    weights = {"canary": {"weight": 40}, "stable": {"weight": 60}}
    api.touch("Rollout", lambda r: r["status"]["canary"].update(weights=weights))
    await target(api, tmp_path).apply(BACK, GUARD)
    assert api.one("Rollout")["status"]["abort"] is True


async def test_the_template_goes_back_too_where_that_is_wanted(api: KubernetesAPI, tmp_path: Path) -> None:
    argo = target(api, tmp_path, revert=True)
    await argo.apply(BACK, GUARD)
    found = api.one("Rollout")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGES["v1"]
    assert ROLLOUT_HASH not in found["spec"]["template"]["metadata"]["labels"]
    assert (found["status"]["phase"], found["status"]["currentPodHash"]) == ("Healthy", HASHES["v1"])
    assert await argo.observe() == State.of({"v1": 1, "v2": 0, "v3": 0})
    await argo.apply(BACK, GUARD)
    assert api.writes == 2


async def test_a_crash_between_the_abort_and_the_template_is_completed(api: KubernetesAPI, tmp_path: Path) -> None:
    await target(api, tmp_path).apply(BACK, GUARD)
    await target(api, tmp_path, revert=True).complete(BACK, GUARD)
    assert api.one("Rollout")["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGES["v1"]


async def test_a_refused_template_after_an_abort_is_no_refusal(api: KubernetesAPI, tmp_path: Path) -> None:
    api.admission = [
        lambda found: "no" if found["spec"]["template"]["spec"]["containers"][0]["image"] != IMAGES["v2"] else ""
    ]
    with pytest.raises(ActionError, match=r"aborted, but the template stays: .*denied the request: no") as caught:
        await target(api, tmp_path, revert=True).apply(BACK, GUARD)
    assert not isinstance(caught.value, RefusedError)


async def test_a_canary_is_promoted_in_full(api: KubernetesAPI, tmp_path: Path) -> None:
    argo = target(api, tmp_path)
    desired = State.of({"v1": 0, "v2": 100, "v3": 0})
    await argo.apply(desired, GUARD)
    assert bodies(api) == [("status", {"status": {"promoteFull": True}})]
    assert desired.fulfilled_by(await argo.observe())
    await argo.apply(desired, GUARD)
    assert api.writes == 1


async def test_an_older_version_comes_back_by_its_template_and_is_promoted(api: KubernetesAPI, tmp_path: Path) -> None:
    older = State.of({"v1": 0, "v2": 0, "v3": 1})
    with pytest.raises(RefusedError, match="v3 is neither stable nor canary"):
        await target(api, tmp_path).apply(older, GUARD)
    argo = target(api, tmp_path, revert=True)
    await argo.apply(older, GUARD)
    assert await argo.observe() == older
    assert [path for path, _ in bodies(api)] == ["clicks", "status"]


async def test_a_template_that_argo_does_not_take_up_is_tried_again(api: KubernetesAPI, tmp_path: Path) -> None:
    api.after_write = []
    argo, older = target(api, tmp_path, revert=True, timeout=1.0), State.of({"v1": 0, "v2": 0, "v3": 1})
    with pytest.raises(ActionError, match="Argo has not taken it up yet") as caught:
        await argo.apply(older, GUARD)
    assert not isinstance(caught.value, RefusedError)
    controller = RolloutController(api)
    controller.step()
    api.after_write = [controller.step]
    await argo.apply(older, GUARD)
    assert await argo.observe() == older


async def test_what_cannot_be_done_is_refused(api: KubernetesAPI, tmp_path: Path) -> None:
    argo = target(api, tmp_path, revert=True)
    with pytest.raises(ConflictError, match="v2 serves"):
        await argo.apply(BACK, Guard("a1", State.of({"v1": 1, "v2": 0, "v3": 0})))
    api.one("Rollout")["spec"]["workloadRef"] = {"kind": "Deployment", "name": "clicks"}
    with pytest.raises(RefusedError, match="takes its template from a workloadRef"):
        await argo.apply(State.of({"v1": 0, "v2": 0, "v3": 1}), GUARD)
    api.one("Rollout")["status"]["abort"] = True
    with pytest.raises(RefusedError, match="is aborted: v2 cannot be promoted"):
        await argo.apply(State.of({"v1": 0, "v2": 1, "v3": 0}), GUARD)
    assert api.patches == []


async def test_without_a_router_the_versions_with_ready_pods_serve(api: KubernetesAPI, tmp_path: Path) -> None:
    del api.one("Rollout")["status"]["canary"]["weights"]
    assert await target(api, tmp_path).observe() == State.of({"v1": 1, "v2": 1, "v3": 0})


async def test_blue_green_serves_the_active_one(api: KubernetesAPI, tmp_path: Path) -> None:
    api.one("Rollout")["status"]["blueGreen"] = {"activeSelector": HASHES["v1"]}
    assert await target(api, tmp_path).observe() == State.of({"v1": 1, "v2": 0, "v3": 0})


async def test_a_rehearsal_asks_for_dry_runs_of_both_patches(api: KubernetesAPI, tmp_path: Path) -> None:
    await target(api, tmp_path, revert=True).rehearse(BACK, GUARD)
    assert [patch.query["dryRun"] for patch in api.patches] == ["All", "All"]
    assert api.writes == 0


async def test_argo_itself_is_no_stranger(api: KubernetesAPI, tmp_path: Path) -> None:
    argo = target(api, tmp_path)
    assert await argo.owner() == ""
    fields: Object = {"f:spec": {"f:template": {"f:spec": {}}}}
    api.one("Rollout")["metadata"]["managedFields"] = [{"manager": "kustomize-controller", "fieldsV1": fields}]
    assert await argo.owner() == "field manager kustomize-controller"
