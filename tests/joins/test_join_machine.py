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
from mlcanary.joins.rows import Grown, Key
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
    assumed: bool = False
    matured: bool = False
    seen: dict[str, tuple[float, float | None]] = field(default_factory=dict)
    """Per event: the time of the earliest one, and its value."""


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
    never_mature: Counter[ModelKey] = field(default_factory=Counter)

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
        if row.label is None and (labels := [x.label for x in known if x.label is not None and not x.assumed]):
            ts, text = max(labels)
            self.offer(row, Label(p.id, ts, label=text))
        for event, (ts, value) in [item for other in known for item in other.seen.items()]:
            if event not in row.seen:
                self.apply(row, Label(p.id, ts, event=event, value=value))
        while len({(r.key.model, r.id) for r in self.rows}) > self.capacity:
            for gone in self.at(self.rows[0].key.model, self.rows[0].id):
                self.rows.remove(gone)
                if not gone.done and not gone.failed:
                    self.out[gone.key, "evicted"] += 1
                self.never_mature[gone.key] += not (gone.failed or gone.matured)
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
                if label.ts < row.seen[label.event][0]:
                    row.seen[label.event] = label.ts, label.value
            else:
                row.seen[label.event] = label.ts, label.value
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
        elif age > policy.wait or (row.done and (row.label is None or row.assumed)):
            self.out[row.key, "late"] += 1
        elif row.done:
            self.out[row.key, "duplicate"] += 1
        elif not policy.maturity:
            row.label = (label.ts, label.label)
            self.count(row)
        else:
            known = row.label is not None
            self.out[row.key, "duplicate" if known else "provisional", *(() if known else (label.ts, label.label))] += 1
            row.label = max(row.label or (label.ts, label.label), (label.ts, label.label))

    def count(self, row: Row) -> None:
        row.done = True
        self.out[row.key, "assumed" if row.assumed else "matched"] += 1
        self.out[row.key, row.id, "joined", row.label] += 1

    def advance(self, now: float) -> None:
        for row in list(self.rows):
            policy = self.policy(row.key.model)
            end = row.ts + policy.wait
            if not row.done and not row.failed and end <= now:
                if row.label is None and policy.unlabeled is not None and policy.maturity:
                    row.label, row.assumed = (end, policy.unlabeled), True
                if row.label is not None:
                    self.count(row)
                else:
                    row.done = True
                    self.out[row.key, "expired"] += 1
            if end <= now and not row.failed and not row.matured:
                row.matured = True
                events = tuple(sorted((e, value) for e, (ts, value) in row.seen.items() if ts <= end))
                self.out[row.key, "matured", row.ts, row.label, row.assumed, events] += 1
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
        self.policies = {"": JoinPolicy(maturity, LABEL_TTL), "n": JoinPolicy(other, LABEL_TTL, "no")}
        self.capacity = capacity
        self.real = self._machine()
        self.naive = Naive(self.policies, capacity)
        self.stored: dict[Key, bytes] = {}
        self.now = 1000.0
        self.offered = Counter[ModelKey]()
        self.ended = Counter[ModelKey]()
        self.grown = Counter[ModelKey]()

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
        early = Counter((x.waiting.key, "provisional", x.label_ts, x.label) for x in out.provisional)
        assert early == Counter({k: n for k, n in self.naive.out.items() if k[1] == "provisional"})
        grown = Counter(_grown(x) for x in out.matured)
        assert grown == Counter({k: n for k, n in self.naive.out.items() if k[1] == "matured"})
        self.grown.update(x.waiting.key for x in out.matured)
        for (key, result), n in found.items():
            if result in {"matched", "assumed", "expired", "evicted"}:
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

    @rule(maturity=st.sampled_from([0.0, 10.0, 30.0, 80.0]), unlabeled=st.sampled_from([None, "no"]))
    def reload(self, maturity: float, unlabeled: str | None) -> None:
        """Other waiting times, also for what waits already."""
        self.policies = {"": JoinPolicy(maturity, LABEL_TTL), "n": JoinPolicy(maturity, LABEL_TTL, unlabeled)}
        self.real.set_policies(self.policies)
        self.naive.policies = self.policies
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
    def every_answered_prediction_matures_once_unless_it_was_evicted_before(self) -> None:
        if hasattr(self, "naive"):
            rows = (row for versions in self.real._table.values() for row in versions)
            young = Counter(row.key for row in rows if not row.failed and not row.matured)
            for key, n in self.offered.items():
                assert n == self.grown[key] + self.naive.never_mature[key] + young[key]

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "naive"):
            assert len(self.real._table) <= self.capacity
            assert self.real._early_size == sum(map(len, self.real._early.values())) <= self.capacity


def _grown(x: Grown) -> tuple[Any, ...]:
    """What a matured row tells, in the words of the naive model."""
    label = None if x.waiting.label is None else (x.waiting.label_ts, x.waiting.label)
    return x.waiting.key, "matured", x.waiting.ts, label, x.waiting.assumed, tuple(sorted(x.events.items()))


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
    ids, times = st.sampled_from(["p0", "p1", "p2", "nobody"]), st.integers(0, 200).map(float)
    labels = st.builds(Label, id=ids, ts=times, model=st.just("m"), label=st.sampled_from(["0", "1"]))
    clicks = st.builds(Label, id=ids, ts=times, model=st.just("m"), event=st.just("click"))
    drawn = st.lists(labels | clicks, max_size=6)
    lines: list[Prediction | Label] = [*predictions, *data.draw(drawn)]
    outcomes = []
    for order in (lines, data.draw(st.permutations(lines))):
        machine = JoinMachine({"": JoinPolicy(60.0, 100.0, "0")}, capacity=100, early_ttl=1000.0)
        for line in order:
            if isinstance(line, Prediction):
                machine.predict(line)
            else:
                machine.label(line)
        machine.advance(1e9)
        out = machine.take()
        joined = Counter((x.waiting.ts, x.label, x.label_ts) for x in out.joined)
        grown = Counter(map(_grown, out.matured))
        assert len(grown) == len(predictions)
        outcomes.append((joined, Counter(out.results), Counter(out.unmatched), grown))
    assert outcomes[0] == outcomes[1]
