"""Every kind of target. A new one is a file here, a row below and a test of the same name."""

from __future__ import annotations

from typing import Any

from mlcanary.handler.targets.argo_rollouts import ArgoRolloutsSettings, ArgoRolloutsTarget
from mlcanary.handler.targets.command import CommandSettings, CommandTarget
from mlcanary.handler.targets.contract import Target
from mlcanary.handler.targets.deployment import DeploymentSettings, DeploymentTarget
from mlcanary.handler.targets.external import ExternalSettings, ExternalTarget
from mlcanary.handler.targets.file import FileSettings, FileTarget
from mlcanary.handler.targets.gateway_api import GatewayAPISettings, GatewayAPITarget
from mlcanary.handler.targets.haproxy import HAProxySettings, HAProxyTarget
from mlcanary.handler.targets.http import HTTPSettings, HTTPTarget
from mlcanary.handler.targets.istio import IstioSettings, IstioTarget
from mlcanary.handler.targets.kserve import KServeSettings, KServeTarget
from mlcanary.handler.targets.mlflow import MLflowSettings, MLflowTarget
from mlcanary.handler.targets.nginx import NginxSettings, NginxTarget
from mlcanary.handler.targets.sagemaker import SageMakerSettings, SageMakerTarget

TargetKind = (
    HAProxySettings
    | NginxSettings
    | FileSettings
    | MLflowSettings
    | HTTPSettings
    | CommandSettings
    | DeploymentSettings
    | ArgoRolloutsSettings
    | IstioSettings
    | GatewayAPISettings
    | KServeSettings
    | SageMakerSettings
    | ExternalSettings
)
"""The `target:` section: which kind, by its key `type`."""

KINDS: dict[str, type[Any]] = {
    "haproxy": HAProxyTarget,
    "nginx": NginxTarget,
    "file": FileTarget,
    "mlflow": MLflowTarget,
    "http": HTTPTarget,
    "command": CommandTarget,
    "deployment": DeploymentTarget,
    "argo_rollouts": ArgoRolloutsTarget,
    "istio": IstioTarget,
    "gateway_api": GatewayAPITarget,
    "kserve": KServeTarget,
    "sagemaker": SageMakerTarget,
    "external": ExternalTarget,
}


def create(settings: TargetKind) -> Target:
    """The target that a section describes. Touches nothing yet."""
    created: Target = KINDS[str(settings.__struct_config__.tag)](settings)
    return created
