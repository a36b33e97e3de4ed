"""Every accumulator obeys the laws that let processes, windows and restarts be added up."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given

from laws import (
    SKETCHES,
    SUBJECTS,
    Batch,
    Subject,
    additive,
    close,
    found_by_introspection,
    made,
    sketches,
    state,
    subjects,
    wire,
)
from mlcanary.stats.roc_auc import ScoreBins

Case = tuple[Subject, tuple[Batch, Batch, Batch]]


def test_every_accumulator_is_held_to_the_laws() -> None:
    assert found_by_introspection() == set(SUBJECTS) | set(SKETCHES)


@given(subjects())
def test_an_empty_one_is_neutral(case: Case) -> None:
    subject, (a, _, _) = case
    one = made(subject, a)
    assert state(one.merge(subject.empty())) == state(one) == state(subject.empty().merge(one))


@given(subjects())
def test_merge_is_associative_and_commutative(case: Case) -> None:
    subject, batches = case
    a, b, c = (made(subject, batch) for batch in batches)
    assert close(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert state(a.merge(b)) == state(b.merge(a))


@given(subjects())
def test_any_split_and_merge_equals_one_pass(case: Case) -> None:
    subject, (a, b, c) = case
    one_pass = made(subject, [*a, *b, *c])
    assert close(made(subject, a).merge(made(subject, b)).merge(made(subject, c)), one_pass)
    assert close(made(subject, a, b, c), one_pass)


@given(sketches())
def test_the_same_twice_is_the_same_sketch(case: Case) -> None:
    subject, (a, b, _) = case
    one = made(subject, a)
    assert wire(one.merge(one)) == wire(one)
    assert wire(made(subject, a, b, a)) == wire(made(subject, b, a))


@given(additive())
def test_the_same_twice_doubles_every_counter(case: Case) -> None:
    subject, (a, _, _) = case
    one = made(subject, a)
    assert state(one.merge(one)) == {name: 2 * count for name, count in state(one).items()}


@given(additive())
def test_minus_undoes_merge(case: Case) -> None:
    subject, (a, b, _) = case
    left, right = made(subject, a), made(subject, b)
    assert close(left.merge(right).minus(right), left)


@given(subjects())
def test_a_copy_is_independent_in_both_directions(case: Case) -> None:
    subject, (a, b, c) = case
    original = made(subject, a)
    copy = original.copy()
    before = wire(original)
    subject.feed(copy, b)
    assert wire(original) == before
    after = wire(copy)
    subject.feed(original, c)
    assert wire(copy) == after


@given(subjects())
def test_dump_and_load_restore_bit_for_bit_and_go_on_alike(case: Case) -> None:
    subject, (a, b, _) = case
    original = made(subject, a)
    restored = made(subject, b)
    restored.load(msgspec.msgpack.decode(wire(original)))
    assert wire(restored) == wire(original)
    subject.feed(original, b)
    subject.feed(restored, b)
    assert wire(restored) == wire(original)


@given(subjects())
def test_reading_changes_nothing(case: Case) -> None:
    subject, (a, _, _) = case
    accumulator = made(subject, a)
    before = wire(accumulator)
    first = [read(accumulator) for read in subject.readers]
    assert [read(accumulator) for read in subject.readers] == first
    assert wire(accumulator) == before


@given(subjects())
def test_merge_and_minus_leave_their_inputs_alone(case: Case) -> None:
    subject, (a, b, _) = case
    left, right = made(subject, a), made(subject, b)
    before = wire(left), wire(right)
    both = left.merge(right)
    if hasattr(both, "minus"):
        both.minus(left)
    subject.feed(both, a)
    assert (wire(left), wire(right)) == before


def test_other_shapes_are_refused_and_not_broadcast() -> None:
    three, four = ScoreBins.empty(np.array([0.1, 0.2])), ScoreBins.empty(np.array([0.1, 0.2, 0.3]))
    with pytest.raises(ValueError, match="shapes"):
        three.merge(four)
    with pytest.raises(ValueError, match="shapes"):
        three.minus(four)
    with pytest.raises(ValueError, match="12 saved counters, 9 now"):
        three.load(four.dump())
