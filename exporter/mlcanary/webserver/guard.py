"""The one middleware of every process: who asks, may they, how often, and how long may a body take.

Guarantee: a route is entered with an `Identity` in the request, with the scope that it needs, and within the
sender's rate; the body of a request that fails any of these is not read. What a browser sends for a page of
another site changes nothing. A body that is not there in time
ends in 408 and a closed connection.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from mlcanary.webserver.authentication import Authenticator, BusyError, certificate_allowed
from mlcanary.webserver.config import LoadedWebConfig, WebConfigFile
from mlcanary.webserver.connections import CONNECTIONS
from mlcanary.webserver.identity import LOOPBACK, Identity, Route, Scope, refusal, remember, required_scope
from mlcanary.webserver.rate_limit import RateLimit

OPEN_PATHS = frozenset({"/-/healthy", "/-/ready"})
"""Answered without credentials: probes have none, and the answers tell nothing."""

BODY_SECONDS = 10.0
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that no route saw: the status that answered it, the sender ("" if unknown) and the route's path.

    `path` is as registered, so it is one of a fixed set; "" where no route fits.
    """

    status: int
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Admission:
    """What the guard asks of a request.

    `rate` limits each sender, reading apart from the rest, so that alerts never starve a scrape. `undeclared`
    is the scope of a route that names none. `refused` is told of every refusal.
    """

    rate: RateLimit | None = None
    undeclared: Scope = Scope.READ
    body_seconds: float = BODY_SECONDS
    refused: Callable[[Refused], None] = lambda _refused: None


DEFAULT_ADMISSION = Admission()


def guard(web_config: WebConfigFile | None, admission: Admission) -> Middleware:
    """The middleware. Without `web_config` everybody is `LOOPBACK`."""
    authenticator = Authenticator(secrets.token_bytes(32))

    @web.middleware
    async def middleware(request: web.Request, handler: Route) -> web.StreamResponse:
        loaded = web_config.current() if web_config is not None else None
        headers = loaded.config.http_server_config.headers if loaded is not None else {}
        connections = request.app.get(CONNECTIONS)
        if connections is not None:
            connections.begun(request.protocol)
        try:
            response = await checked(request, handler, loaded)
        except web.HTTPException as error:
            error.headers.update(headers)
            raise
        finally:
            if connections is not None:
                connections.ended(request.protocol)
        if not response.prepared:
            response.headers.update(headers)
        return response

    async def checked(request: web.Request, handler: Route, loaded: LoadedWebConfig | None) -> web.StreamResponse:
        if request.path in OPEN_PATHS and request.method in ("GET", "HEAD"):
            return await handler(request)
        found = await _sender(request, loaded, authenticator)
        name = found.name if isinstance(found, Identity) else ""
        no = _admit(request, found, admission) if isinstance(found, Identity) else found
        answer = no if no is not None else await _with_deadline(request, handler, admission.body_seconds)
        if no is not None or isinstance(answer, _Late):
            admission.refused(Refused(answer.status, name, _path(request)))
        return answer

    return middleware


async def _sender(
    request: web.Request, loaded: LoadedWebConfig | None, authenticator: Authenticator
) -> Identity | web.Response:
    if loaded is None:
        return LOOPBACK
    tls = loaded.config.tls_server_config
    session = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = session.getpeercert() if session is not None else None
    if tls is not None and not certificate_allowed(certificate, tls.client_allowed_sans):
        return web.Response(status=403, text="this client certificate is not allowed\n")
    try:
        identity = await authenticator.identify(request.headers.get("Authorization", ""), certificate, loaded)
    except BusyError:
        return _later(503, 1.0, "too many passwords wait to be checked")
    if identity is not None:
        return identity
    challenge = 'Basic realm="mlcanary"' if loaded.config.basic_auth_users else 'Bearer realm="mlcanary"'
    return web.Response(status=401, text="unauthorized\n", headers={"WWW-Authenticate": challenge})


def _admit(request: web.Request, identity: Identity, admission: Admission) -> web.Response | None:
    """None if the request may go on. One that no route answers is let through to its 404 or 405."""
    remember(request, identity)
    if request.method not in _READING and _from_another_site(request):
        return web.json_response({"error": "a page of another site may not send this"}, status=403)
    if request.match_info.http_exception is not None:
        return None
    needed = required_scope(request.match_info.handler) or admission.undeclared
    refused = refusal(identity, needed)
    if refused is not None or admission.rate is None:
        return refused
    kind = "read" if request.method in _READING else "write"
    wait = admission.rate.take(f"{kind} {identity.name}")
    if not wait:
        return None
    # Alertmanager tries again after a 5xx, and gives the notification up after a 429.
    status = 503 if needed is Scope.ALERT else 429
    return _later(status, wait, f"{identity.name} asks too often")


def _from_another_site(request: web.Request) -> bool:
    """Whether a browser sends this for a page that is not ours: it would add a password that it remembers.

    Browsers tell so by Sec-Fetch-Site on TLS and loopback, and by Origin elsewhere; other clients send neither.
    """
    told = request.headers.get("Sec-Fetch-Site")
    if told is not None:
        return told not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.host


def _later(status: int, wait: float, error: str) -> web.Response:
    headers = {"Retry-After": str(max(1, math.ceil(wait)))}
    return web.json_response({"error": error}, status=status, headers=headers)


class _Late(web.Response):
    """The answer to a body that did not come in time."""


async def _with_deadline(request: web.Request, handler: Route, seconds: float) -> web.StreamResponse:
    """The route's answer, or `_Late`. The deadline is on the body alone: a route may work for longer."""
    if request.content.is_eof():
        return await handler(request)
    late = False

    def expire() -> None:
        nonlocal late
        if not request.content.is_eof():
            late = True
            request.content.set_exception(TimeoutError("the body did not come in time"))

    timer = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await handler(request)
    except TimeoutError:
        if not late:
            raise
    finally:
        timer.cancel()
    answer = _Late(status=408, text=f"the body did not come within {seconds:g} s\n")
    answer.force_close()
    return answer


def _path(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""
