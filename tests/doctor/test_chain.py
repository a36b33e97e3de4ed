"""The chain of real programs: sound when it is, and each broken link told with its remedy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import yaml

from doctor.samples import write
from exporter_process import ExporterProcess
from formats.same_traffic import native_predictions, traffic
from handler_service import handling
from handler_world import TOKEN, Link, configuration, free_port
from loopback_server import loopback
from mlcanary.doctor.alert_links import route_link
from mlcanary.doctor.asking import Asker
from mlcanary.doctor.chain import ChainPlan, checked_url, links
from mlcanary.doctor.links import Link as Found
from mlcanary.doctor.routing import receivers_of
from prometheus_tools import LOADED_RULES, ROOT, RULES, alertmanager, prometheus

SHIPPED = (ROOT / "alertmanager" / "alertmanager.yml").read_text()
HANDLER = "http://127.0.0.1:10879"
ROLLBACK = {"action": "rollback", "measure": "accuracy"}


async def probed(plan: ChainPlan) -> dict[str, Found]:
    """Every link by its name."""
    async with aiohttp.ClientSession() as session:
        return {link.name: link async for link in links(plan, Asker(session, None), time.time)}


def broken(found: dict[str, Found]) -> list[str]:
    """Names of what is not sound."""
    return [name for name, link in found.items() if not link.sound]


def shipped_alertmanager(folder: Path, handler: str) -> Path:
    """The shipped configuration with the handler's address, its token beside it, and no patience."""
    (folder / "secrets").mkdir()
    (folder / "secrets" / "handler_token").write_text(TOKEN)
    text = SHIPPED.replace(HANDLER, handler).replace("group_interval: 1m", "group_interval: 1s")
    (folder / "alertmanager.yml").write_text(text)
    return folder / "alertmanager.yml"


def prometheus_configuration(alerts: str, *exporters: str) -> dict[str, object]:
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in LOADED_RULES],
        "scrape_configs": [{"job_name": "mlcanary", "static_configs": [{"targets": exporters}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts.removeprefix("http://")]}]}]},
    }


async def test_a_real_chain(tmp_path: Path) -> None:
    port = free_port()
    text = configuration(f"http://127.0.0.1:{port}", Link(tmp_path).section())
    log = write(tmp_path, native_predictions(traffic(20)))
    async with handling(tmp_path, text) as handler:
        with (
            ExporterProcess("--log.path", str(log), "--publish.interval", "200ms", log=tmp_path / "err") as exporter,
            ExporterProcess("--log.path", str(log), log=tmp_path / "second") as second,
            alertmanager(tmp_path, shipped_alertmanager(tmp_path, handler.url)) as alerts,
            prometheus(tmp_path, prometheus_configuration(alerts, exporter.address, second.address), port) as url,
        ):
            plan = ChainPlan(f"http://{exporter.address}", url, alerts, handler.url, token=TOKEN, rules=RULES)
            plan = replace(plan, inhibitions=yaml.safe_load(SHIPPED))

            await sound(
                plan, but="watchdog"
            )  # Prometheus may not know of Alertmanager yet, and sends it again in a minute
            tested = (await probed(replace(plan, test_alert=True)))["test alert"]
            assert tested.sound, tested
            assert "was heard" in tested.what
            found = await probed(plan)
            assert broken(found) == []
            assert "churn v1, churn v2; " in found["exporter page"].what
            assert "none fails" in found["rules canary.recording.yml"].what
            assert "router (react)" in found["handler access"].what
            assert "goes to receiver mlcanary-handler" in found["route"].what
            assert "goes to receiver mlcanary-watchdog" in found["route watchdog"].what
            assert found["inhibitions"].what == "all 11 are in force"
            assert handler.count("evidence_up") == 1.0
            await breaks(plan, tmp_path)
            second.kill()
            await until_broken(plan, "scrape")
            assert f"not scraped any more: {second.address}" in (await probed(plan))["scrape"].what


async def until_broken(plan: ChainPlan, name: str) -> None:
    """Wait until just this link is broken."""
    deadline = time.monotonic() + 60
    while broken(await probed(plan)) != [name]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def test_a_handler_without_answers_does_not_look_healthy(tmp_path: Path) -> None:
    async with handling(
        tmp_path, configuration(f"http://127.0.0.1:{free_port()}", Link(tmp_path).section())
    ) as handler:
        plan = ChainPlan("", "", "", handler.url, token=TOKEN)
        deadline = time.monotonic() + 30
        while "handler evidence" not in (found := await probed(plan)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)
    assert not found["handler evidence"].sound
    assert handler.count("evidence_up") == 0.0


