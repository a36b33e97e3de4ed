"""What the join tells of predictions that grow up: early labels, cohorts of equal age, labels that never come."""

from __future__ import annotations

import pytest

from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.rows import Outcomes
from mlcanary.records import Label, ModelKey, Prediction

V1, V2 = ModelKey("m", "v1"), ModelKey("m", "v2")
MATURING, AT_ONCE, NEGATIVE = JoinPolicy(30.0, 100.0), JoinPolicy(0.0, 100.0), JoinPolicy(30.0, 100.0, "0")


def machine(policy: JoinPolicy = MATURING, capacity: int = 100) -> JoinMachine:
    """One policy for every model."""
    return JoinMachine({"": policy}, capacity=capacity, early_ttl=50.0)


def answered(id_: str | None = "a", ts: float = 0.0, key: ModelKey = V1, label: str | None = None) -> Prediction:
    """An answered request."""
    return Prediction(key, ts, id_, predicted="1", score=0.7, label=label)


def grown(out: Outcomes) -> list[tuple[str, str | None, dict[str, float | None]]]:
    """Version, label and events of the matured ones."""
    return [(x.waiting.key.version, x.waiting.label, x.events) for x in out.matured]


def results(out: Outcomes) -> list[str]:
    """Names of the results, in order."""
    return [name for _, name in out.results]


@pytest.mark.parametrize(("policy", "end"), [(MATURING, 30.0), (AT_ONCE, 100.0)])
@pytest.mark.parametrize("label", ["1", None])
def test_a_prediction_matures_once_at_the_end_of_its_wait_labelled_or_not(
    policy: JoinPolicy, end: float, label: str | None
) -> None:
    m = machine(policy)
    m.predict(answered())
    if label is not None:
        m.label(Label("a", 5.0, label=label))
    m.advance(end - 0.1)
    assert grown(m.take()) == []
    m.advance(end)
    assert grown(m.take()) == [("v1", label, {})]
    m.advance(1e9)
    assert grown(m.take()) == []


def test_failed_evicted_and_nameless_predictions_never_mature() -> None:
    m = machine(capacity=1)
    m.predict(Prediction(V1, 0.0, "failed", error="503"))
    m.predict(answered("evicted"))
    m.predict(answered("kept"))
    m.predict(answered(None, label="1"))
    m.advance(1e9)
    assert len(grown(m.take())) == 1


def test_a_label_is_told_at_once_as_provisional_and_only_the_first_one() -> None:
    m = machine()
    m.predict(answered())
    m.label(Label("a", 5.0, label="0"))
    m.label(Label("a", 9.0, label="1"))
    out = m.take()
    assert [(x.label, x.label_ts) for x in out.provisional] == [("0", 5.0)]
    m.advance(30.0)
    out = m.take()
    assert (grown(out), [x.label for x in out.joined], out.provisional) == ([("v1", "1", {})], ["1"], [])
    immediate = machine(AT_ONCE)
    immediate.predict(answered())
    immediate.label(Label("a", 5.0, label="0"))
    assert immediate.take().provisional == []


def test_several_versions_of_one_request_mature_each_for_itself() -> None:
    m = machine()
    m.predict(answered(ts=0.0))
    m.label(Label("a", 5.0, label="1"))
    m.label(Label("a", 20.0, event="click"))
    m.predict(answered(ts=10.0, key=V2))
    m.predict(Prediction(ModelKey("m", "v3"), 10.0, "a", error="503"))
    m.advance(30.0)
    assert grown(m.take()) == [("v1", "1", {"click": None})]
    m.label(Label("a", 35.0, event="purchase", value=2.0))
    m.advance(40.0)
    assert grown(m.take()) == [("v2", "1", {"click": None, "purchase": 2.0})]


def test_events_after_the_wait_are_told_but_are_no_part_of_the_cohort() -> None:
    m = machine()
    m.predict(answered())
    m.label(Label("a", 30.0, event="click"))
    m.label(Label("a", 30.5, event="purchase", value=3.0))
    m.advance(31.0)
    m.label(Label("a", 29.0, event="return"))
    out = m.take()
    assert [e.event for e in out.events] == ["click", "purchase", "return"]
    assert grown(out) == [("v1", None, {"click": None})]


def test_of_an_event_that_repeats_the_cohort_has_the_earliest() -> None:
    m = machine()
    m.predict(answered())
    m.label(Label("a", 50.0, event="purchase", value=5.0))
    m.label(Label("a", 10.0, event="purchase", value=1.0))
    m.label(Label("a", 20.0, event="purchase", value=2.0))
    m.advance(30.0)
    out = m.take()
    assert [e.value for e in out.events] == [5.0]
    assert results(out) == ["duplicate", "duplicate", "expired"]
    assert grown(out) == [("v1", None, {"purchase": 1.0})]


def test_without_a_label_a_prediction_may_count_as_negative_once_it_is_mature() -> None:
    m = machine(NEGATIVE)
    m.predict(answered("bought"))
    m.predict(answered("left"))
    m.label(Label("bought", 5.0, label="1"))
    m.advance(30.0)
    out = m.take()
    assert [(x.label, x.label_ts, x.waiting.assumed) for x in out.joined] == [("1", 5.0, False), ("0", 30.0, True)]
    assert (results(out), m.pending) == (["matched", "assumed"], {V1: 0})
    assert [label for _, label, _ in grown(out)] == ["1", "0"]
    for ts in (29.0, 31.0):  # a label that comes after all is late, and no duplicate of one that never came
        m.label(Label("left", ts, label="1"))
    assert results(m.take()) == ["late", "late"]


def test_an_assumed_label_is_no_news_for_another_version() -> None:
    m = machine(NEGATIVE)
    m.predict(answered())
    m.advance(30.0)
    m.predict(answered(ts=20.0, key=V2))
    m.label(Label("a", 40.0, label="1"))
    m.advance(50.0)
    assert [(x.waiting.key.version, x.label) for x in m.take().joined] == [("v1", "0"), ("v2", "1")]


def test_a_shorter_wait_after_a_reload_does_not_make_anything_mature_late_or_twice() -> None:
    m = machine(AT_ONCE)
    m.predict(answered("labelled"))
    m.predict(answered("waiting"))
    m.label(Label("labelled", 1.0, label="1"))
    m.set_policies({"": MATURING})
    m.advance(30.0)
    assert [label for _, label, _ in grown(m.take())] == ["1", None]
    m.set_policies({"": AT_ONCE})
    m.advance(1e9)
    assert grown(m.take()) == []


def test_what_has_matured_and_what_was_assumed_survives_a_restart() -> None:
    before = machine(NEGATIVE)
    before.predict(answered("old"))
    before.predict(answered("young", 20.0))
    before.label(Label("young", 21.0, event="click"))
    before.advance(30.0)
    rows = before.drain().rows
    after = machine(NEGATIVE)
    after.restore((key, row) for key, row in rows if row is not None)
    after.advance(60.0)
    assert grown(after.take()) == [("v1", "0", {"click": None})]
    after.label(Label("old", 29.0, label="1"))
    assert results(after.take()) == ["late"]


def test_rows_of_a_version_that_did_not_know_event_times_are_taken_over() -> None:
    before = machine()
    before.predict(answered())
    before.label(Label("a", 5.0, event="click"))
    ((key, row),) = before.drain().rows
    assert row is not None
    waiting = next(iter(before._table.values()))[0]
    waiting.seen_at = {}
    before._touch(key)
    after = machine()
    after.restore((k, r) for k, r in before.drain().rows if r is not None)
    after.advance(30.0)
    assert grown(after.take()) == [("v1", None, {"click": None})]
