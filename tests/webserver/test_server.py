"""The web server: who gets in, over what, and how it starts and stops."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mlcanary.errors import ConfigError
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.server import ListenAddress, create_application, serving
from web_files import HASH, PASSWORD, make_certificate

TOKEN = "a-token-that-is-long-enough"


@contextlib.asynccontextmanager
async def served(text: str | None, directory: Path, *, ready: str = "") -> AsyncIterator[str]:
    """A server with one secret page; gives its address."""
    config = None
    if text is not None:
        (directory / "token").write_text(TOKEN)
        (directory / "web.yml").write_text(text)
        config = WebConfigFile(directory / "web.yml")
    application = create_application(web_config=config, ready=lambda: ready, max_body_bytes=1000)

    async def secret(request: web.Request) -> web.Response:
        return web.Response(text=f"secret {len(await request.read())}")

    async def gone(_request: web.Request) -> web.Response:
        raise web.HTTPGone

    application.router.add_route("*", "/secret", secret)
    application.router.add_get("/gone", gone)
    async with serving(application, ["127.0.0.1:0"], config) as (address,):
        yield address


async def ask(
    url: str, *, method: str = "GET", context: ssl.SSLContext | bool = True, **options: object
) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, ssl=context, **options) as response,  # type: ignore[arg-type]
    ):
        return response.status, await response.text()


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        (":10877", "", 10877, False),
        ("127.0.0.1:0", "127.0.0.1", 0, True),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
        ("[::1]:1", "::1", 1, True),
        ("[::]:1", "::", 1, False),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("localhost:80", "localhost", 80, True),
        ("localhost.example.org:80", "localhost.example.org", 80, False),
        ("10.0.0.1:80", "10.0.0.1", 80, False),
    ],
)
def test_addresses_are_parsed_and_loopback_is_known(text: str, host: str, port: int, loopback: bool) -> None:
    address = ListenAddress.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["", "80", "127.0.0.1", ":99999", "::1:80", "a b:80", "http://x:80", ":80/x"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed: HOST:PORT, :PORT or"):
        ListenAddress.parse(text)


async def test_without_a_configuration_everybody_gets_in(tmp_path: Path) -> None:
    async with served(None, tmp_path) as address:
        assert await ask(f"http://{address}/secret") == (200, "secret 0")
        assert (await ask(f"http://{address}/-/healthy"))[0] == 200
        assert (await ask(f"http://{address}/none"))[0] == 404


async def test_probes_need_no_credentials_and_tell_what_is_missing(tmp_path: Path) -> None:
    async with served("bearer_token_file: token", tmp_path, ready="the log was never read") as address:
        assert await ask(f"http://{address}/-/healthy") == (200, "healthy\n")
        assert await ask(f"http://{address}/-/ready") == (503, "the log was never read\n")
        assert (await ask(f"http://{address}/-/ready", method="HEAD"))[0] == 503
        assert (await ask(f"http://{address}/-/healthy", method="POST"))[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (bearer(TOKEN), 200),
        ({"Authorization": f"bearer {TOKEN}"}, 200),
        (bearer(TOKEN[:-1]), 401),
        (bearer(""), 401),
        ({"Authorization": TOKEN}, 401),
        (bearer("tök€n"), 401),
        (basic("anna", PASSWORD), 200),
        (basic("anna", "wrong"), 401),
        (basic("bert", PASSWORD), 401),
        (basic("anna", "x" * 200), 401),
        (basic("anna", "nul\0"), 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": "Digest x"}, 401),
    ],
)
async def test_only_the_right_credentials_get_in(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    text = f'bearer_token_file: token\nbasic_auth_users: {{anna: "{HASH}"}}'
    async with served(text, tmp_path) as address:
        for _ in range(2):  # the second time from the cache
            assert (await ask(f"http://{address}/secret", headers=headers))[0] == status


async def test_a_user_whose_password_changes_is_locked_out_at_once(tmp_path: Path) -> None:
    async with served(f'basic_auth_users: {{anna: "{HASH}"}}', tmp_path) as address:
        assert (await ask(f"http://{address}/secret", headers=basic("anna", PASSWORD)))[0] == 200
        (tmp_path / "web.yml").write_text(f'basic_auth_users: {{anna: "{HASH[:-5]}AAAAA"}}')
        os.utime(tmp_path / "web.yml", (10, 10))
        assert (await ask(f"http://{address}/secret", headers=basic("anna", PASSWORD)))[0] == 401


async def test_every_answer_carries_the_configured_headers(tmp_path: Path) -> None:
    text = "http_server_config: {headers: {X-Frame-Options: deny}}\nbearer_token_file: token"
    async with served(text, tmp_path) as address, aiohttp.ClientSession(headers=bearer(TOKEN)) as session:
        for path, status in (("secret", 200), ("gone", 410), ("none", 404)):
            async with session.get(f"http://{address}/{path}") as response:
                assert (response.status, response.headers["X-Frame-Options"]) == (status, "deny")
        async with session.get(f"http://{address}/secret", headers=bearer("x")) as response:
            assert (response.status, response.headers["X-Frame-Options"]) == (401, "deny")


async def test_a_body_above_the_limit_is_refused(tmp_path: Path) -> None:
    async with served(None, tmp_path) as address:
        assert (await ask(f"http://{address}/secret", method="POST", data=b"x" * 1000))[0] == 200
        assert (await ask(f"http://{address}/secret", method="POST", data=b"x" * 1001))[0] == 413


async def test_tls_serves_the_newest_certificate(tmp_path: Path) -> None:
    make_certificate(tmp_path, "first")
    make_certificate(tmp_path, "second")
    async with served("tls_server_config: {cert_file: first.crt, key_file: first.key}", tmp_path) as address:
        first = ssl.create_default_context(cafile=str(tmp_path / "first.crt"))
        second = ssl.create_default_context(cafile=str(tmp_path / "second.crt"))
        assert (await ask(f"https://{address}/secret", context=first))[0] == 200
        os.replace(tmp_path / "second.key", tmp_path / "first.key")
        os.replace(tmp_path / "second.crt", tmp_path / "first.crt")
        assert (await ask(f"https://{address}/secret", context=second))[0] == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(f"https://{address}/secret", context=first)


async def test_a_client_needs_a_certificate_with_an_allowed_name(tmp_path: Path) -> None:
    for name in ("alerts", "stranger"):
        make_certificate(tmp_path, name, sans=f"DNS:{name}")
    make_certificate(tmp_path, "server")
    authorities = (tmp_path / "alerts.crt").read_text() + (tmp_path / "stranger.crt").read_text()
    (tmp_path / "clients.crt").write_text(authorities)
    text = (
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: clients.crt,"
        " client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [alerts]}"
    )

    def client(name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(tmp_path / "server.crt"))
        if name is not None:
            context.load_cert_chain(tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
        return context

    async with served(text, tmp_path) as address:
        assert (await ask(f"https://{address}/secret", context=client("alerts")))[0] == 200
        assert (await ask(f"https://{address}/secret", context=client("stranger")))[0] == 403
        with pytest.raises(aiohttp.ClientError):
            await ask(f"https://{address}/secret", context=client(None))


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async with served(None, tmp_path) as address:
        application = create_application(web_config=None, ready=lambda: "")
        with pytest.raises(ConfigError, match=f"{address} cannot be bound"):
            async with serving(application, [address], None):
                pass


async def test_several_addresses_are_served_and_requests_under_way_finish() -> None:
    application = create_application(web_config=None, ready=lambda: "")
    started, go = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        started.set()
        await go.wait()
        return web.Response(text="done")

    application.router.add_get("/slow", slow)
    async with serving(application, ["127.0.0.1:0", "127.0.0.1:0"], None) as addresses:
        assert len(set(addresses)) == 2
        for address in addresses:
            assert (await ask(f"http://{address}/-/healthy"))[0] == 200
        under_way = asyncio.create_task(ask(f"http://{addresses[0]}/slow"))
        await started.wait()
        asyncio.get_running_loop().call_later(0.1, go.set)
    assert await under_way == (200, "done")
