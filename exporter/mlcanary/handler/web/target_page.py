"""The pages of one target, one incident and one order, and the page that asks for confirmation. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import msgspec

from mlcanary.handler.core.machines import IncidentState
from mlcanary.handler.core.releases import OrderState, VersionStatus
from mlcanary.handler.web.answers import (
    ActionAnswer,
    DecisionAnswer,
    ErrorAnswer,
    FreezeAnswer,
    IncidentAnswer,
    IncidentDetail,
    OrderAnswer,
    PlanAnswer,
    ReleaseAnswer,
    Share,
    TargetAnswer,
    TimelineEntry,
)
from mlcanary.handler.web.forms import (
    NOTHING,
    Viewer,
    ask,
    check,
    choice,
    facts,
    form,
    hidden,
    link,
    notice,
    path,
    percent,
    span,
    steps,
    tag,
    text_field,
    weights,
    when,
    whole,
)
from mlcanary.handler.web.page import (
    approval_line,
    audit_table,
    decision_line,
    decision_table,
    freeze_form,
    freeze_line,
    incident_line,
    incident_table,
    release_line,
)
from mlcanary.webserver.html import table
from mlcanary.webserver.identity import Scope

WORDS = {"rollback": "Roll back", "promote": "Promote", "submit": "Submit", "withdraw": "Withdraw"}


def target_page(
    target: TargetAnswer,
    incidents: Sequence[IncidentAnswer],
    releases: Sequence[ReleaseAnswer],
    newest: IncidentDetail | None,
    story: Sequence[TimelineEntry],
    viewer: Viewer,
    decisions: Sequence[DecisionAnswer] = (),
) -> str:
    """A target: its state, what can be done, the timelines of the newest incident and release, and the earlier ones.

    `decisions` are those that changed nothing, such as what mode observe would have done.

    `story` is the timeline of the newest release.
    """
    body = [*_state(target), *_deeds(target, viewer)]
    if newest is not None:
        body += [f"<h2>Newest incident: {incident_line(newest.incident)}</h2>", timeline_table(newest.timeline)]
    if incidents:
        body += ["<h2>Incidents</h2>", incident_table(incidents)]
    if releases:
        body += [f"<h2>Newest release: {release_line(releases[0])}</h2>", timeline_table(story)]
        body += ["<h2>Releases</h2>", _releases(releases)]
    if decisions:
        body += ["<h2>Decided, and nothing changed</h2>", decision_table(decisions)]
    if newest is None and not releases:
        body.append("<p>No incident and no release yet.</p>")
    return whole(target.name, f"model {target.model} · mode {target.mode}", viewer, body)


def incident_page(detail: IncidentDetail, viewer: Viewer) -> str:
    """An incident: the decision that waits, the timeline, actions, evidence, audit rows."""
    incident = detail.incident
    about = {
        "target": link(incident.target, path("targets", incident.target)),
        "state": incident_line(incident),
        "asked by": escape(incident.actor),
        "because of": escape(" over ".join(filter(None, (incident.measure, incident.window)))),
        "plan": f'<code class="hash">{escape(incident.plan)}</code>' if incident.plan else "",
        "approval": escape(_approval(detail)),
        "proof": escape(_proof(detail)),
        "note": escape(incident.note),
        "seen by": escape(_seen(incident)),
    }
    body = [*_decision(incident, viewer), facts(about), *_acknowledge(incident, viewer)]
    body += ["<h2>Timeline</h2>", timeline_table(detail.timeline)]
    if detail.actions:
        body += ["<h2>Actions</h2>", _actions(detail.actions)]
    if detail.evidence:
        body += ["<h2>Evidence at the decision</h2>", facts(_evidence(detail.evidence))]
    body += ["<h2>Audit</h2>", audit_table(detail.audit)]
    return whole(f"incident {incident.id}", f"{incident.model} {incident.bad} → {incident.good}", viewer, body)


def confirm_page(plan: PlanAnswer, order: str, viewer: Viewer) -> str:
    """The plan of an order, and the button that gives it. `order`: the id that it gets, so that twice is once."""
    word = WORDS[plan.order]
    back = path("targets", plan.target)
    told = {
        "what": escape(plan.text),
        "taken over by": escape(plan.destination),
        "plan": f'<code class="hash">{escape(plan.plan)}</code>',
    }
    fields = [
        *(hidden(k, v) for k, v in (("order", plan.order), ("version", plan.version), ("plan", plan.plan))),
        hidden("id", order),
        text_field("reason", "reason", "Why"),
        check("force", "force", "also without proof, without capacity or out of quarantine (needs a reason)"),
    ]
    button = f"{word} {plan.version} now"
    body = [
        notice("wait", "Nothing has been done yet. If the target is no longer as it is now, the order is refused."),
        facts(told),
        "<p>afterwards:</p>",
        weights(_planned(plan)),
        form(f"{back}/orders", viewer, "Confirm", fields, button, "danger" if plan.order == "rollback" else "go"),
        f"<p>{link('back, do nothing', back)}</p>",
    ]
    return whole(f"{word} {plan.version}?", f"target {plan.target}", viewer, body)


def order_page(order: OrderAnswer, viewer: Viewer) -> str:
    """What became of an order."""
    kinds = {OrderState.DONE: "good", OrderState.REFUSED: "bad"}
    told = {
        "order": escape(f"{order.order} {order.version}"),
        "state": tag(order.state, kinds.get(OrderState(order.state), "")),
        "note": escape(order.note),
        "by": escape(order.actor),
        "at": when(order.received),
        "why": escape(order.reason),
        "plan": f'<code class="hash">{escape(order.plan)}</code>' if order.plan else "",
    }
    back = link(f"to target {order.target}", path("targets", order.target))
    waits = "<p>The target's worker takes it up. This page loads itself again until it has.</p>"
    body = [waits if order.state == OrderState.PENDING else "", facts(told), f"<p>{back}</p>"]
    return whole(f"order {order.id}", f"target {order.target}", viewer, body)


def error_page(error: ErrorAnswer, viewer: Viewer) -> str:
    """Why a request was refused and what is possible."""
    body = [notice("bad", f"<strong>{escape(error.error)}</strong>", *([escape(error.hint)] if error.hint else []))]
    if error.allowed:
        body.append(f"<p>possible: {escape(', '.join(error.allowed))}</p>")
    body.append(f"<p>{link('to all targets', '/')}</p>")
    return whole("That was not done", "mlcanary handler", viewer, body)


def timeline_table(entries: Sequence[TimelineEntry]) -> str:
    """What happened, oldest first, with the time since the start."""
    start = entries[0].at if entries else 0.0
    rows = [(when(e.at), f"+{span(max(0.0, e.at - start))}", e.what, e.actor, e.note) for e in entries]
    return table(("time", "after", "what", "by", "note"), rows, numbers=("after",), long=("note",))


# --- a target


def _state(target: TargetAnswer) -> Iterator[str]:
    for freeze in target.freezes:
        yield notice("bad", f"<strong>Frozen</strong>: {freeze_line(freeze)}")
    if not target.observed:
        yield notice("bad", "<strong>The target cannot be read now</strong>: its weights are not known.")
    yield weights(target.versions)
    release, incident, capacity = target.release, target.incident, target.capacity
    limit = capacity.requests_per_second
    yield facts(
        {
            "release": "" if release is None else release_line(release) + (steps(release) if release.open else ""),
            "evidence": escape(target.evidence),
            "incident": "" if incident is None else incident_line(incident),
            "last decision": "" if target.decision is None else decision_line(target.decision),
            "proof": "" if target.verification is None else escape(target.verification.note),
            "capacity": "" if limit is None else f"{limit:g} requests/s of one server, headroom {capacity.headroom:g}",
            "does not fit": percent(capacity.missing_ratio) if capacity.missing_ratio else "",
        }
    )
    if incident is not None and incident.state == IncidentState.AWAITING_APPROVAL:
        yield notice(
            "wait",
            f"<strong>{link('decide on it', path('incidents', incident.id))}</strong>",
            escape(approval_line(target.approvals_missing, target.approvers)),
        )


def _deeds(target: TargetAnswer, viewer: Viewer) -> Iterator[str]:
    if not viewer.may(Scope.OPERATE):
        yield "<p class=note>To order something here, come with a name that has the scope operate.</p>"
        return
    yield f'<h2>What can be done</h2><div class="deeds">{"".join(_forms(target, viewer))}</div>'


def _forms(target: TargetAnswer, viewer: Viewer) -> Iterator[str]:
    here = path("targets", target.name)
    own: FreezeAnswer | None = next((f for f in target.freezes if f.scope == target.name), None)
    if own is None:
        yield freeze_form(f"{here}/freeze", viewer, "Freeze", "freeze")
    else:
        yield form(f"{here}/unfreeze", viewer, "Unfreeze", (text_field("thaw", "reason", "Why"),), "Unfreeze")
    if target.mode not in ("react", "drive"):
        return
    release = target.release if target.release is not None and target.release.open else None
    names = [(v.version, f"{v.version}, {percent(v.share)}") for v in target.versions]
    bad = release.candidate if release is not None else _suspect(target.versions)
    losing = [(v.version, f"{v.version}, {percent(v.share)}") for v in target.versions if v.share != 0]
    fields = (hidden("order", "rollback"), choice("bad", "version", "Version that loses its traffic", losing, bad))
    yield ask(f"{here}/confirm", "Roll back now", fields, "Show the plan")
    if target.mode == "drive" and release is not None:
        yield ask(f"{here}/confirm", f"Promote {release.candidate} now", (hidden("order", "promote"),), "Show the plan")
        if release.step < 0 or {v.version: v.share for v in target.versions}.get(release.candidate) == 0:
            fields = (hidden("order", "withdraw"), text_field("withdraw", "reason", "Why"))
            yield form(f"{here}/orders", viewer, f"Withdraw {release.candidate}", fields, "Withdraw")
    elif target.mode == "drive":
        candidate = choice("candidate", "version", "Candidate", names, bad)
        asked = (hidden("order", "submit"), candidate, text_field("submit", "reason", "Why"))
        yield form(f"{here}/orders", viewer, "Release a version", asked, "Submit", "go")


def _suspect(shares: Sequence[Share]) -> str:
    """The version that is most likely the canary: least traffic, not proven. "" if only proven ones serve."""
    serving = [share for share in shares if share.share and share.status != VersionStatus.PROVEN]
    return min(serving, key=lambda share: share.share or 0.0).version if serving else ""


def _releases(releases: Sequence[ReleaseAnswer]) -> str:
    rows = [
        (
            when(r.submitted),
            f"{r.candidate} beside {r.stable}",
            r.state.replace("_", " "),
            f"{r.steps[r.step]} %" if 0 <= r.step < len(r.steps) else NOTHING,
            when(r.closed),
            r.actor,
            r.note,
        )
        for r in releases
    ]
    return table(("submitted", "candidate", "state", "step", "ended", "actor", "evidence"), rows, long=("evidence",))


# --- an incident


def _decision(incident: IncidentAnswer, viewer: Viewer) -> Iterator[str]:
    if incident.state != IncidentState.AWAITING_APPROVAL:
        return
    left = f" The plan expires in {span(incident.expires - viewer.now)}." if incident.expires else ""
    what = f"Take the traffic of {incident.bad} to {incident.good}."
    yield notice("wait", f"<strong>{escape(what)}</strong>{escape(left)}")
    if not viewer.may(Scope.APPROVE):
        yield "<p class=note>To decide on it, come with a name that has the scope approve.</p>"
        return
    here, plan = path("incidents", incident.id), hidden("plan", incident.plan)
    yes = form(f"{here}/approve", viewer, "Approve", (plan,), f"Approve plan {incident.plan}", "danger")
    why = text_field("refuse", "reason", "Why")
    no = form(f"{here}/refuse", viewer, "Refuse", (plan, why), f"Refuse plan {incident.plan}")
    yield f'<div class="deeds">{yes}{no}</div>'


def _acknowledge(incident: IncidentAnswer, viewer: Viewer) -> Iterator[str]:
    if not incident.acknowledged and viewer.may(Scope.OPERATE):
        here = path("incidents", incident.id, "acknowledge")
        yield form(here, viewer, "Acknowledge", ("<p class=note>Others see that you look at it.</p>",), "Acknowledge")


def _seen(incident: IncidentAnswer) -> str:
    if not incident.acknowledged:
        return "nobody"
    return f"{incident.acknowledged_by}, {when(incident.acknowledged)}"


def _approval(detail: IncidentDetail) -> str:
    given = [f"approved by {each.actor}, {when(each.at)}" for each in detail.approvals]
    return "; ".join(filter(None, (*given, approval_line(detail.approvals_missing, detail.approvers))))


def _proof(detail: IncidentDetail) -> str:
    proof = detail.verification
    return "" if proof is None else f"{proof.passed} of {proof.windows} windows: {proof.note}"


def _actions(actions: Sequence[ActionAnswer]) -> str:
    rows = [
        (
            when(a.planned),
            a.kind,
            a.state,
            str(a.attempt),
            _written(a.expected),
            _written(a.desired),
            a.plan or NOTHING,
            a.note,
        )
        for a in actions
    ]
    headings = ("planned", "kind", "state", "attempts", "before", "after", "plan", "note")
    return table(headings, rows, numbers=("attempts",), long=("note",))


def _written(state: Mapping[str, int] | None) -> str:
    return NOTHING if state is None else ", ".join(f"{version} {weight}" for version, weight in sorted(state.items()))


def _evidence(evidence: Mapping[str, object]) -> dict[str, str]:
    return {name: escape(_told(value)) for name, value in evidence.items()}


def _told(value: object) -> str:
    if isinstance(value, float):
        return f"{value + 0.0:.6g}"  # no minus before a zero
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _planned(plan: PlanAnswer) -> list[Share]:
    """The split after the plan."""
    after = plan.desired or {}
    total = sum(after.values())
    return [Share(version, "", weight / total if total else None, "") for version, weight in sorted(after.items())]
