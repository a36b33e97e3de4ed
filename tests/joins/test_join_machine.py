"""The join machine against a model that keeps everything and scans it, under any interleaving of lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.rows import Key
from mlcanary.records import Label, ModelKey, Prediction

LABEL_TTL = 50.0
EARLY_TTL = 20.0
IDS = st.sampled_from(["a", "b", "c"])
MODELS = st.sampled_from(["m", "n"])
OFFSETS = st.integers(-30, 30).map(float)


@dataclass
class Row:
    """A remembered prediction of the naive model."""

    key: ModelKey
    id: str
    ts: float
    failed: bool
    label: tuple[float, str] | None = None
    done: bool = False
    seen: dict[str, float | None] = field(default_factory=dict)


def early_key(label: Label) -> Key:
    """Under which key a label waits for its prediction."""
    return label.model or "", label.id


@dataclass
class Naive:
    """The same contract without heaps, deadlines or indexes."""

    policies: dict[str, JoinPolicy]
    capacity: int
    rows: list[Row] = field(default_factory=list)
    early: list[Label] = field(default_factory=list)
    early_keys: list[Key] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    out: Counter[Any] = field(default_factory=Counter)

    def policy(self, model: str) -> JoinPolicy:
        return self.policies.get(model, self.policies[""])

    def at(self, model: str, id_: str) -> list[Row]:
        return [row for row in self.rows if (row.key.model, row.id) == (model, id_)]

    def predict(self, p: Prediction) -> bool:
        assert p.id is not None
        known = self.at(p.key.model, p.id)
        if any(row.key == p.key for row in known):
            return False
        if p.key.model not in self.models:
            self.models.append(p.key.model)
        row = Row(p.key, p.id, p.ts, p.error is not None)
        # Versions of one request stand together: they are evicted together.
        place = self.rows.index(known[-1]) + 1 if known else len(self.rows)
        self.rows.insert(place, row)
        if p.label is not None:
            self.offer(row, Label(p.id, p.ts, label=p.label))
        for name in (p.key.model, ""):
            for label in [x for x in self.early if ((x.model or ""), x.id) == (name, p.id)]:
                self.early.remove(label)
                self.apply(row, label)
        if row.label is None and (labels := [other.label for other in known if other.label is not None]):
            ts, text = max(labels)
            self.offer(row, Label(p.id, ts, label=text))
        for event, value in [item for other in known for item in other.seen.items()]:
            if event not in row.seen:
                self.apply(row, Label(p.id, 0.0, event=event, value=value))
        while len({(r.key.model, r.id) for r in self.rows}) > self.capacity:
            for gone in self.at(self.rows[0].key.model, self.rows[0].id):
                self.rows.remove(gone)
                if not gone.done and not gone.failed:
                    self.out[gone.key, "evicted"] += 1
        return True

    def label(self, label: Label) -> None:
        for model in [label.model] if label.model is not None else self.models:
            if known := self.at(model, label.id):
                for row in known:
                    self.apply(row, label)
                return
        held = {early_key(x) for x in self.early}
        self.early_keys = [key for key in self.early_keys if key in held]
        if early_key(label) not in held:
            self.early_keys.append(early_key(label))
        self.early.append(label)
        while len(self.early) > self.capacity:
            first = self.early_keys.pop(0)
            for gone in [x for x in self.early if early_key(x) == first]:
                self.early.remove(gone)
                self.out["unmatched", gone.model or ""] += 1

    def apply(self, row: Row, label: Label) -> None:
        if label.event is not None:
            if label.event in row.seen:
                self.out[row.key, "duplicate"] += 1
            else:
                row.seen[label.event] = label.value
                self.out[row.key, row.id, "event", label.event, label.value] += 1
        if label.label is not None:
            self.offer(row, label)

    def offer(self, row: Row, label: Label) -> None:
        policy, age = self.policy(row.key.model), label.ts - row.ts
        assert label.label is not None
        if row.failed and row.label is None:
            row.label = (label.ts, label.label)
        if row.failed or age > policy.memory:
            self.out["unmatched", row.key.model] += 1
        elif age > policy.wait or (row.done and row.label is None):
            self.out[row.key, "late"] += 1
        elif row.done:
            self.out[row.key, "duplicate"] += 1
        elif not policy.maturity:
            row.label = (label.ts, label.label)
            self.count(row)
        else:
            self.out[row.key, "duplicate"] += row.label is not None
            row.label = max(row.label or (label.ts, label.label), (label.ts, label.label))

    def count(self, row: Row) -> None:
        row.done = True
        self.out[row.key, "matched"] += 1
        self.out[row.key, row.id, "joined", row.label] += 1

    def advance(self, now: float) -> None:
        for row in list(self.rows):
            policy = self.policy(row.key.model)
            if not row.done and not row.failed and row.ts + policy.wait <= now:
                if row.label is not None:
                    self.count(row)
                else:
                    row.done = True
                    self.out[row.key, "expired"] += 1
            if row.ts + policy.memory <= now:
                self.rows.remove(row)
        for label in [x for x in self.early if x.ts + EARLY_TTL <= now]:
            self.early.remove(label)
            self.out["unmatched", label.model or ""] += 1


class JoinComparison(RuleBasedStateMachine):
    """Every step is done by both; what they decided must be the same multiset."""

    @initialize(
        maturity=st.sampled_from([0.0, 10.0, 80.0]), other=st.sampled_from([0.0, 10.0]), capacity=st.integers(1, 8)
    )
    def begin(self, maturity: float, other: float, capacity: int) -> None:
        self.policies = {"": JoinPolicy(maturity, LABEL_TTL), "n": JoinPolicy(other, LABEL_TTL)}
        self.capacity = capacity
        self.real = self._machine()
        self.naive = Naive(self.policies, capacity)
        self.stored: dict[Key, bytes] = {}
        self.now = 1000.0
        self.offered = Counter[ModelKey]()
        self.ended = Counter[ModelKey]()

    def _machine(self) -> JoinMachine:
        return JoinMachine(self.policies, capacity=self.capacity, early_ttl=EARLY_TTL)

    def _compare(self) -> None:
        out = self.real.take()
        found: Counter[Any] = Counter(out.results)
        found.update(("unmatched", model) for model in out.unmatched)
        wanted = Counter({k: n for k, n in self.naive.out.items() if n and len(k) == 2})
        assert found == wanted
        joined = Counter((x.waiting.key, (x.label_ts, x.label)) for x in out.joined)
        events = Counter((e.waiting.key, e.event, e.value) for e in out.events)
        assert joined == _sum((k[0], k[3], n) for k, n in self.naive.out.items() if k[2:3] == ("joined",))
        assert events == _sum3((k[0], k[3], k[4], n) for k, n in self.naive.out.items() if k[2:3] == ("event",))
        for (key, result), n in found.items():
            if result in {"matched", "expired", "evicted"}:
                self.ended[key] += n
        self.naive.out.clear()

    @rule(
        id_=IDS,
        model=MODELS,
        version=st.sampled_from(["v1", "v2"]),
        offset=OFFSETS,
        error=st.sampled_from([None, None, None, "503"]),
        label=st.sampled_from([None, None, "0", "1"]),
    )
    def predict(self, id_: str, model: str, version: str, offset: float, error: str | None, label: str | None) -> None:
        p = Prediction(ModelKey(model, version), self.now + offset, id_, error=error, label=label)
        fresh = self.real.predict(p)
        assert fresh == self.naive.predict(p)
        if fresh and error is None:
            self.offered[p.key] += 1
        self._compare()

    @rule(
        id_=IDS,
        model=MODELS | st.none(),
        offset=st.integers(-40, 100).map(float),
        label=st.sampled_from([None, "0", "1"]),
        event=st.sampled_from([None, "click", "buy"]),
        value=st.sampled_from([None, 1.5]),
    )
    def label(
        self, id_: str, model: str | None, offset: float, label: str | None, event: str | None, value: float | None
    ) -> None:
        record = Label(id_, self.now + offset, model, label, event if label else event or "click", value)
        self.real.label(record)
        self.naive.label(record)
        self._compare()

    @rule(seconds=st.integers(0, 60).map(float))
    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.real.advance(self.now)
        self.naive.advance(self.now)
        self._compare()

    @rule()
    def checkpoint(self) -> None:
        changes = self.real.drain()
        if changes.whole:
            self.stored.clear()
        for key, row in changes.rows:
            if row is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = row

    @rule()
    def restart(self) -> None:
        """Killed right after a checkpoint: a new process takes over the rows."""
        self.checkpoint()
        self.real.redrain(self.real.drain()._replace(whole=True))
        assert dict(self.real.drain().rows) == self.stored
        self.real = self._machine()
        self.real.restore(iter(self.stored.items()))
        order = list(self.stored)
        self.naive.rows.sort(key=lambda row: order.index((row.key.model, row.id)))
        self.naive.early_keys = [key for key in order if key in map(early_key, self.naive.early)]
        self.naive.models = list(dict.fromkeys(row.key.model for row in self.naive.rows))

    @invariant()
    def pending_counts_are_those_of_undecided_predictions(self) -> None:
        if hasattr(self, "naive"):
            wanted = Counter(row.key for row in self.naive.rows if not row.done and not row.failed)
            assert {key: n for key, n in self.real.pending.items() if n} == wanted

    @invariant()
    def nothing_is_lost_and_nothing_ends_twice(self) -> None:
        if hasattr(self, "naive"):
            for key, n in self.offered.items():
                assert n == self.ended[key] + self.real.pending.get(key, 0)

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "naive"):
            assert len(self.real._table) <= self.capacity
            assert self.real._early_size == sum(map(len, self.real._early.values())) <= self.capacity


def _sum(found: Iterator[tuple[Any, Any, int]]) -> Counter[Any]:
    total: Counter[Any] = Counter()
    for key, what, n in found:
        total[key, what] += n
    return total


def _sum3(found: Iterator[tuple[Any, Any, Any, int]]) -> Counter[Any]:
    total: Counter[Any] = Counter()
    for key, what, value, n in found:
        total[key, what, value] += n
    return total


TestJoinComparison = JoinComparison.TestCase
TestJoinComparison.settings = settings(max_examples=300, stateful_step_count=50)


@given(st.data())
def test_the_order_of_lines_does_not_matter_with_maturity(data: st.DataObject) -> None:
    predictions = [Prediction(ModelKey("m", "v"), float(10 * i), f"p{i}") for i in range(3)]
    drawn = st.lists(
        st.builds(
            Label,
            id=st.sampled_from(["p0", "p1", "p2", "nobody"]),
            ts=st.integers(0, 200).map(float),
            model=st.just("m"),
            label=st.sampled_from(["0", "1"]),
        ),
        max_size=6,
    )
    lines: list[Prediction | Label] = [*predictions, *data.draw(drawn)]
    outcomes = []
    for order in (lines, data.draw(st.permutations(lines))):
        machine = JoinMachine({"": JoinPolicy(60.0, 100.0)}, capacity=100, early_ttl=1000.0)
        for line in order:
            if isinstance(line, Prediction):
                machine.predict(line)
            else:
                machine.label(line)
        machine.advance(1e9)
        out = machine.take()
        joined = Counter((x.waiting.ts, x.label, x.label_ts) for x in out.joined)
        outcomes.append((joined, Counter(out.results), Counter(out.unmatched)))
    assert outcomes[0] == outcomes[1]
