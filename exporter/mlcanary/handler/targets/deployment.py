"""A Kubernetes Deployment: roll back to the pod template of the ReplicaSet that still holds the good version.

The same patch as `kubectl rollout undo --to-revision`, with a `test` that nobody wrote in between. It names the
version, not "the one before": undo twice would lead back to the bad one.

What is observed is who serves: a version has weight 1 while pods of it are ready. So during a rollout both have,
and the old one alone at its start. A rollout that has no pods of the old version left is over when all replicas
are updated and available; until then nothing can be said, which is an ActionError.

Source: kubectl's rollback of deployments; Kubernetes documentation, "Deployment status".
"""

from __future__ import annotations

import msgspec

from mlcanary.documents import Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import pointed
from mlcanary.handler.targets.contract import Guard, RefusedError, State
from mlcanary.handler.targets.kubernetes import (
    KubernetesObject,
    KubernetesSettings,
    Object,
    Operation,
    Resource,
    foreign_writer,
    sole,
    typed,
)
from mlcanary.handler.targets.replica_sets import (
    By,
    named_in,
    owned,
    ready,
    require_ours,
    serving,
    template_of,
    version_of,
)

DEPLOYMENTS = Resource("apps", "v1", "deployments")
_HASH_LABEL = "pod-template-hash"
_KEPT = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
)
_UNDER_WAY = ("NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated", "DeploymentResumed")


class DeploymentSettings(KubernetesSettings, frozen=True, kw_only=True, tag_field="type", tag="deployment"):
    """`versions` maps a version to what the pod template holds at `by`: the image, a label or an annotation."""

    versions: dict[str, str]
    by: By = "image"
    settle: Seconds = Seconds(600.0)


class _Condition(msgspec.Struct):
    type: str
    reason: str = ""


class _Status(msgspec.Struct, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    conditions: list[_Condition] = msgspec.field(default_factory=list)


class _Spec(msgspec.Struct):
    replicas: int = 1
    paused: bool = False


class _Metadata(msgspec.Struct):
    generation: int = 0
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class _Deployment(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)

    def rolling(self) -> bool:
        """Whether a rollout is under way. One that is stuck, or whose pods crash later, is not."""
        status = self.status
        if status.observed_generation < self.metadata.generation:
            return True
        counts = {self.spec.replicas, status.replicas, status.updated_replicas, status.available_replicas}
        reasons = [condition.reason for condition in status.conditions if condition.type == "Progressing"]
        return len(counts) > 1 and (not reasons or reasons[0] in _UNDER_WAY)


class DeploymentTarget:
    """See `contract.Target`."""

    weighted = False

    def __init__(self, settings: DeploymentSettings) -> None:
        self._settings = settings
        self._object = KubernetesObject(settings, DEPLOYMENTS)

    async def observe(self) -> State:
        """The versions that have ready pods."""
        found = await self._object.read()
        asked = self._version(found)
        served = self._served(await owned(self._object, found))
        if set(served) <= {asked} and typed(found, _Deployment, self._object.title).rolling():
            raise ActionError(f"{self._object.title}: the rollout to {asked} is under way")
        return serving(self._settings.versions, served)

    async def apply(self, desired: State, guard: Guard) -> None:
        """Ask for the template of the wanted version; nothing if it is asked for already."""
        await self._change(desired, guard, dry_run=False)

    async def complete(self, desired: State, guard: Guard) -> None:
        """The patch is all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """The same patch as a dry run of the server."""
        await self._change(desired, guard, dry_run=True)

    async def owner(self) -> str:
        """A controller that writes the pod template (Argo CD, Flux), or that made the Deployment (KServe, Flagger)."""
        paths = (("spec", "template"),)
        return foreign_writer(await self._object.read(), paths, self._settings.ignored_managers)

    async def _change(self, desired: State, guard: Guard, *, dry_run: bool) -> None:
        active = sole(desired)

        async def plan(found: Object) -> list[Operation]:
            asked = self._version(found)
            if asked == active:
                return []
            sets = await owned(self._object, found)
            require_ours([asked, *self._served(sets)], active, guard)
            return self._operations(found, sets, active)

        await self._object.change(plan, dry_run=dry_run)

    def _operations(self, found: Object, sets: list[Object], active: str) -> list[Operation]:
        deployment = typed(found, _Deployment, self._object.title)
        if deployment.spec.paused:
            raise RefusedError(f"{self._object.title} is paused", hint="kubectl rollout resume")
        by, value = self._settings.by, self._settings.versions[active]
        holding = [s for s in sets if self._value(s) == value]
        if not holding:
            raise RefusedError(
                f"{self._object.title}: no ReplicaSet with {by} {value} is left",
                hint="revisionHistoryLimit prunes old ones; deploy the version again by hand",
            )
        there = pointed(holding[0], "/metadata/annotations")
        brought = {str(k): str(v) for k, v in there.items()} if isinstance(there, dict) else {}
        kept = {k: v for k, v in deployment.metadata.annotations.items() if k in _KEPT}
        annotations = kept | {k: v for k, v in brought.items() if k not in _KEPT}
        return [
            {"op": "replace", "path": "/spec/template", "value": template_of(holding[0], _HASH_LABEL)},
            {"op": "replace", "path": "/metadata/annotations", "value": annotations},
        ]

    def _version(self, found: Object) -> str:
        return version_of(found, self._settings.by, self._settings.versions, self._object.title)

    def _value(self, replica_set: Object) -> str:
        return named_in(pointed(replica_set, "/spec/template"), self._settings.by)

    def _served(self, sets: list[Object]) -> list[str]:
        return [self._version(s) for s in sets if ready(s) > 0]
