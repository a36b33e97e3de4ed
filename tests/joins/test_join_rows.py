"""One test per row of the diagram in `mlcanary.joins.machine`."""

from __future__ import annotations

import pytest

from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.rows import Outcomes
from mlcanary.records import Label, ModelKey, Prediction

V1, V2 = ModelKey("m", "v1"), ModelKey("m", "v2")


def machine(
    maturity: float = 0.0, label_ttl: float = 100.0, capacity: int = 100, early_ttl: float = 50.0
) -> JoinMachine:
    """A machine with one policy for every model."""
    return JoinMachine({"": JoinPolicy(maturity, label_ttl)}, capacity=capacity, early_ttl=early_ttl)


def predicted(id_: str | None, ts: float = 0.0, key: ModelKey = V1, label: str | None = None) -> Prediction:
    """An answered request."""
    return Prediction(key, ts, id_, predicted="1", score=0.7, label=label)


def failed(id_: str | None, label: str | None = None) -> Prediction:
    """A request that the model server could not answer."""
    return Prediction(V1, 0.0, id_, error="503", label=label)


def labels(out: Outcomes) -> list[tuple[str, str]]:
    """(version, final label) of what was counted."""
    return [(x.waiting.key.version, x.label) for x in out.joined]


def results(out: Outcomes) -> list[str]:
    """Names of the results, in order."""
    return [name for _, name in out.results]


def test_a_label_matches_at_once_without_maturity() -> None:
    m = machine()
    m.predict(predicted("a"))
    assert m.pending == {V1: 1}
    m.label(Label("a", 5.0, label="1"))
    out = m.take()
    assert (labels(out), results(out), out.joined[0].label_ts) == ([("v1", "1")], ["matched"], 5.0)
    assert m.pending == {V1: 0}


def test_a_label_is_held_until_maturity_and_the_newest_one_counts() -> None:
    m = machine(maturity=30.0)
    m.predict(predicted("a"))
    m.label(Label("a", 20.0, label="0"))
    m.label(Label("a", 10.0, label="1"))
    m.advance(29.9)
    assert labels(m.take()) == []
    m.advance(30.0)
    out = m.take()
    assert (labels(out), results(out)) == ([("v1", "0")], ["matched"])


def test_maturity_without_a_label_expires_and_a_label_after_that_is_late() -> None:
    m = machine(maturity=30.0)
    m.predict(predicted("a"))
    m.advance(30.0)
    assert results(m.take()) == ["expired"]
    m.label(Label("a", 31.0, label="1"))
    m.label(Label("a", 29.0, label="1"))  # made in time, but it came when all was decided
    out = m.take()
    assert (results(out), labels(out), m.pending[V1]) == (["late", "late"], [], 0)


def test_a_label_made_after_the_wait_is_late_even_if_it_comes_before_the_decision() -> None:
    m = machine(maturity=30.0)
    m.predict(predicted("a"))
    m.label(Label("a", 30.5, label="1"))
    m.advance(30.0)
    assert results(m.take()) == ["late", "expired"]


def test_without_maturity_the_wait_ends_at_label_ttl() -> None:
    m = machine(label_ttl=100.0)
    m.predict(predicted("a"))
    m.advance(99.9)
    assert results(m.take()) == []
    m.advance(100.0)
    assert results(m.take()) == ["expired"]
    assert m.drain().rows == []


def test_a_full_table_evicts_the_oldest() -> None:
    m = machine(capacity=2)
    for id_ in ("a", "b", "c"):
        m.predict(predicted(id_))
    assert results(m.take()) == ["evicted"]
    m.label(Label("a", 1.0, label="1"))
    m.label(Label("b", 1.0, label="1"))
    assert labels(m.take()) == [("v1", "1")]
    assert m.pending == {V1: 1}


def test_a_decided_prediction_is_evicted_without_a_word() -> None:
    m = machine(capacity=1)
    m.predict(predicted("a", label="1"))
    m.predict(predicted("b"))
    assert results(m.take()) == ["matched"]


def test_a_label_that_comes_first_waits_for_its_prediction() -> None:
    m = machine()
    m.label(Label("a", 5.0, label="1", model="m"))
    m.label(Label("b", 5.0, label="0"))
    m.predict(predicted("a", 4.0))
    m.predict(predicted("b", 4.0))
    assert labels(m.take()) == [("v1", "1"), ("v1", "0")]
    assert not m._early


def test_a_label_without_prediction_is_unmatched_after_early_ttl() -> None:
    m = machine(early_ttl=50.0)
    m.label(Label("a", 5.0, label="1", model="m"))
    m.label(Label("a", 25.0, label="1", model="m"))
    m.advance(54.9)
    assert m.take().unmatched == []
    m.advance(55.0)
    assert m.take().unmatched == ["m"]
    m.advance(75.0)
    assert m.take().unmatched == ["m"]


