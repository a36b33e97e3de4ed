"""Who sends a request and what they may do.

    application.router.add_post("/-/freeze", requires(Scope.OPERATE)(freeze))
    ...
    actor = identity_of(request).name

Guarantee: the guard of `create_application` puts exactly one `Identity` into each request before a route
sees it. A route that needs a scope is never entered without it.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import web

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scope(StrEnum):
    """What may be done: wake the handler, look, give records, change, allow what waits for a person."""

    ALERT = "alert"
    READ = "read"
    PUSH = "push"
    OPERATE = "operate"
    APPROVE = "approve"


EVERY_SCOPE = frozenset(Scope)
UNPROVEN_SCOPES = frozenset({Scope.ALERT, Scope.READ, Scope.PUSH})
"""What needs no credentials where none are configured. A page in a browser can post to loopback too."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A sender. `proven`: a token, a password or a verified certificate stands behind the name."""

    name: str
    scopes: frozenset[Scope]
    proven: bool


LOOPBACK = Identity("loopback", UNPROVEN_SCOPES, proven=False)
"""Everybody, where there is no web configuration."""

ANONYMOUS = Identity("anonymous", UNPROVEN_SCOPES, proven=False)
"""Everybody, where the web configuration asks for no credentials."""

# aiohttp has typed keys since 3.14 and warns about texts since then; before, only texts work.
_KEY: Any = web.RequestKey("identity", Identity) if hasattr(web, "RequestKey") else "identity"
_SCOPE = "required_scope"


def remember(request: web.Request, identity: Identity) -> None:
    """Put the sender into a request. Called by the guard alone."""
    request[_KEY] = identity


def identity_of(request: web.Request) -> Identity:
    """The sender of a request. Raises KeyError in an application without the guard."""
    found = request[_KEY]
    if not isinstance(found, Identity):
        raise TypeError("the key of the identity holds something else")
    return found


def requires(scope: Scope) -> Callable[[Route], Route]:
    """A route that only senders with `scope` reach; others get what `refusal` answers."""

    def wrap(route: Route) -> Route:
        @functools.wraps(route)
        async def guarded(request: web.Request) -> web.StreamResponse:
            return refusal(request.get(_KEY), scope) or await route(request)

        guarded.__dict__[_SCOPE] = scope
        return guarded

    return wrap


def required_scope(route: object) -> Scope | None:
    """The scope that a route declares with `requires`, None if it declares none."""
    found = getattr(route, _SCOPE, None)
    return found if isinstance(found, Scope) else None


def refusal(identity: Identity | None, scope: Scope) -> web.Response | None:
    """None for a sender who has `scope`; else 401 (nobody) or 403 that says what is needed."""
    if identity is None:
        return web.json_response(
            {"error": f"needs the scope {scope} and credentials"},
            status=401,
            headers={"WWW-Authenticate": 'Bearer realm="mlcanary"'},
        )
    if scope in identity.scopes:
        return None
    if not identity.proven:
        error = (
            f"needs credentials with the scope {scope}: "
            "set bearer_token_file, basic_auth_users or principals in --web.config.file"
        )
    else:
        error = f"needs the scope {scope}; {identity.name} has {written(identity.scopes)}"
    return web.json_response({"error": error}, status=403)


def written(scopes: Iterable[Scope]) -> str:
    """Scopes as people read them, in the order of `Scope`."""
    given = frozenset(scopes)
    return ", ".join(scope for scope in Scope if scope in given) or "none"
