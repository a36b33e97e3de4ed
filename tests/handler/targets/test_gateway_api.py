"""The Gateway API target: where the weights are and what a gateway would do without them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kubernetes_api import KubernetesAPI, Object
from kubernetes_objects import http_route, place
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import Guard, RefusedError, State
from mlcanary.handler.targets.gateway_api import GatewayAPISettings, GatewayAPITarget

VERSIONS = {"v1": "clicks-stable", "v2": "clicks-canary"}
NOW, DESIRED = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})
GUARD = Guard("a1", NOW)


@pytest.fixture
async def api() -> AsyncIterator[KubernetesAPI]:
    served = KubernetesAPI()
    served.add(http_route())
    async with served.serving():
        yield served


@pytest.fixture
def target(api: KubernetesAPI, tmp_path: Path) -> GatewayAPITarget:
    return GatewayAPITarget(GatewayAPISettings(**place(api, tmp_path / "token"), versions=VERSIONS))


async def test_the_weights_are_one_patch_at_the_names_of_the_backends(
    api: KubernetesAPI, target: GatewayAPITarget
) -> None:
    await target.apply(DESIRED, GUARD)
    backends = "/spec/rules/0/backendRefs"
    assert api.patches[0].body[1:] == [
        {"op": "test", "path": f"{backends}/0/name", "value": "clicks-stable"},
        {"op": "replace", "path": f"{backends}/0/weight", "value": 100},
        {"op": "test", "path": f"{backends}/1/name", "value": "clicks-canary"},
        {"op": "replace", "path": f"{backends}/1/weight", "value": 0},
    ]


async def test_a_backend_without_a_weight_has_one(api: KubernetesAPI, target: GatewayAPITarget) -> None:
    for backend in api.one("HTTPRoute")["spec"]["rules"][0]["backendRefs"]:
        del backend["weight"]
    found = State.of({"v1": 1, "v2": 1})
    assert await target.observe() == found
    await target.apply(found.moved("v2", "v1"), Guard("a1", found))
    assert await target.observe() == State.of({"v1": 2, "v2": 0})
    assert [operation["op"] for operation in api.patches[0].body] == ["test", "test", "add", "test", "add"]


async def test_nothing_for_everybody_is_refused_as_no_admission_does(
    api: KubernetesAPI, target: GatewayAPITarget
) -> None:
    for act in (target.apply, target.rehearse):
        with pytest.raises(RefusedError, match="nobody would serve"):
            await act(State.of({"v1": 0, "v2": 0}), GUARD)
    assert api.patches == []


async def test_a_rule_can_be_named(api: KubernetesAPI, tmp_path: Path) -> None:
    twice = {"name": "grpc", "backendRefs": http_route(50, 50)["spec"]["rules"][0]["backendRefs"]}
    api.touch("HTTPRoute", lambda r: r["spec"]["rules"].append(twice))
    keys = {**place(api, tmp_path / "token"), "versions": VERSIONS}
    with pytest.raises(ActionError, match="2 lists have all of clicks-canary, clicks-stable"):
        await GatewayAPITarget(GatewayAPISettings(**keys)).observe()
    named = GatewayAPITarget(GatewayAPISettings(**keys, rule="grpc"))
    assert await named.observe() == State.of({"v1": 50, "v2": 50})


async def test_a_backend_that_comes_twice_is_told(api: KubernetesAPI, target: GatewayAPITarget) -> None:
    again = {"name": "clicks-canary", "port": 81, "weight": 0}
    api.touch("HTTPRoute", lambda r: r["spec"]["rules"][0]["backendRefs"].append(again))
    with pytest.raises(ActionError, match="found a name twice"):
        await target.observe()


async def test_the_plugin_of_argo_rollouts_is_told(api: KubernetesAPI, target: GatewayAPITarget) -> None:
    assert await target.owner() == ""
    api.one("HTTPRoute")["metadata"]["labels"] = {"rollouts.argoproj.io/gatewayapi-canary": "in-progress"}
    assert await target.owner() == "rollouts.argoproj.io/gatewayapi-canary: in-progress"
    fields: Object = {"f:spec": {"f:rules": {}}}
    api.one("HTTPRoute")["metadata"] |= {"labels": {}, "managedFields": [{"manager": "flagger", "fieldsV1": fields}]}
    assert await target.owner() == "field manager flagger"
