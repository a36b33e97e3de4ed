"""A few requests straight to a model server before it gets any traffic, as a deployment makes them.

Guarantee: each answered request gets its label line, so that what the exporters count is complete.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from mlcanary.demo.stack import DemoError
from mlcanary.demo.traffic import LabelQueue, Row

REQUESTS = 20
_PREFIX = "smoke-"


async def ask(
    session: aiohttp.ClientSession, url: str, version: str, rows: Sequence[Row], labels: Path
) -> tuple[int, int]:
    """How many answers were right, and how many were asked for. Raises DemoError if one does not come."""
    queue, right = LabelQueue(), 0
    for number, row in enumerate(rows[:REQUESTS]):
        call_id = f"{_PREFIX}{version}-{number}"
        try:
            body = {"id": call_id, "features": row.features}
            async with session.post(url, json=body, raise_for_status=True) as response:
                right += int((await response.json())["prediction"] == row.label)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoError(f"{version} failed its smoke test: {error}", component=f"model-{version}") from error
        queue.put(time.time(), call_id, row.label)
    with labels.open("ab") as file:
        file.write(b"".join(queue.take(time.time())))
    return right, min(REQUESTS, len(rows))


def is_smoke(call_id: str) -> bool:
    """Whether a prediction was asked for by a smoke test, not by a client."""
    return call_id.startswith(_PREFIX)
