"""The ReplicaSets of a Deployment or a Rollout: which version each one runs, and the template that brings it back."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from mlcanary.errors import ActionError
from mlcanary.handler.calls import pointed
from mlcanary.handler.targets.contract import ConflictError, Guard, State
from mlcanary.handler.targets.kubernetes import KubernetesObject, Object, Resource, typed

REPLICA_SETS = Resource("apps", "v1", "replicasets")
By = Annotated[str, msgspec.Meta(pattern=r"^(image(:[a-z0-9-]{1,63})?|(label|annotation):[A-Za-z0-9._/-]{1,317})$")]
"""Where a pod template names its version: `image` (of the first container, or `image:CONTAINER`), or a label or
annotation (`label:NAME`, `annotation:NAME`)."""


class _Status(msgspec.Struct, rename="camel"):
    ready_replicas: int = 0


class _ReplicaSet(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


def named_in(template: object, by: By) -> str:
    """What a pod template says of its version, "" if nothing."""
    kind, _, name = by.partition(":")
    if kind != "image":
        found = pointed(template, f"/metadata/{kind}s")
        return str(found.get(name, "")) if isinstance(found, dict) else ""
    containers = pointed(template, "/spec/containers")
    for container in containers if isinstance(containers, list) else ():
        if isinstance(container, dict) and name in ("", container.get("name")):
            return str(container.get("image", ""))
    return ""


def version_of(owner: Object, by: By, versions: Mapping[str, str], title: str) -> str:
    """The version of a Deployment, Rollout or ReplicaSet by its template. Raises ActionError if it is none."""
    named = named_in(pointed(owner, "/spec/template"), by)
    for version, value in versions.items():
        if value == named:
            return version
    raise ActionError(
        f"{title}: {by} {named[:200]!r} is no configured version", hint="check by and versions of the target"
    )


async def owned(workload: KubernetesObject, found: Object) -> list[Object]:
    """The ReplicaSets that the workload controls, newest revision first."""
    labels = pointed(found, "/spec/selector/matchLabels")
    uid = pointed(found, "/metadata/uid")
    if not isinstance(labels, dict) or not labels or not uid:
        raise ActionError(
            f"{workload.title}: has no selector by labels", hint="matchExpressions alone are not followed"
        )
    sets = await workload.listed(REPLICA_SETS, {str(key): str(value) for key, value in labels.items()})
    return sorted((s for s in sets if _controller(s) == uid), key=revision, reverse=True)


def _controller(found: Object) -> object:
    references = pointed(found, "/metadata/ownerReferences")
    for reference in references if isinstance(references, list) else ():
        if isinstance(reference, dict) and reference.get("controller") is True:
            return reference.get("uid")
    return None


def revision(replica_set: Object) -> int:
    """The revision that the controller gave a ReplicaSet, 0 if none."""
    annotations = pointed(replica_set, "/metadata/annotations")
    for key in ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision"):
        text = str(annotations.get(key, "")) if isinstance(annotations, dict) else ""
        if text.isascii() and text.isdigit():
            return int(text[:18])
    return 0


def ready(replica_set: Object) -> int:
    """Pods of a ReplicaSet that take traffic."""
    return typed(replica_set, _ReplicaSet, "replicasets").status.ready_replicas


def template_of(replica_set: Object, hash_label: str) -> Object:
    """The template without the label that the controller adds to it."""
    template = pointed(replica_set, "/spec/template")
    if not isinstance(template, dict):
        raise ActionError("replicasets: has no template")
    plain = copy.deepcopy(template)
    labels = pointed(plain, "/metadata/labels")
    if isinstance(labels, dict):
        labels.pop(hash_label, None)
    return plain


def require_ours(in_play: Sequence[str], active: str, guard: Guard) -> None:
    """Raise ConflictError if a version is in play that neither the plan nor the order knew.

    Weights are not compared: pods come and go during a rollout that is nobody's conflict.
    """
    if guard.expected is None:
        return
    known = {version for version, weight in guard.expected.weights if weight > 0} | {active}
    if strangers := sorted(set(in_play) - known):
        raise ConflictError(
            f"{', '.join(strangers)} serves, which {guard.expected.to_json()} does not expect",
            hint="another writer changed the target; decide by hand",
        )


def serving(versions: Mapping[str, str], served: Sequence[str]) -> State:
    """The state in which each of `served` has weight 1."""
    return State.of({version: int(version in served) for version in versions})
