"""A command: an argument list, never a shell, with an empty environment and the order as JSON on stdin.

The command gets `{"action_id", "desired", "expected"}`, both states as `{version: weight}`, and the
environment `MLCANARY_ACTION_ID` alone. It must cope with the same action id twice. `observe` is a second
argument list that prints `{"weights": {version: weight}}`; without it the target is unobservable.
"""

from __future__ import annotations

import os
from typing import Annotated

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE
from mlcanary.handler.targets.contract import Guard, RefusedError, State, Unobservable, check_guard
from mlcanary.handler.targets.http import Weight
from mlcanary.handler.targets.processes import Argv, run

Versions = Annotated[tuple[str, ...], msgspec.Meta(min_length=2)]
_ACTION_ID = "MLCANARY_ACTION_ID"


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
        output = await run(argv, self._settings.timeout)
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
        environment = {_ACTION_ID: guard.action_id}
        stdin = msgspec.json.encode(order)
        await run(self._settings.argv, self._settings.timeout, stdin=stdin, environment=environment)

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
