"""What operators ask of the process: freeze, reload, metrics.

    POST /-/freeze   ?target=&reason=&level=    stop automatic action, on one target or on all
    POST /-/unfreeze ?target=
    POST /-/reload                              as SIGHUP; a configuration that does not load changes nothing
    GET  /metrics

The endpoints that change something ask for credentials even on loopback: a page in a browser can post there.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web

from mlcanary.errors import ConfigError
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.handler.metrics import CONTENT_TYPE
from mlcanary.handler.web.routing import TEXT, Query, RequestError, Route, as_json, install, json_answer
from mlcanary.webserver.identity import Scope, identity_of

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

log = logging.getLogger(__name__)

_REASON_LIMIT = 200
_LEVELS = (FreezeLevel.PROMOTE, FreezeLevel.ALL)


class Operators:
    """Answers of the routes in `ROUTES`."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service

    async def freeze(self, request: web.Request) -> web.Response:
        """`POST /-/freeze`."""
        level, scope = request.query.get("level", FreezeLevel.ALL), self._scope(request)
        if level not in _LEVELS:
            raise RequestError(400, f"level: found {level[:40]!r}", allowed=_LEVELS)
        self._service.ledger.freeze(
            scope,
            reason=request.query.get("reason", "")[:_REASON_LIMIT],
            actor=identity_of(request).name,
            now=self._service.now(),
            level=FreezeLevel(level),
        )
        return self._frozen()

    async def unfreeze(self, request: web.Request) -> web.Response:
        """`POST /-/unfreeze`."""
        self._service.ledger.unfreeze(self._scope(request), actor=identity_of(request).name, now=self._service.now())
        return self._frozen()

    def _scope(self, request: web.Request) -> str:
        scope = request.query.get("target", EVERYTHING)
        names = [plan.name for plan in self._service.settings.targets]
        if scope != EVERYTHING and scope not in names:
            raise RequestError(404, "no such target", allowed=names)
        return scope

    def _frozen(self) -> web.Response:
        for worker in self._service.workers.values():
            worker.wake()
        names = [plan.name for plan in self._service.settings.targets]
        return json_answer({"frozen": {name: self._service.ledger.frozen(name) is FreezeLevel.ALL for name in names}})

    async def answer_reload(self, _request: web.Request) -> web.Response:
        """`POST /-/reload`."""
        try:
            await self._service.reload()
        except ConfigError as error:
            log.error("configuration rejected, the old one stays", extra={"error": str(error)})  # noqa: TRY400
            return web.json_response({"error": str(error)}, status=500)
        return json_answer({"digest": self._service.settings.digest})

    async def answer_metrics(self, _request: web.Request) -> web.Response:
        """`GET /metrics`."""
        return web.Response(body=self._service.metrics.render(), headers={"Content-Type": CONTENT_TYPE})


_TARGET = Query("target", "A target; all of them without it.")
_RELOAD = "Load the configuration again. One that does not load changes nothing and is answered with 500."
ROUTES: tuple[Route[Operators], ...] = (
    Route(
        "POST",
        "/-/freeze",
        Scope.OPERATE,
        "Stop promotions, or every automatic action.",
        Operators.freeze,
        query=(_TARGET, Query("reason", "Why."), Query("level", "How far.", choices=_LEVELS)),
        refusals=(400, 404),
    ),
    Route(
        "POST",
        "/-/unfreeze",
        Scope.OPERATE,
        "Allow it again.",
        Operators.unfreeze,
        query=(_TARGET,),
        refusals=(404,),
    ),
    *(
        Route(method, "/-/reload", Scope.OPERATE, _RELOAD, Operators.answer_reload, refusals=(500,))
        for method in ("POST", "PUT")
    ),
    Route("GET", "/metrics", Scope.READ, "Metrics of the handler.", Operators.answer_metrics, media=TEXT),
)


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the routes of the module."""
    install(application, Operators(service), ROUTES, refuse=as_json)
