"""An Istio VirtualService: the weights of the destinations of one HTTP route.

Weights are proportions, not percents; Istio's admission refuses a total of 0. A destination is told by its
subset, or without one by its host. Other tools write the same weights (Argo Rollouts, Flagger): see `owner`.

Source: Istio, `networking.istio.io/v1` VirtualService, `HTTPRouteDestination`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from mlcanary.handler.targets.kubernetes import (
    KubernetesObject,
    KubernetesSettings,
    Object,
    Resource,
    typed,
)
from mlcanary.handler.targets.named_weights import Destination, RoutingTarget

VIRTUAL_SERVICES = Resource("networking.istio.io", "v1beta1", "virtualservices")
RouteName = Annotated[str, msgspec.Meta(max_length=253)]


class IstioSettings(KubernetesSettings, frozen=True, kw_only=True, tag_field="type", tag="istio"):
    """`versions` maps a version to the subset of its destination, or to the host if there are no subsets.

    `route` names one of `spec.http`, needed only if several have all the destinations.
    """

    versions: dict[str, str]
    route: RouteName = ""


class _To(msgspec.Struct):
    host: str
    subset: str = ""


class _Route(msgspec.Struct):
    destination: _To
    weight: int | None = None


class _HTTP(msgspec.Struct):
    name: str = ""
    route: list[_Route] = msgspec.field(default_factory=list)


class _Spec(msgspec.Struct):
    http: list[_HTTP] = msgspec.field(default_factory=list)


class _VirtualService(msgspec.Struct):
    spec: _Spec


class IstioTarget(RoutingTarget):
    """See `contract.Target`."""

    weights_at = ("spec", "http", "route", "weight")

    def __init__(self, settings: IstioSettings) -> None:
        self._settings = settings
        super().__init__(KubernetesObject(settings, VIRTUAL_SERVICES), settings.versions, settings.ignored_managers)

    def lists(self, found: Object) -> Sequence[Sequence[Destination]]:
        """One for each route of HTTP of the object that the configuration may mean."""
        routes = typed(found, _VirtualService, self._object.title).spec.http
        return [
            [_destination(f"/spec/http/{i}/route/{j}", entry, len(http.route)) for j, entry in enumerate(http.route)]
            for i, http in enumerate(routes)
            if self._settings.route in ("", http.name)
        ]


def _destination(pointer: str, entry: _Route, count: int) -> Destination:
    """An entry without a weight has none, unless it is alone."""
    field = "subset" if entry.destination.subset else "host"
    name = entry.destination.subset or entry.destination.host
    weight = entry.weight if entry.weight is not None else 100 * (count == 1)
    return Destination(pointer, f"{pointer}/destination/{field}", name, weight, entry.weight is not None)
