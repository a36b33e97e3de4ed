"""What holds for every target that can split traffic in any proportion; each is there by name."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kubernetes_api import KubernetesAPI, Object
from kubernetes_objects import (
    KServeController,
    http_route,
    istio_admission,
    knative_service,
    kserve_admission,
    place,
    standard_service,
    virtual_service,
)
from mlcanary.handler.targets.contract import ConflictError, Guard, State, Target
from mlcanary.handler.targets.gateway_api import GatewayAPISettings, GatewayAPITarget
from mlcanary.handler.targets.istio import IstioSettings, IstioTarget
from mlcanary.handler.targets.kserve import KServeSettings, KServeTarget
from mlcanary.handler.targets.sagemaker import SageMakerSettings, SageMakerTarget
from sagemaker_emulator import REGION, Endpoint

FOUND = State.of({"v1": 90, "v2": 10})
STEPS = [State.of({"v1": 100 - share, "v2": share}) for share in (0, 1, 5, 25, 50, 100)]
SLOTS = {"v1": "stable", "v2": "canary"}


ADMISSION: dict[str, list[Callable[[Object], str]]] = {
    "VirtualService": [istio_admission],
    "InferenceService": [kserve_admission],
}


@dataclass
class World:
    """A target in its world. `writes` counts what was changed there."""

    target: Target
    writes: Callable[[], int]


@contextlib.asynccontextmanager
async def kubernetes(
    directory: Path, document: Object, make: Callable[[dict[str, Any]], Target]
) -> AsyncIterator[World]:
    api = KubernetesAPI(admission=ADMISSION.get(document["kind"], []))
    api.add(document)
    if document["kind"] == "InferenceService":
        api.after_write = [KServeController(api).step, KServeController(api).step]
    async with api.serving():
        yield World(make(place(api, directory / "token")), lambda: api.writes)


@contextlib.asynccontextmanager
async def sagemaker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with Endpoint().serving(monkeypatch) as endpoint:
        settings = SageMakerSettings(endpoint="clicks", region=REGION, versions=SLOTS, url=endpoint.url)
        yield World(SageMakerTarget(settings), lambda: len(endpoint.orders))


REVISIONS = {"v1": "clicks-predictor-00001", "v2": "clicks-predictor-00002"}
BACKENDS = {"v1": "clicks-stable", "v2": "clicks-canary"}
PREDICTORS = {"v1": "stable", "v2": "v2"}
KUBERNETES: dict[str, tuple[Callable[[], Object], Callable[[dict[str, Any]], Target]]] = {
    "istio": (virtual_service, lambda k: IstioTarget(IstioSettings(**k, versions=SLOTS))),
    "gateway_api": (http_route, lambda k: GatewayAPITarget(GatewayAPISettings(**k, versions=BACKENDS))),
    "kserve knative": (
        knative_service,
        lambda k: KServeTarget(KServeSettings(**k, versions=REVISIONS, mode="knative")),
    ),
    "kserve standard": (
        standard_service,
        lambda k: KServeTarget(KServeSettings(**k, versions=PREDICTORS, mode="standard")),
    ),
}


@pytest.fixture(params=[*KUBERNETES, "sagemaker"])
async def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    if request.param == "sagemaker":
        async with sagemaker(monkeypatch) as made:
            yield made
        return
    document, make = KUBERNETES[request.param]
    async with kubernetes(tmp_path, document(), make) as made:
        yield made


async def test_what_is_set_is_what_is_seen_and_once_is_as_good_as_twice(world: World) -> None:
    target, seen = world.target, await world.target.observe()
    assert target.weighted
    assert seen == FOUND
    for count, desired in enumerate([*STEPS, STEPS[0], FOUND], start=1):
        assert isinstance(seen, State)
        for _ in range(2):
            await target.apply(desired, Guard(f"a{count}", seen))
            await target.complete(desired, Guard(f"a{count}", seen))
        seen = await target.observe()
        assert seen == desired
        assert world.writes() == count


async def test_a_third_state_belongs_to_another_writer(world: World) -> None:
    for act in (world.target.apply, world.target.rehearse):
        with pytest.raises(ConflictError):
            await act(STEPS[-1], Guard("a1", STEPS[2]))
    assert world.writes() == 0
    assert await world.target.observe() == FOUND


async def test_a_rehearsal_writes_nothing(world: World) -> None:
    for desired in STEPS:
        await world.target.rehearse(desired, Guard("a1", FOUND))
    assert world.writes() == 0
    assert await world.target.observe() == FOUND
    assert await world.target.owner() == ""
