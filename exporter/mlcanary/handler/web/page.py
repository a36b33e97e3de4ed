"""The page at `/`: state of every target, waiting and open incidents, the newest audit rows. Everything escaped."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import mlcanary
from mlcanary.handler.ledger.audit import AuditRow
from mlcanary.webserver.html import document, table

_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """What the page says about a target."""

    name: str
    model: str
    mode: str
    frozen: bool
    shares: str
    incident: str
    note: str


def page(targets: Sequence[TargetStatus], rows: Sequence[AuditRow]) -> str:
    """The whole page."""
    states = [
        (t.name, t.model, t.mode, "yes" if t.frozen else "no", t.shares, t.incident or "none", t.note) for t in targets
    ]
    audit = [(str(r.id), _time(r.at), r.actor, r.kind, r.target, r.body[:_SHOWN], r.hash[:12]) for r in rows]
    body = [
        "<h2>Targets</h2>",
        table(("target", "model", "mode", "frozen", "weights", "incident", "note"), states, long=("note",)),
        "<h2>Audit, newest first</h2>",
        table(("row", "time", "actor", "kind", "target", "what", "hash"), audit, long=("what",)),
    ]
    links = (("metrics", "/metrics"), ("healthy", "/-/healthy"), ("ready", "/-/ready"))
    subtitle = f"version {mlcanary.__version__} · takes traffic back from a bad canary and proves it from the traffic"
    return document("mlcanary handler", subtitle, links, "".join(body))


def _time(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
