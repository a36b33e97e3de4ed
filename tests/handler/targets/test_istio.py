"""The Istio target: where the weights are, who else writes them, and what Istio refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubernetes_api import KubernetesAPI, Object
from kubernetes_objects import istio_admission, place, virtual_service
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State
from mlcanary.handler.targets.istio import IstioSettings, IstioTarget

VERSIONS = {"v1": "stable", "v2": "canary"}
NOW, DESIRED = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})
GUARD = Guard("a1", NOW)


@pytest.fixture
async def api() -> AsyncIterator[KubernetesAPI]:
    served = KubernetesAPI(admission=[istio_admission])
    served.add(virtual_service())
    async with served.serving():
        yield served


@pytest.fixture
def target(api: KubernetesAPI, tmp_path: Path) -> IstioTarget:
    return IstioTarget(IstioSettings(**place(api, tmp_path / "token"), versions=VERSIONS))


async def test_both_weights_are_one_patch_that_tests_what_it_was_made_for(
    api: KubernetesAPI, target: IstioTarget
) -> None:
    await target.apply(DESIRED, GUARD)
    (patch,) = api.patches
    route = "/spec/http/1/route"
    assert patch.body == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "test", "path": f"{route}/0/destination/subset", "value": "stable"},
        {"op": "replace", "path": f"{route}/0/weight", "value": 100},
        {"op": "test", "path": f"{route}/1/destination/subset", "value": "canary"},
        {"op": "replace", "path": f"{route}/1/weight", "value": 0},
    ]
    assert patch.query == {"fieldManager": "mlcanary"}
    assert api.one("VirtualService")["spec"]["http"][0] == virtual_service()["spec"]["http"][0]


async def test_a_route_that_moved_in_between_is_found_again(api: KubernetesAPI, target: IstioTarget) -> None:
    def moved() -> None:
        api.touch("VirtualService", lambda v: v["spec"]["http"].insert(0, {"name": "new", "route": []}))

    api.before_patch = [moved]
    await target.apply(DESIRED, GUARD)
    assert [route["weight"] for route in api.one("VirtualService")["spec"]["http"][2]["route"]] == [100, 0]


async def test_weights_that_another_writer_set_in_between_are_left_alone(
    api: KubernetesAPI, target: IstioTarget
) -> None:
    split = api.one("VirtualService")["spec"]["http"][1]["route"]
    api.before_patch = [lambda: api.touch("VirtualService", lambda _: split[0].update(weight=70))]
    with pytest.raises(ConflictError, match='"v1":70'):
        await target.apply(DESIRED, GUARD)
    assert api.writes == 0


async def test_an_endless_race_ends_as_a_refusal(api: KubernetesAPI, target: IstioTarget) -> None:
    def noted() -> None:
        api.touch("VirtualService", lambda v: v["metadata"].update(labels={}))

    api.faults, api.before_read = [409, 409, 409], [noted]
    with pytest.raises(RefusedError, match="HTTP 409: the server says no"):
        await target.apply(DESIRED, GUARD)
    assert len(api.patches) == 3


async def test_a_total_of_nothing_is_refused_here_and_there(api: KubernetesAPI, target: IstioTarget) -> None:
    nothing = State.of({"v1": 0, "v2": 0})
    with pytest.raises(RefusedError, match="nobody would serve"):
        await target.apply(nothing, GUARD)
    assert api.patches == []
    api.touch("VirtualService", lambda v: v["spec"]["http"][1]["route"][0].update(weight=0))
    found = State.of({"v1": 0, "v2": 10})
    api.admission = [lambda _: "configuration is invalid: total destination weight = 0"]
    with pytest.raises(RefusedError, match=r"denied the request: configuration is invalid: total .* = 0"):
        await target.apply(DESIRED, Guard("a1", found))


async def test_a_destination_without_a_weight_has_none(api: KubernetesAPI, target: IstioTarget) -> None:
    del api.one("VirtualService")["spec"]["http"][1]["route"][1]["weight"]
    assert await target.observe() == State.of({"v1": 90, "v2": 0})
    await target.apply(NOW, Guard("a1", State.of({"v1": 90, "v2": 0})))
    assert api.patches[0].body[-1] == {"op": "add", "path": "/spec/http/1/route/1/weight", "value": 10}


async def test_hosts_tell_destinations_without_subsets(api: KubernetesAPI, tmp_path: Path) -> None:
    hosts = {"v1": "clicks-stable", "v2": "clicks-canary"}
    routes = [{"destination": {"host": host}, "weight": 50} for host in hosts.values()]
    api.touch("VirtualService", lambda v: v["spec"]["http"][1].update(route=routes))
    target = IstioTarget(IstioSettings(**place(api, tmp_path / "token"), versions=hosts))
    assert await target.observe() == State.of({"v1": 50, "v2": 50})


async def test_a_route_must_be_the_only_one_or_named(api: KubernetesAPI, tmp_path: Path) -> None:
    twice = {**virtual_service()["spec"]["http"][1], "name": "other"}
    api.touch("VirtualService", lambda v: v["spec"]["http"].append(twice))
    keys = {**place(api, tmp_path / "token"), "versions": VERSIONS}
    with pytest.raises(ActionError, match="2 lists have all of canary, stable"):
        await IstioTarget(IstioSettings(**keys)).observe()
    assert await IstioTarget(IstioSettings(**keys, route="other")).observe() == NOW
    with pytest.raises(ActionError, match="0 lists"):
        await IstioTarget(IstioSettings(**keys, route="none")).observe()


async def test_traffic_of_a_destination_that_is_no_version_is_told(api: KubernetesAPI, target: IstioTarget) -> None:
    stranger = {"destination": {"host": "clicks", "subset": "v0"}, "weight": 5}
    api.touch("VirtualService", lambda v: v["spec"]["http"][1]["route"].append(stranger))
    with pytest.raises(ActionError, match="found v0 beside canary, stable"):
        await target.observe()
    stranger["weight"] = 0
    assert await target.observe() == NOW


WEIGHTS: Object = {"f:spec": {"f:http": {}}}
OWNERS = [
    ({"managedFields": [{"manager": "kubectl-edit", "fieldsV1": WEIGHTS}]}, ""),
    ({"managedFields": [{"manager": "mlcanary", "fieldsV1": WEIGHTS}]}, ""),
    ({"managedFields": [{"manager": "rollouts-controller", "fieldsV1": {"f:status": {}}}]}, ""),
    ({"managedFields": [{"manager": "rollouts-controller", "fieldsV1": WEIGHTS}]}, "field manager rollouts-controller"),
    ({"managedFields": [{"manager": "known", "fieldsV1": WEIGHTS}]}, ""),
    (
        {"managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {"f:http": {"k:{}": {"f:route": {}}}}}}]},
        "field manager x",
    ),
    ({"managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {"f:http": {"k:{}": {"f:match": {}}}}}}]}, ""),
    ({"managedFields": "broken"}, ""),
    ({"ownerReferences": [{"kind": "Canary", "name": "clicks", "controller": True}]}, "Canary/clicks"),
    ({"ownerReferences": [{"kind": "Canary", "name": "clicks"}]}, ""),
    (
        {"annotations": {"argo-rollouts.argoproj.io/managed-by-rollouts": "clicks"}},
        "argo-rollouts.argoproj.io/managed-by-rollouts: clicks",
    ),
    ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, ""),
    ({"labels": {"app.kubernetes.io/managed-by": "flagger"}}, "app.kubernetes.io/managed-by: flagger"),
    ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, ""),
]


@pytest.mark.parametrize(("metadata", "expected"), OWNERS)
async def test_who_else_writes_the_weights_is_told(
    api: KubernetesAPI, tmp_path: Path, metadata: dict[str, object], expected: str
) -> None:
    api.one("VirtualService")["metadata"].update(metadata)
    keys = place(api, tmp_path / "token", ignored_managers=("known",))
    assert await IstioTarget(IstioSettings(**keys, versions=VERSIONS)).owner() == expected


async def test_a_form_that_is_not_istios_is_an_error_of_the_target(api: KubernetesAPI, target: IstioTarget) -> None:
    for broken in ({"http": "x"}, {"http": [{"route": [{"destination": {"host": "a"}, "weight": "ten"}]}]}, None):
        api.one("VirtualService")["spec"] = broken
        with pytest.raises(ActionError, match="unexpected form"):
            await target.observe()
