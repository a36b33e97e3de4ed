"""Joins predictions with labels that arrive later, earlier, twice or never.

Guarantee: each prediction is counted at most once per outcome, whatever the order of lines and however often
they repeat; with `maturity` > 0 it is counted at its event time + maturity with its final label, so that all
counted predictions are of equal age. Time is event time, handed in by the caller; nothing here reads a clock.

    prediction ──► WAITING ──label──► (maturity 0) MATCHED
                      │  └──label──► holds it; at ts + maturity ──► MATCHED
                      ├── ts + maturity passes without a label ──► EXPIRED;  a label after that is LATE
                      └── table full, oldest goes ──► EVICTED
    label without prediction ──► kept for `early_ttl`, then UNMATCHED
    label of a failed request, or later than label_ttl ──► UNMATCHED
    same (model, id, version) again, or same label again ──► DUPLICATE

With maturity 0 the wait ends at ts + label_ttl. A decided prediction is remembered until ts + label_ttl, to
know duplicates and late labels. Memory: about 400 bytes per remembered prediction, at most `capacity`.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from mlcanary.records import Label, ModelKey, Prediction

Key = tuple[str, str]
"""(model, id): one request, which several versions may have answered (shadow traffic)."""


class JoinPolicy(NamedTuple):
    """`maturity` and `label_ttl`, seconds of event time, of one model."""

    maturity: float = 0.0
    label_ttl: float = 86400.0

    @property
    def wait(self) -> float:
        """Seconds after which a prediction without a label counts as unlabelled."""
        return self.maturity or self.label_ttl

    @property
    def memory(self) -> float:
        """Seconds for which a prediction's id is remembered."""
        return max(self.maturity, self.label_ttl)


class Waiting(msgspec.Struct):
    """A remembered prediction. `done`: its outcome is decided; `failed`: the request was an error, which has
    no quality; `seen`: business events already counted."""

    key: ModelKey
    ts: float
    predicted: str | None
    score: float | None
    label: str | None = None
    label_ts: float = 0.0
    done: bool = False
    failed: bool = False
    seen: list[str] = []


class Joined(NamedTuple):
    """A prediction with its final label: what quality is computed from."""

    waiting: Waiting
    label: str
    label_ts: float


class Event(NamedTuple):
    """A business outcome joined to its prediction."""

    waiting: Waiting
    event: str
    value: float | None


class Outcomes:
    """What one step of the machine decided. `results` are (ModelKey, name of catalog.JOIN_RESULTS)."""

    def __init__(self) -> None:
        self.joined: list[Joined] = []
        self.events: list[Event] = []
        self.results: list[tuple[ModelKey, str]] = []
        self.unmatched: list[str] = []


