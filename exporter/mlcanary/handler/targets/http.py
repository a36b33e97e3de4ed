"""An HTTP call: a fixed URL, a JSON body of allow-listed fields, and an optional read-back.

Without `read_back` the target is unobservable: an unanswered call is unknown and never repeated.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE, Access, call, pointed
from mlcanary.handler.targets.contract import Guard, State, Unobservable, check_guard

Url = Annotated[str, msgspec.Meta(pattern=r"^https?://[^/?#@\s]+(/[^#\s]*)?$")]
Pointer = Annotated[str, msgspec.Meta(pattern=r"^(/[^\s]*)?$")]
Field = Literal["action_id", "version", "weights"]
Weight = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class ReadBack(Schema, frozen=True):
    """GET `url`; at the JSON pointer `pointer` is the name of the serving version, or with `weights` {name: weight}."""

    url: Url
    pointer: Pointer = ""
    weights: bool = False


class HTTPSettings(Schema, frozen=True, tag_field="type", tag="http"):
    """`versions` maps a version to the name that the other side gives it; `fields` are sent as JSON, in these names.

    With `weights` among the fields and in the read-back any split can be set.
    """

    url: Url
    versions: dict[str, str]
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    fields: tuple[Field, ...] = ("version",)
    read_back: ReadBack | None = None
    bearer_token_file: str = ""
    ca_file: str = ""
    timeout: Seconds = Seconds(5.0)


class HTTPTarget:
    """See `contract.Target`. Every attempt of an action carries the same `Idempotency-Key`."""

    def __init__(self, settings: HTTPSettings) -> None:
        back = settings.read_back
        self.weighted = "weights" in settings.fields and back is not None and back.weights
        self._settings = settings
        self._access = Access(settings.timeout, settings.bearer_token_file, settings.ca_file)

    async def observe(self) -> State | Unobservable:
        """The version or the weights that the read-back names."""
        back = self._settings.read_back
        if back is None:
            return Unobservable("configure read_back")
        answer = await call("GET", back.url, self._access)
        try:
            named = pointed(msgspec.json.decode(answer), back.pointer)
        except UNREADABLE as error:
            raise ActionError(f"GET {back.url}: not JSON: {error}") from error
        if back.weights:
            return self._weights(named, back)
        for version, name in self._settings.versions.items():
            if named == name:
                return State.only(version, self._settings.versions)
        raise ActionError(
            f"GET {back.url}: {str(named)[:100]!r} at {back.pointer!r} is no configured version",
            hint="check pointer and versions of the target",
        )

    def _weights(self, named: object, back: ReadBack) -> State:
        """Exactly the configured names must have a weight: one more could be a version that gets traffic too."""
        try:
            weights = msgspec.convert(named, dict[str, Weight])
        except msgspec.ValidationError as error:
            raise ActionError(f"GET {back.url}: no weights at {back.pointer!r}: {error}") from error
        if set(weights) != set(self._settings.versions.values()):
            raise ActionError(
                f"GET {back.url}: weights of {sorted(weights)} at {back.pointer!r}",
                hint="check pointer and versions of the target",
            )
        return State.of({version: weights[name] for version, name in self._settings.versions.items()})

    async def apply(self, desired: State, guard: Guard) -> None:
        """One call; a target that can be read is read first."""
        observed = await self.observe()
        if isinstance(observed, State) and not check_guard(observed, desired, guard):
            return
        active = max(desired.weights, key=lambda pair: pair[1])[0]
        values: dict[Field, object] = {
            "action_id": guard.action_id,
            "version": self._settings.versions[active],
            "weights": {self._settings.versions[version]: weight for version, weight in desired.weights},
        }
        body = msgspec.json.encode({field: values[field] for field in self._settings.fields})
        headers = {"Content-Type": "application/json", "Idempotency-Key": guard.action_id}
        await call(self._settings.method, self._settings.url, self._access, body=body, headers=headers)

    async def complete(self, desired: State, guard: Guard) -> None:
        """One call is all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Whether the guard holds; the other side has no dry run."""
        observed = await self.observe()
        if isinstance(observed, State):
            check_guard(observed, desired, guard)

    async def owner(self) -> str:
        """Nobody can be told."""
        return ""
