"""Calls to a running handler: one at a time, bounded, no redirect, the token from a file."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec

from mlcanary.cli.handler_tables import waiting
from mlcanary.errors import ConfigError, MLCanaryError

SECONDS = 30.0
_POLL = 0.2
_LONGEST = 3600.0
_TAKEN = 5.0
AWAITING = "awaiting_approval"
OPEN_STATES = (AWAITING, "acting", "verifying")


class Unreachable(MLCanaryError):
    """No answer of a handler came."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a handler is, and who asks. Raises ConfigError for a file or an address that cannot be used."""

    url: str
    token_file: Path | None
    ca_file: Path | None

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and JSON of an answer. Raises Unreachable."""
        return asyncio.run(self._ask(method, path, body, query or {}))

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None, query: Mapping[str, str]
    ) -> tuple[int, Any]:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ConfigError(f"--url: found {self.url!r}", hint="http://host:10879 or https://...")
        headers, context = self._credentials()
        data = None
        if body is not None:
            data, headers["Content-Type"] = msgspec.json.encode(body), "application/json"
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        wanted = {name: value for name, value in query.items() if value}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.request(
                    method,
                    self.url.rstrip("/") + path,
                    data=data,
                    params=wanted,
                    headers=headers,
                    ssl=context,
                    allow_redirects=False,
                ) as response,
            ):
                return response.status, _decoded(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Unreachable(f"{self.url}: {error or type(error).__name__}", hint="check --url") from error

    def _credentials(self) -> tuple[dict[str, str], ssl.SSLContext | bool]:
        try:
            context = ssl.create_default_context(cafile=self.ca_file) if self.ca_file is not None else True
            if self.token_file is None:
                return {}, context
            token = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"credentials cannot be read: {error}", hint="check --token.file, --ca.file") from error
        return {"Authorization": f"Bearer {token}"}, context


def _decoded(status: int, body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        if status >= 500 or status < 400:
            raise Unreachable(f"HTTP {status} that no handler answers", hint="is a handler at --url?") from error
        text = body.decode(errors="replace").strip()[:300]
        return {"error": f"HTTP {status}: {text}", "hint": "check --token.file" if status == 401 else ""}


@dataclass(frozen=True, slots=True)
class Ended:
    """How what was followed ended, and why."""

    done: bool
    note: str


def follow(caller: Caller, order: Mapping[str, Any], tell: Callable[[str], None]) -> Ended:
    """Wait for an order, and for the incident that it opened or let act; tell each change once.

    A release is followed to its start only: its steps take as long as its evidence.
    """
    deadline, last = time.monotonic() + _LONGEST, f"order {order['id']}: pending"
    tell(last)
    found = taken(caller, order, _LONGEST)
    if found["state"] == "pending":
        return Ended(False, f"order {order['id']} still waits")
    note = f": {found['note']}" if found["note"] else ""
    _once(f"order {order['id']}: {found['state']}{note}", last, tell)
    if found["state"] != "done" or found["order"] not in ("rollback", "approve"):
        return Ended(found["state"] == "done", found["note"])
    return _follow_incident(caller, found, tell, deadline)


def taken(caller: Caller, order: Mapping[str, Any], seconds: float = _TAKEN) -> Mapping[str, Any]:
    """The order once the target's worker has taken it, or as it is after so long. Raises Unreachable."""
    deadline = time.monotonic() + seconds
    while True:
        status, found = caller.ask("GET", f"/v1/orders/{order['id']}")
        if status >= 400:
            return {**order, "state": "refused", "note": str(found.get("error", f"HTTP {status}"))}
        if found["state"] != "pending" or time.monotonic() > deadline:
            return dict(found)
        time.sleep(_POLL)


def waits_for(caller: Caller, order: Mapping[str, Any]) -> str:
    """Who has to approve what a rollback has opened, by what and until when; empty if it waits for nobody."""
    status, found = caller.ask("GET", f"/v1/incidents/{order['id']}") if order["order"] == "rollback" else (404, {})
    if status >= 400 or found["incident"]["state"] != AWAITING:
        return ""
    return waiting(found)


def _follow_incident(caller: Caller, order: Mapping[str, Any], tell: Callable[[str], None], deadline: float) -> Ended:
    last, told = "", False
    while time.monotonic() < deadline:
        status, target = caller.ask("GET", f"/v1/targets/{order['target']}")
        if status >= 400:
            return Ended(False, str(target.get("error", f"HTTP {status}")))
        incident, proof = target["incident"], target["verification"]
        if incident is None or incident["bad"] != order["version"]:
            return Ended(True, "")
        note = (proof["note"] if proof else "") or incident["note"]
        last = _once(f"incident {incident['id']}: {incident['state']}" + (f", {note}" if note else ""), last, tell)
        if incident["state"] == AWAITING and not told:
            told = True
            status, found = caller.ask("GET", f"/v1/incidents/{incident['id']}")
            tell(waiting(found) if status < 400 else "it waits for the approval of a person")
        if incident["state"] not in OPEN_STATES:
            return Ended(incident["state"] == "resolved", f"the incident is {incident['state']}: {incident['note']}")
        time.sleep(_POLL)
    return Ended(False, "it still runs")


def _once(line: str, last: str, tell: Callable[[str], None]) -> str:
    if line != last:
        tell(line)
    return line
