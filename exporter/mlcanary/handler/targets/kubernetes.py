"""One object of the Kubernetes API: read it, change it only as it was read, rehearse the change on the server.

Nothing but HTTP: GET, JSON patches that name the `resourceVersion` they were made for, and merge patches of a
status, each as field manager `mlcanary`; `?dryRun=All` makes the server do all but the last step. Inside a
cluster the token and the authority are those of the pod's service account, read at each call, as they rotate.

Hazard: a 4xx answer changed nothing, a 5xx or a silence may have. Some older servers answer 500 to a failed `test`.

Source: Kubernetes API concepts ("Resource versions", "Dry-run"), RFC 6902 (JSON patch), RFC 7386 (merge patch).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE, Access, HTTPRefusedError, call, pointed
from mlcanary.handler.targets.contract import RefusedError, State
from mlcanary.handler.targets.http import Url

IN_CLUSTER = "https://kubernetes.default.svc"
_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
FIELD_MANAGER = "mlcanary"
ObjectName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Manager = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
Object = dict[str, Any]
Operation = dict[str, object]
Plan = Callable[[Object], Awaitable[list[Operation]]]
T = TypeVar("T")

_JSON_PATCH, _MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
_STALE = (409, 422)
_ATTEMPTS = 3
_PEOPLE = ("kubectl", "helm", "Helm", "Terraform")
_CONTROLLERS = re.compile(r"(?:^|[.-])(?:argo-rollouts|rollouts?)\.argoproj\.io/|(?:^|\.)flagger\.app/")
_MANAGED_BY = "app.kubernetes.io/managed-by"


class KubernetesSettings(Schema, frozen=True, kw_only=True):
    """Where the object is. `server`, `bearer_token_file` and `ca_file` are those of the pod unless given.

    With another `server` there is no token and the system's authorities unless given. A change may take
    `settle` to show. `ignored_managers` are field managers that may own what this target writes.
    """

    name: ObjectName
    namespace: ObjectName
    server: Url = IN_CLUSTER
    bearer_token_file: str | None = None
    ca_file: str | None = None
    timeout: Seconds = Seconds(5.0)
    settle: Seconds = Seconds(30.0)
    ignored_managers: tuple[Manager, ...] = ()

    def access(self) -> Access:
        """How the server is reached."""
        inside = self.server == IN_CLUSTER
        token = self.bearer_token_file if self.bearer_token_file is not None else f"{_ACCOUNT}/token" * inside
        authority = self.ca_file if self.ca_file is not None else f"{_ACCOUNT}/ca.crt" * inside
        return Access(self.timeout, token, authority)


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as the API's paths name it."""

    group: str
    version: str
    plural: str


