"""Reading the sketches of peers over real HTTP on loopback: many of them, broken ones, and ones that go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import reduce
from pathlib import Path

import pytest
from aiohttp import web

from daily_users import CANARY, NOW, SALT, STABLE, TODAY, fleet, page_of, plan
from mlcanary.exposition.landing import render_landing
from mlcanary.exposition.page import Page
from mlcanary.exposition.peers import SKETCHES_PATH, Limits, PeerReader
from mlcanary.exposition.sketches import PeerPlan, PeerView, encode, merged_samples, union
from mlcanary.exposition.web import exporter_application
from mlcanary.measures.users import DAY_SECONDS, salt_fingerprint
from mlcanary.monitor.users import Sketches
from mlcanary.stats.distinct import relative_error
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.server import serving
from monitored_traffic import value

INTERVAL = 60.0


class Clock:
    """Time that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def sidecar(
    page: Page, address: str = "127.0.0.1:0", web_config: WebConfigFile | None = None
) -> AsyncIterator[str]:
    """The web application of an exporter, serving; gives its address."""

    async def reload() -> None:
        raise AssertionError("nobody reloads here")

    application = exporter_application(lambda: page, ready=lambda: "", reload=reload, web_config=web_config)
    async with serving(application, [address], web_config) as addresses:
        yield addresses[0]


