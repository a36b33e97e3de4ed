"""Grafana's webhook: its signature, and its body to the same frozen alerts as Alertmanager's.

Guarantee: a body is read only if it carries a right signature of at most `WINDOW` seconds, and each signature
counts once while it is remembered. What is forgotten does no harm: a delivery key is stored once.

The signature is HMAC-SHA256 of `timestamp ":" body` in lower-case hexadecimal, the timestamp in Unix seconds;
Grafana signs each attempt anew. Without a timestamp header Grafana signs the body alone, which could be
replayed for ever, so that form is refused. Source: Grafana 12, webhook contact point, "HMAC signature".
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from collections import OrderedDict
from enum import StrEnum

from mlcanary.handler.intake.payload import Delivery, Ignored, parse

VERSION = "1"
SIGNATURE_HEADER = "X-Grafana-Alerting-Signature"
TIMESTAMP_HEADER = "X-Grafana-Alerting-Timestamp"
WINDOW = 300.0
MOST_REMEMBERED = 10_000
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)
_ABOUT_DATA_SOURCES = frozenset({"DatasourceNoData", "DatasourceError"})
"""Grafana gives these names to alerts of a rule whose query failed. They keep the labels of the rule."""


class SignatureFault(StrEnum):
    """Why a request is refused."""

    MISSING = "missing"
    STALE = "stale"
    FORGED = "forged"
    REPLAYED = "replayed"


class SignatureCheck:
    """Signatures, each of which counts once. Time comes in with every call."""

    def __init__(self, *, window: float = WINDOW, most: int = MOST_REMEMBERED) -> None:
        self._window = window
        self._most = most
        self._used: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many signatures are remembered."""
        return len(self._used)

    def fault(self, secret: bytes, timestamp: str, signature: str, body: bytes, now: float) -> SignatureFault | None:
        """What is wrong with a request, None if nothing is; it is then remembered as used.

        Input: the two headers as they came, empty if they did not; `now` in Unix seconds.
        """
        if not timestamp or not signature:
            return SignatureFault.MISSING
        if _SECONDS.fullmatch(timestamp) is None or abs(now - int(timestamp)) > self._window:
            return SignatureFault.STALE
        right = sign(secret, timestamp, body)
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "surrogateescape")):
            return SignatureFault.FORGED
        if right in self._used:
            return SignatureFault.REPLAYED
        while self._used and (len(self._used) >= self._most or next(iter(self._used.values())) < now - self._window):
            self._used.popitem(last=False)
        self._used[right] = float(timestamp)
        return None

    def forget(self, signature: str) -> None:
        """Let a request come again, since it was not stored."""
        self._used.pop(signature, None)


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """The signature that Grafana sends with a body."""
    return hmac.new(secret, timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


def parse_grafana(body: bytes) -> Delivery:
    """The delivery of a body. Raises InputError for what is none of Grafana's."""
    delivery = parse(body, VERSION, "Grafana")
    alerts = tuple(alert for alert in delivery.alerts if alert.name not in _ABOUT_DATA_SOURCES)
    failed = len(delivery.alerts) - len(alerts)
    return dataclasses.replace(delivery, alerts=alerts, ignored=delivery.ignored + (Ignored.INFORMS,) * failed)
