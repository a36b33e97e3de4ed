"""The page at `/`: state of every target, waiting and open incidents, the newest audit rows. Everything escaped."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import mlcanary
from mlcanary.handler.audit import AuditRow

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem;max-width:75rem;color:#1f2328}"
    "table{border-collapse:collapse;width:100%;margin-bottom:1.5rem}"
    "th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d0d7de;vertical-align:top}"
    "th{color:#57606a;font-weight:600}code{font-size:13px;word-break:break-all}"
)


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
    names = ("target", "model", "mode", "frozen", "weights", "incident", "note")
    body = [
        f"<h1>mlcanary handler {escape(mlcanary.__version__)}</h1>",
        "<p>Takes traffic back from a bad canary and proves it from the traffic. ",
        '<a href="/metrics">metrics</a> · <a href="/-/healthy">healthy</a> · <a href="/-/ready">ready</a></p>',
        "<h2>Targets</h2>",
        _table(
            names,
            [
                (t.name, t.model, t.mode, "yes" if t.frozen else "no", t.shares, t.incident or "none", t.note)
                for t in targets
            ],
        ),
        "<h2>Audit, newest first</h2>",
        _table(
            ("row", "time", "actor", "kind", "target", "what", "hash"),
            [(str(r.id), _time(r.at), r.actor, r.kind, r.target, r.body, r.hash[:12]) for r in rows],
        ),
    ]
    head = f'<meta charset="utf-8"><title>mlcanary handler</title><style>{_STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}</body></html>"


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    lines = ["".join(f"<td><code>{escape(cell[:2000])}</code></td>" for cell in row) for row in rows]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _time(at: float) -> str:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
