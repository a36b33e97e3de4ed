"""Every kind of target is registered, created, documented and tested under its own name."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from mlcanary.handler.targets import registry
from mlcanary.handler.targets.argo_rollouts import ArgoRolloutsSettings
from mlcanary.handler.targets.command import CommandSettings
from mlcanary.handler.targets.contract import State
from mlcanary.handler.targets.deployment import DeploymentSettings
from mlcanary.handler.targets.external import ExternalSettings
from mlcanary.handler.targets.file import FileSettings
from mlcanary.handler.targets.gateway_api import GatewayAPISettings
from mlcanary.handler.targets.haproxy import HAProxySettings
from mlcanary.handler.targets.http import HTTPSettings
from mlcanary.handler.targets.istio import IstioSettings
from mlcanary.handler.targets.kserve import KServeSettings
from mlcanary.handler.targets.mlflow import MLflowSettings
from mlcanary.handler.targets.nginx import NginxSettings
from mlcanary.handler.targets.sagemaker import SageMakerSettings

BOTH = {"v1": "a", "v2": "b"}
EXAMPLES: list[registry.TargetKind] = [
    HAProxySettings(socket="/run/s", backend="b", servers=BOTH),
    NginxSettings(include="/etc/nginx/split.conf", key="$remote_addr", versions={"v1": "a", "v2": "b"}),
    FileSettings(path="/srv/current", values=BOTH),
    MLflowSettings(tracking_url="http://127.0.0.1:5000", name="clicks", versions={"v1": 1, "v2": 2}),
    HTTPSettings(url="http://127.0.0.1/x", versions=BOTH),
    CommandSettings(argv=("/bin/true",), versions=("v1", "v2")),
    DeploymentSettings(name="clicks", namespace="models", versions=BOTH),
    ArgoRolloutsSettings(name="clicks", namespace="models", versions=BOTH),
    IstioSettings(name="clicks", namespace="models", versions=BOTH),
    GatewayAPISettings(name="clicks", namespace="models", versions=BOTH),
    KServeSettings(name="clicks", namespace="models", versions=BOTH, mode="knative"),
    SageMakerSettings(endpoint="clicks", region="eu-central-1", versions=BOTH),
    ExternalSettings(versions=("v1", "v2")),
]


def test_the_examples_are_all_kinds() -> None:
    assert {type(example) for example in EXAMPLES} == set(get_args(registry.TargetKind))


@pytest.mark.parametrize("settings", EXAMPLES, ids=lambda s: str(s.__struct_config__.tag))
def test_each_kind_is_created_from_its_section(settings: registry.TargetKind) -> None:
    tag = str(settings.__struct_config__.tag)
    created = registry.create(settings)
    assert type(created) is registry.KINDS[tag]
    assert tuple(settings.versions) == ("v1", "v2")
    assert (Path(__file__).parent / f"test_{tag}.py").exists()
    assert type(created).__module__.endswith(f".{tag}")


def test_only_routers_split_the_traffic() -> None:
    weighted = {settings.__struct_config__.tag: registry.create(settings).weighted for settings in EXAMPLES}
    routers = {"haproxy", "nginx", "istio", "gateway_api", "kserve", "sagemaker"}
    assert {tag for tag, splits in weighted.items() if splits} == routers


def test_a_split_is_reached_when_nobody_is_half_a_percent_off() -> None:
    desired = State.split("v2", 0.05, "v1", ("v1", "v2", "v3"))
    assert desired.reached_by(desired)
    assert desired.reached_by(State.of({"v1": 243, "v2": 13}))
    assert not desired.reached_by(State.of({"v1": 94, "v2": 6, "v3": 0}))
    assert not desired.reached_by(State.of({"v1": 9_499, "v2": 500, "v3": 1}))
    assert not desired.reached_by(State.of({"v1": 100, "v2": 0, "v3": 0}))
    assert desired.fulfilled_by(State.of({"v1": 1, "v2": 1}))
    assert not State.of({"v1": 100, "v2": 0}).reached_by(State.of({"v1": 0, "v2": 0}))
    assert State.split("v2", 1.0, "v1", ("v1", "v2")) == State.of({"v1": 0, "v2": 100})


def test_moving_traffic_keeps_the_others_and_never_ends_at_zero() -> None:
    state = State.of({"v1": 60, "v2": 30, "v3": 10})
    assert state.moved("v2", "v1") == State.of({"v1": 90, "v2": 0, "v3": 10})
    assert State.of({"v1": 0, "v2": 100}).moved("v2", "v1") == State.of({"v1": 100, "v2": 0})
    assert State.of({"v1": 200, "v2": 200}).moved("v2", "v1").weight("v1") == 256
    assert state.share("v2") == pytest.approx(0.3)
    assert State.from_json(state.to_json()) == state
