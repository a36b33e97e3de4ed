"""The join in columns against the machine that is its specification, under any interleaving, with restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from join_columns import Segmented, columns, decided, label_columns, wanted
from kept_joins import KeptJoin
from mlcanary.joins.join import Join
from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.records import Label, ModelKey, Prediction

LABEL_TTL, EARLY_TTL = 50.0, 20.0


def in_columns(join: Join, rows: Sequence[Segmented]) -> list[bool]:
    """Hand predictions over in columns, one batch per stretch of one version."""
    stretches: list[list[Segmented]] = []
    for row in rows:
        if stretches and stretches[-1][-1][0].key == row[0].key:
            stretches[-1].append(row)
        else:
            stretches.append([row])
    return [bool(x) for mask in join.predict_many([columns(part) for part in stretches]) for x in mask]


def plain(row: Segmented) -> bool:
    """Whether columns can carry it."""
    return row[0].error is None and row[0].items is None


PREDICTIONS = st.tuples(
    st.sampled_from(["a", "b", "c", "d", "e", None]),
    st.sampled_from(["m", "m", "n"]),
    st.sampled_from(["v1", "v1", "v1", "v2"]),
    st.integers(-30, 30).map(float),
    st.sampled_from([None] * 7 + ["503"]),
    st.sampled_from([None] * 7 + [("x", "y")]),
    st.sampled_from([None, None, None, "0", "1"]),
    st.sampled_from([None, 7]),
    st.sampled_from([(), ("de",), ("fr",)]),
)
LABELS = st.tuples(
    st.sampled_from(["a", "b", "c", "d", "e"]),
    st.sampled_from(["m", "n", None]),
    st.integers(-40, 100).map(float),
    st.sampled_from(["0", "1", "no", None]),
    st.sampled_from([None] * 5 + ["click"]),
)


class CompactComparison(RuleBasedStateMachine):
    """Every step is done by both; what they decided must be the same multiset, and what they remember too."""

    @initialize(
        maturity=st.sampled_from([0.0, 10.0, 80.0]), other=st.sampled_from([0.0, 10.0]), capacity=st.integers(1, 8)
    )
    def begin(self, maturity: float, other: float, capacity: int) -> None:
        self.policies = {"": JoinPolicy(maturity, LABEL_TTL), "n": JoinPolicy(other, LABEL_TTL, "no")}
        self.capacity = capacity
        self.real = self._join()
        self.spec = JoinMachine(self.policies, capacity=capacity, early_ttl=EARLY_TTL)
        self.kept = KeptJoin()
        self.now = 1000.0

    def _join(self) -> Join:
        return Join(self.policies, capacity=self.capacity, early_ttl=EARLY_TTL, stored=True)

    def _compare(self) -> None:
        out = self.real.take()
        machine = self.spec.take()
        assert decided(out) == wanted(machine)
        newest: dict[ModelKey, float] = {}
        for x in machine.joined:
            if not x.waiting.assumed:
                newest[x.waiting.key] = max(newest.get(x.waiting.key, x.label_ts), x.label_ts)
        assert out.newest == newest

    @rule(drawn=st.lists(PREDICTIONS, min_size=1, max_size=6), as_columns=st.booleans())
    def predict(self, drawn: list[Any], as_columns: bool) -> None:
        rows: list[Segmented] = [
            (
                Prediction(
                    ModelKey(model, version),
                    self.now + offset,
                    row_id,
                    predicted=None if offset == 3.0 else "1",
                    score=None if offset > 20 else 0.25,
                    error=error,
                    label=label,
                    items=items,
                    user=user,
                ),
                segments,
            )
            for row_id, model, version, offset, error, items, label, user, segments in drawn
        ]
        if as_columns and len({len(segments) for _, segments in rows}) == 1:
            rows = [row for row in rows if plain(row)] or rows[:0]
            fresh = in_columns(self.real, rows) if rows else []
        else:
            fresh = self.real.predict_records([p for p, _ in rows], [s for _, s in rows]).tolist()
        assert fresh == [self.spec.predict(p, segments) for p, segments in rows]
        self._compare()

    @rule(drawn=st.lists(LABELS, min_size=1, max_size=6), as_columns=st.booleans())
    def label(self, drawn: list[Any], as_columns: bool) -> None:
        labels = [
            Label(row_id, self.now + offset, model, label, event or (None if label else "buy"), 1.5 if event else None)
            for row_id, model, offset, label, event in drawn
        ]
        if as_columns:
            labels = [x for x in labels if x.event is None and x.model == labels[0].model]
        if as_columns and labels:
            self.real.label_many([label_columns(labels)])
        else:
            self.real.label_records(labels)
        for x in labels:
            self.spec.label(x)
        self._compare()

    @rule(seconds=st.integers(0, 60).map(float))
    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.real.advance(self.now)
        self.spec.advance(self.now)
        self._compare()

    @rule(maturity=st.sampled_from([0.0, 10.0, 30.0, 80.0]), unlabeled=st.sampled_from([None, "no"]))
    def reload(self, maturity: float, unlabeled: str | None) -> None:
        """Other waiting times, also for what waits already."""
        self.policies = {"": JoinPolicy(maturity, LABEL_TTL), "n": JoinPolicy(maturity, LABEL_TTL, unlabeled)}
        self.real.set_policies(self.policies)
        self.spec.set_policies(self.policies)
        self._compare()

    @rule()
    def checkpoint(self) -> None:
        self.kept.keep(self.real.drain())

    @rule()
    def failed_checkpoint(self) -> None:
        self.real.redrain(self.real.drain())

    @rule()
    def restart(self) -> None:
        """Killed right after a checkpoint: a new process takes over the rows."""
        self.checkpoint()
        names = self.real.names()
        self.real = self._join()
        self.real.restore(names, self.kept.stored())
        self.spec._models = {model: None for model, _ in self.spec._table}
        for key in self.kept.odd:
            if key in self.spec._early:
                self.spec._early.move_to_end(key)
        self._compare()

    @invariant()
    def the_same_is_remembered_in_the_same_order(self) -> None:
        if hasattr(self, "spec"):
            assert {k: n for k, n in self.real.pending.items() if n} == {
                k: n for k, n in self.spec.pending.items() if n
            }
            assert len(self.real) == len(self.spec._table)
            slots = self.real._rows.ring.ordered()
            assert self.real._slots_of(list(self.spec._table)).tolist() == slots.tolist()
            assert self.real._machine._early == self.spec._early


TestCompactComparison = CompactComparison.TestCase
TestCompactComparison.settings = settings(max_examples=60, stateful_step_count=30)