def test_an_older_early_label_does_not_take_a_newer_one_along() -> None:
    m = machine(early_ttl=50.0)
    m.label(Label("a", 0.0, label="1", model="m"))
    m.predict(predicted("a", 1.0, label=None))
    m.advance(101.0)  # the prediction is forgotten
    m.take()
    m.label(Label("a", 100.0, label="1", model="m"))
    m.advance(140.0)
    assert m.take().unmatched == []


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("id_", ["a", None])
def test_a_label_of_a_failed_request_is_unmatched(inline: bool, id_: str | None) -> None:
    m = machine()
    m.predict(failed(id_, label="1" if inline else None))
    if not inline:
        m.label(Label("a", 1.0, label="1", model="m"))
    m.advance(1000.0)
    out = m.take()
    assert (out.unmatched, labels(out), results(out)) == (["m"], [], [])
    assert not m.pending.get(V1)


def test_a_label_later_than_label_ttl_is_unmatched_whether_or_not_the_prediction_is_still_known() -> None:
    for reached in (0.0, 150.0):
        m = machine(maturity=30.0, label_ttl=100.0, early_ttl=0.0)
        m.predict(predicted("a"))
        m.advance(reached)
        m.label(Label("a", 100.5, label="1", model="m"))
        m.advance(1000.0)
        out = m.take()
        assert (out.unmatched, labels(out), results(out)) == (["m"], [], ["expired"])


def test_the_same_prediction_again_is_a_duplicate_and_another_version_is_not() -> None:
    m = machine()
    assert m.predict(predicted("a"))
    assert not m.predict(predicted("a", 1.0))
    assert m.predict(predicted("a", key=V2))
    m.label(Label("a", 5.0, label="1"))
    assert labels(m.take()) == [("v1", "1"), ("v2", "1")]
    assert not m.predict(predicted("a", 6.0))


def test_the_same_label_again_is_a_duplicate() -> None:
    m = machine()
    m.predict(predicted("a"))
    m.label(Label("a", 5.0, label="1"))
    m.label(Label("a", 6.0, label="0"))
    out = m.take()
    assert (labels(out), results(out)) == ([("v1", "1")], ["matched", "duplicate"])


def test_an_inline_label_without_an_id_counts_at_once_and_leaves_no_trace() -> None:
    m = machine(maturity=30.0)
    assert m.predict(predicted(None, label="1"))
    assert m.predict(predicted(None, label="1"))
    assert labels(m.take()) == [("v1", "1"), ("v1", "1")]
    assert m.drain().rows == []


def test_each_business_event_counts_once_and_beside_the_label() -> None:
    m = machine()
    m.predict(predicted("a"))
    m.label(Label("a", 1.0, event="click"))
    m.label(Label("a", 2.0, event="purchase", value=9.5, label="1"))
    m.label(Label("a", 3.0, event="click"))
    out = m.take()
    assert [(e.event, e.value) for e in out.events] == [("click", None), ("purchase", 9.5)]
    assert (labels(out), results(out)) == ([("v1", "1")], ["matched", "duplicate"])


def test_a_label_without_a_model_goes_to_the_first_model_that_knows_the_id() -> None:
    for first, second in (("x", "y"), ("y", "x")):
        m = machine()
        m.predict(predicted("a", key=ModelKey(first, "v")))
        m.predict(predicted("a", key=ModelKey(second, "v")))
        m.label(Label("a", 1.0, label="1"))
        assert [x.waiting.key.model for x in m.take().joined] == [first]


def test_other_waiting_times_hold_for_what_waits_already() -> None:
    m = machine(maturity=30.0)
    m.predict(predicted("a"))
    m.set_policies({"": JoinPolicy(60.0, 100.0)})
    m.advance(30.0)
    assert results(m.take()) == []
    m.advance(60.0)
    assert results(m.take()) == ["expired"]


def test_memory_is_bounded_by_capacity_whatever_comes_and_however_long() -> None:
    m = machine(capacity=50, label_ttl=1e9, early_ttl=1e9)
    for i in range(30_000):
        m.predict(predicted(f"p{i}", float(i)))
        m.label(Label(f"l{i}", float(i), label="1"))
        m.label(Label("always the same", float(i), label="1"))
    scheduled = len(m._deadlines) + len(m._early_deadlines)
    assert len(m._table) == 50
    assert sum(map(len, m._early.values())) == m._early_size <= 50
    assert scheduled <= 11_000
    assert m.pending == {V1: 50}
    assert m._dirty is None  # nobody stores it, so it keeps no notes of what changed


def test_the_first_drain_gives_every_row_and_later_ones_what_changed() -> None:
    m = machine()
    m.predict(predicted("a"))
    m.predict(predicted("b"))
    first = m.drain()
    assert first.whole
    assert {key for key, _ in first.rows} == {("m", "a"), ("m", "b")}
    assert m.drain() == (False, [])
    m.label(Label("a", 1.0, label="1"))
    m.advance(1000.0)
    gone = m.drain()
    assert dict(gone.rows) == {("m", "a"): None, ("m", "b"): None}
    m.redrain(gone)
    assert m.drain() == gone
