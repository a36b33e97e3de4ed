"""Decisions that changed nothing, from their audit rows, in words: why, and what mode observe would have done. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mlcanary.handler.core.policy import Reason
from mlcanary.handler.ledger.audit import AuditRow
from mlcanary.handler.web.answers import DecisionAnswer

KIND = "decision"
"""Of their audit rows."""

_WHY: Mapping[str, str] = {
    Reason.UNKNOWN_TARGET: "no target is configured for this version",
    Reason.RESOLVED: "the alert says that it is over",
    Reason.DUPLICATE: "the same delivery came before",
    Reason.FROZEN: "automatic action is frozen",
    Reason.NO_EVIDENCE: "Prometheus or the target gave no clear answer",
    Reason.JUDGED: "a judge judges this version: its verdict acts, not this rule",
    Reason.SOURCE_BROKEN: "a log of this model cannot be read or is far behind",
    Reason.ROLE_CONFLICT: "it is not the one canary beside one baseline",
    Reason.STALE_EVIDENCE: "the alert is not firing, or nothing is violated now",
    Reason.NOT_SERVING: "the version gets no traffic",
    Reason.SHARED_CAUSE: "the baseline fell too",
    Reason.QUARANTINED: "the version to go back to is quarantined",
    Reason.NO_GOOD_VERSION: "no healthy version to go back to",
    Reason.SILENCED: "the alert is silenced or inhibited in Alertmanager",
    Reason.COOLDOWN: "the target was changed a short time ago",
    Reason.BUDGET: "too many automatic changes in 24 hours",
}


def decision_of(row: AuditRow) -> DecisionAnswer:
    """A decision as it is told. `row` is of `KIND`."""
    body = msgspec.json.decode(row.body, type=dict[str, Any])
    desired = body.get("desired")
    reason = str(body.get("reason", ""))
    return DecisionAnswer(
        at=row.at,
        target=row.target,
        version=str(body.get("version", "")),
        measure=str(body.get("measure", "")),
        decision=str(body.get("decision", "")),
        reason=reason,
        destination=str(body.get("good", "")),
        desired=desired if isinstance(desired, dict) else None,
        plan=str(body.get("plan", "")),
        dry_run=reason == Reason.DRY_RUN,
        note=str(body.get("note", "")),
        text=_text(body, reason),
    )


def _text(body: Mapping[str, Any], reason: str) -> str:
    """For people."""
    note = str(body.get("note", ""))
    if reason == Reason.DRY_RUN:
        after = body.get("desired") or {}
        total = sum(after.values()) or 1
        split = ", ".join(f"{version} {100 * weight / total:.3g} %" for version, weight in sorted(after.items()))
        to = f" to {body['good']}" if body.get("good") else ""
        told = f"would take the traffic of {body.get('version', '')}{to}" + (f", then {split}" if split else "")
        missing = body.get("missing") or 0
        waits = f"; {missing:.0%} of it does not fit now" if isinstance(missing, float) and missing > 0 else ""
        return told + waits + (f"; {note}" if note else "")
    if body.get("decision") == "attach":
        return "joined the open incident"
    waiting = "waits: " if body.get("decision") == "wait" else "nothing: "
    return waiting + _WHY.get(reason, reason) + (f" ({note})" if note else "")
