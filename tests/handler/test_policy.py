"""The decision table, row by row and in its order."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from mlcanary.handler.core.policy import (
    EXPIRING,
    FINAL,
    Act,
    Attach,
    Evidence,
    LedgerView,
    Question,
    Reason,
    Suppress,
    decide,
)
from mlcanary.handler.core.releases import FreezeLevel

Row = tuple[Reason, dict[str, object], dict[str, object], dict[str, object]]
NOW = 1_700_000_000.0
WARM = frozenset({"v1", "v2", "v3"})
QUESTION = Question("v2", True, True, ("v1", "v2", "v3"), None, 600.0, 2)
VIEW = LedgerView(FreezeLevel.NONE, None, ())
EVIDENCE = Evidence(
    sources_up=True,
    roles=(("v1", "baseline"), ("v2", "canary")),
    firing=True,
    violated=True,
    fresh=True,
    serving=frozenset({"v1", "v2"}),
    bad_weight=10,
    shared_cause=False,
)

# Each row: reason, change of the question, of the ledger, of the evidence. In order of precedence.
ROWS: list[Row] = [
    (Reason.UNKNOWN_TARGET, {"version": None}, {}, {}),
    (Reason.RESOLVED, {"firing": False}, {}, {}),
    (Reason.FROZEN, {}, {"level": FreezeLevel.ALL}, {}),
    (Reason.JUDGED, {}, {}, {"judged": True}),
    (Reason.SILENCED, {}, {}, {"silenced": "silence 5f2a"}),
    (Reason.SOURCE_BROKEN, {}, {}, {"sources_up": False}),
    (Reason.ROLE_CONFLICT, {}, {}, {"roles": (("v1", "baseline"), ("v2", "canary"), ("v2", "shadow"))}),
    (Reason.STALE_EVIDENCE, {}, {}, {"violated": False}),
    (Reason.NOT_SERVING, {}, {}, {"bad_weight": 0}),
    (Reason.SHARED_CAUSE, {}, {}, {"shared_cause": True}),
    (Reason.QUARANTINED, {}, {"quarantined": frozenset({"v1", "v3"})}, {}),
    (Reason.NO_GOOD_VERSION, {"destination": "v3"}, {}, {}),
    (Reason.COOLDOWN, {}, {"changed": (NOW - 599.0,)}, {}),
    (Reason.BUDGET, {}, {"changed": (NOW - 1200.0, NOW - 700.0)}, {}),
    (Reason.DRY_RUN, {"reacts": False}, {}, {}),
]


def decided(rows: list[Row]) -> object:
    question, view, evidence = QUESTION, VIEW, EVIDENCE
    for _, q, v, e in rows:
        question = dataclasses.replace(question, **q)  # type: ignore[arg-type]
        view = dataclasses.replace(view, **v)  # type: ignore[arg-type]
        evidence = dataclasses.replace(evidence, **e)  # type: ignore[arg-type]
    return decide(question, view, evidence, NOW)


def test_clear_evidence_acts_towards_the_baseline() -> None:
    assert decided([]) == Act("v1")


def test_a_configured_destination_wins_over_the_baseline() -> None:
    evidence = dataclasses.replace(EVIDENCE, serving=frozenset({"v1", "v2", "v3"}))
    assert decide(dataclasses.replace(QUESTION, destination="v3"), VIEW, evidence, NOW) == Act("v3")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_each_row_suppresses_for_its_reason(
    row: Row,
) -> None:
    answer = decided([row])
    assert isinstance(answer, Suppress)
    assert answer.reason is row[0]


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(ROWS, 2)), ids=lambda row: str(row[0]))
def test_of_two_reasons_the_earlier_row_is_given(
    first: Row,
    second: Row,
) -> None:
    answer = decided([second, first])
    assert isinstance(answer, Suppress)
    # A cooldown and a budget share their key in the ledger; the pair is one change and then the earlier one.
    assert answer.reason is first[0]


@pytest.mark.parametrize(
    "change",
    [
        {"roles": (("v2", "canary"),)},
        {"roles": (("v2", "canary"), ("v9", "baseline"))},
        {"serving": frozenset({"v2"})},
    ],
)
def test_without_a_serving_configured_baseline_there_is_nowhere_to_go(change: dict[str, object]) -> None:
    evidence = dataclasses.replace(EVIDENCE, **change)  # type: ignore[arg-type]
    assert decide(QUESTION, VIEW, evidence, NOW) == Suppress(Reason.NO_GOOD_VERSION)


@pytest.mark.parametrize(
    "roles",
    [
        (),
        (("v1", "baseline"), ("v2", "baseline")),
        (("v1", "baseline"), ("v2", "unassigned")),
        (("v1", "baseline"), ("v3", "baseline"), ("v2", "canary")),
        (("v1", "baseline"), ("v1", "shadow"), ("v2", "canary")),
    ],
)
def test_roles_that_do_not_make_one_comparison_are_a_conflict(roles: tuple[tuple[str, str], ...]) -> None:
    evidence = dataclasses.replace(EVIDENCE, roles=roles)
    assert decide(QUESTION, VIEW, evidence, NOW) == Suppress(Reason.ROLE_CONFLICT)


@pytest.mark.parametrize("change", [{"firing": False}, {"fresh": False}, {"violated": False}])
def test_each_part_of_the_evidence_is_needed(change: dict[str, bool]) -> None:
    evidence = dataclasses.replace(EVIDENCE, **change)  # type: ignore[arg-type]
    assert decide(QUESTION, VIEW, evidence, NOW) == Suppress(Reason.STALE_EVIDENCE)


def test_no_evidence_is_no_decision() -> None:
    assert decide(QUESTION, VIEW, None, NOW) == Suppress(Reason.NO_EVIDENCE)


def test_an_open_incident_about_the_version_takes_the_alert_in() -> None:
    assert decide(QUESTION, LedgerView(FreezeLevel.ALL, "v2", ()), None, NOW) == Attach()


def test_an_open_incident_about_another_version_holds_the_target() -> None:
    assert decide(QUESTION, LedgerView(FreezeLevel.NONE, "v3", ()), EVIDENCE, NOW) == Suppress(Reason.COOLDOWN)


def test_a_clock_that_went_back_keeps_the_cooldown() -> None:
    view = LedgerView(FreezeLevel.NONE, None, (NOW + 5000.0,))
    assert decide(QUESTION, view, EVIDENCE, NOW) == Suppress(Reason.COOLDOWN)


def test_an_old_action_is_out_of_cooldown_and_budget() -> None:
    view = LedgerView(FreezeLevel.NONE, None, (NOW - 86_401.0, NOW - 86_402.0, NOW - 601.0))
    assert decide(QUESTION, view, EVIDENCE, NOW) == Act("v1")


def test_a_target_that_cannot_be_read_leaves_the_question_to_the_traffic() -> None:
    assert decide(QUESTION, VIEW, dataclasses.replace(EVIDENCE, bad_weight=None), NOW) == Act("v1")


def test_a_judged_version_is_asked_about_again_for_the_judge_may_end() -> None:
    assert Reason.JUDGED not in FINAL | EXPIRING


def test_no_reason_both_ends_and_expires() -> None:
    assert not FINAL & EXPIRING


# Each row: change of the ledger, of the evidence; where v2's traffic goes.
DESTINATIONS: list[tuple[dict[str, object], dict[str, object], Act | Suppress]] = [
    ({"proven": frozenset({"v1"})}, {"serving": frozenset({"v2"}), "warm": WARM}, Act("v1")),
    ({"proven": frozenset({"v1"})}, {"serving": frozenset({"v2"})}, Suppress(Reason.NO_GOOD_VERSION)),
    ({}, {"serving": frozenset({"v2"}), "warm": WARM}, Suppress(Reason.NO_GOOD_VERSION)),
    ({"candidate": "v2", "stable": "v3"}, {"serving": frozenset({"v2"}), "warm": WARM}, Act("v3")),
    ({"candidate": "v3", "stable": "v1"}, {}, Act("v1")),
    ({"candidate": "v2", "stable": "v3", "quarantined": frozenset({"v3"})}, {}, Suppress(Reason.QUARANTINED)),
    ({"proven": frozenset({"v3"})}, {"roles": (("v2", "canary"),), "warm": WARM}, Act("v3")),
    (
        {"proven": frozenset({"v1", "v3"})},
        {"roles": (("v2", "canary"),), "warm": WARM},
        Suppress(Reason.NO_GOOD_VERSION),
    ),
    ({"quarantined": frozenset({"v2"})}, {}, Act("v1")),
]


@pytest.mark.parametrize(("ledger", "found", "answer"), DESTINATIONS)
def test_traffic_goes_to_a_version_that_is_known_to_be_good_and_ready(
    ledger: dict[str, object], found: dict[str, object], answer: Act | Suppress
) -> None:
    view = dataclasses.replace(VIEW, **ledger)  # type: ignore[arg-type]
    assert decide(QUESTION, view, dataclasses.replace(EVIDENCE, **found), NOW) == answer  # type: ignore[arg-type]


def test_quarantine_and_proof_go_by_the_digest_of_the_artefact() -> None:
    question = dataclasses.replace(QUESTION, digests=(("v1", "sha256:a"),))
    view = dataclasses.replace(VIEW, quarantined=frozenset({"v1"}))
    assert decide(question, view, EVIDENCE, NOW) == Act("v1")
    view = dataclasses.replace(VIEW, quarantined=frozenset({"sha256:a"}))
    assert decide(question, view, EVIDENCE, NOW) == Suppress(Reason.QUARANTINED)


ORDER = dataclasses.replace(QUESTION, ordered=True)
SKIPPED = {
    Reason.FROZEN,
    Reason.JUDGED,
    Reason.SILENCED,
    Reason.SOURCE_BROKEN,
    Reason.ROLE_CONFLICT,
    Reason.STALE_EVIDENCE,
    Reason.SHARED_CAUSE,
    Reason.COOLDOWN,
    Reason.BUDGET,
}


@pytest.mark.parametrize("row", [row for row in ROWS if row[0] is not Reason.RESOLVED], ids=lambda row: str(row[0]))
def test_the_order_of_a_person_skips_evidence_and_limits_but_not_the_destination(row: Row) -> None:
    question = dataclasses.replace(ORDER, **row[1])  # type: ignore[arg-type]
    view = dataclasses.replace(VIEW, **row[2])  # type: ignore[arg-type]
    answer = decide(question, view, dataclasses.replace(EVIDENCE, **row[3]), NOW)  # type: ignore[arg-type]
    assert answer == Act("v1") if row[0] in SKIPPED else isinstance(answer, Suppress) and answer.reason is row[0]


def test_force_goes_to_any_other_configured_version() -> None:
    view = dataclasses.replace(VIEW, quarantined=frozenset({"v1"}))
    force = dataclasses.replace(ORDER, force=True)
    assert decide(force, view, EVIDENCE, NOW) == Act("v1")
    assert decide(force, view, dataclasses.replace(EVIDENCE, serving=frozenset()), NOW) == Act("v1")
    assert decide(dataclasses.replace(force, destination="v9"), view, EVIDENCE, NOW) == Suppress(Reason.NO_GOOD_VERSION)


def test_the_lock_of_another_incident_holds_an_order_too() -> None:
    view = dataclasses.replace(VIEW, open_version="v3")
    assert decide(dataclasses.replace(ORDER, force=True), view, EVIDENCE, NOW) == Suppress(Reason.COOLDOWN)


def test_an_order_without_evidence_goes_to_a_proven_or_configured_version_only() -> None:
    proven = dataclasses.replace(VIEW, proven=frozenset({"v1"}))
    assert decide(ORDER, VIEW, None, NOW) == Suppress(Reason.NO_GOOD_VERSION)
    assert decide(ORDER, proven, None, NOW) == Act("v1")
    assert decide(dataclasses.replace(ORDER, destination="v3"), VIEW, None, NOW) == Act("v3")
    released = dataclasses.replace(VIEW, candidate="v2", stable="v1")
    assert decide(ORDER, released, None, NOW) == Suppress(Reason.NO_EVIDENCE)
