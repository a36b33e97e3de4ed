"""What the handler remembers and hears by itself: artefacts, served versions, lost webhooks, messages."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from handler_service import Handle, handling
from handler_world import BAD, GOOD, HAProxy, QueryAPI, Release, alert, configuration, payload, until
from loopback_server import loopback
from mlcanary.handler.core.releases import VersionStatus

BEFORE, AFTER = {GOOD: 90, BAD: 10}, {GOOD: 100, BAD: 0}
DIGESTS = "  digests: {v1: 'sha256:good', v2: 'sha256:bad'}\n"
LABELS = {
    "alertname": "MLCanaryAccuracyBelowBaseline",
    "alertstate": "firing",
    "action": "rollback",
    "model": "clicks",
    "version": BAD,
    "measure": "accuracy",
    "window": "5m",
}


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    with HAProxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
async def api(haproxy: HAProxy) -> AsyncIterator[QueryAPI]:
    async with QueryAPI(Release(haproxy.shares)).serving() as served:
        yield served


def known(handler: Handle) -> dict[str, VersionStatus]:
    """Status by digest."""
    return {version.digest: version.status for version in handler.service.ledger.versions("clicks")}


async def test_a_proven_rollback_quarantines_the_artefact_and_proves_the_other(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), extra=DIGESTS)) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "resolved")
        learnt = {"sha256:bad": VersionStatus.QUARANTINED, "sha256:good": VersionStatus.PROVEN}
        assert known(handler) == learnt
        verdict = msgspec.json.decode(handler.audit("verdict")[0].body)
        assert (verdict["quarantined"], verdict["proven"]) == ("sha256:bad", "sha256:good")
        (action,) = handler.service.ledger.actions(verdict["incident"])
        assert (verdict["actions"], verdict["plan"]) == ([action.id], action.plan)
        await until(lambda: handler.count("quarantined_versions", "clicks") == 1)
    swapped = DIGESTS.replace("sha256:good", "x").replace("sha256:bad", "sha256:good").replace("x", "sha256:bad")
    haproxy.ask("set weight models/stable 90; set weight models/canary 10")
    text = configuration(api.url, haproxy.section(), extra=swapped + "  cooldown: 0s\n")
    async with handling(tmp_path, text.replace("reconcile: 200ms", "reconcile: 1h")) as handler:
        await handler.post(payload(alert(fingerprint="again")))
        await until(lambda: handler.count("decisions_total", "router", "suppress", "quarantined") >= 1)
        assert known(handler) == learnt


async def test_an_effect_that_was_never_proven_teaches_nothing(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    api.release.rate = 0.001
    api.release.route = lambda: {GOOD: 0.5, BAD: 0.5}
    text = configuration(api.url, haproxy.section()).replace("deadline: 40s", "deadline: 500ms")
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "stuck")
        assert known(handler) == {}


@dataclass
class ModelServer:
    """Tells which artefact it serves."""

    artefact: str = "b"
    asked: int = 0

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        async with loopback(web.get("/", self._answer)) as url:
            yield f"  served: {{url: '{url}/', pointer: /model/digest, values: {{v1: a, v2: b}}}}\n"

    async def _answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"model": {"digest": self.artefact}})


async def test_a_rollback_is_proven_only_once_the_server_tells_the_good_artefact(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    server = ModelServer()
    async with (
        server.serving() as served,
        handling(tmp_path, configuration(api.url, haproxy.section(), extra=served)) as handler,
    ):
        await handler.post(payload())
        await until(lambda: "recovered; the model server tells 'b', not 'a'" in progress(handler))
        assert handler.state() == "verifying"
        server.artefact = "a"
        before = server.asked
        await until(lambda: handler.state() == "resolved")
        assert server.asked - before >= 2  # at every look, from the first to the end of two windows


async def test_a_server_that_goes_on_telling_the_bad_artefact_makes_it_ineffective(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with ModelServer().serving() as served:
        text = configuration(api.url, haproxy.section(), extra=served).replace("deadline: 40s", "deadline: 2s")
        async with handling(tmp_path, text) as handler:
            await handler.post(payload())
            await until(lambda: handler.state() == "ineffective")


def progress(handler: Handle) -> str:
    found = handler.service.workers["router"].progress
    return found.note if found is not None else ""


async def test_an_alert_whose_webhook_is_lost_is_found_in_prometheus(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    others = [{**LABELS, "version": "v9"}, {**LABELS, "measure": "karma"}, {**LABELS, "window": "judge"}]
    others += [{**LABELS, "alertname": "$(touch x)"}]
    api.release.alerts, api.release.active_at = [LABELS, *others], 1_700_000_000.5
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await until(lambda: handler.state() == "resolved")
        assert handler.count("missed_webhooks_total", "router") == 1
        assert haproxy.weights() == AFTER
        looks = len(api.queries)
        await until(lambda: sum(q.startswith("ALERTS{") for q in api.queries[looks:]) >= 6)
        assert handler.count("missed_webhooks_total", "router") == 1


async def test_an_alert_that_came_by_webhook_is_not_missed(tmp_path: Path, haproxy: HAProxy, api: QueryAPI) -> None:
    api.release.alerts, api.release.delta = [LABELS], 0.0
    async with handling(tmp_path, configuration(api.url, haproxy.section())) as handler:
        await handler.post(payload())
        await until(lambda: sum(q.startswith("ALERTS{") for q in api.queries) >= 8)
        assert handler.count("missed_webhooks_total", "router") == 0
        assert (
            handler.service.ledger.pending("router", handler.service.now() + 1, recheck=15.0)[0].measure == "accuracy"
        )


async def test_mode_observe_rehearses_and_tells_what_the_target_would_refuse(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    async with handling(tmp_path, configuration(api.url, haproxy.section(), mode="observe")) as handler:
        await handler.post(payload())
        await until(lambda: handler.count("rollbacks_total", "router", "clicks", "dry_run") == 1)
        haproxy.ask("set server models/stable state maint")
        await handler.post(payload(alert(fingerprint="again")))
        await until(lambda: handler.count("rollbacks_total", "router", "clicks", "dry_run") == 2)
        would, would_not = (msgspec.json.decode(row.body) for row in handler.audit("decision"))
        assert (would["note"], would["desired"]) == ("the target would accept it", AFTER)
        assert would["plan"] == would_not["plan"]
        assert "server models/stable of version v1 is not running" in would_not["note"]
        assert haproxy.weights()[BAD] == BEFORE[BAD]
        assert handler.audit("dispatch") == []


async def test_people_are_told_in_the_transaction_of_what_happened(
    tmp_path: Path, haproxy: HAProxy, api: QueryAPI
) -> None:
    (tmp_path / "url").write_text("http://127.0.0.1:1/")
    text = configuration(api.url, haproxy.section(), extra="  approval: {required: true, expires: 500ms}\n")
    text += f"notify: [{{name: ops, url_file: {tmp_path / 'url'}}}]\n"
    async with handling(tmp_path, text) as handler:
        await handler.post(payload())
        await until(lambda: handler.state() == "abandoned")
        told = handler.service.ledger.notices(handler.service.now() + 60, 99, longest=1e9)
        assert [notice.kind for notice in told] == ["approval", "approval"]
        first, last = (msgspec.json.decode(notice.body) for notice in told)
        incident = handler.incident()
        assert incident is not None
        assert (first["incident"], first["plan"], first["version"]) == (incident.id, incident.plan, BAD)
        assert (first["state"], first["figures"]["delta"]) == ("awaiting_approval", -0.3)
        assert last["note"] == "was not approved within 0.5 s"
