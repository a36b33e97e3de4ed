"""What operators ask of the process: freeze, reload, metrics, the page.

    POST /-/freeze   ?target=&reason=    stop automatic action, on one target or on all
    POST /-/unfreeze ?target=
    POST /-/reload                       as SIGHUP; a configuration that does not load changes nothing
    GET  /metrics, /

The endpoints that change something ask for credentials even on loopback: a page in a browser can post there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from mlcanary.errors import ConfigError, StateError
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.handler.metrics import CONTENT_TYPE
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.web import page
from mlcanary.webserver.identity import Scope, identity_of, requires

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

log = logging.getLogger(__name__)

_AUDIT_ROWS = 50
_REASON_LIMIT = 200


class Operators:
    """See the module."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service

    async def freeze(self, request: web.Request) -> web.Response:
        """`POST /-/freeze`."""
        reason = request.query.get("reason", "")[:_REASON_LIMIT]
        actor = identity_of(request).name
        return self._operate(
            request, lambda scope, now: self._service.ledger.freeze(scope, reason=reason, actor=actor, now=now)
        )

    async def unfreeze(self, request: web.Request) -> web.Response:
        """`POST /-/unfreeze`."""
        actor = identity_of(request).name
        return self._operate(request, lambda scope, now: self._service.ledger.unfreeze(scope, actor=actor, now=now))

    def _operate(self, request: web.Request, change: Callable[[str, float], None]) -> web.Response:
        scope = request.query.get("target", EVERYTHING)
        if scope != EVERYTHING and scope not in self._service.workers:
            return web.json_response({"error": "no such target"}, status=404)
        try:
            change(scope, self._service.now())
        except StateError as error:
            return web.json_response({"error": str(error)}, status=503)
        for worker in self._service.workers.values():
            worker.wake()
        return web.json_response(
            {"frozen": {name: self._service.ledger.frozen(name) is FreezeLevel.ALL for name in self._service.workers}}
        )

    async def answer_reload(self, _request: web.Request) -> web.Response:
        """`POST /-/reload`."""
        try:
            await self._service.reload()
        except ConfigError as error:
            log.error("configuration rejected, the old one stays", extra={"error": str(error)})  # noqa: TRY400
            return web.json_response({"error": str(error)}, status=500)
        return web.json_response({"digest": self._service.settings.digest})

    async def answer_metrics(self, _request: web.Request) -> web.Response:
        """`GET /metrics`."""
        return web.Response(body=self._service.metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def answer_landing(self, _request: web.Request) -> web.Response:
        """`GET /`."""
        targets = [self._status(plan) for plan in self._service.settings.targets]
        rows = self._service.ledger.audit_rows(_AUDIT_ROWS)
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(text=page.page(targets, rows), content_type="text/html", headers=headers)

    def _status(self, plan: TargetPlan) -> page.TargetStatus:
        shares = ", ".join(f"{version} {self._share(plan, version)}" for version in plan.versions)
        incident = self._service.ledger.last_incident(plan.name)
        worker = self._service.workers.get(plan.name)
        progress = worker.progress.note if worker is not None and worker.progress is not None else ""
        about = f"{incident.bad} -> {incident.good}: {incident.state}" if incident else ""
        note = progress if incident and incident.open else incident.note if incident else ""
        frozen = self._service.ledger.frozen(plan.name) is FreezeLevel.ALL
        return page.TargetStatus(plan.name, plan.model, plan.mode, frozen, shares, about, note)

    def _share(self, plan: TargetPlan, version: str) -> str:
        series = ("target_share_ratio", plan.name, plan.model, version)
        seen = self._service.metrics.value("target_up", plan.name) == 1.0 and self._service.metrics.known(*series)
        return f"{self._service.metrics.value(*series):.0%}" if seen else "unknown"


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the routes of the module."""
    face = Operators(service)
    router = application.router
    router.add_post("/-/freeze", requires(Scope.OPERATE)(face.freeze))
    router.add_post("/-/unfreeze", requires(Scope.OPERATE)(face.unfreeze))
    router.add_route("POST", "/-/reload", requires(Scope.OPERATE)(face.answer_reload))
    router.add_route("PUT", "/-/reload", requires(Scope.OPERATE)(face.answer_reload))
    router.add_get("/metrics", requires(Scope.READ)(face.answer_metrics))
    router.add_get("/", requires(Scope.READ)(face.answer_landing))
