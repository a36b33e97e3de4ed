"""Grafana's webhook: its documented body, its signature, and what a replay or a thief gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_service import Handle, handling
from handler_world import MODEL, Link, QueryAPI, Release, alert, configuration, payload
from mlcanary.errors import InputError
from mlcanary.handler.intake.grafana import (
    MOST_REMEMBERED,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    WINDOW,
    SignatureCheck,
    SignatureFault,
    parse_grafana,
    sign,
)
from mlcanary.handler.intake.payload import Ignored, Measure, Window

NOW = 1_767_323_045.0
SECRET = b"the-secret-of-the-tests-only"


def grafana(*alerts: dict[str, object], **changes: object) -> bytes:
    """A body with every field that Grafana documents for its webhook contact point."""
    own = [
        {
            **one,
            "silenceURL": "https://grafana.test/alerting/silence/new",
            "dashboardURL": "",
            "panelURL": "",
            "imageURL": "https://grafana.test/render/x.png",
            "values": {"B": 44.2, "C": 1},
            "valueString": "[ var='B' labels={} value=44.2 ]",
            "orgId": 1,
        }
        for one in alerts or (alert(startsAt="2026-01-02T03:04:05.157076+02:00"),)
    ]
    body: dict[str, object] = {
        "version": "1",
        "groupKey": '{}/{__grafana_receiver__="handler"}:{alertname="MLCanaryAccuracyBelowBaseline"}',
        "orgId": 1,
        "title": "[FIRING:1]",
        "state": "alerting",
        "message": "**Firing**",
        "appVersion": "12.2.0",
        **changes,
    }
    return payload(*own, **body)


def test_the_documented_body_becomes_the_same_alert_as_alertmanagers() -> None:
    delivery = parse_grafana(grafana())
    (found,) = delivery.alerts
    assert (found.model, found.version, found.measure, found.window) == (MODEL, "v2", Measure.ACCURACY, Window.FAST)
    assert found.delivery_key == (
        '{}/{__grafana_receiver__="handler"}:{alertname="MLCanaryAccuracyBelowBaseline"}',
        "c0ffee0123456789",
        "2026-01-02T03:04:05.157076+02:00",
    )
    assert found.firing
    assert delivery.ignored == ()


@pytest.mark.parametrize("name", ["DatasourceNoData", "DatasourceError"])
def test_an_alert_about_a_query_that_failed_asks_for_nothing(name: str) -> None:
    delivery = parse_grafana(grafana(alert(), alert(alertname=name)))
    assert (len(delivery.alerts), delivery.ignored) == (1, (Ignored.INFORMS,))


@pytest.mark.parametrize("body", [payload(), b"{}", b"[]", grafana(version="2"), grafana(alerts=None)])
def test_what_is_none_of_grafanas_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        parse_grafana(body)


def test_the_signature_is_that_of_grafana() -> None:
    # printf '1767323045:{"a":1}' | openssl dgst -sha256 -hmac the-secret-of-the-tests-only
    assert sign(SECRET, "1767323045", b'{"a":1}') == GOLDEN


GOLDEN = "b01e0596b401b39e5bb1293f783900adfa4676ae932e1da681124b7d07389792"


@pytest.mark.parametrize(
    ("timestamp", "signature", "fault"),
    [
        ("", sign(SECRET, "", b"x"), SignatureFault.MISSING),
        (f"{NOW:.0f}", "", SignatureFault.MISSING),
        ("now", "00", SignatureFault.STALE),
        ("-1", "00", SignatureFault.STALE),
        ("1" * 40, "00", SignatureFault.STALE),
        ("\u0661", "00", SignatureFault.STALE),
        (f"{NOW - WINDOW - 1:.0f}", sign(SECRET, f"{NOW - WINDOW - 1:.0f}", b"x"), SignatureFault.STALE),
        (f"{NOW + WINDOW + 1:.0f}", sign(SECRET, f"{NOW + WINDOW + 1:.0f}", b"x"), SignatureFault.STALE),
        (f"{NOW:.0f}", sign(SECRET, f"{NOW:.0f}", b"y"), SignatureFault.FORGED),
        (f"{NOW:.0f}", sign(b"another-secret", f"{NOW:.0f}", b"x"), SignatureFault.FORGED),
        (f"{NOW:.0f}", sign(SECRET, f"{NOW - 1:.0f}", b"x"), SignatureFault.FORGED),
        (f"{NOW:.0f}", sign(SECRET, f"{NOW:.0f}", b"x").upper(), SignatureFault.FORGED),
        (f"{NOW:.0f}", "\udcff\udcfe", SignatureFault.FORGED),
        (f"{NOW - WINDOW:.0f}", sign(SECRET, f"{NOW - WINDOW:.0f}", b"x"), None),
        (f"{NOW + WINDOW:.0f}", sign(SECRET, f"{NOW + WINDOW:.0f}", b"x"), None),
    ],
)
def test_a_signature_is_right_or_the_fault_is_named(
    timestamp: str, signature: str, fault: SignatureFault | None
) -> None:
    check = SignatureCheck()
    assert check.fault(SECRET, timestamp, signature, b"x", NOW) == fault
    assert len(check) == (fault is None)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 200)), max_size=60))
def test_no_signature_counts_twice_inside_the_window(steps: list[tuple[int, float]]) -> None:
    check, now, used = SignatureCheck(), NOW, set[tuple[str, int]]()
    for body, pause in steps:
        timestamp = f"{int(now) - body * 20}"
        sent = sign(SECRET, timestamp, b"%d" % body)
        fault = check.fault(SECRET, timestamp, sent, b"%d" % body, now)
        if now - int(timestamp) > WINDOW:
            assert fault is SignatureFault.STALE
        else:
            assert fault == (SignatureFault.REPLAYED if (timestamp, body) in used else None)
            used.add((timestamp, body))
        now += pause


def test_the_memory_of_signatures_is_bounded() -> None:
    check, timestamp = SignatureCheck(most=100), f"{NOW:.0f}"
    for i in range(250):
        body = b"%d" % i
        assert check.fault(SECRET, timestamp, sign(SECRET, timestamp, body), body, NOW) is None
    assert len(check) == 100
    assert MOST_REMEMBERED == 10_000


@pytest.fixture
def router(tmp_path: Path) -> Link:
    return Link(tmp_path)


@pytest.fixture
async def api(router: Link) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(router.shares, firing=False)).serving() as served:
        yield served


async def send(
    handler: Handle, body: bytes, *, at: float, secret: bytes = SECRET, header: str = TIMESTAMP_HEADER
) -> int:
    """A POST as Grafana sends it."""
    timestamp = f"{at:.0f}"
    headers = {SIGNATURE_HEADER: sign(secret, timestamp, body), header: timestamp}
    return await handler.post(body, path="/v1/grafana", headers=headers)


async def test_a_signed_delivery_is_stored_once_also_across_a_restart(
    tmp_path: Path, router: Link, api: QueryAPI
) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    text = configuration(api.url, router.section(), extra=f"grafana: {{secret_file: {tmp_path}/secret}}\n")
    stored = ("decisions_total", "router", "suppress", "duplicate")
    async with handling(tmp_path, text, clock=lambda: NOW) as handler:
        assert await send(handler, grafana(), at=NOW, secret=b"somebody-elses-secret") == 401
        assert await send(handler, grafana(), at=NOW - 301) == 401
        assert await handler.post(grafana(), path="/v1/grafana") == 401
        assert await send(handler, b"{}", at=NOW) == 400
        assert await send(handler, b"{}", at=NOW) == 400  # what was not stored may come again
        assert await send(handler, grafana(), at=NOW) == 202
        assert await send(handler, grafana(), at=NOW) == 409
        assert await send(handler, grafana(), at=NOW - 1) == 202  # signed anew, as a repeat is
        assert handler.count(*stored) == 1
        assert handler.count("webhook_requests_total", "409") == 1
        assert handler.count("webhook_requests_total", "401") == 3
    async with handling(tmp_path, text, clock=lambda: NOW) as handler:
        assert await send(handler, grafana(), at=NOW) == 202  # forgotten, and yet known
        assert handler.count(*stored) == 1


async def test_without_a_secret_the_route_is_off(tmp_path: Path, router: Link, api: QueryAPI) -> None:
    text = configuration(api.url, router.section())
    async with handling(tmp_path, text) as handler:
        assert await send(handler, grafana(), at=NOW) == 404
    extra = f"grafana: {{secret_file: {tmp_path}/secret, timestamp_header: X-Stamp}}\n"
    async with handling(tmp_path, configuration(api.url, router.section(), extra=extra), clock=lambda: NOW) as handler:
        assert await send(handler, grafana(), at=NOW, header="X-Stamp") == 503
        (tmp_path / "secret").write_bytes(b"short")
        assert await send(handler, grafana(), at=NOW, header="X-Stamp", secret=b"short") == 503
        (tmp_path / "secret").write_bytes(SECRET)
        assert await send(handler, grafana(), at=NOW) == 401
        assert await send(handler, grafana(), at=NOW, header="X-Stamp") == 202
        assert await handler.post(grafana(), path="/v1/grafana", token=None) == 401
