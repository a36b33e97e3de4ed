"""Webhook bodies that are no payload, and labels with meta characters: nothing happens, and the handler lives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from handler_service import handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, alert, configuration, payload, until

BEFORE = {GOOD: 90, BAD: 10}


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


def about_versions(api: QueryAPI) -> list[str]:
    """What was asked, but for the look at what fires."""
    return [text for text in api.queries if not text.startswith(("ALERTS{", "ALERTS_FOR_STATE{"))]


async def test_labels_with_meta_characters_change_nothing(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    hostile = ["$(touch /tmp/x)", "v2'; drop table event;--", 'v2"} or vector(1) #', "../../v2", "v2\n", "http://x/"]
    hostile += ["", "v" * 65, "ｖ2", "v2\x00", "v3"]
    alerts = [alert(version=text, fingerprint=f"a{i}") for i, text in enumerate(hostile)]
    alerts += [alert(model=text, fingerprint=f"b{i}") for i, text in enumerate(hostile)]
    alerts += [alert(measure=text, fingerprint=f"c{i}") for i, text in enumerate(hostile)]
    alerts += [alert(window=text, fingerprint=f"d{i}") for i, text in enumerate(hostile)]
    alerts += [alert(fingerprint=text) for text in hostile[:-1]]
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        asked = len(about_versions(api))
        for hostile_alert in alerts:
            assert await handler.post(payload(hostile_alert)) == 202
        assert handler.service.ledger.next_try("router") is None
        assert len(about_versions(api)) == asked
        assert handler.incident() is None
        assert haproxy.weights() == BEFORE


async def test_bodies_that_are_no_payload_are_refused_and_the_handler_lives(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    bodies = [b"", b"{", b"null", b"[]", b"\xff\xfe", payload()[:-2], payload(version="3"), b"[" * 100_000]
    bodies += [payload(alerts=5), payload({**alert(), "status": "maybe"}), payload({**alert(), "startsAt": "now"})]
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        for body in bodies:
            assert await handler.post(body) == 400, body[:50]
        assert await handler.post(b" " * (1024 * 1024 + 1)) == 413
        assert await handler.post(payload(), token=None) == 401
        assert await handler.post(payload(), token="a-token-of-somebody-else") == 401
        assert handler.count("webhook_requests_total", "400") == len(bodies)
        assert handler.incident() is None
        assert await handler.post(payload()) == 202
        await until(lambda: handler.state() == "resolved")
