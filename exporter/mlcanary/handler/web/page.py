"""The page at `/`: what waits for a person, every target, open incidents, the newest audit rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

import msgspec

import mlcanary
from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.releases import FreezeLevel
from mlcanary.handler.ledger.store import EVERYTHING
from mlcanary.handler.web.answers import (
    AuditAnswer,
    DecisionAnswer,
    FreezeAnswer,
    IncidentAnswer,
    ReleaseAnswer,
    TargetAnswer,
    VersionAnswer,
)
from mlcanary.handler.web.forms import (
    Viewer,
    choice,
    facts,
    form,
    link,
    notice,
    path,
    span,
    steps,
    tag,
    text_field,
    weights,
    when,
    whole,
)
from mlcanary.webserver.html import Link, Mark, table
from mlcanary.webserver.identity import Scope

_SHOWN = 2000
LEVELS = (("all", "every automatic action"), ("promote", "steps up and promotions only"))
GOOD_ENDS, BAD_ENDS = ("resolved", "proven"), ("stuck", "failed", "ineffective")


def page(
    targets: Sequence[TargetAnswer],
    quarantined: Sequence[VersionAnswer],
    rows: Sequence[AuditAnswer],
    viewer: Viewer,
) -> str:
    """The whole page. `rows` are the newest of the audit, newest first."""
    subtitle = f"version {mlcanary.__version__} · takes traffic back from a bad canary and proves it from the traffic"
    everything = [f for f in targets[0].freezes if f.scope == EVERYTHING] if targets else []
    body = [
        *_waiting(targets, viewer),
        *_freeze_of_all(everything, viewer),
        "<h2>Targets</h2>",
        *(_card(target) for target in targets),
        *_quarantine(quarantined),
        *_deeds(everything, viewer),
        "<h2>Audit, newest first</h2>",
        audit_table(rows),
    ]
    return whole("mlcanary handler", subtitle, viewer, body)


def audit_table(rows: Sequence[AuditAnswer]) -> str:
    """Rows of the audit."""
    if not rows:
        return "<p>Nothing was decided or done yet.</p>"
    cells = [
        (str(r.id), when(r.at), r.actor, r.kind, r.target, msgspec.json.encode(r.body).decode()[:_SHOWN], r.hash[:12])
        for r in rows
    ]
    return table(("row", "time", "actor", "kind", "target", "what", "hash"), cells, long=("what",))


def incident_line(incident: IncidentAnswer) -> str:
    """What an incident is about, with its state."""
    kind = "good" if incident.state in GOOD_ENDS else "bad"
    about = link(f"{incident.bad} → {incident.good}", path("incidents", incident.id))
    return f"{about} {tag(incident.state.replace('_', ' '), kind)}"


def decision_line(decision: DecisionAnswer) -> str:
    """What was decided and not done, with its time; what would be done stands out."""
    told = escape(f"{when(decision.at)}: {decision.text}")
    return f"{tag('dry run')} {told}" if decision.dry_run else told


def decision_table(decisions: Sequence[DecisionAnswer]) -> str:
    """Decisions that changed nothing."""
    rows = [
        (when(d.at), d.version, d.measure, "dry run" if d.dry_run else d.decision, d.text, d.plan) for d in decisions
    ]
    return table(("time", "version", "because of", "decision", "what", "plan"), rows, long=("what",))


def release_line(release: ReleaseAnswer) -> str:
    """What a release is about, with its state."""
    kind = "good" if release.state in GOOD_ENDS else "bad" if release.state in BAD_ENDS else ""
    return f"{escape(release.candidate)} beside {escape(release.stable)} {tag(release.state.replace('_', ' '), kind)}"


def freeze_line(freeze: FreezeAnswer) -> str:
    """How far something is frozen, by whom, why."""
    what = dict(LEVELS)[freeze.level]
    since = f", since {when(freeze.since)}" if freeze.since else ""
    where = {EVERYTHING: "all targets: ", "file": ""}.get(freeze.scope, "")
    return escape(f"{where}{what}, by {freeze.actor}{since}" + (f": {freeze.reason}" if freeze.reason else ""))


def freeze_form(action: str, viewer: Viewer, legend: str, key: str) -> str:
    """Stop automatic action."""
    fields = (
        choice(f"{key}-level", "level", "What is stopped", LEVELS, "all"),
        text_field(f"{key}-reason", "reason", "Why"),
    )
    return form(action, viewer, legend, fields, "Freeze", "danger")


def _waiting(targets: Sequence[TargetAnswer], viewer: Viewer) -> Iterator[str]:
    for target in targets:
        incident = target.incident
        if incident is None or incident.state != IncidentState.AWAITING_APPROVAL:
            continue
        left = f", for {span(incident.expires - viewer.now)} more" if incident.expires else ""
        yield notice(
            "wait",
            f"<strong>{link(target.name, path('targets', target.name))} waits for approval</strong>{escape(left)}",
            f"take the traffic of {escape(incident.bad)} to {escape(incident.good)}, "
            f'plan <code class="hash">{escape(incident.plan)}</code>',
            escape(approval_line(target.approvals_missing, target.approvers)),
            link("look at the evidence and decide", path("incidents", incident.id)),
        )


def approval_line(missing: int, approvers: Sequence[str]) -> str:
    """How many people have still to approve, and who may; empty where nobody has to."""
    if not missing:
        return ""
    names = ", ".join(approvers) or "nobody: no principal of the web configuration has the scope approve"
    return f"{missing} approval is missing; may approve: {names}"


def _freeze_of_all(everything: Sequence[FreezeAnswer], viewer: Viewer) -> Iterator[str]:
    for freeze in everything:
        yield notice("bad", f"<strong>Frozen</strong>: {freeze_line(freeze)}")
    if everything and viewer.may(Scope.OPERATE):
        yield form("/unfreeze", viewer, "All targets are frozen", (text_field("all-why", "reason", "Why"),), "Unfreeze")


def _card(target: TargetAnswer) -> str:
    name = link(target.name, path("targets", target.name))
    frozen = {FreezeLevel.ALL: tag("frozen", "bad"), FreezeLevel.PROMOTE: tag("promotions frozen", "bad")}
    level = frozen.get(FreezeLevel(target.freeze), "")
    seen = "" if target.observed else tag("cannot be read", "bad")
    release, incident = target.release, target.incident
    known = {
        "release": "" if release is None else release_line(release) + (steps(release) if release.open else ""),
        "evidence": escape(target.evidence),
        "incident": "" if incident is None else incident_line(incident),
        "note": "" if incident is None else escape(_note(target, incident)),
        "last decision": "" if target.decision is None else decision_line(target.decision),
    }
    return (
        f'<section class="card"><h3>{name} {tag(target.mode)} {level} {seen}</h3>'
        f"<p class=note>model {escape(target.model)}</p>{weights(target.versions)}{facts(known)}</section>"
    )


def _note(target: TargetAnswer, incident: IncidentAnswer) -> str:
    proof = target.verification
    return proof.note if incident.open and proof is not None else incident.note


def _quarantine(found: Sequence[VersionAnswer]) -> Iterator[str]:
    if found:
        rows = [(v.model, v.name, v.digest, Mark(v.reason, "bad"), v.actor, when(v.since)) for v in found]
        yield "<h2>Quarantine</h2>"
        yield table(("model", "version", "digest", "why", "actor", "since"), rows)


def _deeds(everything: Sequence[FreezeAnswer], viewer: Viewer) -> Iterator[str]:
    if not viewer.may(Scope.OPERATE):
        yield "<p class=note>To freeze or order something here, come with a name that has the scope operate.</p>"
    elif not everything:
        deed = freeze_form("/freeze", viewer, "Freeze all targets", "all")
        yield f'<h2>All targets</h2><div class="deeds">{deed}</div>'


def incident_table(incidents: Sequence[IncidentAnswer]) -> str:
    """Incidents with their ends."""
    rows = [
        (
            Link(when(i.opened), path("incidents", i.id)),
            f"{i.bad} → {i.good}",
            Mark(i.state.replace("_", " "), "good" if i.state in GOOD_ENDS else "bad"),
            i.actor,
            i.acknowledged_by or "nobody",
            i.note,
        )
        for i in incidents
    ]
    return table(("opened", "traffic", "state", "actor", "seen by", "note"), rows, long=("note",))
