"""The reload that makes a written state count: a signal to a process, or a POST. Harmless when repeated."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Literal

from mlcanary.documents import Schema
from mlcanary.handler.calls import Access, call
from mlcanary.handler.targets.http import Url
from mlcanary.handler.targets.signals import send_signal


class Reload(Schema, frozen=True):
    """`pid_file` and `signal`, or `url` (POST)."""

    pid_file: str = ""
    signal: Literal["HUP", "USR1", "USR2"] = "HUP"
    url: Url | None = None

    async def order(self, action_id: str, limit: float) -> None:
        """Have the server read its state again. Raises ActionError."""
        if self.url is not None:
            await call("POST", self.url, Access(limit), headers={"Idempotency-Key": action_id})
        else:
            send_signal(Path(self.pid_file), signal.Signals[f"SIG{self.signal}"])
