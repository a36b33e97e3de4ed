"""Joins predictions with labels that arrive later, earlier, twice or never.

Guarantee: each prediction is counted at most once per outcome, whatever the order of lines and however often
they repeat; with `maturity` > 0 it is counted at its event time + maturity with its final label, so that all
counted predictions are of equal age. Time is event time, handed in by the caller; nothing here reads a clock.

    prediction ──► WAITING ──label──► (maturity 0) MATCHED
                      │  └──label──► holds it; at ts + maturity ──► MATCHED
                      ├── ts + maturity passes without a label ──► EXPIRED, or ASSUMED where the policy names a class
                      │                                            for it;  a label after that is LATE
                      └── table full, oldest goes ──► EVICTED
    label without prediction ──► kept for `early_ttl`, then UNMATCHED
    label of a failed request, or later than label_ttl ──► UNMATCHED
    same (model, id, version) again, or same label again ──► DUPLICATE
    prediction without an id: a label on its own line is MATCHED at once, since no other can follow

With maturity 0 the wait ends at ts + label_ttl. A decided prediction is remembered until ts + label_ttl, to
know duplicates and late labels. When the wait of an answered prediction is over (with maturity 0: label_ttl), it is
MATURED, exactly once, with its label if it has one and every event that happened and came until then: all matured ones
are of equal age. Several versions that answered one request mature each for itself. A failed or evicted one never
does. A label that is held for maturity is told at once as PROVISIONAL too.
A label without a model goes to the first model seen that knows the id.
Memory: about 600 bytes per remembered prediction; at most `capacity` ids, and as many early labels.
`mlcanary.joins.join` keeps the common kind of prediction in columns and leaves the rest to this machine, which says
what is right for both.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.rows import Changes, Event, Grown, Joined, Key, Outcomes, Waiting
from mlcanary.records import Label, ModelKey, Prediction


class JoinMachine:
    """The table of predictions that wait, and of labels that came first."""

    def __init__(self, policies: dict[str, JoinPolicy], *, capacity: int, early_ttl: float) -> None:
        """`policies` by model name, the key "" is the default; `early_ttl` in seconds."""
        self._policies = policies
        self.capacity = capacity
        self._early_ttl = early_ttl
        # Ordered dictionaries: the oldest key of a plain one is found by scanning over all that were deleted.
        self._table: OrderedDict[Key, list[Waiting]] = OrderedDict()
        self._early: OrderedDict[Key, list[Label]] = OrderedDict()
        self.early_ids: Counter[str] = Counter()
        self._early_size = 0
        self._deadlines: list[tuple[float, Key]] = []
        self._early_deadlines: list[tuple[float, Key]] = []
        self._models: dict[str, None] = {}
        self._dirty: dict[Key, None] | None = None  # ordered, so that storage keeps the order of eviction
        self.pending: dict[ModelKey, int] = {}
        self.out = Outcomes()

    def take(self) -> Outcomes:
        """The outcomes since the last call; the machine starts a fresh list."""
        out, self.out = self.out, Outcomes()
        return out

    def predict(self, p: Prediction, segments: tuple[str, ...] = ()) -> bool:
        """Remember a prediction; False if it is a duplicate, which must not be counted anywhere."""
        failed = p.error is not None
        if p.id is None:
            if p.label is not None and not failed:
                self._count(Waiting.of(p, segments), p.label, p.ts)
            elif p.label is not None:
                self.out.unmatched.append(p.key.model)
            return True
        key = (p.key.model, p.id)
        versions = self._table.get(key)
        if versions is None:
            versions = self._table[key] = []
        elif any(w.key == p.key for w in versions):
            return False
        self._models[p.key.model] = None
        waiting = Waiting.of(p, segments)
        versions.append(waiting)
        self._touch(key)
        policy = self._policy(p.key.model)
        if not failed:
            self._hold(p.key, 1)
        heapq.heappush(self._deadlines, (_due(waiting, policy), key))
        if p.label is not None:
            self._offer(waiting, Label(p.id, p.ts, label=p.label), policy)
        for label in self.early_labels(key):
            self._apply(waiting, label, policy)
        self._catch_up(waiting, versions[:-1], p.id, policy)
        self._evict()
        return True

    def label(self, label: Label) -> None:
        """Bring a label or business event to its prediction, or keep it until the prediction comes."""
        for model in (label.model,) if label.model is not None else self._models:
            if (model, label.id) in self._table:
                self.apply((model, label.id), label)
                return
        self.keep_early(label)

    def apply(self, key: Key, label: Label) -> None:
        """Bring a label or business event to a prediction that is remembered here."""
        policy = self._policy(key[0])
        for waiting in self._table[key]:
            self._apply(waiting, label, policy)
        self._touch(key)

    def adopt(self, key: Key, waiting: Waiting) -> None:
        """Go on with a prediction that was remembered elsewhere until now."""
        self._table[key] = [waiting]
        self._models[key[0]] = None
        self._touch(key)
        if not waiting.done:
            self._hold(waiting.key, 1)
        heapq.heappush(self._deadlines, (_due(waiting, self._policy(key[0])), key))

    def evict(self, key: Key) -> None:
        """Forget a request that is remembered here, to make room."""
        for waiting in self._table.pop(key):
            if not waiting.done:
                self._decide(waiting)
                self.out.results.append((waiting.key, "evicted"))
        self._touch(key)
        self._bound_schedules()

    def advance(self, now: float) -> list[Key]:
        """Decide everything whose time has come at event time `now`; returns the requests that are forgotten now."""
        forgotten = []
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, key = heapq.heappop(self._deadlines)
            if self._settle(key, deadline):
                forgotten.append(key)
        while self._early_deadlines and self._early_deadlines[0][0] <= now:
            _, key = heapq.heappop(self._early_deadlines)
            labels = self._early.get(key, [])
            kept = [label for label in labels if label.ts + self._early_ttl > now]
            if len(kept) == len(labels):
                continue
            self.out.unmatched.extend(key[0] for _ in range(len(labels) - len(kept)))
            if kept:
                self._put_early(key, kept)
            else:
                self._take_early(key)
        return forgotten

    def drain(self) -> Changes:
        """What changed since the last call.

        Changes are noted from the first call or from `restore` on, whichever comes first: a machine that nobody
        stores keeps no notes, and one whose notes could not be stored for long drops them. The next call then
        gives every row, as the first one does without a `restore`.
        """
        whole = self._dirty is None
        keys: Iterable[Key] = {**self._table, **self._early} if self._dirty is None else self._dirty
        rows = [(key, self._row(key)) for key in keys]
        self._dirty = {}
        return Changes(whole, rows)

    def redrain(self, changes: Changes) -> None:
        """Give these rows out again at the next `drain`: they could not be stored."""
        if changes.whole:
            self._dirty = None
        elif self._dirty is not None:
            self._dirty = {**dict.fromkeys(key for key, _ in changes.rows), **self._dirty}

    def _row(self, key: Key) -> bytes | None:
        versions, early = self._table.get(key), self._early.get(key)
        return _ENCODE((versions or [], early or [])) if versions or early else None

    def set_policies(self, policies: dict[str, JoinPolicy]) -> None:
        """Other waiting times, also for what waits already; what is then overdue is decided by `advance`."""
        self._policies = policies
        self._reschedule()

    def restore(self, rows: Iterator[tuple[Key, bytes]], *, evict: bool = True) -> None:
        """Take over rows that `drain` gave to a former process, in their order of insertion.

        `evict`: forget the oldest where there are more than `capacity`.
        """
        self._dirty = {}
        for key, row in rows:
            versions, early = _DECODE(row)
            if versions:
                self._table[key] = versions
                self._models[key[0]] = None
                for waiting in versions:
                    if not waiting.done:
                        self._hold(waiting.key, 1)
            if early:
                self._early[key] = early
                self._early_size += len(early)
                self.early_ids[key[1]] += 1
        self._reschedule()
        if evict:
            self._evict()

    def _policy(self, model: str) -> JoinPolicy:
        return self._policies.get(model) or self._policies[""]

    def _apply(self, waiting: Waiting, label: Label, policy: JoinPolicy) -> None:
        if label.event is not None:
            self._event(waiting, label)
        if label.label is not None:
            self._offer(waiting, label, policy)

    def _catch_up(self, waiting: Waiting, others: list[Waiting], row_id: str, policy: JoinPolicy) -> None:
        """Tell a version that answered a request after its label what the other versions know of the outcome."""
        known = [(o.label_ts, o.label) for o in others if o.label is not None and not o.assumed]
        if known and waiting.label is None:
            label_ts, text = max(known)
            self._offer(waiting, Label(row_id, label_ts, label=text), policy)
        for other in others:
            for event, value in other.seen.items():
                if event not in waiting.seen:
                    then = other.seen_at.get(event, other.ts)
                    self._event(waiting, Label(row_id, then, event=event, value=value))

    def _event(self, waiting: Waiting, label: Label) -> None:
        event = label.event or ""
        if event in waiting.seen:
            self.out.results.append((waiting.key, "duplicate"))
            if label.ts >= waiting.seen_at.get(event, waiting.ts):
                return
        # The earliest one is what a matured row tells, so that the order of lines cannot matter there.
        fresh = event not in waiting.seen
        waiting.seen = {**waiting.seen, event: label.value}
        waiting.seen_at = {**waiting.seen_at, event: label.ts}
        if not fresh:
            return
        self.out.events.append(Event(waiting, event, label.value))

    def _offer(self, waiting: Waiting, label: Label, policy: JoinPolicy) -> None:
        """A label for a prediction: count it, hold it until maturity, or say why not."""
        text = label.label or ""
        # Judged by event times alone, so that the moment of forgetting, which depends on batches, cannot matter.
        if waiting.failed and waiting.label is None:
            waiting.label, waiting.label_ts = text, label.ts  # another version may still answer this request
        if waiting.failed or label.ts > waiting.ts + policy.memory:
            self.out.unmatched.append(waiting.key.model)
            return
        if waiting.done or label.ts > waiting.ts + policy.wait:
            late = label.ts > waiting.ts + policy.wait or waiting.label is None or waiting.assumed
            self.out.results.append((waiting.key, "late" if late else "duplicate"))
            return
        if policy.maturity <= 0:
            self._decide(waiting)
            self._count(waiting, text, label.ts)
            return
        if waiting.label is None:
            waiting.label, waiting.label_ts = text, label.ts
            self.out.provisional.append(Joined(waiting, text, label.ts))
            return
        self.out.results.append((waiting.key, "duplicate"))
        # The final outcome is the newest one; equal times are settled by name, so that order cannot matter.
        if (label.ts, text) > (waiting.label_ts, waiting.label):
            waiting.label, waiting.label_ts = text, label.ts

    def _count(self, waiting: Waiting, label: str, label_ts: float) -> None:
        waiting.label, waiting.label_ts = label, label_ts
        self.out.joined.append(Joined(waiting, label, label_ts))
        self.out.results.append((waiting.key, "assumed" if waiting.assumed else "matched"))

    def _decide(self, waiting: Waiting) -> None:
        waiting.done = True
        self._hold(waiting.key, -1)

    def _hold(self, key: ModelKey, by: int) -> None:
        self.pending[key] = self.pending.get(key, 0) + by

    def _settle(self, key: Key, deadline: float) -> bool:
        """The wait of a prediction is over, or the memory of a decided one; True if it is forgotten now."""
        versions = self._table.get(key)
        if versions is None:
            return False
        policy = self._policy(key[0])
        kept = []
        for waiting in versions:
            if not waiting.done and waiting.ts + policy.wait <= deadline:
                self._decide(waiting)
                if waiting.label is None and policy.unlabeled is not None and policy.maturity > 0:
                    waiting.label, waiting.label_ts, waiting.assumed = policy.unlabeled, waiting.ts + policy.wait, True
                if waiting.label is not None:
                    self._count(waiting, waiting.label, waiting.label_ts)
                else:
                    self.out.results.append((waiting.key, "expired"))
            if waiting.ts + policy.wait <= deadline and not (waiting.failed or waiting.matured):
                waiting.matured = True
                self.out.matured.append(Grown(waiting, _events_until(waiting, waiting.ts + policy.wait)))
            if waiting.ts + policy.memory > deadline:
                kept.append(waiting)
        self._touch(key)
        if not kept:
            del self._table[key]
            return True
        self._table[key] = kept
        heapq.heappush(self._deadlines, (min(_due(waiting, policy) for waiting in kept), key))
        return False

    def early_labels(self, key: Key) -> list[Label]:
        """Labels that came before this prediction, under its model's name or under none; they are its own now."""
        if not self._early:
            return []
        found: list[Label] = []
        for name in (key, ("", key[1])):
            found += self._take_early(name)
        return found

    def keep_early(self, label: Label) -> None:
        """Keep a label whose prediction is not known yet."""
        key = (label.model or "", label.id)
        labels = self._early.get(key)
        if labels is None:
            self._put_early(key, [label])
        else:
            if label.ts < labels[0].ts:  # else the first one's deadline comes before
                heapq.heappush(self._early_deadlines, (label.ts + self._early_ttl, key))
            labels.append(label)
            self._early_size += 1
            self._touch(key)
        while self._early_size > self.capacity:
            oldest = next(iter(self._early))
            self.out.unmatched.extend(oldest[0] for _ in self._take_early(oldest))
        self._bound_schedules()

    def _put_early(self, key: Key, labels: list[Label]) -> None:
        """Keep these labels, at least one, in the place that the key has or at the end."""
        former = self._early.get(key)
        self._early_size += len(labels) - len(former or [])
        self.early_ids[key[1]] += former is None
        self._early[key] = labels
        heapq.heappush(self._early_deadlines, (min(x.ts for x in labels) + self._early_ttl, key))
        self._touch(key)

    def _take_early(self, key: Key) -> list[Label]:
        labels = self._early.pop(key, [])
        if labels:
            self._early_size -= len(labels)
            self.early_ids[key[1]] -= 1
            if not self.early_ids[key[1]]:
                del self.early_ids[key[1]]
            self._touch(key)
        return labels

    def _evict(self) -> None:
        while len(self._table) > self.capacity:
            self.evict(next(iter(self._table)))
        self._bound_schedules()

    def _touch(self, key: Key) -> None:
        if self._dirty is not None:
            self._dirty[key] = None
            if len(self._dirty) > 4 * self.capacity + _SLACK:
                self._dirty = None

    def _bound_schedules(self) -> None:
        """Deadlines of rows that are gone stay in the heaps; drop them before they outnumber the rows."""
        rows = len(self._table) + len(self._early)
        if len(self._deadlines) + len(self._early_deadlines) > 4 * rows + _SLACK:
            self._reschedule()

    def _reschedule(self) -> None:
        """Build both heaps anew: one deadline per row, its earliest."""
        self._deadlines = [
            (min(_due(waiting, self._policy(key[0])) for waiting in versions), key)
            for key, versions in self._table.items()
        ]
        self._early_deadlines = [
            (min(label.ts for label in labels) + self._early_ttl, key) for key, labels in self._early.items()
        ]
        heapq.heapify(self._deadlines)
        heapq.heapify(self._early_deadlines)


def _due(waiting: Waiting, policy: JoinPolicy) -> float:
    """When something next happens to a prediction: its wait ends, or the memory of it."""
    return waiting.ts + (policy.memory if waiting.matured or waiting.failed else policy.wait)


def _events_until(waiting: Waiting, end: float) -> dict[str, float | None]:
    return {event: value for event, value in waiting.seen.items() if waiting.seen_at.get(event, waiting.ts) <= end}


_SLACK = 10_000
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(tuple[list[Waiting], list[Label]]).decode