class KubernetesObject:
    """One object. Every method raises ActionError; RefusedError only if nothing was changed."""

    def __init__(self, settings: KubernetesSettings, resource: Resource) -> None:
        self.title = f"{resource.plural} {settings.namespace}/{settings.name}"
        self._settings = settings
        self._resource = resource
        self._access = settings.access()

    async def read(self) -> Object:
        """The object as it is now."""
        return await self._call("GET", self._url(self._resource, self._settings.name))

    async def listed(self, resource: Resource, labels: Mapping[str, str]) -> list[Object]:
        """Objects of another kind in the same namespace that carry all of `labels`."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        found = await self._call("GET", self._url(resource, query={"labelSelector": selector}))
        return typed(found, _List, resource.plural).items

    async def change(self, plan: Plan, *, dry_run: bool = False) -> None:
        """Send what `plan` makes of the object, unless that is nothing; plan again if somebody wrote in between."""
        for left in reversed(range(_ATTEMPTS)):
            found = await self.read()
            operations = await plan(found)
            if not operations:
                return
            version = pointed(found, "/metadata/resourceVersion")
            test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
            try:
                await self._patch(_JSON_PATCH, [test, *operations], dry_run=dry_run)
            except HTTPRefusedError as refusal:
                if refusal.status not in _STALE or left == 0:
                    raise
                if pointed(await self.read(), "/metadata/resourceVersion") == version:
                    raise
            else:
                return

    async def merge_status(self, status: Mapping[str, object], *, dry_run: bool = False) -> None:
        """Merge `status`: into the subresource, or where there is none (404) into the object."""
        try:
            await self._patch(_MERGE_PATCH, {"status": status}, dry_run=dry_run, subresource="status")
        except HTTPRefusedError as refusal:
            if refusal.status != 404:
                raise
            await self._patch(_MERGE_PATCH, {"status": status}, dry_run=dry_run)

    async def _patch(self, kind: str, body: object, *, dry_run: bool, subresource: str = "") -> None:
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        url = self._url(self._resource, self._settings.name, subresource, query=query)
        await self._call("PATCH", url, msgspec.json.encode(body), kind)

    def _url(self, resource: Resource, *rest: str, query: Mapping[str, str] | None = None) -> str:
        parts = ("apis", resource.group, resource.version, "namespaces", self._settings.namespace, resource.plural)
        path = "/".join(quote(part, safe="") for part in (*parts, *rest) if part)
        return f"{self._settings.server.rstrip('/')}/{path}" + (f"?{urlencode(query)}" if query else "")

    async def _call(self, method: str, url: str, body: bytes = b"", kind: str = "") -> Object:
        headers = {"Accept": "application/json"} | ({"Content-Type": kind} if kind else {})
        try:
            answer = await call(method, url, self._access, body=body, headers=headers)
        except HTTPRefusedError as refusal:
            text = f"{refusal}: {_message(refusal.body)}"
            raise HTTPRefusedError(text, refusal.status, refusal.body) from refusal
        try:
            return msgspec.json.decode(answer, type=Object)
        except UNREADABLE as error:
            raise ActionError(f"{method} {url}: not an object of the API: {error}") from error


class _List(msgspec.Struct):
    items: list[Object]


def typed(document: object, kind: type[T], title: str) -> T:
    """`document` as a struct of the fields that are used. Raises ActionError."""
    try:
        return msgspec.convert(document, kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ActionError(f"{title}: unexpected form: {error}") from error


def sole(desired: State) -> str:
    """The one version that serves in `desired`. Raises RefusedError if there is none, or more than one."""
    serving = [version for version, weight in desired.weights if weight > 0]
    if len(serving) != 1:
        raise RefusedError(
            f"{desired.to_json()} is not one version alone", hint="this target serves one version at a time"
        )
    return serving[0]


def require_traffic(desired: State) -> None:
    """Raise RefusedError if nobody would serve: routers answer 503 then, and some refuse it."""
    if desired.total == 0:
        raise RefusedError("all weights would be 0: nobody would serve")


def foreign_writer(found: Object, paths: Iterable[Sequence[str]], ignored: Sequence[str], *, marks: bool = True) -> str:
    """Another controller that writes the fields at `paths`, "" if none is seen.

    Told by a controlling owner, by what Argo Rollouts and Flagger leave in labels and annotations (`marks`), and
    by the field managers. Tools of people (kubectl, Helm, Terraform) write once, at a person's word: no controllers.
    """
    for owner in _dicts(pointed(found, "/metadata/ownerReferences")):
        if owner.get("controller") is True:
            return f"{owner.get('kind')}/{owner.get('name')}"
    for place in ("labels", "annotations") if marks else ():
        values = pointed(found, f"/metadata/{place}")
        for key, value in values.items() if isinstance(values, dict) else ():
            if _CONTROLLERS.search(key) or (key == _MANAGED_BY and value in ("flagger", "argo-rollouts")):
                return f"{key}: {value}"
    for entry in _dicts(pointed(found, "/metadata/managedFields")):
        manager = str(entry.get("manager", ""))
        known = manager == FIELD_MANAGER or manager in ignored or manager.startswith(_PEOPLE)
        if not known and any(_holds(entry.get("fieldsV1"), path) for path in paths):
            return f"field manager {manager}"
    return ""


def _holds(fields: object, path: Sequence[str]) -> bool:
    """Whether a set of fields holds what lies at `path`; lists by key or index on the way are looked into."""
    if not isinstance(fields, dict):
        return False
    if not path or not fields:  # a list or a map that is owned as a whole has no names below it
        return True
    inner = [value for key, value in fields.items() if key.startswith(("k:", "i:", "v:"))]
    if inner:
        return any(_holds(value, path) for value in inner)
    return f"f:{path[0]}" in fields and _holds(fields[f"f:{path[0]}"], path[1:])


def _dicts(value: object) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _message(body: bytes) -> str:
    """What the API says about a refusal, one line."""
    try:
        said = pointed(msgspec.json.decode(body), "/message")
    except UNREADABLE:
        said = None
    text = said if isinstance(said, str) else body[:300].decode("utf-8", "replace")
    return " ".join(text.split())[:300]
