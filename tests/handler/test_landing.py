"""The page shows what it is given, and lets nothing become markup."""

from __future__ import annotations

from mlcanary.handler.ledger.audit import AuditRow
from mlcanary.handler.web.page import TargetStatus, page

HOSTILE = "<script>alert(1)</script>\"'&"


def test_hostile_text_stays_text() -> None:
    target = TargetStatus(HOSTILE, HOSTILE, HOSTILE, True, HOSTILE, HOSTILE, HOSTILE)
    row = AuditRow(1, 1.7e9, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    text = page([target], [row])
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;") == 10


def test_it_tells_targets_and_audit() -> None:
    target = TargetStatus("router", "clicks", "react", False, "v1 90%, v2 10%", "", "")
    row = AuditRow(7, 1_700_000_000.0, "handler", "plan", "router", '{"bad":"v2"}', "f" * 64)
    text = page([target], [row])
    for said in ("router", "v1 90%, v2 10%", "2023-11-14 22:13:20Z", "{&quot;bad&quot;:&quot;v2&quot;}", "f" * 12):
        assert f">{said}</td>" in text
