"""`GET /v1/openapi.json`: the description of the routes, from their tables; the webhooks' from `openapi.yml` beside."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import msgspec
import yaml
from aiohttp import web

from mlcanary.handler.web import api, gates, operators, pages
from mlcanary.handler.web.described import described
from mlcanary.webserver.identity import Scope, requires


def description() -> dict[str, Any]:
    """The OpenAPI document."""
    text = (resources.files(__package__) / "openapi.yml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    paths, schemas = described([*operators.ROUTES, *api.ROUTES, *gates.ROUTES, *pages.ROUTES])
    document["paths"] |= paths
    document["components"]["schemas"] |= schemas
    return document


@functools.cache
def _written() -> bytes:
    """Made at the first request: reading YAML would hold up the start by more than the rest of it."""
    return msgspec.json.encode(description())


def routes(application: web.Application) -> None:
    """Add the route of the module."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=_written(), content_type="application/json")

    application.router.add_get("/v1/openapi.json", requires(Scope.READ)(answer))
