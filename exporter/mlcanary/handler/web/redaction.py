"""The configuration in force, fit to be shown. Pure.

Guarantee: no value that may be a secret comes out. Secrets stand in files of their own, whose names may be shown; what
a configuration can still carry one in is hidden: every argument of a command but the program, the query and the user
of a URL, and any value under a name that sounds like one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec

from mlcanary.documents import Seconds
from mlcanary.handler.settings import Settings

HIDDEN = "<hidden>"
_SECRET = re.compile(r"token|secret|passw|credential|api_?key|authorization|cookie", re.IGNORECASE)
_COMMANDS = frozenset({"argv", "observe", "reload_command", "test"})


def shown(settings: Settings) -> dict[str, Any]:
    """Settings as a JSON object, with defaults filled in."""
    plain = msgspec.to_builtins(settings, enc_hook=_plain)
    found = _redacted(plain, "")
    if not isinstance(found, dict):
        raise TypeError("settings are an object")
    return found


def _plain(value: object) -> object:
    if isinstance(value, Seconds):
        return float(value)
    raise NotImplementedError(type(value))


def _redacted(value: object, key: str) -> object:
    if isinstance(value, Mapping):
        return {name: _redacted(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        if key in _COMMANDS and value:
            return [value[0], *([HIDDEN] if len(value) > 1 else [])]
        return [_redacted(inner, key) for inner in value]
    if not isinstance(value, str) or not value:
        return value
    if _SECRET.search(key) and not key.endswith(("_file", "_header")):
        return HIDDEN
    return _url(value) if "://" in value else value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return HIDDEN
    return urlunsplit((parts.scheme, host, parts.path, HIDDEN if parts.query else "", ""))
