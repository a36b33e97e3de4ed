"""Routes as rows of a table: what serves a request, and what describes it, are read from the same row.

    ROUTES = (Route("GET", "/v1/targets", Scope.READ, "Every target.", Api.targets, answer=TargetList), ...)
    install(application, Api(service), ROUTES, refuse=as_json)

Guarantee: an installed route is entered only by a sender with its scope; one that changes something is not entered by
a form or script of another site; what a sender got wrong is answered with 4xx and what is allowed, never with 5xx.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from mlcanary.errors import MLCanaryError, StateError
from mlcanary.handler.web.answers import ErrorAnswer
from mlcanary.webserver.identity import Scope, requires

log = logging.getLogger(__name__)

Face = TypeVar("Face")
JSON, HTML, TEXT = "application/json", "text/html", "text/plain"


class RequestError(MLCanaryError):
    """A request that cannot be done as it is. `status` is 4xx; `allowed` says what could be asked for instead."""

    def __init__(self, status: int, message: str, *, allowed: Iterable[str] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.allowed = list(allowed)


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of the query. `choices`: the only values, empty for any text."""

    name: str
    about: str
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route(Generic[Face]):
    """One row. `request` and `answer` are the types of the JSON bodies; `refusals` the 4xx beside 401 and 403."""

    method: str
    path: str
    scope: Scope
    summary: str
    call: Callable[[Face, web.Request], Awaitable[web.StreamResponse]]
    answer: type | None = None
    request: type | None = None
    status: int = 200
    refusals: tuple[int, ...] = ()
    query: tuple[Query, ...] = ()
    media: str = JSON

    @property
    def changes(self) -> bool:
        """Whether it needs more than to look, so that another site must not be able to send it."""
        return self.method not in ("GET", "HEAD") and self.scope not in (Scope.READ, Scope.ALERT)


Refuse = Callable[[web.Request, int, ErrorAnswer], web.StreamResponse]


def install(application: web.Application, face: Face, routes: Iterable[Route[Face]], *, refuse: Refuse) -> None:
    """Add the routes. `refuse` makes the answer of what is refused, as JSON or as a page."""
    for route in routes:
        handler = requires(route.scope)(_guarded(route, face, refuse))
        application.router.add_route(route.method, route.path, handler)


def _guarded(route: Route[Face], face: Face, refuse: Refuse) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    @functools.wraps(route.call)
    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            if route.changes:
                require_same_site(request)
            return await route.call(face, request)
        except RequestError as error:
            return refuse(request, error.status, ErrorAnswer(str(error), error.allowed, error.hint))
        except StateError as error:
            log.exception("the ledger failed a request", extra={"path": route.path})
            return refuse(request, 503, ErrorAnswer(str(error), hint=error.hint))

    return serve


def require_same_site(request: web.Request) -> None:
    """Raise RequestError for a request that a browser sends for a page of another site.

    A browser adds its own credentials to those. Programs send neither header and pass.
    """
    fetched, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    foreign = fetched is not None and fetched not in ("same-origin", "none")
    # The scheme is left out: behind a proxy that ends TLS only the host is the same on both sides.
    if foreign or (origin is not None and urlsplit(origin).netloc != request.host):
        raise RequestError(403, "this request was made by a page of another site", hint="open the page here")


def as_json(_request: web.Request, status: int, answer: ErrorAnswer) -> web.Response:
    """A refusal for programs."""
    return json_answer(answer, status)


def json_answer(document: object, status: int = 200) -> web.Response:
    """JSON; a number that is not known (NaN, infinite) is null."""
    body = msgspec.json.encode(document)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=body, status=status, content_type=JSON, headers=headers)
