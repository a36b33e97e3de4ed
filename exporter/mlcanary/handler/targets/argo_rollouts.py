"""An Argo Rollout: abort a canary, or promote it in full. Argo owns the weights; this target never sets them.

Abort leaves the bad template in `spec`: a Rollout that leaves the aborted state goes on to it. With `revert: true`
the template of the good version is put back too, from its ReplicaSet; only so can a version come back that is
neither the stable one nor the canary. Without, that is refused.

Source: Argo Rollouts, `kubectl argo rollouts abort`, `promote --full` and `undo` (the patches are the same).
"""

from __future__ import annotations

import asyncio

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
from mlcanary.handler.targets.replica_sets import By, named_in, owned, ready, require_ours, template_of, version_of

ROLLOUTS = Resource("argoproj.io", "v1alpha1", "rollouts")
_HASH_LABEL = "rollouts-pod-template-hash"
_LOOK = 0.2


class ArgoRolloutsSettings(KubernetesSettings, frozen=True, kw_only=True, tag_field="type", tag="argo_rollouts"):
    """`versions` and `by` as for a Deployment. `revert`: put the good template back into `spec` as well."""

    versions: dict[str, str]
    by: By = "image"
    revert: bool = False
    settle: Seconds = Seconds(300.0)


class _Weight(msgspec.Struct):
    weight: int = 0


class _Weights(msgspec.Struct):
    canary: _Weight
    stable: _Weight


class _Canary(msgspec.Struct):
    weights: _Weights | None = None


class _BlueGreen(msgspec.Struct, rename="camel"):
    active_selector: str = ""


class _Status(msgspec.Struct):
    current: str = msgspec.field(name="currentPodHash", default="")
    stable: str = msgspec.field(name="stableRS", default="")
    abort: bool = False
    phase: str = ""
    canary: _Canary = msgspec.field(default_factory=_Canary)
    blue_green: _BlueGreen = msgspec.field(name="blueGreen", default_factory=_BlueGreen)


