"""Targets that lie, hang and refuse, driven through the whole handler: never a false success."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from handler_service import handling
from handler_world import BAD, GOOD, QueryAPI, Release, configuration, payload, until
from loopback_server import loopback


@dataclass
class Router:
    """A router behind HTTP. `obeys`: an order moves the traffic. `admits`: the read-back tells the truth."""

    obeys: bool = True
    admits: bool = True
    status: int = 200
    hangs: bool = False
    active: str = BAD
    said: str = BAD
    orders: int = 0
    url: str = ""

    def shares(self) -> dict[str, float]:
        """All traffic to the active version."""
        return {GOOD: float(self.active == GOOD) or 0.05, BAD: float(self.active == BAD)}

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Router]:
        async with loopback(web.post("/", self._post), web.get("/", self._get)) as url:
            self.url = f"{url}/"
            yield self

    async def _post(self, _request: web.Request) -> web.Response:
        self.orders += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.status == 200:
            self.said = GOOD
            self.active = GOOD if self.obeys else BAD
        return web.Response(status=self.status)

    async def _get(self, _request: web.Request) -> web.Response:
        return web.json_response(self.active if self.admits else self.said)

    def section(self, *, read_back: bool) -> str:
        """The target's section in the handler's configuration."""
        back = f", read_back: {{url: '{self.url}'}}" if read_back else ""
        return f"{{type: http, url: '{self.url}', versions: {{v1: v1, v2: v2}}, timeout: 300ms{back}}}"


async def outcome(directory: Path, router: Router, *, read_back: bool, deadline: str) -> tuple[str, str]:
    """The states in which the incident and its action end."""
    async with router.serving(), QueryAPI(Release(router.shares)).serving() as api:
        text = configuration(api.url, router.section(read_back=read_back)).replace(
            "deadline: 40s", f"deadline: {deadline}"
        )
        async with handling(directory, text) as handler:
            await handler.post(payload())
            await until(lambda: handler.state() not in ("", "acting", "verifying"))
            incident = handler.incident()
            assert incident is not None
            (action,) = handler.service.ledger.actions(incident.id)
            resolved = handler.count("rollbacks_total", "router", "clicks", "resolved")
            assert resolved == float(incident.state == "resolved")
            assert handler.service.ledger.verify_audit() is None
            return str(incident.state), str(action.state)


@pytest.mark.parametrize(
    ("router", "read_back", "ends", "orders"),
    [
        (Router(), True, ("resolved", "confirmed"), 1),
        (Router(), False, ("resolved", "unknown"), 1),
        (Router(obeys=False), True, ("failed", "failed"), 3),
        (Router(obeys=False, admits=False), True, ("stuck", "confirmed"), 1),
        (Router(obeys=False), False, ("stuck", "unknown"), 1),
        (Router(status=409), True, ("failed", "failed"), 3),
        (Router(status=409), False, ("failed", "failed"), 1),
        (Router(status=503), True, ("failed", "failed"), 3),
        (Router(status=503), False, ("stuck", "unknown"), 1),
        (Router(hangs=True), True, ("failed", "failed"), 3),
        (Router(hangs=True), False, ("stuck", "unknown"), 1),
    ],
    ids=lambda value: repr(value) if isinstance(value, Router) else str(value),
)
async def test_only_traffic_that_moved_is_a_success(
    tmp_path: Path, router: Router, read_back: bool, ends: tuple[str, str], orders: int
) -> None:
    deadline = "40s" if ends[0] == "resolved" else "1500ms"
    assert await outcome(tmp_path, router, read_back=read_back, deadline=deadline) == ends
    assert router.orders == orders
