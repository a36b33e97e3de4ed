"""What is silenced or inhibited in a real Alertmanager is not acted on; and what it changes if that is away."""

from __future__ import annotations

import contextlib
import datetime
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import HAProxy, QueryAPI, Release, alert, configuration, free_port, payload, until
from mlcanary.handler.core.policy import Reason
from prometheus_tools import ROOT, alertmanager, get, post, wait_for

LABELS: Mapping[str, str] = alert()["labels"]  # type: ignore[assignment]
SOON = datetime.timedelta(hours=1)


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Alertmanager with the shipped configuration, whose webhooks go nowhere."""
    folder = tmp_path_factory.mktemp("alertmanager")
    with alertmanager(folder, ROOT / "alertmanager" / "alertmanager.yml") as url:
        yield url


def asking(api: QueryAPI, haproxy: HAProxy, url: str, more: str = "") -> str:
    """A configuration that asks an Alertmanager."""
    return f"alertmanager: {{url: '{url}', timeout: 2s{more}}}\n" + configuration(api.url, haproxy.section())


def fire(url: str, labels: Mapping[str, str]) -> None:
    """Let an alert fire, and wait until it does."""
    ends = (datetime.datetime.now(datetime.UTC) + SOON).isoformat()
    post(f"{url}/api/v2/alerts", [{"labels": dict(labels), "endsAt": ends}])
    wait_for("the alert", lambda: get(f"{url}/api/v2/alerts", filter=f'alertname="{labels["alertname"]}"'))


def silence(url: str) -> str:
    """Silence what fires of the model; gives the silence's name."""
    now = datetime.datetime.now(datetime.UTC)
    body = {
        "matchers": [{"name": "model", "value": LABELS["model"], "isRegex": False, "isEqual": True}],
        **{"startsAt": now.isoformat(), "endsAt": (now + SOON).isoformat(), "createdBy": "alice", "comment": "known"},
    }
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/api/v2/silences", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        name = str(json.loads(response.read())["silenceID"])
    wait_for("the silence", lambda: held(url))
    return name


def held(url: str) -> bool:
    found = get(f"{url}/api/v2/alerts", filter='action="rollback"') or [{"status": {"state": ""}}]
    return all(one["status"]["state"] == "suppressed" for one in found)


def expire(url: str, name: str) -> None:
    """End a silence."""
    request = urllib.request.Request(f"{url}/api/v2/silence/{name}", method="DELETE")
    urllib.request.urlopen(request, timeout=10).close()


async def suppressed(handler: Handle, reason: Reason) -> None:
    """Wait until the reason was given; nothing was done."""
    await until(lambda: handler.count("decisions_total", "router", "suppress", reason) >= 1)
    assert handler.incident() is None


@contextlib.asynccontextmanager
async def silenced(tmp_path: Path, haproxy: HAProxy, api: QueryAPI, shipped: str) -> AsyncIterator[tuple[Handle, str]]:
    """A handler that has looked at an alert under a silence for longer than it waits for webhooks; the silence."""
    fire(shipped, LABELS)
    name = silence(shipped)
    api.release.alerts, api.release.active_at = [dict(LABELS)], 1_700_000_000.5
    async with handling(tmp_path, asking(api, haproxy, shipped)) as handler:
        await until(lambda: sum(q.startswith("ALERTS{") for q in api.queries) >= 8)
        yield handler, name


async def test_a_silenced_alert_is_neither_acted_on_nor_missed_until_the_silence_ends(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, shipped: str
) -> None:
    async with silenced(tmp_path, haproxy, api, shipped) as (handler, name):
        assert handler.count("missed_webhooks_total", "router") == 0
        await handler.post(payload())  # sent right before the silence
        await suppressed(handler, Reason.SILENCED)
        (row,) = handler.audit("decision")
        assert f"silence {name}" in row.body
        expire(shipped, name)
        await until(lambda: handler.state() == "resolved")
        assert handler.count("missed_webhooks_total", "router") == 0


async def test_an_alert_silenced_from_its_start_is_acted_on_when_that_ends_and_no_webhook_was_lost(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, shipped: str
) -> None:
    async with silenced(tmp_path, haproxy, api, shipped) as (handler, name):
        assert handler.incident() is None
        expire(shipped, name)
        await until(lambda: handler.state() == "resolved")
        assert handler.count("missed_webhooks_total", "router") == 0


async def test_what_the_shipped_inhibitions_hold_is_not_acted_on(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, shipped: str
) -> None:
    auc = {**LABELS, "alertname": "MLCanaryAUCBelowBaseline", "measure": "auc"}
    fire(shipped, {"alertname": "MLCanaryEdgesMismatch", "severity": "warning", "model": LABELS["model"]})
    fire(shipped, auc)
    async with handling(tmp_path, asking(api, haproxy, shipped)) as handler:
        await handler.post(payload(alert(alertname="MLCanaryAUCBelowBaseline", measure="auc")))
        await suppressed(handler, Reason.SILENCED)
        assert "inhibited by alert" in handler.audit("decision")[0].body
        await handler.post(payload(alert(fingerprint="accuracy")))  # not held by different bins
        await until(lambda: handler.state() == "resolved")


@pytest.mark.parametrize("unanswered", ["act", "hold"])
async def test_an_alertmanager_that_is_away_holds_only_where_that_is_asked_for(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI, unanswered: str
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with handling(tmp_path, asking(api, haproxy, nobody, f", unanswered: {unanswered}")) as handler:
        await handler.post(payload())
        if unanswered == "hold":
            await suppressed(handler, Reason.NO_EVIDENCE)
            assert "Alertmanager" in handler.audit("decision")[0].body
        else:
            await until(lambda: handler.state() == "resolved")
            incident = handler.incident()
            assert incident is not None
            assert '"silences_unread":1.0' in incident.evidence
