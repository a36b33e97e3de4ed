"""Alertmanager's webhook body, version 4, to frozen alerts.

Guarantee: every text of an `Alert` that is later compared or used in a query matches
`[a-zA-Z0-9._-]{1,64}`; an alert with anything else in such a place is ignored and counted. Unknown fields
are accepted, another version is refused. Each alert stands for itself: `commonLabels` is empty as soon as
two alerts differ, so it is never read. Source: Alertmanager, docs/configuration.md, `<webhook_config>`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec

from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK, WATCHDOG_ALERT
from mlcanary.errors import InputError

SAFE = re.compile(r"[a-zA-Z0-9._-]{1,64}", re.ASCII)
VERSION = "4"
_LONGEST_GROUP_KEY = 4096
_LONGEST_TIME = 64
MOST_LABELS = 128
"""Of one alert. They are kept, so that their number must have an end."""


class Measure(StrEnum):
    """What an alert says is worse."""

    ACCURACY = "accuracy"
    AUC = "auc"
    LOG_LOSS = "log_loss"
    ERRORS = "errors"
    VERDICT = "verdict"


class Window(StrEnum):
    """Over which window; a verdict, and nothing else, is about all that the judge has seen."""

    FAST = "5m"
    SLOW = "1h"
    JUDGE = "judge"


class Ignored(StrEnum):
    """Why an alert of a delivery asks for nothing."""

    INFORMS = "informs"
    UNSAFE_LABEL = "unsafe_label"
    UNKNOWN_MEASURE = "unknown_measure"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that asks for a rollback. `starts_at` is kept as sent, for it is part of the delivery key."""

    group_key: str
    fingerprint: str
    starts_at: str
    firing: bool
    name: str
    model: str
    version: str
    measure: Measure
    window: Window
    labels: tuple[tuple[str, str], ...]

    @property
    def delivery_key(self) -> tuple[str, str, str]:
        """The same for every repeat and for every sender of one firing."""
        return self.group_key, self.fingerprint, self.starts_at


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook call. `truncated` alerts were left out by the sender: set `max_alerts: 0` there."""

    alerts: tuple[Alert, ...]
    ignored: tuple[Ignored, ...]
    watchdog: bool
    truncated: int


class _Alert(msgspec.Struct):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    startsAt: str
    fingerprint: str


class _Payload(msgspec.Struct):
    version: str
    groupKey: str
    alerts: list[_Alert]
    truncatedAlerts: int = 0


def parse(body: bytes, version: str = VERSION, sender: str = "Alertmanager") -> Delivery:
    """The delivery of a body. Raises InputError for what is no payload of that version of the sender's."""
    try:
        payload = msgspec.json.decode(body, type=_Payload)
        starts = [msgspec.convert(alert.startsAt, datetime.datetime) for alert in payload.alerts]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"no {sender} payload: {error}", hint=f"send {sender} webhook JSON") from error
    if payload.version != version:
        raise InputError(f"payload version {payload.version[:20]!r}; allowed: {version}")
    strange = any(start.tzinfo is None for start in starts) or any(
        len(alert.startsAt) > _LONGEST_TIME for alert in payload.alerts
    )
    if len(payload.groupKey) > _LONGEST_GROUP_KEY or strange:
        raise InputError(f"no {sender} payload: groupKey too long, startsAt too long or startsAt without a zone")
    alerts: list[Alert] = []
    ignored: list[Ignored] = []
    for alert in payload.alerts:
        read = _read(alert, payload.groupKey)
        if isinstance(read, Alert):
            alerts.append(read)
        elif alert.labels.get("alertname") != WATCHDOG_ALERT:
            ignored.append(read)
    watchdog = any(a.labels.get("alertname") == WATCHDOG_ALERT and a.status == "firing" for a in payload.alerts)
    return Delivery(tuple(alerts), tuple(ignored), watchdog, max(0, payload.truncatedAlerts))


def _read(alert: _Alert, group_key: str) -> Alert | Ignored:
    labels = alert.labels
    if labels.get(ACTION_LABEL) != ACTION_ROLLBACK:
        return Ignored.INFORMS
    needed = [labels.get(name, "") for name in ("alertname", "model", "version")]
    if len(labels) > MOST_LABELS or not all(SAFE.fullmatch(value) for value in (*needed, alert.fingerprint)):
        return Ignored.UNSAFE_LABEL
    try:
        measure, window = Measure(labels.get("measure", "")), Window(labels.get("window", ""))
    except ValueError:
        return Ignored.UNKNOWN_MEASURE
    if (measure is Measure.VERDICT) is not (window is Window.JUDGE):
        return Ignored.UNKNOWN_MEASURE
    name, model, version = needed
    return Alert(
        group_key=group_key,
        fingerprint=alert.fingerprint,
        starts_at=alert.startsAt,
        firing=alert.status == "firing",
        name=name,
        model=model,
        version=version,
        measure=measure,
        window=window,
        labels=_safe(labels),
    )


def _safe(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Labels that a target may ask for (cluster, namespace); the others are dropped here."""
    return tuple(sorted((k, v) for k, v in labels.items() if SAFE.fullmatch(k) and SAFE.fullmatch(v)))
