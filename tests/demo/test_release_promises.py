"""When a run of the story `release` counts as good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from demo_releases import BAD, GOOD, STEPS, moved, said, step, submitted
from mlcanary.demo.release_promises import ReleaseEvidence, as_told, release_checks
from mlcanary.demo.release_record import Record, Span, records
from mlcanary.demo.verdict import VERDICT_ALERT

(GOOD_RECORD,), (BAD_RECORD,) = records(GOOD), records(BAD)


def traffic(record: Record, *counts: tuple[int, int]) -> list[Span]:
    return [Span(taken, 0.0, *pair) for taken, pair in zip(record.confirmed, counts, strict=True)]


KEPT = ReleaseEvidence(
    percents=STEPS,
    step_trials=30,
    good=GOOD_RECORD,
    bad=BAD_RECORD,
    good_spans=traffic(GOOD_RECORD, (20, 2000), (100, 2000), (2000, 2000)),
    bad_spans=traffic(BAD_RECORD, (21, 2000)),
    highest_bad=0.01,
    promoted_at=139.0,
    early_alerts=frozenset(),
    late_alerts=frozenset({VERDICT_ALERT}),
    weights={"v1": 0, "v2": 100, "v3": 0},
    bad_after_effect=0,
    outcome="resolved",
    refusal="refused: artefact d of v3 is quarantined",
    verified=True,
    audit_rows=40,
    figures={"effects": 5.0},
    expected={"effects": 5.0},
    sent=10,
    answered=10,
    failed=0,
)


def good_with(*rows: Any) -> Record:
    (found,) = records(list(rows))
    return found


BLIND = good_with(
    *GOOD[:5],
    *step("r1", 1, 120.0, 120.5, said("inconclusive", 40, 118.0)),
    *GOOD[9:],
)
STALE = good_with(
    *GOOD[:5],
    *step("r1", 1, 120.0, 120.5, said("inconclusive", 60, 101.0)),
    *GOOD[9:],
)
UNPROMOTED = good_with(*GOOD[:9], *step("r1", 2, 140.0, 140.5, said("inconclusive", 400, 138.0)), *GOOD[13:])
SKIPPED = good_with(*GOOD[:5], *GOOD[9:])
STOPPED = good_with(submitted("r1", 100.0, "v2", "v1"), moved("r1", 101.0, "withdrawn"))

EVERY_STEP, PROMOTED = "v2 took every step once, in order", "all traffic came only after the judge's verdict promote"
PROVEN = "v2 is the proven version, and no alert asked for a rollback"
BELOW, ASKED = "v3 never had more than its step", "the judge's alert stopped it, and no other asked for a rollback"
ROLLED = "the handler proved the rollback from the traffic"
BACK = "v2 has all traffic again, and v3 answered nothing after the effect"
REFUSED = "v3 is quarantined: a second submission is refused"
SEEN = "every step's share was seen at the traffic"
GROUNDED = "no step but the first without evidence: 30 requests judged in the one before"
UNBROKEN, SAME = (
    "the audit is unbroken, and the tables say the same (mlcanary explain --verify)",
    "the handler's metrics say the same as its audit",
)
CLIENTS = "clients saw no failed request"


def broken(evidence: ReleaseEvidence) -> list[str]:
    return [check.promise for check in release_checks(evidence) if not check.held]


def test_a_good_run_keeps_every_promise() -> None:
    assert broken(KEPT) == []


@pytest.mark.parametrize(
    ("change", "promises"),
    [
        ({"good": SKIPPED, "good_spans": traffic(SKIPPED, (20, 2000), (2000, 2000))}, [EVERY_STEP]),
        ({"good": UNPROMOTED}, [PROMOTED]),
        ({"promoted_at": None}, [PROMOTED]),
        ({"promoted_at": 140.5}, [PROMOTED]),
        ({"good": STOPPED, "good_spans": []}, [EVERY_STEP, PROMOTED, PROVEN, GROUNDED]),
        ({"early_alerts": frozenset({"A"})}, [PROVEN]),
        ({"highest_bad": 0.05}, [BELOW]),
        ({"late_alerts": frozenset()}, [ASKED]),
        ({"late_alerts": frozenset({VERDICT_ALERT, "A"})}, [ASKED]),
        ({"outcome": "stuck"}, [ROLLED]),
        ({"outcome": None}, [ROLLED]),
        ({"bad_after_effect": 1}, [BACK]),
        ({"bad_after_effect": None}, [BACK]),
        ({"weights": {"v1": 0, "v2": 99, "v3": 1}}, [BACK]),
        ({"weights": {"v1": 100, "v2": 0, "v3": 0}}, [BACK]),
        ({"weights": {}}, [BACK]),
        ({"refusal": None}, [REFUSED]),
        ({"refusal": "refused: an incident is open"}, [REFUSED]),
        ({"bad_spans": []}, [SEEN]),
        ({"bad_spans": traffic(BAD_RECORD, (0, 0))}, [SEEN]),
        ({"bad_spans": traffic(BAD_RECORD, (100, 2000))}, [SEEN]),
        ({"good": BLIND}, [GROUNDED]),
        ({"good": STALE}, [GROUNDED]),
        ({"verified": False}, [UNBROKEN]),
        ({"audit_rows": 0}, [UNBROKEN]),
        ({"figures": {"effects": 6.0}}, [SAME]),
        ({"figures": {}}, [SAME]),
        ({"expected": {}}, [SAME]),
        ({"failed": 1, "answered": 9}, [CLIENTS]),
        ({"answered": 9}, [CLIENTS]),
        ({"sent": 0, "answered": 0}, [CLIENTS]),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, Any], promises: list[str]) -> None:
    assert broken(replace(KEPT, **change)) == promises


@pytest.mark.parametrize(("candidate", "held"), [(0, False), (20, True), (38, True), (39, False), (100, False)])
def test_a_share_may_differ_by_chance_only(candidate: int, held: bool) -> None:
    assert as_told(Span(GOOD_RECORD.steps[0], 0.0, candidate, 2000), STEPS) is held
