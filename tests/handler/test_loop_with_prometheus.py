"""The same loop with a real Prometheus, the shipped recording rules and a real Alertmanager."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from handler_service import handling
from handler_world import BAD, GOOD, MODEL, TOKEN, HAProxy, Release, configuration, free_port, until
from loopback_server import loopback
from mlcanary.catalog import Gate, Verdict
from mlcanary.handler.core.judgement import Word
from mlcanary.handler.core.policy import Evidence
from mlcanary.handler.evidence import capacity, missed, readings
from mlcanary.handler.evidence import gather as evidence
from mlcanary.handler.evidence.judgement import judge_of
from mlcanary.handler.evidence.prometheus import Prometheus
from mlcanary.handler.evidence.recorded import RECORDED
from mlcanary.handler.intake.payload import Measure, Window
from mlcanary.handler.schema import PrometheusSettings
from mlcanary.handler.settings import parse_settings
from prometheus_tools import RULES, alertmanager, get, prometheus

T = TypeVar("T")
ALERT = f"""
groups:
- name: fast
  rules:
  - alert: MLCanaryAccuracyBelowBaseline
    expr: >-
      model_version:mlcanary_labeled_predictions:accuracy_delta5m{{model="{MODEL}"}} < -0.1
      and model_version:mlcanary_labeled_predictions:accuracy_zscore5m{{model="{MODEL}"}} < -6
    keep_firing_for: 5m
    labels: {{action: rollback, measure: accuracy, window: 5m, severity: critical}}
"""
"""Without a floor of labels it fires on a second of data, of which `rate` makes the more the shorter it is: kept up."""
SECTION = "{type: file, path: /srv/current, values: {v1: a, v2: b}}"
LOSSES = {GOOD: 0.3, BAD: 0.9}


def page(release: Release) -> str:
    """What a sidecar of both versions would show."""
    release.flow()
    lines = ['mlcanary_up{source="log"} 1']
    for version, role in release.roles:
        labels = f'model="{MODEL}",version="{version}"'
        n = release.counters[version]
        lines += [
            f'mlcanary_model_info{{{labels},role="{role}",task="binary"}} 1',
            f'mlcanary_predictions_total{{{labels},predicted="1"}} {n}',
            f"mlcanary_last_prediction_timestamp_seconds{{{labels}}} {release.newest[version]}",
            f'mlcanary_prediction_errors_total{{{labels},reason="500"}} 0',
            f"mlcanary_log_loss_count{{{labels}}} {n}",
            f"mlcanary_log_loss_sum{{{labels}}} {n * LOSSES[version]}",
            f"mlcanary_log_loss_squares_total{{{labels}}} {n * LOSSES[version] ** 2 * 1.5}",
        ]
    for (version, actual, predicted), n in release.labeled.items():
        labels = f'model="{MODEL}",version="{version}",actual="{actual}",predicted="{predicted}"'
        lines.append(f"mlcanary_labeled_predictions_total{{{labels}}} {n}")
    lines += judge_page() if release.judged else []
    lines.append(f'mlcanary_objective_threshold{{model="{MODEL}",objective="accuracy_drop_fast"}} 0.1')
    return "\n".join(lines) + "\n"


def judge_page() -> list[str]:
    """What a judge that asks for a rollback would show."""
    of = f'model="{MODEL}",version="{BAD}"'
    now = time.time()
    return [
        "mlcanary_judge_leader 1",
        f"mlcanary_judge_read_timestamp_seconds {now}",
        *(f'mlcanary_judge_verdict{{{of},verdict="{name}"}} {float(name is Verdict.ROLLBACK)}' for name in Verdict),
        *(f'mlcanary_judge_gate{{{of},gate="{name}"}} 0' for name in Gate),
        f'mlcanary_judge_family_log_evalue{{{of},family="quality"}} 12.5',
        f'mlcanary_judge_family_log_evalue_threshold{{{of},family="quality"}} 6.2',
        f'mlcanary_judge_measure_log_evalue{{{of},measure="accuracy"}} 13.5',
        f"mlcanary_judge_may_expand{{{of}}} 0",
        f"mlcanary_judge_judged_timestamp_seconds{{{of}}} {now}",
        *(f'mlcanary_judge_trials{{{of},measure="{m}",arm="canary"}} {n}' for m, n in (("errors", 4000), ("auc", 900))),
        f'mlcanary_judge_trials{{{of},measure="errors",arm="baseline"}} 70000',
    ]


@contextlib.asynccontextmanager
async def sidecar(release: Release) -> AsyncIterator[int]:
    """The page over HTTP; gives the port."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=page(release))

    async with loopback(web.get("/metrics", answer)) as url:
        yield int(url.rpartition(":")[2])


def prometheus_configuration(
    directory: Path, port: int, alertmanager_url: str, *, judged: bool = False
) -> dict[str, object]:
    (directory / "alert.yml").write_text((RULES / "judge.alerts.yml").read_text() if judged else ALERT)
    return {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
        "rule_files": [str(RULES / "canary.recording.yml"), str(directory / "alert.yml")],
        "scrape_configs": [{"job_name": "sidecar", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager_url.removeprefix("http://")]}]}]},
    }


def alertmanager_configuration(directory: Path, handler: str) -> Path:
    http = {"authorization": {"type": "Bearer", "credentials": TOKEN}}
    hook = {"url": f"{handler}/v1/alerts", "send_resolved": True, "http_config": http}
    route = {"receiver": "h", "group_by": ["model", "version"], "group_wait": "0s", "group_interval": "1s"}
    document = {"route": route, "receivers": [{"name": "h", "webhook_configs": [hook]}]}
    path = directory / "alertmanager.yml"
    path.write_text(json.dumps(document))
    return path