class _Rollout(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


class ArgoRolloutsTarget:
    """See `contract.Target`. What follows an abort is not refused but unknown: the abort has been done by then."""

    weighted = False

    def __init__(self, settings: ArgoRolloutsSettings) -> None:
        self._settings = settings
        self._object = KubernetesObject(settings, ROLLOUTS)

    async def observe(self) -> State:
        """The weights that Argo tells; without a traffic router, weight 1 for each version with ready pods."""
        found = await self._object.read()
        return self._state(found, await owned(self._object, found))

    async def apply(self, desired: State, guard: Guard) -> None:
        """Abort, promote, or put an older template back, wait until Argo has taken it up, and promote it."""
        active = sole(desired)
        ordered = await self._order(active, guard, dry_run=False)
        try:
            changed = await self._put_back(active, dry_run=False)
        except RefusedError as error:
            if not ordered:
                raise
            raise ActionError(f"aborted, but the template stays: {error}", hint=error.hint) from error
        if changed and not ordered:
            await self._promote_once_taken_up(active)

    async def complete(self, desired: State, guard: Guard) -> None:
        """Put the template back, if that is configured and was cut off."""
        await self._put_back(sole(desired), dry_run=False)

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """The same patches as dry runs of the server."""
        active = sole(desired)
        await self._order(active, guard, dry_run=True)
        await self._put_back(active, dry_run=True)

    async def owner(self) -> str:
        """A controller that writes the template (Argo CD, Flux). Argo Rollouts itself is no stranger here."""
        paths = (("spec", "template"),)
        found = await self._object.read()
        return foreign_writer(found, paths, self._settings.ignored_managers, marks=False)

    async def _order(self, active: str, guard: Guard, *, dry_run: bool) -> bool:
        """Order Argo to make `active` serve. False if only its template can, or if that is ordered already."""
        found = await self._object.read()
        sets = await owned(self._object, found)
        status = typed(found, _Rollout, self._object.title).status
        seen = self._state(found, sets)
        require_ours([version for version, weight in seen.weights if weight > 0], active, guard)
        if active == self._of(status.stable, sets):
            if status.abort or status.current == status.stable:
                return False
            await self._object.merge_status({"abort": True}, dry_run=dry_run)
            return True
        if active != self._of(status.current, sets):
            if self._settings.revert:
                return False
            hint = "set revert: true to bring older versions back by their template"
            raise RefusedError(f"{self._object.title}: {active} is neither stable nor canary", hint=hint)
        if status.abort:
            hint = "kubectl argo rollouts retry"
            raise RefusedError(f"{self._object.title} is aborted: {active} cannot be promoted", hint=hint)
        await self._object.merge_status({"promoteFull": True}, dry_run=dry_run)
        return True

    async def _put_back(self, active: str, *, dry_run: bool) -> bool:
        """Make `spec.template` that of `active`, if configured. Gives whether it was another one."""
        if not self._settings.revert:
            return False
        changed = False

        async def plan(found: Object) -> list[Operation]:
            nonlocal changed
            value = self._settings.versions[active]
            if pointed(found, "/spec/workloadRef") is not None:
                raise RefusedError(f"{self._object.title} takes its template from a workloadRef", hint="revert: false")
            if named_in(pointed(found, "/spec/template"), self._settings.by) == value:
                return []
            sets = await owned(self._object, found)
            holding = [s for s in sets if named_in(pointed(s, "/spec/template"), self._settings.by) == value]
            if not holding:
                raise RefusedError(f"{self._object.title}: no ReplicaSet with {value} is left")
            changed = True
            return [{"op": "replace", "path": "/spec/template", "value": template_of(holding[0], _HASH_LABEL)}]

        await self._object.change(plan, dry_run=dry_run)
        return changed

    async def _promote_once_taken_up(self, active: str) -> None:
        """Argo forgets a promotion that comes before it has seen the new template."""
        deadline = asyncio.get_running_loop().time() + self._settings.timeout
        while asyncio.get_running_loop().time() < deadline:
            found = await self._object.read()
            status = typed(found, _Rollout, self._object.title).status
            if self._of(status.current, await owned(self._object, found)) == active:
                if status.current != status.stable:
                    await self._merge_after(active)
                return
            await asyncio.sleep(_LOOK)
        raise ActionError(f"{self._object.title}: the template of {active} is back, Argo has not taken it up yet")

    async def _merge_after(self, active: str) -> None:
        try:
            await self._object.merge_status({"promoteFull": True})
        except RefusedError as error:
            raise ActionError(
                f"the template of {active} is back, but not promoted: {error}", hint=error.hint
            ) from error

    def _state(self, found: Object, sets: list[Object]) -> State:
        status = typed(found, _Rollout, self._object.title).status
        stable = self._known(self._of(status.stable, sets), "stableRS")
        zero = dict.fromkeys(self._settings.versions, 0)
        if status.blue_green.active_selector:
            active = self._known(self._of(status.blue_green.active_selector, sets), "activeSelector")
            return State.of(zero | {active: 1})
        if status.current == status.stable:
            return State.of(zero | {stable: 1})
        current = self._known(self._of(status.current, sets), "currentPodHash")
        if status.canary.weights is not None:
            weights = status.canary.weights
            return State.of(zero | {stable: weights.stable.weight, current: weights.canary.weight})
        return State.of(zero | {self._version(s): 1 for s in sets if ready(s) > 0})

    def _of(self, pod_hash: str, sets: list[Object]) -> str:
        """The version of a pod template hash, "" if no ReplicaSet has it."""
        for replica_set in sets:
            labels = pointed(replica_set, "/metadata/labels")
            if pod_hash and isinstance(labels, dict) and labels.get(_HASH_LABEL) == pod_hash:
                return self._version(replica_set)
        return ""

    def _known(self, version: str, field: str) -> str:
        if not version:
            raise ActionError(f"{self._object.title}: no ReplicaSet is that of status {field}")
        return version

    def _version(self, found: Object) -> str:
        return version_of(found, self._settings.by, self._settings.versions, self._object.title)
