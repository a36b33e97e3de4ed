"""A symbolic link or a JSON file that names the serving version, and the reload that makes it count.

The write is a temporary file beside it and a rename, so a reader sees the old or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE, pointed
from mlcanary.handler.targets.contract import Guard, RefusedError, State, check_guard
from mlcanary.handler.targets.reload import Reload

AbsolutePath = Annotated[str, msgspec.Meta(pattern=r"^/[^\0]+$")]
JSONKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]+$")]


class FileSettings(Schema, frozen=True, tag_field="type", tag="file"):
    """`values` maps a version to what the link points to, or to what the JSON file holds under `key`."""

    path: AbsolutePath
    values: dict[str, str]
    kind: Literal["symlink", "json"] = "symlink"
    key: JSONKey = "version"
    reload: Reload | None = None
    timeout: Seconds = Seconds(5.0)

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that the target can serve."""
        return tuple(self.values)


class FileTarget:
    """See `contract.Target`."""

    weighted = False

    def __init__(self, settings: FileSettings) -> None:
        self._settings = settings
        self._path = Path(settings.path)

    async def observe(self) -> State:
        """The version whose value the link or the file holds."""
        try:
            found = self._read()
        except (OSError, *UNREADABLE) as error:
            raise ActionError(f"{self._path}: cannot be read: {error}") from error
        for version, value in self._settings.values.items():
            if value == found:
                return State.only(version, self._settings.values)
        raise ActionError(
            f"{self._path}: {str(found)[:200]!r} is no configured value", hint="check values of the target"
        )

    async def apply(self, desired: State, guard: Guard) -> None:
        """Swap the link or the file in one rename, then reload."""
        if check_guard(await self.observe(), desired, guard):
            active = max(desired.weights, key=lambda pair: pair[1])[0]
            try:
                self._write(self._settings.values[active], guard.action_id)
            except (OSError, *UNREADABLE) as error:
                raise RefusedError(f"{self._path}: cannot be written: {error}") from error
        await self.complete(desired, guard)

    async def complete(self, desired: State, guard: Guard) -> None:
        """Reload: harmless when repeated."""
        if self._settings.reload is not None:
            await self._settings.reload.order(guard.action_id, self._settings.timeout)

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Whether the guard holds and the directory can be written."""
        if check_guard(await self.observe(), desired, guard) and not os.access(self._path.parent, os.W_OK):
            raise RefusedError(f"{self._path}: its directory cannot be written")

    async def owner(self) -> str:
        """Nobody can be told: a file names no writers."""
        return ""

    def _read(self) -> object:
        if self._settings.kind == "symlink":
            return os.readlink(self._path)
        return pointed(msgspec.json.decode(self._path.read_bytes()), f"/{self._settings.key}")

    def _write(self, value: str, action_id: str) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{action_id}")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # left by an attempt that was cut off
        if self._settings.kind == "symlink":
            temporary.symlink_to(value)
        else:
            document = msgspec.json.decode(self._path.read_bytes(), type=dict[str, object])
            document[self._settings.key] = value
            with temporary.open("xb") as file:
                file.write(msgspec.json.encode(document) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
