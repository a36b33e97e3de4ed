"""MLflow: the alias of a registered model, over the REST API of the tracking server.

Hazards: the API has no compare-and-set, so another writer between our look and our write is not seen. A server
drops an alias with the version that it names, and answers as if it had never been. `mlflow models serve` reads an
alias once, at its start: without `reload` the servers must look for themselves.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE, Access, HTTPRefusedError, call
from mlcanary.handler.targets.contract import Guard, RefusedError, State, check_guard
from mlcanary.handler.targets.reload import Reload

TrackingUrl = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$")]
Alias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,255}$")]
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[^/:\0]{1,256}$")]
Username = Annotated[str, msgspec.Meta(pattern=r"^[^:\0-\x1f]{0,256}$")]
VersionNumber = Annotated[int, msgspec.Meta(ge=1)]
_API = "/api/2.0/mlflow"
_READY = "READY"


class MLflowSettings(Schema, frozen=True, tag_field="type", tag="mlflow"):
    """`versions` maps a version to its number in the registry; `name` is the registered model.

    `bearer_token_file`, or `username` and `password_file`, let us in.
    """

    tracking_url: TrackingUrl
    name: ModelName
    versions: dict[str, VersionNumber]
    alias: Alias = "champion"
    reload: Reload | None = None
    bearer_token_file: str = ""
    username: Username = ""
    password_file: str = ""
    ca_file: str = ""
    timeout: Seconds = Seconds(10.0)


class _Version(msgspec.Struct):
    version: str
    status: str = _READY


class _Answer(msgspec.Struct):
    model_version: _Version


class _Complaint(msgspec.Struct):
    message: str = ""


class MLflowTarget:
    """See `contract.Target`."""

    weighted = False

    def __init__(self, settings: MLflowSettings) -> None:
        self._settings = settings
        self._access = Access(
            settings.timeout,
            settings.bearer_token_file,
            settings.ca_file,
            settings.username,
            settings.password_file,
        )

    async def observe(self) -> State:
        """The version that the alias names."""
        settings = self._settings
        query = {"name": settings.name, "alias": settings.alias}
        hint = f"a server drops an alias with its version; give {settings.alias} to a version by hand"
        found = await self._ask("GET", f"/registered-models/alias?{urlencode(query)}", hint=hint)
        for version, number in settings.versions.items():
            if found.version == str(number):
                return State.only(version, settings.versions)
        raise ActionError(
            f"alias {settings.alias} of {settings.name} names version {found.version[:40]!r}, which is not configured",
            hint="check versions of the target",
        )

    async def apply(self, desired: State, guard: Guard) -> None:
        """Give the alias to a version that is there and ready, look, then reload."""
        if check_guard(await self.observe(), desired, guard):
            number = await self._ready(desired)
            order = {"name": self._settings.name, "alias": self._settings.alias, "version": str(number)}
            await self._send("POST", "/registered-models/alias", msgspec.json.encode(order))
            seen = await self.observe()
            if seen != desired:
                raise ActionError(f"MLflow took the order, and the alias is at {seen.to_json()}")
        await self.complete(desired, guard)

    async def complete(self, desired: State, guard: Guard) -> None:
        """Reload: harmless when repeated."""
        if self._settings.reload is not None:
            await self._settings.reload.order(guard.action_id, self._settings.timeout)

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Whether the guard holds and the version is there and ready; the server has no dry run."""
        if check_guard(await self.observe(), desired, guard):
            await self._ready(desired)

    async def owner(self) -> str:
        """Nobody can be told: the registry names no writer of an alias."""
        return ""

    async def _ready(self, desired: State) -> int:
        """The number of the version that shall serve. Raises RefusedError if it is deleted or not ready."""
        serving = [version for version, weight in desired.weights if weight > 0]
        if len(serving) != 1 or serving[0] not in self._settings.versions:
            raise RefusedError(f"{desired.to_json()}: an alias names exactly one of the configured versions")
        number = self._settings.versions[serving[0]]
        query = {"name": self._settings.name, "version": number}
        hint = "a deleted version cannot serve"
        found = await self._ask("GET", f"/model-versions/get?{urlencode(query)}", hint=hint)
        if found.status != _READY:
            raise RefusedError(f"version {number} of {self._settings.name} is {found.status[:40]}, not {_READY}")
        return number

    async def _ask(self, method: str, path: str, *, hint: str) -> _Version:
        answer = await self._send(method, path, hint=hint)
        try:
            return msgspec.json.decode(answer, type=_Answer).model_version
        except UNREADABLE as error:
            raise ActionError(f"{self._settings.tracking_url}: no answer of MLflow: {error}") from error

    async def _send(self, method: str, path: str, body: bytes = b"", *, hint: str = "") -> bytes:
        """The answer. What MLflow complains about is told, cut to 200 characters."""
        url = self._settings.tracking_url.rstrip("/") + _API + path
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            return await call(method, url, self._access, body=body, headers=headers)
        except HTTPRefusedError as error:
            try:
                said = msgspec.json.decode(error.body, type=_Complaint).message
            except UNREADABLE:
                raise error from None
            raise RefusedError(f"MLflow answered HTTP {error.status}: {said[:200]!r}", hint=hint) from error