async def sound(plan: ChainPlan, but: str) -> None:
    """Wait until every link but one holds: rules need their first evaluation."""
    deadline = time.monotonic() + 60
    while unsound := [link for link in (await probed(plan)).values() if not link.sound and link.name != but]:
        assert time.monotonic() < deadline, unsound
        await asyncio.sleep(0.2)


async def breaks(plan: ChainPlan, folder: Path) -> None:
    """The same chain, asked for what it has not."""
    assert broken(await probed(replace(plan, token="wrong"))) == ["handler access"]
    elsewhere = await probed(replace(plan, handler="http://127.0.0.1:9"))
    assert broken(elsewhere) == ["route", "route watchdog", "handler"]
    assert "not to http://127.0.0.1:9/v1/alerts" in elsewhere["route"].what
    assert broken(await probed(replace(plan, judge=plan.handler))) == ["verdicts"]
    for path in LOADED_RULES:
        (folder / path.name).write_text(path.read_text())
    more = "\n      - {record: a_new:rule, expr: vector(1)}\n"
    (folder / "meta.alerts.yml").write_text((RULES / "meta.alerts.yml").read_text().rstrip() + more)
    lacking = await probed(replace(plan, rules=folder))
    assert broken(lacking) == ["rules meta.alerts.yml"]
    assert "not loaded: a_new:rule" in lacking["rules meta.alerts.yml"].what


async def test_nothing_answers_and_nothing_is_taken_for_sound() -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    found = await probed(ChainPlan(dead, dead, dead, dead, dead, rules=RULES))
    assert broken(found) == list(found)
    assert all(link.remedy for link in found.values())


async def test_a_server_of_another_kind_is_no_link() -> None:
    async with loopback() as url:  # answers 404 to everything
        found = await probed(ChainPlan(url, url, url, url, url, rules=RULES))
    assert broken(found) == list(found)


def test_rollbacks_reach_the_handler_by_the_shipped_configuration() -> None:
    document = yaml.safe_load(SHIPPED)
    assert receivers_of(document, ROLLBACK) == ["mlcanary-handler", "mlcanary-people"]
    assert receivers_of(document, {**ROLLBACK, "measure": "verdict"}) == ["mlcanary-handler", "mlcanary-people"]
    assert receivers_of(document, {"alertname": "MLCanaryWatchdog"}) == ["mlcanary-watchdog"]
    assert receivers_of(document, {"severity": "info"}) == ["mlcanary-people"]
    assert route_link("route", document, ROLLBACK, HANDLER, resolved=True).sound


@pytest.mark.parametrize(
    ("hook", "sound", "says"),
    [
        ({"url": f"{HANDLER}/v1/alerts"}, True, "sends no token"),
        ({"url": f"{HANDLER}/v1/alerts", "send_resolved": False}, False, "send_resolved: true"),
        ({"url": f"{HANDLER}/v1/alerts", "max_alerts": 5}, False, "max_alerts: 0"),
        ({"url": "http://127.0.0.1:10879/hook"}, False, "goes to h"),
        ({"url": "http://handler.ml.svc:10879/v1/alerts"}, True, "goes to receiver h"),
        ({"url": "<secret>"}, True, "hidden"),
    ],
)
def test_a_webhook_must_be_told_everything(hook: dict[str, object], sound: bool, says: str) -> None:
    document = {"route": {"receiver": "h"}, "receivers": [{"name": "h", "webhook_configs": [hook]}]}
    link = route_link("route", document, ROLLBACK, HANDLER, resolved=True)
    assert link.sound is sound
    assert says in f"{link.what} {link.remedy}"


@pytest.mark.parametrize(
    ("route", "receivers"),
    [
        ({"matchers": ['action="rollback"']}, ["h"]),
        ({"matchers": ["action=rollback", "measure!=accuracy"]}, ["top"]),
        ({"matchers": ['{action=~"roll.*",measure!~"auc|f1"}']}, ["h"]),
        ({"match": {"action": "rollback"}}, ["h"]),
        ({"match_re": {"action": "back"}}, ["top"]),
        ({"matchers": [], "continue": True}, ["h", "last"]),
        ({"matchers": ['other=""'], "routes": [{"match": {"measure": "accuracy"}, "receiver": "deep"}]}, ["deep"]),
    ],
)
def test_routes_are_followed_as_alertmanager_does(route: dict[str, object], receivers: Sequence[str]) -> None:
    last = {"receiver": "last"} if route.get("continue") else {"receiver": "last", "match": {"never": "x"}}
    document = {"route": {"receiver": "top", "routes": [{"receiver": "h", **route}, last]}}
    assert receivers_of(document, ROLLBACK) == receivers


@pytest.mark.parametrize("url", ["judge:10878", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"--judge\.url: found"):
        checked_url("--judge.url", url)
