"""The join in columns against the machine that is its specification, under any interleaving, with restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kept_joins import KeptJoin
from mlcanary.columns import Classes, FeatureColumns, LabelColumns, OutcomeColumns, PredictionColumns, codes_of
from mlcanary.joins.decisions import JoinOutcomes
from mlcanary.joins.join import Join
from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.rows import Outcomes, Waiting
from mlcanary.records import Label, ModelKey, Prediction

LABEL_TTL, EARLY_TTL = 50.0, 20.0
Segmented = tuple[Prediction, tuple[str, ...]]

CLASSES, VALUES = Classes(), Classes()
NO_FEATURES = FeatureColumns((), np.zeros((0, 0)), {})


def codes(names: Sequence[str | None], classes: Classes) -> Any:
    """Codes of names that find room."""
    found = codes_of(names, classes)
    assert found is not None
    return found


def columns(rows: Sequence[Segmented]) -> PredictionColumns:
    """Plain predictions of one version as columns."""
    records = [p for p, _ in rows]
    label = None if all(p.label is None for p in records) else codes([p.label for p in records], CLASSES)
    return PredictionColumns(
        records[0].key,
        np.array([p.ts for p in records]),
        [p.id for p in records],
        codes([p.predicted for p in records], CLASSES),
        np.array([np.nan if p.score is None else p.score for p in records]),
        np.full(len(rows), np.nan),
        np.full(len(rows), np.nan),
        np.array([p.user or 0 for p in records], dtype=np.uint64),
        np.array([p.user is not None for p in records]),
        CLASSES,
        NO_FEATURES,
        label,
        tuple(codes(column, VALUES) for column in zip(*(values for _, values in rows), strict=True)),
        VALUES,
    )


def label_columns(labels: Sequence[Label]) -> LabelColumns:
    """Labels for one model as columns."""
    names = codes([label.label for label in labels], CLASSES)
    return LabelColumns(labels[0].model, [x.id for x in labels], np.array([x.ts for x in labels]), names, CLASSES)


def wanted(out: Outcomes) -> Counter[Any]:
    """What the machine decided, in plain words."""
    found: Counter[Any] = Counter(out.results)
    found.update(("unmatched", model) for model in out.unmatched)
    found.update(("event", e.waiting.key, e.waiting.ts, e.event, e.value) for e in out.events)
    for name, joined in (("joined", out.joined), ("provisional", out.provisional)):
        found.update((name, *_plain(x.waiting, x.label, x.label_ts, ())) for x in joined)
    for grown in out.matured:
        w = grown.waiting
        found["matured", *_plain(w, w.label, w.label_ts, tuple(sorted(grown.events.items())))] += 1
    return found


def _plain(w: Waiting, label: str | None, label_ts: float, events: tuple[Any, ...]) -> tuple[Any, ...]:
    delay = None if label is None else label_ts - w.ts
    return w.key, w.ts, label, delay, w.predicted, w.score, w.user, w.segments, w.assumed, w.items, events


def decided(out: JoinOutcomes) -> Counter[Any]:
    """What the compact join decided, in the same words."""
    found = wanted(out.odd)
    found.update(out.results)
    found.update({("unmatched", model): n for model, n in out.unmatched.items()})
    for name, batches in (("joined", out.joined), ("provisional", out.provisional), ("matured", out.matured)):
        for batch in batches:
            found.update((name, *row) for row in _rows(batch))
    return found


def _rows(batch: OutcomeColumns) -> Iterable[tuple[Any, ...]]:
    for i in range(len(batch)):
        actual = batch.classes.name(int(batch.actual[i]))
        yield (
            batch.key,
            float(batch.ts[i]),
            actual,
            None if actual is None else float(batch.delay[i]),
            batch.classes.name(int(batch.predicted[i])),
            None if np.isnan(batch.score[i]) else float(batch.score[i]),
            int(batch.user[i]) if batch.has_user[i] else None,
            tuple(batch.segment_values.names[values[i]] for values in batch.segments),
            bool(batch.assumed[i]),
            None,
            (),
        )


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
TestCompactComparison.settings = settings(max_examples=150, stateful_step_count=40)
