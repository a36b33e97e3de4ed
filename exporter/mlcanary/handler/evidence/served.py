"""What the model server itself says that it serves."""

from __future__ import annotations

import msgspec

from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE, Access, call, pointed
from mlcanary.handler.schema import ServedSettings

TIMEOUT = 5.0


async def ask(settings: ServedSettings) -> object:
    """The value at the pointer of the server's answer, None if there is no answer or no such value."""
    try:
        return pointed(msgspec.json.decode(await call("GET", settings.url, Access(TIMEOUT))), settings.pointer)
    except (ActionError, *UNREADABLE):
        return None
