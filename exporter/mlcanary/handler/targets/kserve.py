"""A KServe InferenceService: the share of its canary, in both deployment modes.

`knative` (Serverless): `canaryTrafficPercent` is the share of the newest revision; KServe gives the rest to the
revision that last had everything. `standard` (KServe 0.20 or newer): each entry of `spec.canary` has its share,
the stable predictor gets the rest, and a canary without a ready pod gets nothing whatever its share.

Hazard: the field of one mode does nothing in the other, or is refused; so the mode of the object is checked.

Source: KServe at aaac4e29 (2026-08-21): `reconcilers/knative/ksvc_reconciler.go`, `components/predictor.go`,
`inference_service_validation.go`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from mlcanary.documents import Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import Guard, RefusedError, State, check_guard
from mlcanary.handler.targets.kubernetes import (
    KubernetesObject,
    KubernetesSettings,
    Object,
    ObjectName,
    Operation,
    Resource,
    foreign_writer,
    require_traffic,
    typed,
)

INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices")
_MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
_MODES = {"Serverless": "knative", "Knative": "knative", "RawDeployment": "standard", "Standard": "standard"}
UNNAMED = "stable"


class KServeSettings(KubernetesSettings, frozen=True, kw_only=True, tag_field="type", tag="kserve"):
    """`versions` maps a version to its revision (`knative`), or to its predictor's `name` (`standard`).

    A stable predictor without a name is called `stable`.
    """

    versions: dict[str, ObjectName]
    mode: Literal["knative", "standard"]
    settle: Seconds = Seconds(300.0)


class _Predictor(msgspec.Struct):
    name: str = ""
    percent: int | None = msgspec.field(name="canaryTrafficPercent", default=None)


class _Canary(msgspec.Struct):
    predictor: _Predictor
    percent: int | None = msgspec.field(name="trafficPercent", default=None)


class _Spec(msgspec.Struct):
    predictor: _Predictor
    canary: list[_Canary] = msgspec.field(default_factory=list)


class _Traffic(msgspec.Struct):
    revision: str = msgspec.field(name="revisionName", default="")
    percent: int = 0


class _Component(msgspec.Struct):
    latest_ready: str = msgspec.field(name="latestReadyRevision", default="")
    latest_created: str = msgspec.field(name="latestCreatedRevision", default="")
    latest_rolled_out: str = msgspec.field(name="latestRolledoutRevision", default="")
    previous_rolled_out: str = msgspec.field(name="previousRolledoutRevision", default="")
    traffic: list[_Traffic] = msgspec.field(default_factory=list)


class _CanaryStatus(msgspec.Struct):
    name: str
    ready: bool = False
    percent: int = msgspec.field(name="trafficPercent", default=0)


class _Status(msgspec.Struct):
    components: dict[str, _Component] = msgspec.field(default_factory=dict)
    canaries: list[_CanaryStatus] = msgspec.field(name="canaryStatuses", default_factory=list)
    mode: str = msgspec.field(name="deploymentMode", default="")


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class _InferenceService(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


class KServeTarget:
    """See `contract.Target`. Weights are percents; desired ones are rounded to whole percents of their total."""

    weighted = True

    def __init__(self, settings: KServeSettings) -> None:
        self._settings = settings
        self._object = KubernetesObject(settings, INFERENCE_SERVICES)

    async def observe(self) -> State:
        """The shares in `status`: what KServe routes, not what `spec` asks for."""
        return self._state(await self._object.read())

    async def apply(self, desired: State, guard: Guard) -> None:
        """Set the shares in one patch."""
        await self._change(desired, guard, dry_run=False)

    async def complete(self, desired: State, guard: Guard) -> None:
        """The patch is all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """The same patch as a dry run of the server, admission included."""
        await self._change(desired, guard, dry_run=True)

    async def owner(self) -> str:
        """A controller that owns the share of the canary."""
        paths = [("spec", "predictor", "canaryTrafficPercent"), ("spec", "canary")]
        return foreign_writer(await self._object.read(), paths, self._settings.ignored_managers)

    async def _change(self, desired: State, guard: Guard, *, dry_run: bool) -> None:
        async def plan(found: Object) -> list[Operation]:
            if not check_guard(self._state(found), desired, guard):
                return []
            require_traffic(desired)
            service = typed(found, _InferenceService, self._object.title)
            return (
                self._knative(service, desired)
                if self._settings.mode == "knative"
                else _standard(service, {self._settings.versions[v]: _percent(desired, v) for v, _ in desired.weights})
            )

        await self._object.change(plan, dry_run=dry_run)

    def _state(self, found: Object) -> State:
        service = typed(found, _InferenceService, self._object.title)
        told = service.metadata.annotations.get(_MODE_ANNOTATION) or service.status.mode
        if told and _MODES.get(told) != self._settings.mode:
            raise RefusedError(f"{self._object.title} is in mode {told}", hint="set mode of the target accordingly")
        if self._settings.mode == "knative":
            shares: dict[str, int] = {}
            for entry in self._component(service).traffic:
                shares[entry.revision] = shares.get(entry.revision, 0) + entry.percent
        else:
            shares = {canary.name: canary.percent * canary.ready for canary in service.status.canaries}
            shares[service.spec.predictor.name or UNNAMED] = 100 - sum(shares.values())
        names = set(self._settings.versions.values())
        if strangers := sorted(name for name, share in shares.items() if share > 0 and name not in names):
            raise ActionError(
                f"{self._object.title}: {', '.join(strangers)} serves and is no configured version",
                hint="check versions of the target: they name revisions (knative) or predictors (standard)",
            )
        return State.of({version: shares.get(name, 0) for version, name in self._settings.versions.items()})

    def _knative(self, service: _InferenceService, desired: State) -> list[Operation]:
        component = self._component(service)
        latest = component.latest_ready
        rest = component.latest_rolled_out
        if rest == latest:
            rest = component.previous_rolled_out
        named = {self._settings.versions[version]: version for version, _ in desired.weights}
        serving = {self._settings.versions[version] for version, weight in desired.weights if weight > 0}
        if latest != component.latest_created or latest not in named or not serving <= {latest, rest}:
            raise RefusedError(
                f"{self._object.title}: the newest revision is {component.latest_created}, ready {latest}, "
                f"the one before {rest or 'none'}: KServe cannot split between {', '.join(sorted(serving))}",
                hint="check versions of the target, or apply the good model again",
            )
        value = _percent(desired, named[latest])
        if service.spec.predictor.percent == value:
            return []
        return [{"op": "add", "path": "/spec/predictor/canaryTrafficPercent", "value": value}]

    def _component(self, service: _InferenceService) -> _Component:
        component = service.status.components.get("predictor")
        if component is None or not component.traffic:
            raise ActionError(f"{self._object.title}: its status names no traffic yet")
        return component


def _percent(desired: State, version: str) -> int:
    return round(100 * desired.share(version))


def _standard(service: _InferenceService, percents: dict[str, int]) -> list[Operation]:
    """One share per canary; the stable predictor has the rest by itself."""
    stable = service.spec.predictor.name or UNNAMED
    places = {canary.predictor.name: (i, canary.percent) for i, canary in enumerate(service.spec.canary)}
    missing = [name for name, percent in percents.items() if percent > 0 and name != stable and name not in places]
    if missing or stable not in percents:
        found = ", ".join((stable, *places))
        raise RefusedError(f"found predictors {found}, not {', '.join(percents)}", hint="check versions of the target")
    operations: list[Operation] = []
    for name, (i, before) in places.items():
        if before != percents.get(name, 0):
            operations += [
                {"op": "test", "path": f"/spec/canary/{i}/predictor/name", "value": name},
                {"op": "add", "path": f"/spec/canary/{i}/trafficPercent", "value": percents.get(name, 0)},
            ]
    return operations
