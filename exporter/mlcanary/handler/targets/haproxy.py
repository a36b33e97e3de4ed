"""HAProxy over its runtime API: the weights of the servers of one backend.

Hazards: the runtime API answers errors as text and success as nothing; two zero weights answer every
request with 503; weights set at run time are lost at a reload, so the reconcile loop looks again. A server
of weight 0 still gets the sessions that stick to it by cookie: only the traffic tells, see `verification`. A
static algorithm (source, static-rr, uri, ...) allows a server no weight but 0 and its configured one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Annotated

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import Guard, RefusedError, State, check_guard

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Socket = Annotated[str, msgspec.Meta(pattern=r"^(/[^\0]+|[A-Za-z0-9.-]+:[0-9]{1,5})$")]
_WEIGHT = re.compile(r"([0-9]{1,4}) \(initial [0-9]{1,4}\)")
_CONFIGURED = "100%"
_STATIC = "static LB algorithm"
_MAX_ANSWER = 1024 * 1024
_RUNNING = "2"


class HAProxySettings(Schema, frozen=True, tag_field="type", tag="haproxy"):
    """`socket` is a path or HOST:PORT with level admin; `servers` maps a version to its server name."""

    socket: Socket
    backend: Name
    servers: dict[Name, Name]
    timeout: Seconds = Seconds(2.0)

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that the target can serve."""
        return tuple(self.servers)


class HAProxyTarget:
    """See `contract.Target`. One connection per call, as the runtime API closes it after each line."""

    weighted = True

    def __init__(self, settings: HAProxySettings) -> None:
        self._settings = settings

    async def observe(self) -> State:
        """Weights as `get weight` tells them."""
        versions = list(self._settings.servers)
        answer = await self._ask([f"get weight {self._server(version)}" for version in versions])
        lines = [line.strip() for line in answer.splitlines() if line.strip()]
        found = [_WEIGHT.fullmatch(line) for line in lines]
        if len(found) != len(versions) or None in found:
            raise ActionError(
                f"HAProxy answered {answer.strip()[:200]!r} to get weight",
                hint="check backend and servers of the target",
            )
        return State.of({v: int(m[1]) for v, m in zip(versions, found, strict=True) if m})

    async def apply(self, desired: State, guard: Guard) -> None:
        """Give weight to whom has none and must serve, look, then set the rest; undo a total of 0.

        A static algorithm refuses to raise a server that serves: it keeps its weight, and nothing else is lost.
        """
        before = await self.observe()
        if not check_guard(before, desired, guard):
            return
        growing = [v for v, weight in desired.weights if weight > before.weight(v)]
        await self._require_running([v for v, weight in desired.weights if weight > 0])
        await self._admit([v for v in growing if before.weight(v) == 0], desired)
        order = growing + [v for v, weight in desired.weights if weight < before.weight(v)]
        answer = await self._set(desired, order)
        if not answer:
            return
        seen = await self.observe()
        if _STATIC in answer and seen != before and desired.fulfilled_by(seen):
            return
        if seen.total == 0:
            await self._set(before, [v for v, _ in before.weights])
        raise ActionError(f"HAProxy answered {answer[:200]!r} to set weight")

    async def complete(self, desired: State, guard: Guard) -> None:
        """Weights are all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Whether the guard holds and every destination runs; the runtime API has no dry run."""
        if check_guard(await self.observe(), desired, guard):
            await self._require_running([v for v, weight in desired.weights if weight > 0])

    async def owner(self) -> str:
        """Nobody can be told: the runtime API names no writers."""
        return ""

    async def _admit(self, versions: list[str], desired: State) -> None:
        """Give weight to versions that have none, before anybody loses any. Raises RefusedError."""
        if not versions:
            return
        answer = await self._set(desired, versions)
        if _STATIC in answer:
            answer = await self._ask([f"set weight {self._server(v)} {_CONFIGURED}" for v in versions])
        seen = await self.observe()
        if any(seen.weight(v) == 0 for v in versions):
            raise RefusedError(
                f"HAProxy gives {', '.join(versions)} no weight: {answer.strip()[:200]!r}",
                hint="the others keep theirs; give the server a weight above 0 in the configuration",
            )

    async def _set(self, state: State, order: list[str]) -> str:
        commands = [f"set weight {self._server(v)} {state.weight(v)}" for v in order]
        return (await self._ask(commands)).strip()

    async def _require_running(self, versions: list[str]) -> None:
        """A destination that fails its health check would turn a bad canary into an outage."""
        answer = await self._ask([f"show servers state {self._settings.backend}"])
        rows = [line.split() for line in answer.splitlines() if not line.startswith("#")]
        states = {row[3]: (row[5], row[6]) for row in rows if len(row) > 6}  # operational, administrative
        for version in versions:
            name = self._settings.servers[version]
            if states.get(name) != (_RUNNING, "0"):
                raise RefusedError(
                    f"server {self._settings.backend}/{name} of version {version} is not running",
                    hint="no healthy destination: the weights stay",
                )

    def _server(self, version: str) -> str:
        return f"{self._settings.backend}/{self._settings.servers[version]}"

    async def _ask(self, commands: list[str]) -> str:
        try:
            async with asyncio.timeout(self._settings.timeout):
                reader, writer = await self._connect()
                try:
                    writer.write(("; ".join(commands) + "\n").encode("ascii"))
                    await writer.drain()
                    answer = await reader.read(_MAX_ANSWER)
                    while chunk := await reader.read(_MAX_ANSWER):
                        answer += chunk
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except TimeoutError as error:
            raise ActionError(f"HAProxy at {self._settings.socket} did not answer in time") from error
        except (OSError, ValueError, OverflowError) as error:  # the last two: a host or port that cannot be
            raise ActionError(f"HAProxy at {self._settings.socket}: {error}") from error
        return answer.decode("utf-8", "replace")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._settings.socket.startswith("/"):
            return await asyncio.open_unix_connection(self._settings.socket)
        host, _, port = self._settings.socket.rpartition(":")
        return await asyncio.open_connection(host, int(port))
