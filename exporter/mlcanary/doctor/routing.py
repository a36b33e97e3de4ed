"""Where an Alertmanager's configuration sends an alert. Pure.

Guarantee: follows a route tree as Alertmanager does: the deepest matching route of each branch, further siblings only
after `continue`; matchers in both spellings.
Source: Alertmanager, "Configuration", sections route, matcher and webhook_config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MATCHER = re.compile(r"""\s*"?([\w:.-]+)"?\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^",}]*)\s*""")
Matcher = tuple[str, str, str]
"""Label, operator, value."""
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True)
class Hook:
    """A webhook of a receiver. `url` is None where Alertmanager does not show it."""

    receiver: str
    url: str | None
    send_resolved: bool
    max_alerts: int
    authorized: bool


def hooks(configuration: Mapping[str, Any]) -> list[Hook]:
    """Every webhook of a configuration."""
    found = []
    for receiver in mappings(configuration.get("receivers")):
        for hook in mappings(receiver.get("webhook_configs")):
            url = hook.get("url")
            http = hook.get("http_config") or {}
            found.append(
                Hook(
                    str(receiver.get("name")),
                    url if isinstance(url, str) and url.startswith("http") else None,
                    bool(hook.get("send_resolved", True)),
                    int(hook.get("max_alerts") or 0),
                    bool(isinstance(http, Mapping) and http.keys() & {"authorization", "basic_auth", "tls_config"}),
                )
            )
    return found


def receivers_of(configuration: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Receivers of an alert with these labels, in order."""
    route = configuration.get("route")
    return list(dict.fromkeys(_follow(route, labels, ""))) if isinstance(route, Mapping) else []


def _follow(route: Mapping[str, Any], labels: Mapping[str, str], inherited: str) -> list[str]:
    receiver = str(route.get("receiver") or inherited)
    found: list[str] = []
    for child in mappings(route.get("routes")):
        if not _matches(child, labels):
            continue
        found += _follow(child, labels, receiver)
        if not child.get("continue"):
            break
    return found or [receiver]


def _matches(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(holds(labels.get(name, ""), operator, value) for name, operator, value in matchers_of(route))


def matchers_of(part: Mapping[str, Any], side: str = "") -> list[Matcher]:
    """The matchers of a route, or of a side, `source` or `target`, of an inhibition; in every spelling."""
    prefix = f"{side}_" if side else ""
    texts = part.get(f"{prefix}matchers") or []
    found = [matcher for text in (texts if isinstance(texts, list) else [texts]) for matcher in _parse(str(text))]
    found += [(name, "=", str(value)) for name, value in (part.get(f"{prefix}match") or {}).items()]
    found += [(name, "=~", str(value)) for name, value in (part.get(f"{prefix}match_re") or {}).items()]
    return found


def _parse(text: str) -> list[Matcher]:
    """Matchers of one text.

    >>> _parse('{a="x", b=~"y|z"}'), _parse("measure=verdict")
    ([('a', '=', 'x'), ('b', '=~', 'y|z')], [('measure', '=', 'verdict')])
    """
    found = []
    for match in _MATCHER.finditer(text.strip().removeprefix("{").removesuffix("}")):
        name, operator, value = match.groups()
        value = value.strip()
        if value[:1] in ('"', "'") and len(value) > 1:
            value = _ESCAPE.sub(r"\1", value[1:-1])
        found.append((name, operator, value))
    return found


def holds(label: str, operator: str, value: str) -> bool:
    """Whether a label has what a matcher asks for. A regular expression that Python does not know holds nothing."""
    if operator in ("=", "!="):
        return (label == value) is (operator == "=")
    try:
        return (re.fullmatch(value, label) is not None) is (operator == "=~")
    except re.error:
        return False


def mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    """The mappings of a list, none of anything else."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
