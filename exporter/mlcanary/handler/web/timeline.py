"""The story of an incident or a release from its audit rows, in words. Pure: rows in, entries out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mlcanary.handler.core.incidents import Incident
from mlcanary.handler.ledger.audit import AuditRow
from mlcanary.handler.web.answers import ApprovalAnswer, TimelineEntry

Body = Mapping[str, Any]


def timeline(incident: Incident, rows: Sequence[AuditRow]) -> list[TimelineEntry]:
    """Received, opened, every action and effect, how it was proven, closed, and what people did; oldest first."""
    asked = " over ".join(filter(None, (incident.measure, incident.window)))
    first = TimelineEntry(incident.received, "received", incident.actor, asked)
    return [first, *(entry for row in rows if (entry := _entry(incident, row)) is not None)]


def release_timeline(rows: Sequence[AuditRow]) -> list[TimelineEntry]:
    """Submitted, every step with its evidence, holds, how it ended; oldest first."""
    entries: list[TimelineEntry] = []
    for row in rows:
        body = msgspec.json.decode(row.body, type=dict[str, Any])
        tell = _TOLD_OF_RELEASE.get(row.kind)
        if tell is not None:
            what, note = tell(body)
            entries.append(TimelineEntry(row.at, what, row.actor, note))
    return entries


def approvals(rows: Sequence[AuditRow]) -> list[ApprovalAnswer]:
    """Who approved, oldest first."""
    return [
        ApprovalAnswer(row.actor, row.at, str(msgspec.json.decode(row.body, type=dict[str, Any]).get("plan", "")))
        for row in rows
        if row.kind == "approve"
    ]


def _entry(incident: Incident, row: AuditRow) -> TimelineEntry | None:
    body = msgspec.json.decode(row.body, type=dict[str, Any])
    tell = _TOLD.get(row.kind)
    if tell is None:
        return None
    what, note = tell(incident, body)
    return TimelineEntry(row.at, what, row.actor, note) if what else None


def _opened(incident: Incident, body: Body) -> tuple[str, str]:
    waits = "" if body.get("action") else ", waits for approval"
    return f"opened{waits}", f"{incident.bad} → {incident.good}" + (f", plan {incident.plan}" if incident.plan else "")


def _ordered(_incident: Incident, body: Body) -> tuple[str, str]:
    if "order_kind" not in body:  # how it ended: the other rows tell that
        return "", ""
    forced = ", by force" if body.get("force") else ""
    return f"ordered: {body['order_kind']}{forced}", str(body.get("reason", ""))


def _dispatched(_incident: Incident, body: Body) -> tuple[str, str]:
    return _weights(body)


def _weights(body: Body) -> tuple[str, str]:
    weights = ", ".join(f"{version} {weight}" for version, weight in sorted(body.get("desired", {}).items()))
    return f"sent to the target, attempt {body.get('attempt', 1)}", f"weights {weights}"


def _effect(_incident: Incident, body: Body) -> tuple[str, str]:
    return f"effect {body.get('state', '')}", str(body.get("note", ""))


def _closed(_incident: Incident, body: Body) -> tuple[str, str]:
    return f"closed: {body.get('state', '')}", str(body.get("note", ""))


_TOLD: Mapping[str, Callable[[Incident, Body], tuple[str, str]]] = {
    "order": _ordered,
    "plan": _opened,
    "approve": lambda _i, body: ("approved", f"plan {body.get('plan', '')}"),
    "stage": lambda _i, body: (f"stage {body.get('stage', '')} planned", ""),
    "reassert": lambda _i, _body: ("undone by another writer, set again", ""),
    "dispatch": _dispatched,
    "effect": _effect,
    "verdict": _closed,
    "acknowledge": lambda _i, _body: ("acknowledged", ""),
}
"""Audit kind -> what happened and a note. Other rows are in the audit alone."""

_TOLD_OF_RELEASE: Mapping[str, Callable[[Body], tuple[str, str]]] = {
    "submit": lambda body: ("submitted", f"{body.get('candidate', '')} beside {body.get('stable', '')}"),
    "step": lambda body: (f"step {int(body.get('step', 0)) + 1} planned", str(body.get("note", ""))),
    "reassert": lambda _body: ("undone by another writer, set again", ""),
    "dispatch": _weights,
    "effect": lambda body: (f"split {body.get('state', '')}", str(body.get("note", ""))),
    "release": lambda body: (str(body.get("state", "")).replace("_", " "), str(body.get("note", ""))),
}
