"""A small Kubernetes API server: what the handler's targets and kubectl ask of one, and what can go wrong there.

Kept as the real one does it: `resourceVersion` and `generation`, JSON and merge patches, the status subresource
(a patch of the object leaves `status` alone and the reverse), dry runs, admission, errors as `Status` objects.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from loopback_server import loopback

Object = dict[str, Any]
TOKEN = "a-service-account-token-of-the-tests"
NAMESPACE = "models"
REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    422: "Invalid",
    500: "InternalError",
    503: "ServiceUnavailable",
}
PLURALS = {
    "Deployment": "deployments",
    "ReplicaSet": "replicasets",
    "Rollout": "rollouts",
    "VirtualService": "virtualservices",
    "HTTPRoute": "httproutes",
    "InferenceService": "inferenceservices",
}


class PatchError(Exception):
    """A JSON patch that cannot be applied."""


@dataclass(frozen=True)
class Patch:
    """One PATCH as it came in."""

    path: str
    kind: str
    body: Any
    query: dict[str, str]


@dataclass
class KubernetesAPI:
    """Objects by path. `faults` are for the next patches, one each: a status, `lie`, `cut`, `cut after` or `hang`.

    An empty `token` lets everybody in: over plain HTTP, kubectl sends none.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    faults: list[int | str] = field(default_factory=list)
    admission: list[Callable[[Object], str]] = field(default_factory=list)
    after_write: list[Callable[[], None]] = field(default_factory=list)
    before_read: list[Callable[[], None]] = field(default_factory=list)
    before_patch: list[Callable[[], None]] = field(default_factory=list)
    status_subresource: bool = True
    read_status: int = 200
    patches: list[Patch] = field(default_factory=list)
    used: set[tuple[str, str, str, str]] = field(default_factory=set)
    writes: int = 0
    token: str = TOKEN
    url: str = ""

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[KubernetesAPI]:
        """Answer for the length of the block."""
        async with loopback(web.route("*", "/{path:.*}", self._answer)) as self.url:
            yield self

    def add(self, *documents: Object) -> None:
        """Create objects."""
        for document in documents:
            metadata = document["metadata"]
            metadata.update({"namespace": NAMESPACE, "resourceVersion": "1", "generation": 1})
            plural = PLURALS[document["kind"]]
            path = f"/apis/{document['apiVersion']}/namespaces/{NAMESPACE}/{plural}/{metadata['name']}"
            self.objects[path] = document

    def one(self, kind: str) -> Object:
        """The only object of a kind."""
        (found,) = self.all(kind)
        return found

    def all(self, kind: str) -> list[Object]:
        """The objects of a kind."""
        return [document for document in self.objects.values() if document["kind"] == kind]

    def touch(self, kind: str, change: Callable[[Object], object]) -> None:
        """Another writer changes the only object of a kind."""
        document = self.one(kind)
        before = copy.deepcopy(document)
        change(document)
        _count_up(before, document)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _failure(401, "Unauthorized")
        if request.path in DISCOVERY:
            return web.json_response(DISCOVERY[request.path])
        if request.method == "GET":
            return self._get(request)
        return await self._patched(request)

    def _note(self, verb: str, path: str) -> None:
        _, _, group, _, _, _, plural, *rest = path.split("/")
        name = rest[0] if rest else ""
        self.used.add((verb, group, "/".join([plural, *rest[1:]]), name))

    def _get(self, request: web.Request) -> web.Response:
        if self.read_status != 200:
            return _failure(self.read_status, "the server says no")
        for happens in self.before_read:
            happens()
        found = self.objects.get(request.path)
        if found is not None:
            self._note("get", request.path)
            return web.json_response(found)
        below = [o for p, o in self.objects.items() if p.rpartition("/")[0] == request.path]
        if not below:
            return _failure(404, f"{request.path} not found")
        self._note("list", request.path)
        wanted = dict(part.split("=", 1) for part in request.query.get("labelSelector", "").split(",") if part)
        items = [o for o in below if wanted.items() <= o["metadata"].get("labels", {}).items()]
        return web.json_response(
            {"kind": f"{below[0]['kind']}List", "apiVersion": below[0]["apiVersion"], "metadata": {}, "items": items}
        )

    async def _patched(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        kind = request.headers["Content-Type"].partition(";")[0]
        self.patches.append(Patch(request.path, kind, body, dict(request.query)))
        fault = self.faults.pop(0) if self.faults else None
        while self.before_patch:
            self.before_patch.pop(0)()
        if isinstance(fault, int):
            return _failure(fault, "the server says no")
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "cut":
            return _cut(request)
        path = request.path.removesuffix("/status")
        is_status = path != request.path
        found = self.objects.get(path)
        if found is None or (is_status and not self.status_subresource):
            return _failure(404, f"{request.path} not found")
        self._note("patch", request.path)
        dry = request.query.get("dryRun") == "All" or fault == "lie"
        answer = self._apply(path, found, body, kind, is_status=is_status, dry=dry)
        return _cut(request) if fault == "cut after" else answer

    def _apply(self, path: str, found: Object, body: Any, kind: str, *, is_status: bool, dry: bool) -> web.Response:
        changed = copy.deepcopy(found)
        try:
            changed = json_patched(changed, body) if kind == "application/json-patch+json" else merged(changed, body)
        except PatchError:
            return _failure(422, "the server rejected our request due to an error in our request")
        if changed["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            return _failure(409, "the object has been modified; please apply your changes to the latest version")
        if self.status_subresource:
            kept = ("spec", "metadata") if is_status else ("status",)
            changed |= {key: copy.deepcopy(found[key]) for key in kept if key in found}
        for admit in self.admission:
            if denial := admit(changed):
                return _failure(403, f'admission webhook "validation.tests" denied the request: {denial}')
        if not dry and changed != found:
            _count_up(found, changed)
            self.objects[path] = changed
            self.writes += 1
            for happens in self.after_write:
                happens()
        return web.json_response(changed)


def _count_up(before: Object, after: Object) -> None:
    after["metadata"]["resourceVersion"] = str(int(before["metadata"]["resourceVersion"]) + 1)
    if before.get("spec") != after.get("spec"):
        after["metadata"]["generation"] = before["metadata"]["generation"] + 1


def _failure(code: int, message: str) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return web.json_response({**status, "message": message, "reason": REASONS[code], "code": code}, status=code)


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch applied. Source: RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def json_patched(document: Object, operations: list[Object]) -> Object:
    """A JSON patch applied: test, add, replace. Raises PatchError. Source: RFC 6902."""
    for operation in operations:
        *steps, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        place: Any = document
        try:
            for step in steps:
                place = place[int(step)] if isinstance(place, list) else place[step]
            key: Any = int(last) if isinstance(place, list) else last
            there = key in place if isinstance(place, dict) else key < len(place)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PatchError(operation["path"]) from error
        match operation["op"]:
            case "test" if not there or place[key] != operation["value"]:
                raise PatchError(operation["path"])
            case "replace" if not there:
                raise PatchError(operation["path"])
            case "add" if isinstance(place, list):
                place.insert(key, operation["value"])
            case "add" | "replace":
                place[key] = operation["value"]
    return document


def _resource(plural: str, kind: str, *verbs: str) -> Object:
    return {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": list(verbs)}


_VERSION = {"groupVersion": "apps/v1", "version": "v1"}
DISCOVERY: dict[str, Object] = {
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "apps", "versions": [_VERSION], "preferredVersion": _VERSION}],
    },
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis/apps/v1": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "apps/v1",
        "resources": [
            _resource("deployments", "Deployment", "get", "list", "patch"),
            _resource("replicasets", "ReplicaSet", "get", "list"),
        ],
    },
}
