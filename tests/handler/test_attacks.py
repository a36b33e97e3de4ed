"""Attacks on a running handler: each is refused as it should be, is counted, and changes nothing."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp.web
import pytest

from handler_service import Handle, handling
from handler_world import Link, QueryAPI, Release, alert, configuration, payload, until
from loopback_server import loopback
from mlcanary.errors import ConfigError
from mlcanary.handler.ledger.store import MOST_WAITING
from mlcanary.handler.settings import parse_settings
from mlcanary.webserver.guard import OPEN_PATHS
from mlcanary.webserver.identity import Scope, required_scope

PRINCIPALS = "principals:\n" + "".join(
    f"- {{name: only-{scope}, bearer_token_file: {scope}.token, scopes: [{scope}]}}\n" for scope in Scope
)
GATES = "/v1/gate"
"""Flagger asks its gates by POST. They change nothing."""

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}


def token(scope: Scope) -> str:
    return f"the-token-of-scope-{scope}"


@pytest.fixture
def link(tmp_path: Path) -> Link:
    return Link(tmp_path)


@pytest.fixture
async def api(link: Link) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(link.shares)).serving() as served:
        yield served


def routes(handler: Handle) -> list[tuple[str, str, Scope | None]]:
    """Every route of the handler, but for the open ones: method, a path, the scope that it declares."""
    found = []
    for route in handler.application.router.routes():
        assert route.resource is not None
        path = route.resource.canonical.replace("{target}", "router").replace("{", "").replace("}", "")
        if path not in OPEN_PATHS:
            found.append((route.method, path, required_scope(route.handler)))
    return found


async def status(handler: Handle, method: str, path: str, credentials: str | None) -> int:
    headers = {"Authorization": f"Bearer {credentials}"} if credentials is not None else {}
    async with handler.session.request(method, handler.url + path, headers=headers, data=b"") as response:
        text = await response.text()
        assert (response.status != 403) or "the scope" in text or method == "HEAD"
        return response.status


async def test_every_route_asks_for_its_scope_and_for_no_other(tmp_path: Path, link: Link, api: QueryAPI) -> None:
    for scope in Scope:
        (tmp_path / f"{scope}.token").write_text(token(scope))
    text = configuration(api.url, link.section(), mode="observe")
    async with handling(tmp_path, text, web=PRINCIPALS) as handler:
        found = routes(handler)
        assert {("POST", "/v1/alerts", Scope.ALERT), ("POST", "/-/freeze", Scope.OPERATE)} <= set(found)
        for method, path, needed in found:
            assert needed is not None, f"{method} {path} declares no scope"
            looks = needed is Scope.READ and not path.startswith(GATES)
            assert method not in CHANGING or not looks, f"{method} {path} changes something"
            for credentials in (None, "", "wrong", token(needed) + "x", token(needed)[:-1]):
                assert await status(handler, method, path, credentials) == 401, (method, path)
            for scope in Scope:
                answer = await status(handler, method, path, token(scope))
                assert (answer == 403) == (scope is not needed), (method, path, scope, answer)
        assert handler.count("webhook_requests_total", "401") >= 10
        assert handler.count("webhook_requests_total", "403") >= 6
        assert handler.audit("freeze")[0].actor == "only-operate"


async def test_without_credentials_configured_nothing_can_be_operated(
    tmp_path: Path, link: Link, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, link.section(), mode="observe"), web="") as handler:
        for method, path, needed in routes(handler):
            answer = await status(handler, method, path, None)
            assert (answer == 403) == (needed in (Scope.OPERATE, Scope.APPROVE)), (method, path, answer)


async def test_oversized_bodies_are_cut_off(tmp_path: Path, link: Link, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, link.section())) as handler:
        assert await handler.post(b" " * (1024 * 1024 + 1)) == 413
        bomb = gzip.compress(b" " * (64 * 1024 * 1024))
        assert len(bomb) < 100_000
        assert await handler.post(bomb, headers={"Content-Encoding": "gzip"}) == 413
        assert handler.count("webhook_requests_total", "413") == 2
        huge = payload(alert(version="x" * 1_000_000))
        assert await handler.post(huge) == 202  # read, and ignored: no version is that long
        assert await handler.post(payload(groupKey="x" * 5000)) == 400
        assert await handler.post(payload(), headers={"X-Filler": "x" * 20_000}) == 400
        nested = b'{"version":"4","groupKey":"g","alerts":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        assert await handler.post(nested) == 400
        assert handler.service.ledger.pending("router", 1e12, recheck=15.0) == []


async def test_slow_senders_hold_nobody_up(tmp_path: Path, link: Link, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, link.section())) as handler:
        host, _, port = handler.url.removeprefix("http://").partition(":")
        slow = []
        for number in range(60):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST /v1/alerts HTTP/1.1\r\nHost: x\r\n" + b"Content-Length: 9\r\n\r\n" * (number % 2))
            slow.append(writer)
        assert await handler.post(payload()) == 202
        assert "mlcanary_webhook_requests_total" in await handler.get("/metrics")
        for writer in slow:
            writer.close()


async def test_ten_thousand_alerts_fill_the_table_and_the_next_hears_so(
    tmp_path: Path, link: Link, api: QueryAPI
) -> None:
    api.broken = True  # so that all of them wait
    async with handling(tmp_path, configuration(api.url, link.section())) as handler:
        accepted = 0
        for part in range(11):
            alerts = [alert(fingerprint=f"{part}-{i}") for i in range(1000)]
            body = payload(*alerts)
            headers = {"Authorization": "Bearer a-token-of-the-tests-only"}
            async with handler.session.post(f"{handler.url}/v1/alerts", data=body, headers=headers) as response:
                if response.status == 202:
                    accepted += (await response.json())["accepted"]
                else:
                    assert (response.status, response.headers["Retry-After"]) == (503, "1")
                    assert "alerts wait already" in await response.text()
        assert accepted == MOST_WAITING
        assert handler.count("webhook_requests_total", "503") == 1
        assert len(handler.service.ledger.pending("router", 1e12, recheck=1e12)) == MOST_WAITING
        assert "mlcanary_webhook_requests_total" in await handler.get("/metrics")


async def test_one_delivery_replayed_is_one_event(tmp_path: Path, link: Link, api: QueryAPI) -> None:
    async with handling(tmp_path, configuration(api.url, link.section(), mode="observe")) as handler:
        answers = await asyncio.gather(*(handler.post(payload()) for _ in range(50)))
        assert answers == [202] * 50
        assert handler.count("decisions_total", "router", "suppress", "duplicate") == 49


async def test_a_forged_alert_without_a_regression_moves_nothing(tmp_path: Path, link: Link, api: QueryAPI) -> None:
    api.release.firing = False
    api.release.delta = 0.0
    async with handling(tmp_path, configuration(api.url, link.section())) as handler:
        assert await handler.post(payload()) == 202
        await until(lambda: handler.count("decisions_total", "router", "suppress", "stale_evidence") >= 1)
        assert handler.incident() is None
        assert handler.audit("dispatch") == []


SHAPES = [
    "file:///etc/passwd",
    "gopher://10.0.0.1:70/_x",
    "ftp://10.0.0.1/x",
    "http://user:secret@10.0.0.1/x",
    "http://user@10.0.0.1/x",
    "//10.0.0.1/x",
    "http://",
    "http://10.0.0.1/x y",
    "http://10.0.0.1/x\\r\\nHost: evil",
    "http://169.254.169.254/latest/meta-data",
    "http://169.254.169.254.:80/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    "http://0251.0376.0251.0376/",
    "http://127.1/",
    "http://0.0.0.0/",
    "http://[::]/",
    "http://100.100.100.200/",
]
FILE = "{type: file, path: /x, values: {v1: a, v2: b}"
HTTP = "{type: http, versions: {v1: a, v2: b}"
PLACES = {
    "prometheus": ("URL", FILE + "}"),
    "http": ("http://p", HTTP + ', url: "URL"}'),
    "read_back": ("http://p", HTTP + ', url: "http://p", read_back: {url: "URL"}}'),
    "reload": ("http://p", FILE + ', reload: {url: "URL"}}'),
    "served": ("http://p", FILE + '}, served: {url: "URL", values: {v1: a, v2: b}}'),
}


@pytest.mark.parametrize("place", PLACES)
def test_no_address_of_a_configuration_leads_to_secrets(place: str) -> None:
    prometheus, target = PLACES[place]
    text = f'prometheus: {{url: "{prometheus}"}}\ntargets:\n- {{name: a, model: m, target: {target}}}'
    parse_settings(text.replace("URL", "http://10.0.0.1:9090/x"), "handler.yml")
    for shape in SHAPES:
        with pytest.raises(ConfigError, match="url: found"):
            parse_settings(text.replace("URL", shape), "handler.yml")


async def test_an_answer_that_redirects_is_no_answer(tmp_path: Path, link: Link) -> None:
    asked: list[str] = []

    async def away(request: aiohttp.web.Request) -> aiohttp.web.Response:
        asked.append(request.path)
        raise aiohttp.web.HTTPFound("http://169.254.169.254/latest/meta-data")

    async with (
        loopback(aiohttp.web.get("/{tail:.*}", away)) as url,
        handling(tmp_path, configuration(url, link.section())) as handler,
    ):
        assert await handler.post(payload()) == 202
        await until(lambda: len(asked) >= 8)
        assert set(asked) == {"/api/v1/query"}
        assert handler.incident() is None
