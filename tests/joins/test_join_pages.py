"""Many rows: the ring grows, goes round and moves together; pages on disk stay few, whole and true."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from join_columns import columns, decided, label_columns, wanted
from kept_joins import KeptJoin
from mlcanary.joins.join import Join
from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.pages import StoredJoin
from mlcanary.joins.policy import JoinPolicy
from mlcanary.records import Label, ModelKey, Prediction

KEY = ModelKey("m", "v1")
POLICIES = {"": JoinPolicy(20.0, 60.0)}
CAPACITY = 3000


def predictions(start: int, rows: int, lasting: int = 0) -> list[tuple[Prediction, tuple[str, ...]]]:
    """100 a second, of which every `lasting`-th is dated far ahead, so that it stays when its neighbours go."""
    return [
        (Prediction(KEY, 1e9 if lasting and i % lasting == 0 else i / 100, f"r{i}", predicted="1", score=0.5), ())
        for i in range(start, start + rows)
    ]


@pytest.mark.parametrize("lasting", [0, 97])
def test_a_long_stream_with_restarts_gives_what_the_machine_gives(lasting: int) -> None:
    random = np.random.default_rng(5)
    real = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0, stored=True)
    spec = JoinMachine(POLICIES, capacity=CAPACITY, early_ttl=10.0)
    kept = KeptJoin()
    found: Counter[Any] = Counter()
    expected: Counter[Any] = Counter()
    for step in range(60):
        rows = predictions(step * 250, 250, lasting)
        labels = [
            Label(f"r{i}", step * 2.5, label=str(i % 2))
            for i in random.integers(max(0, step * 250 - 2500), step * 250 + 300, 200).tolist()
        ]
        assert real.predict_many([columns(rows)])[0].all()
        real.label_many([label_columns(labels)])
        real.advance(step * 2.5)
        for p, segments in rows:
            spec.predict(p, segments)
        for label in labels:
            spec.label(label)
        spec.advance(step * 2.5)
        found.update(decided(real.take()))
        expected.update(wanted(spec.take()))
        if step % 4 == 3:
            changes = real.drain()
            if step % 8 == 7:
                real.redrain(changes)  # that one could not be written
            else:
                kept.keep(changes)
        if step % 20 == 19:
            kept.keep(real.drain())
            names = real.names()
            real = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0, stored=True)
            real.restore(names, kept.stored())
            assert len(real) == len(spec._table)
    assert found == expected
    assert real.nbytes < 100 * CAPACITY


def test_ids_of_rows_that_are_gone_leave_the_disk_too() -> None:
    join = Join(POLICIES, capacity=10_000, early_ttl=10.0, stored=True)
    kept = KeptJoin()
    for step in range(40):
        join.predict_many([columns(predictions(step * 500, 500, lasting=200))])
        join.advance(step * 5.0)
        kept.keep(join.drain())
    join.advance(1e6)
    kept.keep(join.drain())
    assert len(join) == 100
    assert sum(len(chunk) for chunk in kept.ids.values()) < 10 * 100 * len(kept.pages)
    assert max(len(chunk) for chunk in kept.ids.values()) < 200
    again = Join(POLICIES, capacity=10_000, early_ttl=10.0, stored=True)
    again.restore(join.names(), kept.stored())
    assert len(again) == 100


def test_a_save_writes_what_changed_and_ids_once() -> None:
    join = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0, stored=True)
    join.predict_many([columns(predictions(0, 2000))])
    first = join.drain()
    assert (first.whole, len(first.pages), len(first.ids)) == (True, 8, 8)
    join.label_records([Label("r300", 1.0, label="1")])
    second = join.drain()
    assert (second.whole, [page for page, _ in second.pages], list(second.ids)) == (False, [1], [])
    assert list(join.drain().pages) == []


@pytest.mark.parametrize("fault", ["cut", "flags", "class", "no ids", "order", "garbage ids", "unknown model"])
def test_what_was_never_stored_is_refused(fault: str) -> None:
    join = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0, stored=True)
    join.predict_many([columns(predictions(0, 10))])
    join.label_records([Label("r3", 1.0, event="click")])
    kept = KeptJoin().keep(join.drain())
    page = kept.pages[0]
    stored = kept.stored()
    broken = {
        "cut": stored._replace(pages=[(0, page[:-1])]),
        "flags": stored._replace(pages=[(0, page[:-1] + b"\xff")]),
        "class": stored._replace(pages=[(0, page[:48] + b"\xff\xff\xff\x7f" + page[52:])]),
        "no ids": stored._replace(ids=[]),
        "order": stored._replace(pages=[(0, page + page)]),
        "garbage ids": stored._replace(ids=[(0, b"\xc1")]),
        "unknown model": stored._replace(odd=[(("x", "r3"), row, seq) for _, row, seq in stored.odd]),
    }[fault]
    other = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0, stored=True)
    with pytest.raises(ValueError, match=r"join|page"):
        other.restore(join.names(), broken)


def test_a_smaller_capacity_after_a_restart_keeps_the_newest() -> None:
    join = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0, stored=True)
    join.predict_many([columns(predictions(0, 1000))])
    join.label_records([Label("r3", 1.0, event="click"), Label("r999", 1.0, event="click")])
    kept = KeptJoin().keep(join.drain())
    other = Join(POLICIES, capacity=10, early_ttl=10.0, stored=True)
    other.restore(join.names(), kept.stored())
    assert other.take().results == {(KEY, "evicted"): 990}
    assert (len(other), other.pending) == (10, {KEY: 10})
    kept.keep(other.drain())
    assert list(kept.odd) == [("m", "r999")]


def test_ids_of_many_new_rows_are_held_as_they_will_be_stored() -> None:
    join = Join(POLICIES, capacity=50_000, early_ttl=10.0, stored=True)
    for start in range(0, 30_000, 1000):
        join.predict_many([columns(predictions(start, 1000))])
    assert len(join._rows.notes._ids) <= 5000
    kept = KeptJoin().keep(join.drain())
    other = Join(POLICIES, capacity=50_000, early_ttl=10.0, stored=True)
    other.restore(join.names(), kept.stored())
    assert len(other) == 30_000
    assert not any(mask.any() for mask in other.predict_many([columns(predictions(0, 30_000))]))


def test_ids_of_rows_that_never_were_stored_and_are_gone_are_forgotten() -> None:
    join = Join(POLICIES, capacity=1000, early_ttl=10.0, stored=True)
    for start in range(0, 30_000, 1000):
        join.predict_many([columns(predictions(start, 1000))])
    assert sum(chunk.rows for chunk in join._rows.notes._packed) <= 6000
    changes = join.drain()
    assert sum(chunk.rows for chunk in changes.fresh) <= 1000 + 2 * 256
    join.redrain(changes)
    again = join.drain()
    assert (list(again.pages), again.ids) == (list(changes.pages), changes.ids)
    assert {page for page, _ in KeptJoin().keep(again).pages.items()} == {first >> 8 for first, _ in again.ids}


def test_nobody_who_stores_means_no_notes() -> None:
    join = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0)
    join.predict_many([columns(predictions(0, 1000))])
    assert not join._rows.notes._ids
    assert join.drain().pages == ()
    assert KeptJoin().keep(join.drain()).stored() == StoredJoin([], [], [])


def test_at_the_end_of_time_everything_is_decided_and_forgotten() -> None:
    join = Join(POLICIES, capacity=CAPACITY, early_ttl=10.0)
    join.predict_many([columns(predictions(0, 10))])
    join.label_records([Label("r3", 1.0, event="click"), Label("r4", 1.0, label="1"), Label("nobody", 1.0, label="1")])
    join.advance(float("inf"))
    out = join.take()
    assert out.results == {(KEY, "expired"): 9, (KEY, "matched"): 1}
    assert (len(out.odd.matured), sum(map(len, out.matured)), sum(out.unmatched.values())) == (1, 9, 1)
    assert (len(join), sum(join.pending.values())) == (0, 0)
