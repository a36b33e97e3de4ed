"""The chain from the exporter's page to the handler, link by link, each asked itself.

Guarantee: reads only; the one thing that is sent, and only when asked for, is an alert that nobody acts on. A link that
cannot be seen is told as a problem, never taken for sound; later links are asked all the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlcanary.doctor.alert_links import alertmanager_links, send_test_alert
from mlcanary.doctor.asking import Answer, Asker
from mlcanary.doctor.findings import span
from mlcanary.doctor.links import Link, bad, good
from mlcanary.doctor.prometheus_links import prometheus_links

_SAMPLE = re.compile(r"^(?P<name>mlcanary_\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_WATCHDOG_LATE = 300.0
_STALE_CHECKPOINT = 300.0


@dataclass(frozen=True)
class ChainPlan:
    """Where everything is; an empty text leaves a link out. `rules`: the shipped rule files that should be loaded.

    `inhibitions`: the shipped configuration of Alertmanager, whose inhibitions should be in force.
    """

    exporter: str = "http://127.0.0.1:10877"
    prometheus: str = "http://127.0.0.1:9090"
    alertmanager: str = "http://127.0.0.1:9093"
    handler: str = "http://127.0.0.1:10879"
    judge: str = ""
    token: str | None = field(default=None, repr=False)
    exporter_token: str | None = field(default=None, repr=False)
    rules: Path | None = None
    test_alert: bool = False
    inhibitions: Mapping[str, Any] | None = None


async def links(plan: ChainPlan, asker: Asker, now: Callable[[], float] = time.time) -> AsyncIterator[Link]:
    """Every link, as it is found."""
    if plan.exporter:
        async for link in _exporter(plan, asker, now()):
            yield link
    if plan.judge:
        yield await _ready("judge", plan.judge, asker, "mlcanary judge --prometheus.url ...")
    if plan.prometheus:
        async for link in prometheus_links(asker, plan.prometheus, plan.rules, judged=bool(plan.judge)):
            yield link
    if plan.alertmanager:
        async for link in alertmanager_links(asker, plan.alertmanager, plan.prometheus, plan.handler, plan.inhibitions):
            yield link
    if plan.handler:
        async for link in _handler(plan, asker, now()):
            yield link
        if plan.test_alert and plan.alertmanager:
            yield await send_test_alert(asker, plan.alertmanager, lambda: _heard(plan, asker), now)


async def _ready(name: str, url: str, asker: Asker, start: str) -> Link:
    answer = await asker.get(f"{url}/-/ready")
    if answer.status == 0:
        return bad(name, f"{url}: {answer.problem}", f"start it ({start}) or give its address")
    if not answer.ok:
        return bad(name, f"{url} is not ready: {answer.problem}", "see its log")
    return good(name, f"{url} is ready")


async def _exporter(plan: ChainPlan, asker: Asker, now: float) -> AsyncIterator[Link]:
    link = await _ready("exporter", plan.exporter, asker, "mlcanary exporter --log.path FILE")
    yield link
    if link.sound or "not ready" in link.what:
        yield _page(await asker.get(f"{plan.exporter}/metrics", token=plan.exporter_token), now)


def _page(answer: Answer, now: float) -> Link:
    """What the page measures, and whether its sources are well."""
    name = "exporter page"
    if not answer.ok:
        return bad(
            name, answer.problem, "give --exporter.token-file if it asks for one" if answer.status == 401 else ""
        )
    found = samples_of(answer.text)
    down = [labels.get("source", "") for labels, value in found.get("mlcanary_up", []) if value != 1]
    if down:
        return bad(name, f"cannot read {', '.join(down)}", "see the landing page for the reason")
    versions = {(labels["model"], labels["version"]) for labels, _ in found.get("mlcanary_model_info", [])}
    if not versions:
        lines = sum(value for _, value in found.get("mlcanary_log_lines_total", []))
        rejected = sum(value for _, value in found.get("mlcanary_log_rejected_total", []))
        what = f"no version measured after {lines:.0f} lines" + (f", {rejected:.0f} rejected" if rejected else "")
        return bad(name, what, "mlcanary doctor --log.path FILE shows what the log holds")
    newest = max((value for _, value in found.get("mlcanary_last_prediction_timestamp_seconds", [])), default=0.0)
    joins = found.get("mlcanary_label_joins_total", [])
    matched = sum(value for labels, value in joins if labels.get("result") == "matched")
    total = sum(value for _, value in found.get("mlcanary_predictions_total", []))
    named = ", ".join(f"{model} {version}" for model, version in sorted(versions)[:6])
    labelled = (
        f"labels for {matched:.0f} of {total:.0f} predictions" if matched else f"{total:.0f} predictions, no label"
    )
    checkpoints = [value for _, value in found.get("mlcanary_checkpoint_timestamp_seconds", [])]
    if checkpoints and now - max(checkpoints) > _STALE_CHECKPOINT:
        late = now - max(checkpoints)
        return bad(name, f"{named}; the last checkpoint is {late:.0f} s old", "is the disk of --state.path full?")
    age = f"newest prediction {span(max(0.0, now - newest))} ago" if newest else "no prediction time"
    return good(name, f"{named}; {labelled}; {age}")


async def _handler(plan: ChainPlan, asker: Asker, now: float) -> AsyncIterator[Link]:
    link = await _ready("handler", plan.handler, asker, "mlcanary handler --config.file handler.yml")
    yield link
    if not link.sound and "not ready" not in link.what:
        return
    answer = await asker.get(f"{plan.handler}/v1/targets", token=plan.token)
    if answer.status in (401, 403):
        what = "the handler refuses this token" if plan.token else "the handler asks for a token"
        yield bad("handler access", f"{what} ({answer.status})", "--handler.token-file: the one Alertmanager sends")
        return
    targets = answer.json()
    if not answer.ok or not isinstance(targets, dict | list):
        yield bad("handler access", answer.problem, "is a handler at --handler.url?")
        return
    listed = targets.get("targets", []) if isinstance(targets, dict) else targets
    said = ", ".join(f"{t.get('name')} ({t.get('mode', '?')})" for t in listed if isinstance(t, dict)) or "no target"
    yield good("handler access", f"token accepted; {said}") if plan.token else good("handler access", f"open; {said}")
    page = await asker.get(f"{plan.handler}/metrics", token=plan.token)
    if [value for _, value in samples_of(page.text).get("mlcanary_evidence_up", []) if value != 1]:
        what = "the handler's own questions to Prometheus get no answer, so it acts on nothing"
        yield bad("handler evidence", what, "check prometheus.url in its configuration; its log has the error")
    heard = _last_heard(page)
    if heard is None:
        yield bad("watchdog", "the handler has never heard MLCanaryWatchdog", _WATCHDOG_REMEDY)
    elif now - heard > _WATCHDOG_LATE:
        yield bad("watchdog", f"last heard {now - heard:.0f} s ago, it comes every minute", _WATCHDOG_REMEDY)
    else:
        yield good("watchdog", f"last heard {max(0.0, now - heard):.0f} s ago: alerts reach the handler")


_WATCHDOG_REMEDY = (
    "load rules/meta.alerts.yml, route alertname=MLCanaryWatchdog to the handler, and look at Alertmanager's log for "
    "failed notifications; after a start it takes up to a minute"
)


async def _heard(plan: ChainPlan, asker: Asker) -> float | None:
    """When the handler last heard the watchdog, Unix seconds."""
    return _last_heard(await asker.get(f"{plan.handler}/metrics", token=plan.token))


def _last_heard(page: Answer) -> float | None:
    found = samples_of(page.text).get("mlcanary_watchdog_last_received_timestamp_seconds", []) if page.ok else []
    return max((value for _, value in found if value > 0), default=None)


def samples_of(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Our series of a page in the text format, by name.

    >>> samples_of('mlcanary_up{source="a"} 1\\ngo_threads 7\\n')
    {'mlcanary_up': [({'source': 'a'}, 1.0)]}
    """
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for match in _SAMPLE.finditer(text):
        try:
            value = float(match["value"])
        except ValueError:
            continue
        found.setdefault(match["name"], []).append((dict(_LABEL.findall(match["labels"] or "")), value))
    return found


def checked_url(flag: str, url: str) -> str:
    """A base URL without its last slash. Raises ValueError."""
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise ValueError(f"{flag}: found {url!r}; allowed: a URL such as http://127.0.0.1:9090, or nothing")
    return url.rstrip("/")
