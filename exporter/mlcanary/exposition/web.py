"""HTTP of the exporter: `/metrics` from cached bytes, the landing page, sketches of users, reload; computes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable

from aiohttp import web

from mlcanary.errors import ConfigError
from mlcanary.exposition.landing import render_landing
from mlcanary.exposition.page import Page
from mlcanary.exposition.peers import SKETCHES_PATH
from mlcanary.exposition.sketches import encode
from mlcanary.exposition.text import OPENMETRICS_TYPE, TEXT_TYPE
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.guard import DEFAULT_ADMISSION, Admission
from mlcanary.webserver.server import create_application


def exporter_application(
    page: Callable[[], Page],
    *,
    ready: Callable[[], str],
    reload: Callable[[], Awaitable[None]],
    web_config: WebConfigFile | None,
    metrics_path: str = "/metrics",
    admission: Admission = DEFAULT_ADMISSION,
    came: Callable[[Hashable], None] = lambda _who: None,
) -> web.Application:
    """The exporter's routes. `reload` raises ConfigError when the new configuration is refused.

    `came` is told who reads a page, each time: address, program and path.
    """

    def read_by(request: web.Request) -> Page:
        came((request.remote, request.headers.get("User-Agent", ""), request.path))
        return page()

    async def metrics(request: web.Request) -> web.Response:
        openmetrics = "application/openmetrics-text" in request.headers.get("Accept", "")
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        shown = read_by(request)
        body = shown.ready(openmetrics=openmetrics, packed=packed)
        if body is None:
            body = await asyncio.to_thread(shown.body, openmetrics=openmetrics, packed=packed)
        headers = {"Content-Type": OPENMETRICS_TYPE if openmetrics else TEXT_TYPE, "Vary": "Accept, Accept-Encoding"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def landing(request: web.Request) -> web.Response:
        html = await asyncio.to_thread(render_landing, read_by(request), metrics_path)
        return web.Response(text=html, content_type="text/html")

    async def sketches(request: web.Request) -> web.Response:
        shown = read_by(request)
        if not shown.made_at:
            return web.Response(status=503, text="no page has been made yet\n")
        response = web.Response(
            body=await asyncio.to_thread(encode, shown.sketches, shown.salt), content_type="application/json"
        )
        response.enable_compression()
        return response

    async def do_reload(_request: web.Request) -> web.Response:
        try:
            await reload()
        except ConfigError as error:
            return web.Response(status=500, text=f"{error}\nthe former configuration stays in force\n")
        return web.Response(text="reloaded\n")

    application = create_application(web_config=web_config, ready=ready, admission=admission)
    application.router.add_get(metrics_path, metrics)
    application.router.add_get(SKETCHES_PATH, sketches)
    application.router.add_get("/", landing)
    application.router.add_route("POST", "/-/reload", do_reload)
    application.router.add_route("PUT", "/-/reload", do_reload)
    return application
