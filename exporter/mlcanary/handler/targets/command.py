"""A command: an argument list, never a shell, with an empty environment and the order as JSON on stdin.

The command gets `{"action_id", "desired", "expected"}`, both states as `{version: weight}`, and the
environment `MLCANARY_ACTION_ID` alone. It must cope with the same action id twice. `observe` is a second
argument list that prints `{"weights": {version: weight}}`; without it the target is unobservable.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Annotated

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE
from mlcanary.handler.targets.contract import Guard, RefusedError, State, Unobservable, check_guard

Argv = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
Versions = Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
Weight = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_MAX_OUTPUT = 65536


class CommandSettings(Schema, frozen=True, tag_field="type", tag="command"):
    """`argv[0]` is an absolute path, as there is no PATH to search. `weighted`: it can set any split."""

    argv: Argv
    versions: Versions
    observe: Argv | None = None
    weighted: bool = False
    timeout: Seconds = Seconds(30.0)


class _Observation(msgspec.Struct):
    weights: dict[str, Weight]


class CommandTarget:
    """See `contract.Target`."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self.weighted = settings.weighted

    async def observe(self) -> State | Unobservable:
        """What the second command prints."""
        argv = self._settings.observe
        if argv is None:
            return Unobservable("configure observe")
        output = await self._run(argv, b"", "")
        try:
            weights = msgspec.json.decode(output, type=_Observation).weights
        except UNREADABLE as error:
            raise ActionError(f"{argv[0]}: its output is no observation: {error}") from error
        if set(weights) != set(self._settings.versions):
            raise ActionError(f"{argv[0]}: weights of {sorted(weights)}, not of {sorted(self._settings.versions)}")
        return State.of(weights)

    async def apply(self, desired: State, guard: Guard) -> None:
        """Run the command; any exit status but 0 is an error."""
        observed = await self.observe()
        if isinstance(observed, State) and not check_guard(observed, desired, guard):
            return
        order = {
            "action_id": guard.action_id,
            "desired": dict(desired.weights),
            "expected": dict(guard.expected.weights) if guard.expected else None,
        }
        await self._run(self._settings.argv, msgspec.json.encode(order), guard.action_id)

    async def complete(self, desired: State, guard: Guard) -> None:
        """The command is all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Whether the guard holds and the program is there to be run."""
        observed = await self.observe()
        program = self._settings.argv[0]
        pending = not isinstance(observed, State) or check_guard(observed, desired, guard)
        if pending and not os.access(program, os.X_OK):
            raise RefusedError(f"{program}: cannot be run")

    async def owner(self) -> str:
        """Nobody can be told."""
        return ""

    async def _run(self, argv: tuple[str, ...], stdin: bytes, action_id: str) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={"MLCANARY_ACTION_ID": action_id} if action_id else {},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise RefusedError(f"{argv[0]}: cannot be started: {error}") from error
        try:
            async with asyncio.timeout(self._settings.timeout):
                output, complaint = await process.communicate(stdin)
        except TimeoutError as error:
            raise ActionError(f"{argv[0]}: still running after {self._settings.timeout:g} s, ended") from error
        finally:
            await _end(process)
        if process.returncode != 0:
            said = complaint[-300:].decode("utf-8", "replace").strip()
            raise ActionError(f"{argv[0]}: exit status {process.returncode}: {said}")
        if len(output) > _MAX_OUTPUT:
            raise ActionError(f"{argv[0]}: more than {_MAX_OUTPUT} bytes of output")
        return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that is still running, with its whole group, and reap it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
