"""The shipped Alertmanager configuration as AlertmanagerConfig objects. Pure.

Guarantee: routes, waits, receivers and inhibitions are those of `alertmanager.yml`, but for three things that the
operator or a cluster asks for: the handler is called by its Service, its token comes from a Secret, and people are left
to the routes that are there already, since an object of ours cannot name their receiver.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlcanary.bundle.place import Place

HANDLER, WATCHDOG = "mlcanary-handler", "mlcanary-watchdog"
TOKENS = {"name": "mlcanary-handler-tokens", "key": "alertmanager"}
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')
_TIMES = {"group_by": "groupBy", "group_wait": "groupWait", "group_interval": "groupInterval"}
_ROUTE = {**_TIMES, "repeat_interval": "repeatInterval", "receiver": "receiver", "continue": "continue"}


def alertmanager_configs(shipped: Mapping[str, Any], place: Place) -> list[dict[str, Any]]:
    """One object for the handler, with the inhibitions, and one for the watchdog."""
    top = {route.get("receiver"): route for route in shipped["route"]["routes"]}
    receivers = {receiver["name"]: receiver for receiver in shipped["receivers"]}
    made = []
    for name in (HANDLER, WATCHDOG):
        # The operator makes every object's first route go on to the next one, so the watchdog goes on too. Where a
        # route of the site takes everything, one to nobody has to stand before it: ours cannot name a receiver there.
        spec = {"route": _route(top[name]), "receivers": [_receiver(receivers[name], place)]}
        if name == HANDLER:
            spec["inhibitRules"] = [_inhibition(rule) for rule in shipped["inhibit_rules"]]
        made.append(
            {
                "apiVersion": "monitoring.coreos.com/v1alpha1",
                "kind": "AlertmanagerConfig",
                "metadata": place.metadata(name),
                "spec": spec,
            }
        )
    return made


def _matchers(texts: list[str]) -> list[dict[str, str]]:
    found = []
    for text in texts:
        match = _MATCHER.fullmatch(text)
        assert match is not None, f"not a matcher of one label: {text}"  # noqa: S101 - our own file
        found.append({"name": match[1], "matchType": match[2], "value": match[3]})
    return found


def _route(route: Mapping[str, Any]) -> dict[str, Any]:
    made = {new: route[old] for old, new in _ROUTE.items() if old in route}
    made["matchers"] = _matchers(route["matchers"])
    if "routes" in route:
        made["routes"] = [_route(child) for child in route["routes"]]
    return made


def _receiver(receiver: Mapping[str, Any], place: Place) -> dict[str, Any]:
    return {
        "name": receiver["name"],
        "webhookConfigs": [
            {
                "url": f"http://mlcanary-handler.{place.namespace}.svc:10879/v1/alerts",
                "sendResolved": hook["send_resolved"],
                **({"maxAlerts": hook["max_alerts"]} if "max_alerts" in hook else {}),
                "httpConfig": {
                    "authorization": {"type": "Bearer", "credentials": TOKENS},
                    "followRedirects": hook["http_config"]["follow_redirects"],
                },
            }
            for hook in receiver["webhook_configs"]
        ],
    }


def _inhibition(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sourceMatch": _matchers(rule["source_matchers"]),
        "targetMatch": _matchers(rule["target_matchers"]),
        "equal": rule["equal"],
    }
