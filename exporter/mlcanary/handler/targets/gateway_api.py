"""A Gateway API HTTPRoute: the weights of the backends of one rule.

Weights are proportions; a backend without one has 1. A total of 0 makes the gateway answer 500 or 503 to
everybody, and no admission refuses it, so it is refused here.

Source: Gateway API, `gateway.networking.k8s.io/v1` HTTPRoute, `HTTPBackendRef`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from mlcanary.handler.targets.kubernetes import (
    KubernetesObject,
    KubernetesSettings,
    Object,
    ObjectName,
    Resource,
    typed,
)
from mlcanary.handler.targets.named_weights import Destination, RoutingTarget

HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes")
RuleName = Annotated[str, msgspec.Meta(max_length=253)]


class GatewayAPISettings(KubernetesSettings, frozen=True, kw_only=True, tag_field="type", tag="gateway_api"):
    """`versions` maps a version to the name of its backend (a Service).

    `rule` names one of `spec.rules`, needed only if several have all the backends.
    """

    versions: dict[str, ObjectName]
    rule: RuleName = ""


class _Backend(msgspec.Struct):
    name: str
    weight: int | None = None


class _Rule(msgspec.Struct):
    name: str = ""
    backends: list[_Backend] = msgspec.field(name="backendRefs", default_factory=list)


class _Spec(msgspec.Struct):
    rules: list[_Rule] = msgspec.field(default_factory=list)


class _HTTPRoute(msgspec.Struct):
    spec: _Spec


class GatewayAPITarget(RoutingTarget):
    """See `contract.Target`."""

    weights_at = ("spec", "rules", "backendRefs", "weight")

    def __init__(self, settings: GatewayAPISettings) -> None:
        self._settings = settings
        super().__init__(KubernetesObject(settings, HTTP_ROUTES), settings.versions, settings.ignored_managers)

    def lists(self, found: Object) -> Sequence[Sequence[Destination]]:
        """One for each rule of the object that the configuration may mean."""
        rules = typed(found, _HTTPRoute, self._object.title).spec.rules
        return [
            [_destination(f"/spec/rules/{i}/backendRefs/{j}", entry) for j, entry in enumerate(rule.backends)]
            for i, rule in enumerate(rules)
            if self._settings.rule in ("", rule.name)
        ]


def _destination(pointer: str, entry: _Backend) -> Destination:
    weight = entry.weight if entry.weight is not None else 1
    return Destination(pointer, f"{pointer}/name", entry.name, weight, entry.weight is not None)