class JoinMachine:
    """The table of predictions that wait, and of labels that came first."""

    def __init__(self, policies: dict[str, JoinPolicy], *, capacity: int, early_ttl: float) -> None:
        """`policies` by model name, the key "" is the default; `early_ttl` in seconds."""
        self._policies = policies
        self.capacity = capacity
        self._early_ttl = early_ttl
        self._table: dict[Key, list[Waiting]] = {}
        self._early: dict[Key, list[Label]] = {}
        self._deadlines: list[tuple[float, Key]] = []
        self._early_deadlines: list[tuple[float, Key]] = []
        self._models: set[str] = set()
        self._dirty: set[Key] = set()
        self.pending: dict[ModelKey, int] = {}
        self.out = Outcomes()

    def take(self) -> Outcomes:
        """The outcomes since the last call; the machine starts a fresh list."""
        out, self.out = self.out, Outcomes()
        return out

    def predict(self, p: Prediction) -> bool:
        """Remember a prediction; False if it is a duplicate, which must not be counted anywhere."""
        if p.id is None:
            if p.label is not None:
                self._count(Waiting(p.key, p.ts, p.predicted, p.score), p.label, p.ts)
            return True
        key = (p.key.model, p.id)
        versions = self._table.get(key)
        if versions is None:
            versions = self._table[key] = []
        elif any(w.key == p.key for w in versions):
            return False
        self._models.add(p.key.model)
        failed = p.error is not None
        waiting = Waiting(p.key, p.ts, p.predicted, p.score, done=failed, failed=failed)
        versions.append(waiting)
        self._dirty.add(key)
        policy = self._policy(p.key.model)
        if not failed:
            self._hold(p.key, 1)
        heapq.heappush(self._deadlines, (p.ts + (policy.memory if failed else policy.wait), key))
        if p.label is not None and not failed:
            self._offer(waiting, Label(p.id, p.ts, label=p.label), policy)
        for label in self._early_labels(key):
            self._apply(waiting, label, policy)
        self._evict()
        return True

    def label(self, label: Label) -> None:
        """Bring a label or business event to its prediction, or keep it until the prediction comes."""
        for model in (label.model,) if label.model is not None else self._models:
            versions = self._table.get((model, label.id))
            if versions is not None:
                policy = self._policy(model)
                for waiting in versions:
                    self._apply(waiting, label, policy)
                self._dirty.add((model, label.id))
                return
        self._keep_early(label)

    def advance(self, now: float) -> None:
        """Decide everything whose time has come at event time `now`."""
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, key = heapq.heappop(self._deadlines)
            self._settle(key, deadline)
        while self._early_deadlines and self._early_deadlines[0][0] <= now:
            _, key = heapq.heappop(self._early_deadlines)
            for label in self._early.pop(key, ()):
                self.out.unmatched.append(label.model or "")
                self._dirty.add(key)

    def drain(self) -> Iterator[tuple[Key, bytes | None]]:
        """Rows that changed since the last call: (key, encoded row), or None for a row that is gone."""
        for key in self._dirty:
            versions, early = self._table.get(key), self._early.get(key)
            yield key, _ENCODE((versions or [], early or [])) if versions or early else None
        self._dirty = set()

    def redrain(self, keys: Iterable[Key]) -> None:
        """Give these rows out again at the next `drain`: they could not be stored."""
        self._dirty |= set(keys)

    def rows(self) -> Iterator[tuple[Key, bytes]]:
        """Every row of the table, oldest first, in the form that `restore` takes."""
        for key in {**self._table, **self._early}:
            yield key, _ENCODE((self._table.get(key, []), self._early.get(key, [])))

    def set_policies(self, policies: dict[str, JoinPolicy]) -> None:
        """Other waiting times from now on; what waits already keeps the deadline it was given."""
        self._policies = policies

    def restore(self, rows: Iterator[tuple[Key, bytes]]) -> None:
        """Take over rows that `drain` gave to a former process, in their order of insertion."""
        for key, row in rows:
            versions, early = _DECODE(row)
            if versions:
                self._table[key] = versions
                self._models.add(key[0])
                policy = self._policy(key[0])
                for w in versions:
                    heapq.heappush(self._deadlines, (w.ts + (policy.memory if w.done else policy.wait), key))
                    if not w.done:
                        self._hold(w.key, 1)
            if early:
                self._early[key] = early
                heapq.heappush(self._early_deadlines, (early[-1].ts + self._early_ttl, key))

    def _policy(self, model: str) -> JoinPolicy:
        return self._policies.get(model) or self._policies[""]

    def _apply(self, waiting: Waiting, label: Label, policy: JoinPolicy) -> None:
        if label.event is not None:
            self._event(waiting, label)
        if label.label is not None:
            self._offer(waiting, label, policy)

    def _event(self, waiting: Waiting, label: Label) -> None:
        event = label.event or ""
        if event in waiting.seen:
            self.out.results.append((waiting.key, "duplicate"))
            return
        waiting.seen = [*waiting.seen, event]
        self.out.events.append(Event(waiting, event, label.value))

    def _offer(self, waiting: Waiting, label: Label, policy: JoinPolicy) -> None:
        """A label for a prediction: count it, hold it until maturity, or say why not."""
        text = label.label or ""
        # Judged by event times alone, so that the moment of forgetting, which depends on batches, cannot matter.
        if waiting.failed or label.ts > waiting.ts + policy.memory:
            self.out.unmatched.append(waiting.key.model)
            return
        if waiting.done or label.ts > waiting.ts + policy.wait:
            late = label.ts > waiting.ts + policy.wait
            self.out.results.append((waiting.key, "late" if late else "duplicate"))
            return
        if policy.maturity <= 0:
            self._decide(waiting)
            self._count(waiting, text, label.ts)
            return
        if waiting.label is None:
            waiting.label, waiting.label_ts = text, label.ts
            return
        self.out.results.append((waiting.key, "duplicate"))
        # The final outcome is the newest one; equal times are settled by name, so that order cannot matter.
        if (label.ts, text) > (waiting.label_ts, waiting.label):
            waiting.label, waiting.label_ts = text, label.ts

    def _count(self, waiting: Waiting, label: str, label_ts: float) -> None:
        waiting.label, waiting.label_ts = label, label_ts
        self.out.joined.append(Joined(waiting, label, label_ts))
        self.out.results.append((waiting.key, "matched"))

    def _decide(self, waiting: Waiting) -> None:
        waiting.done = True
        self._hold(waiting.key, -1)

    def _hold(self, key: ModelKey, by: int) -> None:
        self.pending[key] = self.pending.get(key, 0) + by

    def _settle(self, key: Key, deadline: float) -> None:
        """The wait of a prediction is over, or the memory of a decided one."""
        versions = self._table.get(key)
        if versions is None:
            return
        policy = self._policy(key[0])
        kept = []
        for waiting in versions:
            if not waiting.done and waiting.ts + policy.wait <= deadline:
                self._decide(waiting)
                if waiting.label is not None:
                    self._count(waiting, waiting.label, waiting.label_ts)
                else:
                    self.out.results.append((waiting.key, "expired"))
            if waiting.ts + policy.memory > deadline:
                kept.append(waiting)
        self._dirty.add(key)
        if not kept:
            del self._table[key]
            return
        self._table[key] = kept
        heapq.heappush(self._deadlines, (max(w.ts for w in kept) + policy.memory, key))

    def _early_labels(self, key: Key) -> list[Label]:
        """Labels that came before this prediction, under its model's name or under none."""
        if not self._early:
            return []
        found: list[Label] = []
        for name in (key, ("", key[1])):
            if labels := self._early.pop(name, None):
                found += labels
                self._dirty.add(name)
        return found

    def _keep_early(self, label: Label) -> None:
        key = (label.model or "", label.id)
        self._early.setdefault(key, []).append(label)
        heapq.heappush(self._early_deadlines, (label.ts + self._early_ttl, key))
        self._dirty.add(key)
        if len(self._early) > self.capacity:
            oldest = next(iter(self._early))
            self.out.unmatched.extend(gone.model or "" for gone in self._early.pop(oldest))
            self._dirty.add(oldest)

    def _evict(self) -> None:
        while len(self._table) > self.capacity:
            oldest = next(iter(self._table))
            for waiting in self._table.pop(oldest):
                if not waiting.done:
                    self._decide(waiting)
                    self.out.results.append((waiting.key, "evicted"))
            self._dirty.add(oldest)


_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(tuple[list[Waiting], list[Label]]).decode
