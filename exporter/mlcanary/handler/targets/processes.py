"""Programs that a target runs: an argument list, no shell, an environment of our own, a bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import RefusedError

Argv = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
MAX_OUTPUT_BYTES = 65536
_SHOWN = 500


async def run(
    argv: Sequence[str], limit: float, *, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> bytes:
    """What the program printed. Its group has ended when this returns.

    Input: `limit` in seconds. Raises RefusedError if it cannot be started, ActionError if it takes too long,
    exits with another status than 0 or prints more than `MAX_OUTPUT_BYTES`.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment or {},
            cwd="/",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # the latter: a zero byte in an argument
        raise RefusedError(f"{argv[0]}: cannot be started: {error}") from error
    try:
        async with asyncio.timeout(limit):
            output, complaint = await process.communicate(stdin)
    except TimeoutError as error:
        raise ActionError(f"{argv[0]}: still running after {limit:g} s, ended") from error
    finally:
        await _end(process)
    if process.returncode != 0:
        said = complaint[-_SHOWN:].decode("utf-8", "replace").strip()
        raise ActionError(f"{argv[0]}: exit status {process.returncode}: {said}")
    if len(output) > MAX_OUTPUT_BYTES:
        raise ActionError(f"{argv[0]}: more than {MAX_OUTPUT_BYTES} bytes of output")
    return output


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that is still running, with its whole group, and reap it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
