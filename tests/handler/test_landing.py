"""The pages show what they are given, and let nothing become markup."""

from __future__ import annotations

import re

import pytest

from mlcanary.handler.web import answers, page, target_page
from mlcanary.handler.web.forms import Viewer
from mlcanary.webserver.identity import EVERY_SCOPE, Scope

HOSTILE = "<script>alert(1)</script>\"'&"
VIEWER = Viewer(HOSTILE, EVERY_SCOPE, "token", 1.7e9)


def target(text: str, *, mode: str = "drive") -> answers.TargetAnswer:
    """A target whose every text is this one."""
    return answers.TargetAnswer(
        name=text,
        model=text,
        mode=mode,
        observed=True,
        versions=[answers.Share(text, text, 0.9, text), answers.Share(text, text, 0.1, "")],
        freeze="all",
        freezes=[answers.FreezeAnswer("*", "all", text, text, 1.7e9)],
        release=release(text),
        evidence=text,
        incident=incident(text),
        action=None,
        verification=None,
        capacity=answers.CapacityAnswer(100.0, 1.2, 0.0),
        decision=decision(text),
    )


def decision(text: str) -> answers.DecisionAnswer:
    """What mode observe would have done, whose every text is this one."""
    return answers.DecisionAnswer(1.7e9, text, text, text, text, text, text, {text: 1}, text, True, text, text)


def release(text: str) -> answers.ReleaseAnswer:
    """A release whose every text is this one."""
    return answers.ReleaseAnswer(
        id=text,
        target=text,
        model=text,
        candidate=text,
        digest=text,
        stable=text,
        state="step",
        open=True,
        step=1,
        steps=[1, 5, 100],
        submitted=1.7e9,
        since=1.7e9,
        effect=1.7e9,
        trials=100.0,
        closed=0.0,
        actor=text,
        note=text,
    )


def incident(text: str) -> answers.IncidentAnswer:
    """An incident that waits, whose every text is this one."""
    return answers.IncidentAnswer(
        id=text,
        target=text,
        model=text,
        bad=text,
        good=text,
        measure=text,
        window=text,
        state="awaiting_approval",
        open=True,
        received=1.7e9,
        opened=1.7e9,
        effect=0.0,
        closed=0.0,
        actor=text,
        plan=text,
        expires=1.7e9 + 1800,
        acknowledged=0.0,
        acknowledged_by="",
        note=text,
    )


def pages(text: str, viewer: Viewer) -> list[str]:
    """Every page, full of a text."""
    one, row = target(text), answers.AuditAnswer(1, 1.7e9, text, text, text, {text: text}, text)
    action = answers.ActionAnswer(text, "rollback", text, 0, 1, {text: 1}, {text: 1}, 1.7e9, 1.7e9, text, text, text)
    entry = answers.TimelineEntry(1.7e9, text, text, text)
    approval = answers.ApprovalAnswer(text, 1.7e9, text)
    detail = answers.IncidentDetail(
        incident(text), {text: text}, [action], None, [entry], [row], [text], [approval], approvals_missing=1
    )
    plan = answers.PlanAnswer(text, "rollback", text, text, text, {text: 1}, {text: 1}, text)
    order = answers.OrderAnswer(text, text, "rollback", text, text, text, False, text, 1.7e9, "refused", text)
    version = answers.VersionAnswer(text, text, text, "quarantined", text, text, 1.7e9)
    return [
        page.page([one], [version], [row], viewer),
        target_page.target_page(one, [incident(text)], [release(text)], detail, [entry], viewer, [decision(text)]),
        target_page.incident_page(detail, viewer),
        target_page.confirm_page(plan, text, viewer),
        target_page.order_page(order, viewer),
        target_page.error_page(answers.ErrorAnswer(text, [text], text), viewer),
    ]


def test_hostile_text_stays_text() -> None:
    for text in pages(HOSTILE, VIEWER):
        assert "<script" not in text
        assert "alert(1)</script" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;" in text
        for value in re.findall(r'(?:href|action)="([^"]*)"', text):
            assert value.startswith("/"), value


def test_every_control_has_a_label_and_every_form_a_token() -> None:
    for text in pages("x", VIEWER):
        shown = re.findall(r'<(?:input type="(?:text|checkbox)"|select) id="([^"]+)"', text)
        assert len(set(shown)) == len(shown)
        assert set(shown) == set(re.findall(r'<label[^>]*for="([^"]+)"', text))
        assert text.count('<form method="post"') == text.count('name="csrf" value="token"')
        assert not re.search(r"<(script|img|link|iframe)|\son\w+=|https?://|tabindex", text)


@pytest.mark.parametrize("scopes", [frozenset({Scope.READ}), frozenset({Scope.READ, Scope.APPROVE})])
def test_who_may_not_sees_no_forms_for_it(scopes: frozenset[Scope]) -> None:
    found = pages("x", Viewer("rita", scopes, "token", 1.7e9))
    deeds = set(re.findall(r'action="([^"]+)"', "".join(found[:3])))
    assert deeds == ({"/incidents/x/approve", "/incidents/x/refuse"} if Scope.APPROVE in scopes else set())


def test_the_index_tells_what_waits_and_where_the_traffic_is() -> None:
    text = page.page([target("v2")], [], [], VIEWER)
    assert "waits for approval</strong>, for 30 min more" in text
    assert 'style="width:90.00%"' in text
    assert '<li class="now" aria-current="step">5 %</li>' in text