@asynccontextmanager
async def answering(response: web.StreamResponse) -> AsyncIterator[str]:
    """A server that gives one answer to everything."""

    async def answer(_request: web.Request) -> web.StreamResponse:
        return response

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    async with serving(application, ["127.0.0.1:0"], None) as addresses:
        yield addresses[0]


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """A server that takes connections and never says a word."""
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: taken.append(writer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"{host}:{port}"
    server.close()
    for writer in taken:
        writer.close()
        await writer.wait_closed()


def reader(*peers: str, clock: Clock | None = None, token_file: Path | None = None, **rest: object) -> PeerReader:
    """A reader of these addresses."""
    urls = tuple(peer if "//" in peer else f"http://{peer}" for peer in peers)
    return PeerReader(PeerPlan(urls, INTERVAL, token_file), SALT, clock or Clock(), **rest)  # type: ignore[arg-type]


async def next_view(one: PeerReader, before: PeerView | None) -> PeerView:
    """The first view that is another one, within ten seconds."""
    for _ in range(1000):
        if one.view is not None and one.view is not before:
            return one.view
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was read")


async def problem_of(peer: str, **rest: object) -> tuple[str, bool]:
    """Why the only peer was refused, and whether it counts as up."""
    one = reader(peer, **rest)  # type: ignore[arg-type]
    await one.read_all()
    assert one.view is not None
    assert one.view.sketches == {}
    (reason,) = one.view.failures
    assert one.view.peers[0].problem
    return reason, one.view.peers[0].up


async def test_a_name_with_twenty_addresses_stands_for_twenty_sidecars() -> None:
    made = fleet(3, 20, 4_000)
    own, *others = made.sketches()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(sidecar(page_of(others[0]), "127.0.0.2:0"))
        port = first.rpartition(":")[2]
        for i, sketches in enumerate(others[1:], 3):
            await stack.enter_async_context(sidecar(page_of(sketches), f"127.0.0.{i}:{port}"))

        async def resolve(host: str, _port: int) -> Sequence[str]:
            assert host == "sidecars.monitoring.svc"
            return [f"127.0.0.{i}" for i in range(2, 21)]

        headless = reader(f"http://sidecars.monitoring.svc:{port}", resolve=resolve)
        await headless.read_all()
    view = headless.view
    assert view is not None
    assert [peer.up for peer in view.peers] == [True] * 19
    nobody: Sketches = {}
    whole = reduce(union, made.sketches(), nobody)
    merged = union(view.sketches, own)
    assert all((merged[key].registers == whole[key].registers).all() for key in whole)
    shown = list(merged_samples(view, own, plan().role, NOW))
    for key in (STABLE, CANARY):
        active = value(shown, "merged_daily_active_users", *key, "today")
        assert active == pytest.approx(len(made.users(key)), rel=4 * relative_error())
    assert value(shown, "sketch_peers", "ok") == 19


async def test_what_cannot_be_merged_is_refused_counted_and_shown() -> None:
    good = encode(fleet(1, 1, 10).sketches()[0], SALT)
    other_salt = page_of(fleet(1, 1, 10).sketches()[0], salt_fingerprint(b"another"))
    async with sidecar(other_salt) as peer:
        assert await problem_of(peer) == ("salt", False)
    async with sidecar(Page((), ())) as peer:
        assert await problem_of(peer) == ("status", False)
    async with answering(web.Response(body=b"<html>")) as peer:
        assert await problem_of(peer) == ("malformed", False)
    async with answering(web.Response(body=good.replace(b'"precision":15', b'"precision":12'))) as peer:
        assert await problem_of(peer) == ("precision", False)
    async with answering(web.Response(body=good)) as peer:
        assert await problem_of(peer, limits=Limits(body_bytes=1000)) == ("too_large", False)
    async with answering(web.Response(body=good)) as peer:
        assert await problem_of(peer, limits=Limits(sketches=1)) == ("too_many", False)
    async with silent() as peer:
        assert await problem_of(peer, limits=Limits(seconds=0.1)) == ("unreachable", False)
    assert await problem_of("127.0.0.1:1") == ("unreachable", False)
    assert await problem_of("no-such-host.invalid:1") == ("unresolved", False)


async def test_a_small_body_that_unfolds_is_too_large() -> None:
    response = web.Response(body=b" " * 3_000_000)
    response.enable_compression()
    async with answering(response) as peer:
        assert await problem_of(peer, limits=Limits(body_bytes=1_000_000)) == ("too_large", False)


async def test_a_redirect_is_not_followed_and_takes_no_token_along(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one-token-of-sixteen-characters-and-more")
    async with sidecar(page_of(fleet(1, 1, 10).sketches()[0])) as other:
        moved = web.Response(status=302, headers={"Location": f"http://{other}{SKETCHES_PATH}"})
        async with answering(moved) as peer:
            assert await problem_of(peer, token_file=token) == ("status", False)


async def test_peers_ask_for_a_token_as_for_every_page(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one-token-of-sixteen-characters-and-more\n")
    (tmp_path / "web.yml").write_text("bearer_token_file: token\n")
    config = WebConfigFile(tmp_path / "web.yml")
    async with sidecar(page_of(fleet(1, 1, 10).sketches()[0]), web_config=config) as peer:
        assert await problem_of(peer) == ("status", False)
        assert await problem_of(peer, token_file=tmp_path / "none") == ("status", False)
        trusted = reader(peer, token_file=tmp_path / "token")
        await trusted.read_all()
    assert trusted.view is not None
    assert [p.up for p in trusted.view.peers] == [True]


async def test_who_goes_away_counts_as_failed_and_his_users_stay_for_their_day() -> None:
    clock = Clock()
    sketches = fleet(1, 1, 100).sketches()[0]
    async with sidecar(page_of(sketches)) as peer:
        one = reader(peer, clock=clock)
        await one.read_all()
    states = []
    for _ in range(5):
        clock.now += INTERVAL
        await one.read_all()
        assert one.view is not None
        states.append(one.view.peers[0].up)
        assert one.view.sketches.keys() == sketches.keys()
    assert states == [True, True, False, False, False]
    assert one.view is not None
    assert one.view.failures == {"unreachable": 5}
    html = render_landing(Page((), (), peers=one.view.peers), "/metrics")
    assert "Peers whose users are merged" in html
    assert f"http://{peer}" in html
    clock.now += 2 * DAY_SECONDS
    async with sidecar(page_of({})) as another:
        one.replan(PeerPlan((f"http://{another}",), INTERVAL), SALT)
        await one.read_all()
    assert one.view.sketches == {}
    assert [p.address for p in one.view.peers] == [f"http://{another}"]


async def test_a_reload_takes_effect_at_once_and_another_salt_starts_anew() -> None:
    sketches = fleet(1, 1, 100).sketches()[0]
    async with sidecar(page_of(sketches)) as peer:
        one = PeerReader(PeerPlan(), SALT, Clock())
        task = asyncio.create_task(one.run())
        await asyncio.sleep(0)
        assert one.view is None
        one.replan(PeerPlan((f"http://{peer}",), INTERVAL), SALT)
        before = await next_view(one, None)
        assert before.sketches.keys() == {(*STABLE, TODAY), (*CANARY, TODAY)}
        one.replan(PeerPlan((f"http://{peer}",), INTERVAL), salt_fingerprint(b"another"))
        after = await next_view(one, before)
        assert (after.sketches, after.failures) == ({}, {"salt": 1})
        one.replan(PeerPlan(), SALT)
        assert one.view is None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
