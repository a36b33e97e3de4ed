"""The handler inside the test's own event loop, on a loopback port, with its real clock and no patience."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp.web import Application

from handler_world import TOKEN, free_port, until
from mlcanary.handler.core.incidents import Incident
from mlcanary.handler.ledger.audit import AuditRow
from mlcanary.handler.service import HandlerService, RunOptions, application_of
from mlcanary.handler.settings import Settings, parse_settings
from mlcanary.handler.work.effect import Pace
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.server import serving

QUICK = Pace(attempts=3, pause=0.05, settle=0.3, look=0.02)


@dataclass
class Handle:
    """A running handler and a client that holds its token."""

    service: HandlerService
    session: aiohttp.ClientSession
    url: str
    directory: Path
    application: Application

    async def post(
        self,
        body: bytes,
        *,
        token: str | None = TOKEN,
        path: str = "/v1/alerts",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """The status of a POST."""
        headers = {"Content-Type": "application/json", **(headers or {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.session.post(self.url + path, data=io.BytesIO(body), headers=headers) as response:
            await response.read()
            return response.status

    async def get(self, path: str) -> str:
        """The body of a GET with the token."""
        async with self.session.get(self.url + path, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            return await response.text()

    def incident(self) -> Incident | None:
        """The newest incident of the target."""
        return self.service.ledger.last_incident("router")

    def state(self) -> str:
        """The state of the newest incident, empty without one."""
        incident = self.incident()
        return str(incident.state) if incident else ""

    def count(self, name: str, *labels: str) -> float:
        """The value of a metric."""
        return self.service.metrics.value(name, *labels)

    def audit(self, kind: str) -> list[AuditRow]:
        """Audit rows of a kind, oldest first."""
        return [row for row in reversed(self.service.ledger.audit_rows(10_000)) if row.kind == kind]


@contextlib.asynccontextmanager
async def handling(
    directory: Path,
    text: str,
    *,
    checkpoint: Callable[[str], None] = lambda _name: None,
    clock: Callable[[], float] = time.time,
    prune_every: float = 3600.0,
    web: str = "bearer_token_file: token\n",
) -> AsyncIterator[Handle]:
    """A handler with this configuration for the length of the block. The ledger lies in `directory`.

    `web` is the web configuration; `TOKEN` lies in the file `token` beside it.
    """
    (directory / "token").write_text(TOKEN)
    (directory / "web.yml").write_text(web)
    (directory / "handler.yml").write_text(text)
    web_config = WebConfigFile(directory / "web.yml")

    def load() -> Settings:
        return parse_settings((directory / "handler.yml").read_text(), "handler.yml")

    options = RunOptions(
        state_path=directory / "handler.sqlite",
        listen=(f"127.0.0.1:{free_port()}",),
        web_config_file=directory / "web.yml",
        clock=clock,
        new_id=lambda: secrets.token_hex(8),
        checkpoint=checkpoint,
        pace=QUICK,
        prune_every=prune_every,
    )
    service = HandlerService(parse_settings(text, "handler.yml"), options, load, web_config)
    application = application_of(service, web_config)
    stop = asyncio.Event()
    async with serving(application, options.listen, web_config) as bound, aiohttp.ClientSession() as session:
        task = asyncio.create_task(service.run(stop))
        try:
            yield Handle(service, session, f"http://{bound[0]}", directory, application)
        finally:
            stop.set()
            await task


async def ended(handle: Handle) -> tuple[str, str]:
    """The states in which the incident and its action end; without an incident, why there is none."""

    def decided() -> list[dict[str, str]]:
        decisions: list[dict[str, str]] = [json.loads(row.body) for row in handle.audit("decision")]
        return [decision for decision in decisions if decision["decision"] == "suppress"]

    await until(lambda: bool(decided()) or handle.state() not in ("", "acting", "verifying"))
    incident = handle.incident()
    if incident is None:
        return "none", decided()[-1]["reason"]
    (action,) = handle.service.ledger.actions(incident.id)
    return str(incident.state), str(action.state)
