"""An Istio VirtualService: the weights of the destinations of one HTTP route.

Weights are proportions, not percents; Istio's admission refuses a total of 0. A destination is told by its
subset, or without one by its host. Other tools write the same weights (Argo Rollouts, Flagger): see `owner`.

Source: Istio, `networking.istio.io/v1` VirtualService, `HTTPRouteDestination`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from mlcanary.handler.targets.contract import Guard, State
from mlcanary.handler.targets.kubernetes import (
    KubernetesObject,
    KubernetesSettings,
    Object,
    Resource,
    foreign_writer,
    typed,
)
from mlcanary.handler.targets.named_weights import Destination, NamedWeights

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


class IstioTarget:
    """See `contract.Target`."""

    weighted = True

    def __init__(self, settings: IstioSettings) -> None:
        self._settings = settings
        self._object = KubernetesObject(settings, VIRTUAL_SERVICES)
        self._weights = NamedWeights(self._object, settings.versions, self._lists)

    async def observe(self) -> State:
        """The weights in the object. What Envoy does with them, only the traffic tells."""
        return await self._weights.observe()

    async def apply(self, desired: State, guard: Guard) -> None:
        """Set all weights in one patch."""
        await self._weights.change(desired, guard, dry_run=False)

    async def complete(self, desired: State, guard: Guard) -> None:
        """The patch is all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """The same patch as a dry run of the server, admission included."""
        await self._weights.change(desired, guard, dry_run=True)

    async def owner(self) -> str:
        """Argo Rollouts, Flagger, or a controller that owns the HTTP routes."""
        found = await self._object.read()
        return foreign_writer(found, [("spec", "http", "route", "weight")], self._settings.ignored_managers)

    def _lists(self, found: Object) -> Sequence[Sequence[Destination]]:
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
