"""Who a request comes from, and what that lets it do: every kind of proof, named and unnamed."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mlcanary.errors import ConfigError
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.identity import Scope, identity_of, required_scope, requires, written
from mlcanary.webserver.server import create_application, serving
from web_files import HASH, PASSWORD, make_certificate

TOKENS = {"top": "the-token-of-the-top-level", "alerts": "the-token-of-alertmanager"}
PRINCIPALS = f"""
bearer_token_file: top
basic_auth_users: {{anna: "{HASH}", bert: "{HASH}"}}
principals:
- {{name: alertmanager, bearer_token_file: alerts, scopes: [alert]}}
- {{name: anna, user: anna, scopes: [read, operate, approve]}}
"""
LEGACY = f'bearer_token_file: top\nbasic_auth_users: {{anna: "{HASH}"}}'
Answer = tuple[int, str]


async def _who(request: web.Request) -> web.Response:
    identity = identity_of(request)
    return web.Response(text=f"{identity.name} {written(identity.scopes)} {identity.proven}")


@contextlib.asynccontextmanager
async def served(text: str | None, directory: Path) -> AsyncIterator[str]:
    """A server with a route for each scope and one that names none."""
    config = None
    if text is not None:
        for name, token in TOKENS.items():
            (directory / name).write_text(token)
        (directory / "web.yml").write_text(text)
        config = WebConfigFile(directory / "web.yml")
    application = create_application(web_config=config, ready=lambda: "")
    for scope in Scope:
        application.router.add_post(f"/{scope}", requires(scope)(_who))
    application.router.add_get("/", _who)
    async with serving(application, ["127.0.0.1:0"], config) as (address,):
        yield address


@pytest.mark.parametrize("name", ["handler", "storm brake", "token"])
def test_nobody_signs_with_a_name_of_the_process(name: str, tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(f'basic_auth_users: {{{name}: "{HASH}"}}')
    with pytest.raises(ConfigError, match="basic_auth_users"):
        WebConfigFile(tmp_path / "web.yml")
    entry = f"{{name: ann, user: {name}, scopes: [read]}}"
    (tmp_path / "web.yml").write_text(f'basic_auth_users: {{{name}: "{HASH}"}}\nprincipals: [{entry}]')
    directory = WebConfigFile(tmp_path / "web.yml").current().directory
    assert directory.users[name].name == "ann"
    assert directory.stranger(name).name == f"certificate {name}"
    assert directory.stranger("ci.example.org").name == "ci.example.org"


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


def basic(name: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()}


async def post(url: str, headers: dict[str, str], context: ssl.SSLContext | None = None) -> Answer:
    async with aiohttp.ClientSession() as session:
        ssl_option = context if context is not None else True
        async with session.post(url, headers=headers, ssl=ssl_option) as response:
            return response.status, await response.text()


async def allowed(address: str, headers: dict[str, str], context: ssl.SSLContext | None = None) -> dict[str, str]:
    """The scopes that a sender gets through with, and as whom."""
    scheme = "https" if context is not None else "http"
    found = {}
    for scope in Scope:
        status, text = await post(f"{scheme}://{address}/{scope}", headers, context)
        assert status in (200, 403), text
        if status == 200:
            found[str(scope)] = text.split()[0]
        else:
            assert f"the scope {scope}" in text
    return found


@pytest.mark.parametrize(
    ("text", "headers", "name", "scopes"),
    [
        (PRINCIPALS, bearer("alerts"), "alertmanager", "alert"),
        (PRINCIPALS, bearer("top"), "token", "read"),
        (PRINCIPALS, basic("anna"), "anna", "read operate approve"),
        (PRINCIPALS, basic("bert"), "bert", "read"),
        (LEGACY, bearer("top"), "token", "alert read push operate approve"),
        (LEGACY, basic("anna"), "anna", "alert read push operate approve"),
        ("", {}, "anonymous", "alert read push"),
        (None, {}, "loopback", "alert read push"),
    ],
)
async def test_each_proof_has_its_name_and_its_scopes(
    tmp_path: Path, text: str | None, headers: dict[str, str], name: str, scopes: str
) -> None:
    async with served(text, tmp_path) as address:
        assert await allowed(address, headers) == dict.fromkeys(scopes.split(), name)


async def test_a_route_that_names_no_scope_needs_read(tmp_path: Path) -> None:
    async with served(PRINCIPALS, tmp_path) as address, aiohttp.ClientSession() as session:
        async with session.get(f"http://{address}/", headers=bearer("alerts")) as response:
            assert (response.status, await response.json()) == (
                403,
                {"error": "needs the scope read; alertmanager has alert"},
            )
        async with session.get(f"http://{address}/", headers=bearer("top")) as response:
            assert (response.status, await response.text()) == (200, "token read True")
        async with session.get(f"http://{address}/none", headers=bearer("alerts")) as response:
            assert response.status == 404


async def test_who_proves_nothing_is_told_what_to_set(tmp_path: Path) -> None:
    async with served(None, tmp_path) as address:
        status, text = await post(f"http://{address}/operate", {})
        assert status == 403
        assert "set bearer_token_file, basic_auth_users or principals in --web.config.file" in text


async def test_without_the_guard_a_guarded_route_answers_nobody() -> None:
    application = web.Application()
    application.router.add_post("/", requires(Scope.ALERT)(_who))
    async with serving(application, ["127.0.0.1:0"], None) as (address,):
        assert (await post(f"http://{address}/", {}))[0] == 401


def test_a_route_tells_the_scope_that_it_needs() -> None:
    assert required_scope(requires(Scope.APPROVE)(_who)) is Scope.APPROVE
    assert required_scope(_who) is None


async def test_principals_alone_ask_everybody_for_a_proof(tmp_path: Path) -> None:
    text = "principals:\n- {name: alertmanager, bearer_token_file: alerts, scopes: [alert]}"
    async with served(text, tmp_path) as address:
        assert (await post(f"http://{address}/read", {}))[0] == 401
        assert (await post(f"http://{address}/alert", bearer("top")))[0] == 401
        assert await allowed(address, bearer("alerts")) == {"alert": "alertmanager"}


async def test_one_person_has_one_name_by_password_and_by_token(tmp_path: Path) -> None:
    text = PRINCIPALS + "- {name: anna, bearer_token_file: annas, scopes: [operate]}\n"
    (tmp_path / "annas").write_text("the-token-of-anna-herself")
    async with served(text, tmp_path) as address:
        assert set((await allowed(address, basic("anna"))).values()) == {"anna"}
        assert await allowed(address, {"Authorization": "Bearer the-token-of-anna-herself"}) == {"operate": "anna"}
    stolen = PRINCIPALS.replace("name: alertmanager", "name: bert")
    with pytest.raises(ConfigError, match=r"'bert'; allowed: no name that stands for another: .*, bert"):
        WebConfigFile(write(tmp_path, stolen))


def write(directory: Path, text: str) -> Path:
    """A web configuration in a file."""
    (directory / "web.yml").write_text(text)
    return directory / "web.yml"


async def test_a_rotated_token_of_a_principal_counts_at_once(tmp_path: Path) -> None:
    async with served(PRINCIPALS, tmp_path) as address:
        assert (await post(f"http://{address}/alert", bearer("alerts")))[0] == 200
        (tmp_path / "new").write_text("another-token-of-alertmanager")
        (tmp_path / "new").replace(tmp_path / "alerts")
        assert (await post(f"http://{address}/alert", bearer("alerts")))[0] == 401
        header = {"Authorization": "Bearer another-token-of-alertmanager"}
        assert (await post(f"http://{address}/alert", header))[0] == 200


def _clients(directory: Path, *names: str) -> dict[str, ssl.SSLContext]:
    """A server certificate, an authority for the clients, and a context for each client."""
    make_certificate(directory, "server")
    contexts = {}
    for name in names:
        make_certificate(directory, name, sans=f"DNS:{name}.example.org")
        contexts[name] = ssl.create_default_context(cafile=str(directory / "server.crt"))
        contexts[name].load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
    (directory / "clients.crt").write_text("".join((directory / f"{name}.crt").read_text() for name in names))
    contexts[""] = ssl.create_default_context(cafile=str(directory / "server.crt"))
    return contexts


TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: clients.crt, client_auth_type: "


async def test_a_client_certificate_is_a_proof(tmp_path: Path) -> None:
    client = _clients(tmp_path, "ci", "other")
    principals = "\nprincipals:\n- {name: ci, client_san: ci.example.org, scopes: [operate]}"
    async with served(TLS + "RequireAndVerifyClientCert}" + principals, tmp_path) as address:
        assert await allowed(address, {}, client["ci"]) == {"operate": "ci"}
        assert await allowed(address, {}, client["other"]) == {"read": "other.example.org"}
    async with served(TLS + "RequireAndVerifyClientCert}", tmp_path) as address:
        every = dict.fromkeys(map(str, Scope), "other.example.org")
        assert await allowed(address, {}, client["other"]) == every
    # A token is asked for beside the certificate, unless a principal names that.
    text = TLS + "RequireAndVerifyClientCert}\nbearer_token_file: top" + principals
    async with served(text, tmp_path) as address:
        assert (await post(f"https://{address}/read", {}, client["other"]))[0] == 401
        assert await allowed(address, bearer("top"), client["ci"]) == {"read": "token"}
        assert await allowed(address, {}, client["ci"]) == {"operate": "ci"}
        wrong = {"Authorization": "Bearer no"}
        assert (await post(f"https://{address}/operate", wrong, client["ci"]))[0] == 401


async def test_a_certificate_that_may_be_left_out_proves_a_principal_only(tmp_path: Path) -> None:
    client = _clients(tmp_path, "ci", "other")
    async with served(TLS + "VerifyClientCertIfGiven}", tmp_path) as address:
        for name in ("", "ci"):
            assert await allowed(address, {}, client[name]) == dict.fromkeys(("alert", "read", "push"), "anonymous")
    text = TLS + "VerifyClientCertIfGiven}\nprincipals:\n- {name: ci, client_san: ci.example.org, scopes: [operate]}"
    async with served(text, tmp_path) as address:
        assert await allowed(address, {}, client["ci"]) == {"operate": "ci"}
        for name in ("", "other"):
            assert (await post(f"https://{address}/read", {}, client[name]))[0] == 401