async def test_a_real_prometheus_and_alertmanager_close_the_loop(tmp_path: Path) -> None:
    with HAProxy(tmp_path).running() as haproxy:
        release = Release(haproxy.shares, rate=500.0)
        prometheus_port = free_port()
        text = configuration(f"http://127.0.0.1:{prometheus_port}", haproxy.section())
        text = text.replace("window: 200ms", "window: 1s")
        async with sidecar(release) as port, handling(tmp_path, text) as handler:
            hooks = alertmanager_configuration(tmp_path, handler.url)
            with (
                alertmanager(tmp_path, hooks) as alerts,
                prometheus(tmp_path, prometheus_configuration(tmp_path, port, alerts), prometheus_port) as url,
            ):
                await until(lambda: handler.state() == "resolved", 60.0)
                assert haproxy.weights() == {"v1": 100, "v2": 0}
                assert [row.kind for row in handler.audit("effect")] == ["effect"]
                incident = handler.incident()
                assert incident is not None
                assert incident.note == "traffic moved, measure recovered"
                assert json.loads(incident.evidence)["delta"] < -0.3
                await every_template_is_answered(url)
                await what_fires_is_heard(url)
                assert handler.count("missed_webhooks_total", "router") == 0


async def test_a_verdict_closes_the_loop_by_the_shipped_rule(tmp_path: Path) -> None:
    with HAProxy(tmp_path).running() as haproxy:
        release = Release(haproxy.shares, rate=500.0)
        prometheus_port = free_port()
        text = configuration(f"http://127.0.0.1:{prometheus_port}", haproxy.section())
        text = text.replace("window: 200ms", "window: 1s")
        async with sidecar(release) as port, handling(tmp_path, text) as handler:
            hooks = alertmanager_configuration(tmp_path, handler.url)
            with (
                alertmanager(tmp_path, hooks) as alerts,
                prometheus(
                    tmp_path, prometheus_configuration(tmp_path, port, alerts, judged=True), prometheus_port
                ) as url,
            ):
                quality = "model_version:mlcanary_labeled_predictions:accuracy_stderr5m"
                await until(lambda: len(get(f"{url}/api/v1/query", query=quality)["data"]["result"]) == 2)
                release.judged = True
                await until(lambda: handler.state() == "resolved", 60.0)
                incident = handler.incident()
                assert incident is not None
                assert (incident.measure, incident.note) == ("verdict", "traffic moved, measure recovered")
                facts = json.loads(incident.evidence)
                assert (facts["log_e_quality"], facts["threshold_quality"]) == (12.5, 6.2)
                assert facts["recovery"] == "accuracy"
                (plan,) = parse_settings(text, "x").targets
                windowed = evidence.Case(BAD, Measure.ACCURACY, Window.FAST)
                client = Prometheus(PrometheusSettings(url=url))
                await answered(lambda: evidence.gather(client, plan, windowed, 0), lambda found: found.judged)
                told = await answered(lambda: judge_of(client, plan, BAD), lambda j: j.known and j.sources_up)
                assert (told.word, told.may_expand, told.trials) == (Word.UNHEALTHY, False, 4000.0)
                assert abs(told.judged - time.time()) < 60
                assert (told.roles, told.gates) == (((GOOD, "baseline"), (BAD, "canary")), ())


def _figured(wanted: set[str], found: Evidence) -> bool:
    return found.sources_up and wanted <= dict(found.values).keys()


async def answered(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """The first good answer within 20 s: one late scrape on a busy machine makes every series absent for a moment."""
    async with asyncio.timeout(20):
        while not good(found := await ask()):  # noqa: ASYNC110 - nobody tells when the next scrape is in
            await asyncio.sleep(0.05)
    return found


async def every_template_is_answered(url: str) -> None:
    """A real Prometheus accepts each query of each case, and the figures are there."""
    assert get(f"{url}/api/v1/status/buildinfo")["status"] == "success"
    client = Prometheus(PrometheusSettings(url=url))
    (plan,) = parse_settings(configuration(url, SECTION), "x").targets
    for measure, window in itertools.product(RECORDED, (Window.FAST, Window.SLOW)):
        case = evidence.Case(BAD, measure, window)
        figured = measure in (Measure.ACCURACY, Measure.LOG_LOSS, Measure.ERRORS) and window is Window.FAST
        wanted = {"delta", "reference", "reference_stderr"} if figured else set()
        found = await answered(
            functools.partial(evidence.gather, client, plan, case, 0),
            functools.partial(_figured, wanted),
        )
        assert found.roles == ((GOOD, "baseline"), (BAD, "canary"))
    reading = await answered(lambda: readings.read(client, plan, BAD, 0.0), lambda r: r.up and r.fresh)
    assert {key[0] for key in reading.predictions} == {GOOD, BAD}
    assert {dict(key[1])["part"] for key in reading.losses} == {"sum", "count", "squares"}
    assert reading.last_bad is not None
    declared = configuration(url, SECTION, extra="  capacity: {requests_per_second: 100}\n")
    (plan,) = parse_settings(declared, "x").targets
    room = await answered(lambda: capacity.read(client, plan), lambda r: r is not None and len(r.servers) > 1)
    assert room is not None
    assert room.servers == ((GOOD, 1), (BAD, 1))
    assert room.load > 0


async def what_fires_is_heard(url: str) -> None:
    """The alert of the webhook, as Prometheus itself tells it."""
    client = Prometheus(PrometheusSettings(url=url))
    (plan,) = parse_settings(configuration(url, SECTION), "x").targets
    (found,) = await answered(lambda: missed.firing(client, plan), bool)
    assert (found.alert.name, found.alert.version) == ("MLCanaryAccuracyBelowBaseline", BAD)
    assert abs(time.time() - found.since) < 120
