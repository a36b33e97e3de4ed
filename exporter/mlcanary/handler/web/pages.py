"""HTTP for people: pages and the forms on them. Plain HTML, no script, nothing from another host.

    GET  /, /targets/{target}, /targets/{target}/confirm?order=&version=, /incidents/{incident}, /orders/{order}
    POST /freeze, /unfreeze, /targets/{target}/freeze, /targets/{target}/unfreeze, /targets/{target}/orders,
         /incidents/{incident}/approve, .../refuse, .../acknowledge

Guarantee: a form is done only with the token that a page of ours gave to the same name, and for a page of this site;
it answers 303 to a page, so loading that again does nothing twice. A rollback and a promotion show their plan first, on
a page of its own, and carry its hash.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

import msgspec
from aiohttp import web

from mlcanary.handler.core.releases import OrderKind, OrderState
from mlcanary.handler.web import answers, page, target_page
from mlcanary.handler.web.answers import ErrorAnswer
from mlcanary.handler.web.csrf import FIELD, FormKey
from mlcanary.handler.web.deeds import ALL, Deeds
from mlcanary.handler.web.forms import Viewer, path
from mlcanary.handler.web.routing import HTML, Query, RequestError, Route, install
from mlcanary.handler.web.views import Views, audit_of
from mlcanary.webserver.identity import Scope, identity_of

if TYPE_CHECKING:
    from mlcanary.handler.service import HandlerService

Asked = TypeVar("Asked", bound=answers.Asked)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: a browser would then send its own forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_AUDIT_ROWS = 50
_RECENT = 20
_AGAIN_SECONDS = "1"
_ORDER_ID = re.compile(r"[0-9a-f]{8,64}")
_FORM = "application/x-www-form-urlencoded"


class Pages:
    """Answers of the routes in `ROUTES`."""

    def __init__(self, service: HandlerService) -> None:
        self._service = service
        self._views = Views(service)
        self._deeds = Deeds(service, self._views)
        self._key = FormKey()

    # --- to look at

    async def index(self, request: web.Request) -> web.Response:
        """`GET /`."""
        targets = [self._views.target(plan) for plan in self._views.plans]
        rows = [audit_of(row) for row in self._service.ledger.audit_rows(_AUDIT_ROWS)]
        return _html(page.page(targets, self._views.quarantined(), rows, self._viewer(request)))

    async def target(self, request: web.Request) -> web.Response:
        """`GET /targets/{target}`."""
        name = request.match_info["target"]
        target = self._views.target(self._views.plan(name))
        newest = None if target.incident is None else self._views.incident_detail(target.incident.id)
        incidents, releases = self._views.incidents(name)[:_RECENT], self._views.releases(name)[:_RECENT]
        story = self._views.release_detail(releases[0].id).timeline if releases else []
        viewer, decisions = self._viewer(request), self._views.decisions(name, _RECENT)
        return _html(target_page.target_page(target, incidents, releases, newest, story, viewer, decisions))

    async def confirm(self, request: web.Request) -> web.Response:
        """`GET /targets/{target}/confirm`."""
        query, name = request.query, request.match_info["target"]
        plan = await self._deeds.plan(name, query.get("order", ""), query.get("version", ""))
        return _html(target_page.confirm_page(plan, self._service.new_id(), self._viewer(request)))

    async def incident(self, request: web.Request) -> web.Response:
        """`GET /incidents/{incident}`."""
        detail = self._views.incident_detail(request.match_info["incident"])
        return _html(target_page.incident_page(detail, self._viewer(request)))

    async def order(self, request: web.Request) -> web.Response:
        """`GET /orders/{order}`."""
        order = self._views.order(request.match_info["order"])
        answer = _html(target_page.order_page(order, self._viewer(request)))
        if order.state == OrderState.PENDING:
            answer.headers["Refresh"] = _AGAIN_SECONDS
        return answer

    # --- to do

    async def freeze(self, request: web.Request) -> web.Response:
        """`POST /freeze` and `POST /targets/{target}/freeze`."""
        target = request.match_info.get("target", ALL)
        self._deeds.freeze(await self._asked(request, answers.FreezeRequest, target=target), _name(request))
        return _see(_place(request))

    async def unfreeze(self, request: web.Request) -> web.Response:
        """`POST /unfreeze` and `POST /targets/{target}/unfreeze`."""
        target = request.match_info.get("target", ALL)
        self._deeds.unfreeze(await self._asked(request, answers.UnfreezeRequest, target=target), _name(request))
        return _see(_place(request))

    async def give_order(self, request: web.Request) -> web.Response:
        """`POST /targets/{target}/orders`."""
        fields = await self._fields(request)
        name = fields.pop("id", "")
        if name and not _ORDER_ID.fullmatch(name):
            raise RequestError(400, "the id of the order is none of ours")
        asked = _convert({**fields}, answers.OrderRequest)
        order = self._deeds.order(request.match_info["target"], asked, _name(request), name=name)
        return _see(path("orders", order.id))

    async def approve(self, request: web.Request) -> web.Response:
        """`POST /incidents/{incident}/approve`."""
        return await self._judge(request, OrderKind.APPROVE)

    async def refuse(self, request: web.Request) -> web.Response:
        """`POST /incidents/{incident}/refuse`."""
        return await self._judge(request, OrderKind.REFUSE)

    async def _judge(self, request: web.Request, kind: OrderKind) -> web.Response:
        asked = await self._asked(request, answers.PlanRequest)
        order = self._deeds.judge_incident(request.match_info["incident"], asked, _name(request), kind)
        return _see(path("orders", order.id))

    async def acknowledge(self, request: web.Request) -> web.Response:
        """`POST /incidents/{incident}/acknowledge`."""
        await self._fields(request)
        incident = self._deeds.acknowledge(request.match_info["incident"], _name(request))
        return _see(path("incidents", incident.id))

    # --- inside

    def refused(self, request: web.Request, status: int, error: ErrorAnswer) -> web.Response:
        """A refusal for people."""
        return _html(target_page.error_page(error, self._viewer(request)), status)

    def _viewer(self, request: web.Request) -> Viewer:
        identity = identity_of(request)
        return Viewer(identity.name, identity.scopes, self._key.token(identity.name), self._service.now())

    async def _fields(self, request: web.Request) -> dict[str, str]:
        """The fields of a form that was made here for its sender. Raises RequestError."""
        if request.content_type != _FORM:
            raise RequestError(415, f"content type {request.content_type[:80]!r}", allowed=[_FORM])
        try:
            given = await request.post()
        except ValueError as error:
            raise RequestError(400, "the form cannot be read") from error
        fields = {name: value for name, value in given.items() if isinstance(value, str)}
        if not self._key.accepts(_name(request), fields.pop(FIELD, "")):
            hint = "go back, load the page again and send the form from there"
            raise RequestError(403, "this form is old, or was not made here for you", hint=hint)
        return fields

    async def _asked(self, request: web.Request, shape: type[Asked], **more: str) -> Asked:
        return _convert({**await self._fields(request), **more}, shape)


def _convert(fields: dict[str, str], shape: type[Asked]) -> Asked:
    try:
        return msgspec.convert(fields, shape, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(400, f"the form: {error}", allowed=shape.__struct_fields__) from error


def _name(request: web.Request) -> str:
    return identity_of(request).name


def _place(request: web.Request) -> str:
    """The page that the form stood on."""
    target = request.match_info.get("target")
    return "/" if target is None else path("targets", target)


def _see(where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": where, **HEADERS})


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type=HTML, headers=HEADERS)


ROUTES: tuple[Route[Pages], ...] = (
    Route("GET", "/", Scope.READ, "All targets.", Pages.index, media=HTML),
    Route("GET", "/targets/{target}", Scope.READ, "A target.", Pages.target, media=HTML),
    Route(
        "GET",
        "/targets/{target}/confirm",
        Scope.OPERATE,
        "The plan of an order.",
        Pages.confirm,
        query=(Query("order", "What would be ordered."), Query("version", "Of which version.")),
        refusals=(400, 409),
        media=HTML,
    ),
    Route("GET", "/incidents/{incident}", Scope.READ, "An incident.", Pages.incident, media=HTML),
    Route("GET", "/orders/{order}", Scope.READ, "An order.", Pages.order, media=HTML),
    *(
        Route("POST", where, scope, summary, call, status=303, refusals=(400, 404, 409, 415), media=HTML)
        for where, scope, summary, call in (
            ("/freeze", Scope.OPERATE, "Freeze all targets.", Pages.freeze),
            ("/unfreeze", Scope.OPERATE, "Unfreeze all targets.", Pages.unfreeze),
            ("/targets/{target}/freeze", Scope.OPERATE, "Freeze a target.", Pages.freeze),
            ("/targets/{target}/unfreeze", Scope.OPERATE, "Unfreeze a target.", Pages.unfreeze),
            ("/targets/{target}/orders", Scope.OPERATE, "Give an order.", Pages.give_order),
            ("/incidents/{incident}/approve", Scope.APPROVE, "Approve a plan.", Pages.approve),
            ("/incidents/{incident}/refuse", Scope.APPROVE, "Refuse a plan.", Pages.refuse),
            ("/incidents/{incident}/acknowledge", Scope.OPERATE, "Acknowledge an incident.", Pages.acknowledge),
        )
    ),
)


def routes(application: web.Application, service: HandlerService) -> None:
    """Add the routes of the module."""
    face = Pages(service)
    install(application, face, ROUTES, refuse=face.refused)
