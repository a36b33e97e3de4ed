"""Every kind of target. A new one is a file here, a row below and a test of the same name."""

from __future__ import annotations

from mlcanary.handler.targets.command import CommandSettings, CommandTarget
from mlcanary.handler.targets.contract import Target
from mlcanary.handler.targets.file import FileSettings, FileTarget
from mlcanary.handler.targets.haproxy import HAProxySettings, HAProxyTarget
from mlcanary.handler.targets.http import HTTPSettings, HTTPTarget
from mlcanary.handler.targets.mlflow import MLflowSettings, MLflowTarget
from mlcanary.handler.targets.nginx import NginxSettings, NginxTarget

TargetKind = HAProxySettings | NginxSettings | FileSettings | MLflowSettings | HTTPSettings | CommandSettings
"""The `target:` section: which kind, by its key `type`."""

KINDS: dict[str, type[Target]] = {
    "haproxy": HAProxyTarget,
    "nginx": NginxTarget,
    "file": FileTarget,
    "mlflow": MLflowTarget,
    "http": HTTPTarget,
    "command": CommandTarget,
}


def create(settings: TargetKind) -> Target:
    """The target that a section describes. Touches nothing yet."""
    match settings:
        case HAProxySettings():
            return HAProxyTarget(settings)
        case NginxSettings():
            return NginxTarget(settings)
        case FileSettings():
            return FileTarget(settings)
        case MLflowSettings():
            return MLflowTarget(settings)
        case HTTPSettings():
            return HTTPTarget(settings)
        case CommandSettings():
            return CommandTarget(settings)
