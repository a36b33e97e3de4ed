"""One small HTTP server around aiohttp, the same for every process.

    application = create_application(web_config=None, ready=lambda: "")
    application.router.add_get("/metrics", handler)
    async with serving(application, [":10877"], web_config=None) as addresses:
        await stop.wait()

Guarantee: every route except `/-/healthy` and `/-/ready` asks for the configured identity; leaving the
`serving` block stops listening first, lets requests under way finish, and then closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from mlcanary.errors import ConfigError
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.connections import CONNECTIONS, DEFAULT_PATIENCE, Connections, Patience, watch
from mlcanary.webserver.guard import DEFAULT_ADMISSION, Admission, guard

log = logging.getLogger(__name__)

Readiness = Callable[[], str]
"""Tells what is still missing; an empty text means ready. Called on the event loop: must not block."""

MAX_BODY_BYTES = 1024 * 1024
SHUTDOWN_SECONDS = 5.0
LINGERING_SECONDS = 2.0
"""How long the rest of a refused body is read and thrown away, so that the sender can read the answer."""

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9_.-]*)):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen. An empty `host` means every interface; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """`:10877`, `127.0.0.1:0`, `[::1]:9`. Raises ConfigError."""
        found = _ADDRESS.fullmatch(text)
        if found is None or int(found["port"]) > 65535:
            raise ConfigError(
                f"--web.listen-address: found {text!r}; allowed: HOST:PORT, :PORT or [IPV6]:PORT",
                hint="for example 127.0.0.1:10877",
            )
        return cls(found["six"] or found["host"] or "", int(found["port"]))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address. A name but localhost counts as reachable."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def create_application(
    *,
    web_config: WebConfigFile | None,
    ready: Readiness,
    max_body_bytes: int = MAX_BODY_BYTES,
    admission: Admission = DEFAULT_ADMISSION,
) -> web.Application:
    """An application with identities and scopes, configured headers, `/-/healthy` and `/-/ready` (GET and HEAD).

    A body above `max_body_bytes` is answered with 413 when a route reads it. A route declares its scope with
    `requires`; one that declares none needs `admission.undeclared`.
    """
    application = web.Application(middlewares=[guard(web_config, admission)], client_max_size=max_body_bytes)

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def answer_ready(_request: web.Request) -> web.Response:
        missing = ready()
        return web.Response(text=f"{missing or 'ready'}\n", status=503 if missing else 200)

    application.router.add_get("/-/healthy", healthy)
    application.router.add_get("/-/ready", answer_ready)
    return application


@contextlib.asynccontextmanager
async def serving(
    application: web.Application,
    addresses: Sequence[str],
    web_config: WebConfigFile | None,
    patience: Patience = DEFAULT_PATIENCE,
    *,
    unpack: bool = True,
) -> AsyncIterator[tuple[str, ...]]:
    """Serve on every address for the length of the block; gives the addresses as bound, port 0 resolved.

    Connections that say nothing are closed as `patience` says. Without `unpack`, routes see bodies as they were sent,
    and Content-Encoding is theirs to undo.

    Raises ConfigError for an address that cannot be parsed or bound.
    """
    parsed = [ListenAddress.parse(text) for text in addresses]
    connections = Connections(patience, asyncio.get_running_loop().time)
    application[CONNECTIONS] = connections
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=patience.idle_seconds,
        lingering_time=LINGERING_SECONDS,
        auto_decompress=unpack,
    )
    await runner.setup()
    watching = asyncio.create_task(watch(connections, lambda: runner.server.connections if runner.server else ()))
    listeners: list[asyncio.Server] = []
    try:
        context = _reloading_context(web_config)
        for text, address in zip(addresses, parsed, strict=True):
            listeners.append(await _listen(runner, text, address, context, patience))
        yield tuple(_written(socket.getsockname()) for listener in listeners for socket in listener.sockets)
    finally:
        for listener in listeners:
            listener.close()
        watching.cancel()
        await runner.cleanup()


async def _listen(
    runner: web.AppRunner, text: str, address: ListenAddress, context: ssl.SSLContext | None, patience: Patience
) -> asyncio.Server:
    """As web.TCPSite does, which leaves a stranger a minute for the handshake of TLS."""
    if runner.server is None:
        raise RuntimeError("the runner is not set up")
    loop = asyncio.get_running_loop()
    limit = patience.head_seconds if context is not None else None
    host = address.host or None
    try:
        return await loop.create_server(
            runner.server, host, address.port, ssl=context, ssl_handshake_timeout=limit, backlog=128
        )
    except OSError as error:
        hint = "another process may hold the port"
        raise ConfigError(f"--web.listen-address: {text} cannot be bound: {error}", hint=hint) from error


def _written(bound: tuple[str, int] | tuple[str, int, int, int]) -> str:
    host, port = bound[0], bound[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reloading_context(web_config: WebConfigFile | None) -> ssl.SSLContext | None:
    """A context that hands each handshake to the newest certificates.

    Client authentication mode and TLS versions are properties of the listener: they change at a restart.
    """
    if web_config is None:
        return None
    context = web_config.current().context
    if context is None:
        return None

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _first: object) -> None:
        newest = web_config.current().context
        if newest is not None:
            connection.context = newest

    # OpenSSL calls this for every ClientHello, also for one without a server name.
    context.set_servername_callback(choose)
    return context
