"""The KServe target in both modes, against a controller that follows KServe's reconcilers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubernetes_api import KubernetesAPI, Object
from kubernetes_objects import KServeController, knative_service, kserve_admission, place, standard_service
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import Guard, RefusedError, State
from mlcanary.handler.targets.kserve import KServeSettings, KServeTarget

REVISIONS = {"v1": "clicks-predictor-00001", "v2": "clicks-predictor-00002"}
PREDICTORS = {"v1": "stable", "v2": "v2"}
NOW, DESIRED = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})
GUARD = Guard("a1", NOW)


@contextlib.asynccontextmanager
async def serving(document: Object) -> AsyncIterator[KubernetesAPI]:
    api = KubernetesAPI(admission=[kserve_admission])
    api.add(document)
    api.after_write = [KServeController(api).step]
    async with api.serving():
        yield api


@pytest.fixture
async def knative() -> AsyncIterator[KubernetesAPI]:
    async with serving(knative_service()) as api:
        yield api


@pytest.fixture
async def standard() -> AsyncIterator[KubernetesAPI]:
    async with serving(standard_service()) as api:
        yield api


def target(api: KubernetesAPI, directory: Path, mode: str, versions: dict[str, str] | None = None) -> KServeTarget:
    names = versions or (REVISIONS if mode == "knative" else PREDICTORS)
    keys = {**place(api, directory / "token"), "versions": names, "mode": mode}
    return KServeTarget(KServeSettings(**keys))


async def test_the_canary_of_mode_knative_gets_its_percent(knative: KubernetesAPI, tmp_path: Path) -> None:
    service = target(knative, tmp_path, "knative")
    assert await service.observe() == NOW
    await service.apply(DESIRED, GUARD)
    assert knative.patches[0].body[1:] == [{"op": "add", "path": "/spec/predictor/canaryTrafficPercent", "value": 0}]
    assert await service.observe() == DESIRED


async def test_status_is_read_back_and_not_spec(knative: KubernetesAPI, tmp_path: Path) -> None:
    knative.after_write = []
    service = target(knative, tmp_path, "knative")
    await service.apply(DESIRED, GUARD)
    assert await service.observe() == NOW
    await service.apply(DESIRED, GUARD)
    assert len(knative.patches) == 1  # it is asked for already
    KServeController(knative).step()
    assert await service.observe() == DESIRED


async def test_a_release_that_had_everything_is_taken_back(knative: KubernetesAPI, tmp_path: Path) -> None:
    service = target(knative, tmp_path, "knative")
    everything = State.of({"v1": 0, "v2": 100})
    await service.apply(everything, GUARD)
    assert await service.observe() == everything
    await service.apply(DESIRED, Guard("a2", everything))
    assert await service.observe() == everything  # KServe splits one revision in two, and sees it the next time
    KServeController(knative).step()
    assert await service.observe() == DESIRED


async def test_kserve_cannot_give_traffic_to_a_revision_it_has_forgotten(
    knative: KubernetesAPI, tmp_path: Path
) -> None:
    component = knative.one("InferenceService")["status"]["components"]["predictor"]
    component.update(latestRolledoutRevision="clicks-predictor-00002")
    with pytest.raises(RefusedError, match="the one before none: KServe cannot split"):
        await target(knative, tmp_path, "knative").apply(DESIRED, GUARD)
    component.update(latestCreatedRevision="clicks-predictor-00003", latestRolledoutRevision=REVISIONS["v1"])
    with pytest.raises(RefusedError, match="newest revision is clicks-predictor-00003"):
        await target(knative, tmp_path, "knative").apply(DESIRED, GUARD)
    assert knative.patches == []


async def test_a_revision_that_is_no_version_is_told(knative: KubernetesAPI, tmp_path: Path) -> None:
    versions = {"v1": "clicks-predictor-00001", "v2": "clicks-predictor-00009"}
    with pytest.raises(ActionError, match="clicks-predictor-00002 serves and is no configured version"):
        await target(knative, tmp_path, "knative", versions).observe()
    knative.one("InferenceService")["status"]["components"] = {}
    with pytest.raises(ActionError, match="names no traffic yet"):
        await target(knative, tmp_path, "knative").observe()


@pytest.mark.parametrize("mode", ["knative", "standard"])
async def test_the_field_of_the_other_mode_is_never_written(
    knative: KubernetesAPI, standard: KubernetesAPI, tmp_path: Path, mode: str
) -> None:
    other = standard if mode == "knative" else knative
    with pytest.raises(RefusedError, match="is in mode"):
        await target(other, tmp_path, mode).apply(DESIRED, GUARD)
    assert other.patches == []


async def test_the_canary_of_mode_standard_gets_its_percent(standard: KubernetesAPI, tmp_path: Path) -> None:
    service = target(standard, tmp_path, "standard")
    assert await service.observe() == NOW
    await service.apply(DESIRED, GUARD)
    assert standard.patches[0].body[1:] == [
        {"op": "test", "path": "/spec/canary/0/predictor/name", "value": "v2"},
        {"op": "add", "path": "/spec/canary/0/trafficPercent", "value": 0},
    ]
    assert await service.observe() == DESIRED


async def test_a_canary_without_ready_pods_serves_nothing(standard: KubernetesAPI, tmp_path: Path) -> None:
    standard.one("InferenceService")["status"]["canaryStatuses"][0]["ready"] = False
    assert await target(standard, tmp_path, "standard").observe() == DESIRED


async def test_predictors_are_found_by_name(standard: KubernetesAPI, tmp_path: Path) -> None:
    standard.one("InferenceService")["spec"]["predictor"]["name"] = "v1"
    with pytest.raises(ActionError, match="v1 serves and is no configured version"):
        await target(standard, tmp_path, "standard").observe()
    service = target(standard, tmp_path, "standard", {"v1": "v1", "v2": "v2", "v3": "v3"})
    found = State.of({"v1": 90, "v2": 10, "v3": 0})
    assert await service.observe() == found
    with pytest.raises(RefusedError, match="found predictors v1, v2, not v1, v2, v3"):
        await service.apply(State.of({"v1": 90, "v2": 5, "v3": 5}), Guard("a1", found))


async def test_a_refusal_of_its_admission_is_told(standard: KubernetesAPI, tmp_path: Path) -> None:
    metadata = standard.one("InferenceService")["metadata"]
    metadata["annotations"] = {}  # the mode is told by status, the webhook asks the annotation
    with pytest.raises(RefusedError, match="canary is only supported in Standard deployment mode"):
        await target(standard, tmp_path, "standard").apply(DESIRED, GUARD)


async def test_who_else_owns_the_share_is_told(knative: KubernetesAPI, tmp_path: Path) -> None:
    metadata = knative.one("InferenceService")["metadata"]
    fields: Object = {"f:spec": {"f:predictor": {"f:model": {}}}}
    metadata["managedFields"] = [{"manager": "argocd-controller", "fieldsV1": fields}]
    assert await target(knative, tmp_path, "knative").owner() == ""
    fields["f:spec"]["f:predictor"]["f:canaryTrafficPercent"] = {}
    assert await target(knative, tmp_path, "knative").owner() == "field manager argocd-controller"
