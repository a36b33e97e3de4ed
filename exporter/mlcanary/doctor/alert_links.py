"""Alertmanager: does Prometheus know it, does a rollback reach the handler, are its webhooks as they must be."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import yaml

from mlcanary.doctor.asking import Asker
from mlcanary.doctor.inhibitions import inhibition_link
from mlcanary.doctor.links import Link, bad, good
from mlcanary.doctor.routing import Hook, hooks, receivers_of

_PATH = "/v1/alerts"
_PATIENCE = 100.0
_POLL = 0.5
_LIVES = 120.0
_ROLLBACK = {"action": "rollback", "measure": "accuracy", "severity": "critical", "window": "5m"}
_WATCHDOG = {"alertname": "MLCanaryWatchdog", "severity": "none"}
_EXAMPLE = "take the routes of alertmanager/alertmanager.yml over (mlcanary bundle export)"


async def alertmanager_links(
    asker: Asker, url: str, prometheus: str, handler: str, shipped: Mapping[str, Any] | None = None
) -> AsyncIterator[Link]:
    """Those from Prometheus to Alertmanager, and from there to the handler.

    Input: `shipped` is the shipped configuration, whose inhibitions are looked for.
    """
    if prometheus:
        yield await _known(asker, url, prometheus)
    answer = await asker.get(f"{url}/api/v2/status")
    status = answer.json()
    if not answer.ok or not isinstance(status, Mapping):
        yield bad("alertmanager", f"{url}: {answer.problem}", "start it, or give --alertmanager.url")
        return
    version = status.get("versionInfo", {}).get("version", "unknown")
    yield good("alertmanager", f"{url} answers, version {version}")
    try:
        configuration: Any = yaml.safe_load(status.get("config", {}).get("original", ""))
    except yaml.YAMLError:
        configuration = None
    if not isinstance(configuration, Mapping):
        yield bad("route", "Alertmanager does not show its configuration", _EXAMPLE)
        return
    for name, labels in (("route", _ROLLBACK), ("route watchdog", _WATCHDOG)):
        yield route_link(name, configuration, labels, handler, resolved=name == "route")
    if shipped is not None:
        yield inhibition_link(configuration, shipped)
    yield await _silences(asker, url)


async def _known(asker: Asker, url: str, prometheus: str) -> Link:
    answer = await asker.get(f"{prometheus}/api/v1/alertmanagers")
    if not answer.ok:
        what = f"Prometheus does not tell: {answer.problem}"
        return bad("prometheus to alertmanager", what, "see the link prometheus")
    data = (answer.json() or {}).get("data", {})
    active = [str(each.get("url", "")) for each in data.get("activeAlertmanagers", [])]
    if not active:
        what = "Prometheus sends its alerts to no Alertmanager"
        address = urlsplit(url).netloc
        remedy = (
            f"add to prometheus.yml: alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]}}"
        )
        return bad("prometheus to alertmanager", what, remedy)
    named = ", ".join(address.partition("/api/")[0] for address in active)
    return good("prometheus to alertmanager", f"alerts go to {named}")


def route_link(
    name: str, configuration: Mapping[str, Any], labels: Mapping[str, str], handler: str, *, resolved: bool
) -> Link:
    """Whether an alert with these labels reaches the handler's webhook, and as it must. `resolved`: its end too."""
    told = ", ".join(f"{key}={value}" for key, value in labels.items() if key in ("action", "alertname"))
    receivers = receivers_of(configuration, labels)
    reached = [hook for hook in hooks(configuration) if hook.receiver in receivers]
    ours = [hook for hook in reached if _is_handler(hook, handler)]
    if not ours:
        to = (
            ", ".join(f"{hook.receiver} ({hook.url})" for hook in reached if hook.url)
            or ", ".join(receivers)
            or "nobody"
        )
        return bad(name, f"an alert with {told} goes to {to}, not to {handler}{_PATH}", _EXAMPLE)
    hook = ours[0]
    where = f"{told} goes to receiver {hook.receiver}"
    if hook.max_alerts:
        return bad(
            name, f"{where}, cut off after {hook.max_alerts} alerts", "max_alerts: 0, or a version is overlooked"
        )
    if resolved and not hook.send_resolved:
        return bad(name, f"{where}, which is not told of the end", "send_resolved: true, or incidents stay open")
    if hook.url is None:
        return good(name, f"{where}; its URL is hidden, so the watchdog below is the proof")
    return good(name, where + ("" if hook.authorized else "; it sends no token"))


def _is_handler(hook: Hook, handler: str) -> bool:
    """By port and path: the host may have another name from where Alertmanager stands. A hidden URL may be it."""
    if hook.url is None:
        return True
    found, wanted = urlsplit(hook.url), urlsplit(handler)
    return found.path.rstrip("/") == _PATH and (not wanted.port or found.port == wanted.port)


async def _silences(asker: Asker, url: str) -> Link:
    answer = await asker.get(f"{url}/api/v2/alerts", {"silenced": "true", "active": "false", "inhibited": "true"})
    alerts = answer.json() if answer.ok else None
    held = [a for a in alerts or [] if a.get("labels", {}).get("action") == "rollback"]
    if held:
        why = held[0].get("status", {})
        by = "a silence" if why.get("silencedBy") else "an inhibition"
        what = f"{len(held)} alert(s) that ask for a rollback are held back by {by}"
        return bad("silences", what, "wanted? else expire the silence, or mend what the inhibiting alert tells of")
    return good("silences", "nothing that asks for a rollback is held back")


async def send_test_alert(
    asker: Asker, url: str, heard: Callable[[], Awaitable[float | None]], now: Callable[[], float]
) -> Link:
    """Sends an alert along the watchdog's route, on which nobody acts, and waits until the handler has heard it."""
    name, sent, before = "test alert", now(), await heard()
    mark = secrets.token_hex(4)
    alert = {
        "labels": {**_WATCHDOG, "probe": f"doctor-{mark}"},
        "annotations": {"summary": "A test of the way to the handler; nobody needs to act."},
        "startsAt": datetime.fromtimestamp(sent, UTC).isoformat(),
        "endsAt": datetime.fromtimestamp(sent + _LIVES, UTC).isoformat(),
    }
    answer = await asker.post(f"{url}/api/v2/alerts", [alert])
    if not answer.ok:
        return bad(name, f"Alertmanager refuses it: {answer.problem}", "see its log")
    while now() < sent + _PATIENCE:
        found = await heard()
        if found is not None and found != before and found >= sent - 1:
            return good(
                name, f"sent as probe doctor-{mark}; a notification on its route was heard {found - sent:.1f} s later"
            )
        await asyncio.sleep(_POLL)
    what = f"nothing was heard within {_PATIENCE:.0f} s"
    return bad(name, what, "look at Alertmanager's log: is the handler's address right from there, and its token?")
