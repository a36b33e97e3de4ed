"""Every kind of target. A new one is a file here, a row below and a test of the same name."""

from __future__ import annotations

from mlcanary.handler.targets.command import CommandSettings, CommandTarget
from mlcanary.handler.targets.contract import Target
from mlcanary.handler.targets.external import ExternalSettings, ExternalTarget
from mlcanary.handler.targets.file import FileSettings, FileTarget
from mlcanary.handler.targets.haproxy import HAProxySettings, HAProxyTarget
from mlcanary.handler.targets.http import HTTPSettings, HTTPTarget

TargetKind = HAProxySettings | FileSettings | HTTPSettings | CommandSettings | ExternalSettings
"""The `target:` section: which kind, by its key `type`."""

KINDS: dict[str, type[Target]] = {
    "haproxy": HAProxyTarget,
    "file": FileTarget,
    "http": HTTPTarget,
    "command": CommandTarget,
    "external": ExternalTarget,
}


def create(settings: TargetKind) -> Target:
    """The target that a section describes. Touches nothing yet."""
    match settings:
        case HAProxySettings():
            return HAProxyTarget(settings)
        case FileSettings():
            return FileTarget(settings)
        case HTTPSettings():
            return HTTPTarget(settings)
        case CommandSettings():
            return CommandTarget(settings)
        case ExternalSettings():
            return ExternalTarget(settings)
