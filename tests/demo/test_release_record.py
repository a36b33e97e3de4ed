"""Releases as the audit tells them, the traffic beside them, and the lines that show both."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from demo_releases import BAD, GOOD, STEPS, row, step, submitted
from mlcanary.demo.release_record import Said, records, spans
from mlcanary.demo.release_timeline import lines
from mlcanary.demo.screen import Screen
from mlcanary.demo.timeline import Entry, Milestone


def test_each_release_of_an_audit_is_told_once_in_order() -> None:
    good, bad = records([*GOOD, *BAD])
    assert (good.candidate, good.stable, good.actor, good.state) == ("v2", "v1", "ada", "proven")
    assert (bad.candidate, bad.stable, bad.state) == ("v3", "v2", "rolled_back")
    assert [taken.number for taken in good.confirmed] == [0, 1, 2]
    assert [taken.effect for taken in good.confirmed] == [101.5, 120.5, 140.5]


def test_a_step_carries_what_the_judge_had_said() -> None:
    (good,) = records(GOOD)
    assert good.steps[1].said == Said("inconclusive", True, 60.0, 118.0)
    assert good.last == Said("no_data", True, 420.0, 158.0)


def test_a_step_that_was_never_read_back_is_not_confirmed() -> None:
    (found,) = records([submitted("r", 1.0, "v2", "v1"), *step("r", 0, 2.0, 3.0, {})[:-1]])
    assert [taken.effect for taken in found.steps] == [None]
    assert found.confirmed == ()
    assert found.steps[0].said is None


def test_rows_of_incidents_and_of_releases_that_began_before_the_audit_are_left_out() -> None:
    unknown = row(5.0, "release", {"release": "gone", "state": "step", "note": ""})
    incident = row(6.0, "verdict", {"incident": "i", "state": "resolved", "note": "", "bad": "v3"})
    assert records([unknown, incident]) == []


def test_only_predictions_under_a_split_that_was_read_back_count_for_it() -> None:
    (good,) = records(GOOD)
    times = {"v1": [101.2, 102.0, 119.9, 120.2, 130.0], "v2": [101.4, 110.0, 125.0, 150.0]}
    found = spans(good, times, until=160.0)
    assert [(span.candidate, span.everybody) for span in found] == [(1, 3), (1, 2), (1, 1)]
    assert [span.end for span in found] == [120.0, 140.0, 160.0]


def test_the_last_split_of_a_bad_release_ends_with_its_rollback() -> None:
    (bad,) = records(BAD)
    (span,) = spans(bad, {"v2": [210.0, 230.0], "v3": [211.0, 220.2]}, until=300.0)
    assert (span.end, span.candidate, span.everybody) == (220.0, 1, 2)


def test_a_step_without_traffic_has_no_share() -> None:
    (bad,) = records(BAD)
    (span,) = spans(bad, {}, until=300.0)
    assert (span.everybody, span.share) == (0, 0.0)


def test_the_lines_of_a_good_release_show_share_evidence_and_traffic() -> None:
    (good,) = records(GOOD)
    found = lines(good, STEPS, spans(good, {"v1": [125.0], "v2": [126.0]}, until=160.0))
    assert [(line.event, line.share) for line in found] == [
        ("submitted", 0.0),
        ("step 1 of 3", 1.0),
        ("step 2 of 3", 5.0),
        ("step 3 of 3", 100.0),
        ("soak", None),
        ("proven", None),
    ]
    assert found[2].judge == "inconclusive, may expand; 60 judged"
    assert found[2].detail.endswith("the traffic: 50.0% of 2")


def test_the_lines_of_a_bad_release_take_the_milestones_of_the_incident_in() -> None:
    (bad,) = records(BAD)
    incident = [Entry(Milestone.EFFECT, 220.4, "v3 0"), Entry(Milestone.VERDICT, 215.0, "worse")]
    found = lines(bad, STEPS, incident=incident)
    assert [(line.event, line.share) for line in found] == [
        ("submitted", 0.0),
        ("step 1 of 3", 1.0),
        ("verdict", None),
        ("effect read back", 0.0),
        ("rolled back", None),
    ]


def test_the_timeline_reads_well_without_a_terminal() -> None:
    (good,) = records(GOOD)
    out = io.StringIO()
    screen = Screen(Console(file=out, no_color=True, highlight=False, width=120), clock=lambda: 0.0)
    screen.release("v2: from 1 % to all traffic", lines(good, STEPS))
    rows = [line.split() for line in out.getvalue().splitlines() if line.strip()]
    assert rows[0] == ["v2:", "from", "1", "%", "to", "all", "traffic"]
    assert rows[1] == ["since", "share", "the", "judge", "event", "what"]
    assert rows[3][:5] == ["+0.0", "s", "0", "%", "submitted"]
    assert rows[4][:4] == ["+1.5", "s", "1", "%"]
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("missing", [[], BAD])
def test_a_record_tells_nothing_of_other_releases(missing: list[object]) -> None:
    assert records(GOOD)[0] == records([*GOOD, *missing])[0]  # type: ignore[list-item]  # the empty list has no type
