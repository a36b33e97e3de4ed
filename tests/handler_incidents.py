"""Rows for the ledger, made by hand."""

from __future__ import annotations

from mlcanary.handler.core.incidents import Incident
from mlcanary.handler.core.machines import IncidentState


def incident(*, state: IncidentState, plan: str, actor: str, now: float, name: str = "00aa11bb22cc33dd") -> Incident:
    """An incident against v2 on the target `router`."""
    return Incident(
        id=name,
        target="router",
        model="clicks",
        bad="v2",
        good="v1",
        measure="accuracy",
        window="5m",
        state=state,
        received=now,
        opened=now,
        effect=0.0,
        closed=0.0,
        evidence='{"delta":-0.3,"serving":["v1","v2"]}',
        note="",
        digest="v2",
        actor=actor,
        plan=plan,
        expires=now + 1800.0,
    )
