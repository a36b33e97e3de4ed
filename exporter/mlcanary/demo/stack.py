"""Starts, watches and ends the processes of the demo.

Guarantee: each component runs in its own process group with its own log file; when the stack is left, for
whatever reason, every group that it started has ended. A component that ends by itself is an error that
names it, and a component that does not get ready in time is one too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from mlcanary.errors import MLCanaryError

READY_SECONDS = 45.0
STOP_SECONDS = 8.0
_POLL_SECONDS = 0.1


class DemoError(MLCanaryError):
    """The demo cannot go on. `component` names the process whose log says why, empty if none is guilty."""

    def __init__(self, message: str, *, hint: str = "", component: str = "") -> None:
        super().__init__(message, hint=hint)
        self.component = component


@dataclass(frozen=True, slots=True)
class Component:
    """One process: its name, how it starts, the URL that answers 2xx once it is ready (or empty)."""

    name: str
    argv: tuple[str, ...]
    ready_url: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Running:
    component: Component
    process: asyncio.subprocess.Process


class Stack:
    """The processes of one run, in `directory`/logs. Use as an asynchronous context manager."""

    def __init__(self, directory: Path, session: aiohttp.ClientSession) -> None:
        self._logs = directory / "logs"
        self._session = session
        self._running: list[_Running] = []

    async def __aenter__(self) -> Self:
        """Make room for the logs."""
        self._logs.mkdir(exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything, newest first."""
        for running in reversed(self._running):
            await _end_group(running.process)

    def log_path(self, name: str) -> Path:
        """Where standard output and error of a component go."""
        return self._logs / f"{name}.log"

    def log_tail(self, name: str, lines: int = 15) -> list[str]:
        """The last lines of a component's log."""
        path = self.log_path(name)
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:] if path.exists() else []

    async def start(self, *components: Component) -> None:
        """Start all of them, then wait until each is ready. Raises DemoError."""
        for component in components:
            with self.log_path(component.name).open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *component.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    start_new_session=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1", **component.environment},
                )
            self._running.append(_Running(component, process))
        for component in components:
            if component.ready_url:
                await self._wait_ready(component)

    async def run(self, component: Component) -> None:
        """Start a process that does one job and wait for it. Raises DemoError when it fails."""
        code = await self.ask(component)
        if code:
            raise DemoError(f"{component.name} failed with status {code}", component=component.name)

    async def ask(self, component: Component) -> int:
        """Start a process that does one job, wait for it and give its exit status. Raises DemoError if it hangs."""
        await self.start(component)
        running = self._running.pop()
        try:
            return await asyncio.wait_for(running.process.wait(), READY_SECONDS)
        except TimeoutError:
            raise DemoError(
                f"{component.name} was not done after {READY_SECONDS:.0f} s", component=component.name
            ) from None
        finally:
            await _end_group(running.process)

    async def stop(self, name: str) -> None:
        """End one component the polite way and wait for it."""
        for running in self._running:
            if running.component.name == name:
                self._running.remove(running)
                await _end_group(running.process)
                return

    def check(self) -> None:
        """Raises DemoError if a component has ended by itself."""
        for running in self._running:
            if running.process.returncode is not None:
                name, code = running.component.name, running.process.returncode
                raise DemoError(f"{name} ended by itself with status {code}", component=name)

    async def _wait_ready(self, component: Component) -> None:
        async def answers() -> bool:
            self.check()
            try:
                async with self._session.get(component.ready_url) as response:
                    return response.status < 300
            except (aiohttp.ClientError, TimeoutError):
                return False

        if not await poll(answers, seconds=READY_SECONDS):
            raise DemoError(f"{component.name} was not ready after {READY_SECONDS:.0f} s", component=component.name)


async def poll(condition: Callable[[], Awaitable[bool]], *, seconds: float) -> bool:
    """Whether `condition` came true within `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """End the process group that `process` leads: asked first, killed after `STOP_SECONDS`."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def free_ports(count: int) -> Sequence[int]:
    """Different loopback TCP ports that nobody listens on right now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def is_free(port: int) -> bool:
    """Whether a loopback TCP port can be bound."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
