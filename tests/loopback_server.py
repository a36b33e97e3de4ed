"""An HTTP server of a test, on a loopback port, for the length of a block."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web


@contextlib.asynccontextmanager
async def loopback(*routes: web.RouteDef) -> AsyncIterator[str]:
    """Answer these routes; gives the address, without a slash at its end. Handlers that hang are cut off at the end."""
    application = web.Application()
    application.router.add_routes(routes)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
