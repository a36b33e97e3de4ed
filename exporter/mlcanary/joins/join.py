"""Joins predictions with their labels: the common kind in columns, many at a time, the rest in the join machine.

Guarantee: exactly what `JoinMachine` would decide of the same records in the same order, batch after batch, up to the
chance that two ids meet (see `id_table`). Every remembered request has one row of 64 bytes in the ring; one of another
kind (several versions, events, ranking items, scores per class, failed) has its record in the machine beside it. What
becomes odd is promoted there and stays. Labels that come before their prediction wait in the machine.
Time is event time, handed in by the caller; nothing here reads a clock.
Cost: about 80 bytes per remembered row, allocated as needed; some 150 array operations per batch of predictions with
their labels, whatever its size: batches of hundreds or more are what makes it cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import NONE, LabelColumns, Mask, PredictionColumns, take_list
from mlcanary.joins.column_rows import ColumnRows, all_differ
from mlcanary.joins.decisions import JoinOutcomes
from mlcanary.joins.id_table import Slots
from mlcanary.joins.incoming import (
    ANY_MODEL,
    IncomingLabels,
    IncomingPredictions,
    hashes_of,
    of_columns,
    of_label_columns,
    of_label_records,
    of_records,
)
from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.names import NO_ROOM, Names
from mlcanary.joins.pages import JoinChanges, StoredJoin
from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.row_ring import DONE, ODD, pick
from mlcanary.joins.rows import Key
from mlcanary.joins.waits import Waits
from mlcanary.records import Label, ModelKey, Prediction


class Join:
    """All that is remembered of predictions, and of labels that came first."""

    def __init__(
        self,
        policies: dict[str, JoinPolicy],
        *,
        capacity: int,
        early_ttl: float,
        stored: bool = False,
        gives_classes: Callable[[str], bool] = lambda model: True,
    ) -> None:
        """`policies` by model name, "" is the default; `early_ttl` in seconds; `stored`: `drain` will be called.

        `gives_classes`: whether a model predicts one of a few classes; records of others are never held in columns.
        """
        self.capacity = capacity
        self._gives_classes = gives_classes
        self._names = Names()
        self._rows = ColumnRows(self._names, Waits(policies, self._names), capacity, stored)
        self._machine = JoinMachine(policies, capacity=capacity, early_ttl=early_ttl)
        self._seen: list[int] = []
        self._odd: dict[int, Key] = {}

    def __len__(self) -> int:
        return self._rows.ring.live

    @property
    def nbytes(self) -> int:
        """Memory of the rows in columns and of what finds them; the machine's records come on top."""
        return self._rows.ring.nbytes

    @property
    def pending(self) -> dict[ModelKey, int]:
        """Predictions that are not decided, by version."""
        found = {k: n for k, n in zip(self._names.keys, self._rows.undecided.tolist(), strict=False) if n}
        for key, n in self._machine.pending.items():
            found[key] = found.get(key, 0) + n
        return found

    def take(self) -> JoinOutcomes:
        """The outcomes since the last call."""
        return self._rows.out.take(self._machine.take())

    def predict_many(self, batches: Sequence[PredictionColumns]) -> list[Mask]:
        """Remember predictions; per batch, False for each duplicate, which must not be counted anywhere."""
        if not batches:
            return []
        fresh = self._predict(of_columns(batches, self._names))
        return np.split(fresh, np.cumsum([len(batch) for batch in batches])[:-1])

    def predict_records(self, records: Sequence[Prediction], segments: Sequence[tuple[str, ...]]) -> Mask:
        """The same for records of any kind; `segments`: the values of the segment features of each."""
        return self._predict(of_records(records, segments, self._names, self._gives_classes))

    def predict(self, p: Prediction, segments: tuple[str, ...] = ()) -> bool:
        """The same for one record. Batches cost far less."""
        return bool(self.predict_records([p], [segments])[0])

    def label_many(self, batches: Sequence[LabelColumns]) -> None:
        """Bring labels to their predictions, or keep them until those come."""
        for batch in batches:
            self._label(of_label_columns(batch, self._names))

    def label_records(self, records: Sequence[Label]) -> None:
        """The same for records; business events too."""
        self._label(of_label_records(records, self._names))

    def label(self, label: Label) -> None:
        """The same for one record. Batches cost far less."""
        self.label_records([label])

    def advance(self, now: float) -> None:
        """Decide everything whose time has come at event time `now`."""
        self._rows.advance(now)
        forgotten = self._machine.advance(now)
        if forgotten:
            slots = self._slots_of(forgotten)
            for seq in self._rows.ring.rows["seq"][slots].tolist():
                del self._odd[seq]
            self._rows.ring.remove(slots)

    def set_policies(self, policies: dict[str, JoinPolicy]) -> None:
        """Other waiting times, also for what waits already; what is then overdue is decided by `advance`."""
        self._machine.set_policies(policies)
        self._rows.waits = Waits(policies, self._names)
        self._rows.reschedule()

    def names(self) -> Any:
        """What the codes of the rows mean, in plain values: to be stored beside the rows."""
        return self._names.dump()

    def drain(self) -> JoinChanges:
        """What changed since the last call, to be stored."""
        odd = self._machine.drain()
        slots = self._slots_of([key for key, _ in odd.rows])
        seqs = np.where(slots < 0, -1, self._rows.ring.rows["seq"][slots])
        rows = [(key, row, seq) for (key, row), seq in zip(odd.rows, seqs.tolist(), strict=True)]
        return self._rows.notes.drain(self._rows.ring)._replace(odd=rows, odd_whole=odd.whole, machine=odd)

    def redrain(self, changes: JoinChanges) -> None:
        """Give these rows out again at the next `drain`: they could not be stored."""
        self._machine.redrain(changes.machine)
        self._rows.notes.redrain(changes, self._rows.ring)

    def restore(self, names: Any, stored: StoredJoin) -> None:
        """Take over what `names` and `drain` gave to a former process. Raises ValueError for what they never gave."""
        self._names.load(names)
        odd = list(stored.odd)
        try:
            self._machine.restore(((key, row) for key, row, _ in odd), evict=False)
            stubs = [(seq, key) for key, _, seq in odd if seq >= 0]
            rows, next_seq = self._rows.notes.restore(stored, self._names, stubs)
        except msgspec.MsgspecError as error:
            raise ValueError(f"rows of the join in another layout: {error}") from error
        self._odd = dict(stubs)
        self._rows.take_over(rows, next_seq)
        self._see(rows["key"])
        surplus = self._rows.ring.live - self.capacity
        if surplus > 0:
            self._evict(self._rows.ring.oldest(surplus))

    def _predict(self, incoming: IncomingPredictions) -> Mask:
        fresh = np.ones(len(incoming.ids), dtype=np.bool_)
        self._rows.learn()
        places = np.arange(len(fresh))
        if None in incoming.ids:
            named = np.array([row_id is not None for row_id in incoming.ids], dtype=np.bool_)
            self._count_nameless(incoming, places[~named])
            places = places[named]
        keys = incoming.rows["key"]
        hashed = hashes_of(incoming.ids)
        models = self._names.model_of[keys]
        for model in np.flatnonzero(np.bincount(models)).tolist():
            own = models == model
            incoming.rows["hash"][own] = self._names.hashes(hashed[own], model)
        incoming.odd[:] |= self._rows.waits.odd[keys]
        for start in range(0, len(places), self.capacity):
            self._place(incoming, places[start : start + self.capacity], fresh)
        return fresh

    def _count_nameless(self, incoming: IncomingPredictions, places: NDArray[np.intp]) -> None:
        """A prediction without an id leaves no trace but its own label."""
        odd = incoming.odd[places]
        for place in places[odd].tolist():
            self._machine.predict(*incoming.record(place))
        rows = pick(incoming.rows, places[~odd])
        rows["label"], rows["label_ts"] = incoming.label[places[~odd]], rows["ts"]
        rows["flags"] |= DONE
        self._rows.matched(pick(rows, rows["label"] != NONE))

    def _place(self, incoming: IncomingPredictions, places: NDArray[np.intp], fresh: Mask) -> None:
        """Remember predictions with ids, at most `capacity` of them."""
        ring = self._rows.ring
        hashes = incoming.rows["hash"][places]
        slots = ring.find(hashes)
        new = slots < 0
        if not all_differ(hashes):
            first = np.zeros(len(places), dtype=np.bool_)
            first[np.unique(hashes, return_index=True)[1]] = True
            new &= first
        overflow = ring.live + int(new.sum()) - self.capacity
        if overflow > 0:
            oldest = ring.oldest(overflow)
            known = slots[slots >= 0]
            if len(places) > 1 and len(known) and ring.rows["seq"][known].min() <= ring.rows["seq"][oldest[-1]]:
                # One of these is remembered now, but may be evicted before its line is reached.
                half = len(places) // 2
                self._place(incoming, places[:half], fresh)
                self._place(incoming, places[half:], fresh)
                return
            self._evict(oldest)
        if new.all():
            self._insert(incoming, places)
            return
        if new.any():
            self._insert(incoming, places[new])
        self._repeat(incoming, places[~new], fresh)

    def _insert(self, incoming: IncomingPredictions, places: NDArray[np.intp]) -> None:
        rows, odd = pick(incoming.rows, places), incoming.odd[places]
        ids = incoming.ids if len(places) == len(incoming.ids) else take_list(incoming.ids, places)
        slots = self._rows.append(rows, ids, odd)
        self._see(rows["key"])
        label = incoming.label[places]
        own = np.flatnonzero(~odd & (label >= 0))
        if len(own):
            self._rows.offer(slots[own], rows["ts"][own], label[own])
        early = self._machine.early_ids
        if not early and not odd.any():
            return
        for i in [i for i, row_id in enumerate(ids) if row_id in early or odd[i]]:
            key = (self._names.keys[rows["key"][i]].model, str(ids[i]))
            if odd[i]:
                self._odd[int(rows["seq"][i])] = key
                self._machine.predict(*incoming.record(int(places[i])))
            else:
                self._bring(int(slots[i]), key, self._machine.early_labels(key))

    def _bring(self, slot: int, key: Key, labels: Sequence[Label]) -> None:
        """Early labels of one new row, in their order."""
        codes = [NONE if label.event is not None else self._names.class_code(label.label) for label in labels]
        if any(code < 0 for code in codes):
            self._promote(slot, key)
            for label in labels:
                self._machine.apply(key, label)
        elif labels:
            ts = np.array([label.ts for label in labels])
            self._rows.offer(np.full(len(labels), slot), ts, np.array(codes, dtype=np.int32))

    def _repeat(self, incoming: IncomingPredictions, places: NDArray[np.intp], fresh: Mask) -> None:
        """Predictions whose id is known: the same version again, or another one."""
        slots = self._rows.ring.find(incoming.rows["hash"][places])
        held = self._rows.ring.read(slots)
        again = (held["key"] == incoming.rows["key"][places]) & ((held["flags"] & ODD) == 0)
        fresh[places[again]] = False
        for i in np.flatnonzero(~again).tolist():
            record, segments = incoming.record(int(places[i]))
            self._promote(int(slots[i]), (record.key.model, str(record.id)))
            fresh[places[i]] = self._machine.predict(record, segments)

    def _label(self, labels: IncomingLabels) -> None:
        if not len(labels.ids):
            return
        slots = self._slots_for(labels)
        known = slots >= 0
        plain = known & ~labels.odd
        plain[known] &= (self._rows.ring.rows["flags"][slots[known]] & ODD) == 0
        places = plain.nonzero()[0]
        codes = labels.codes(places)
        strange = known & labels.odd
        strange[places] = codes == NO_ROOM
        if strange.any():
            # A strange label and a plain one of the same row keep their order: both take the long way.
            usual = ~np.isin(slots[places], slots[strange])
            places, codes = places[usual], codes[usual]
        if len(places) == len(slots):
            self._rows.offer(slots, labels.ts, codes)
            return
        self._rows.offer(slots[places], labels.ts[places], codes)
        plain[:] = False
        plain[places] = True
        keys = self._names.keys
        for i in np.flatnonzero(~plain).tolist():
            label = labels.record(i)
            if known[i]:
                key = (keys[self._rows.ring.rows["key"][slots[i]]].model, label.id)
                self._promote(int(slots[i]), key)
                self._machine.apply(key, label)
            else:
                self._machine.keep_early(label)

    def _slots_for(self, labels: IncomingLabels) -> Slots:
        """Slots of the rows that labels are for; one without a model goes to the first model that knows its id."""
        slots: Slots = np.full(len(labels.ids), -1, dtype=np.int64)
        hashed = hashes_of(labels.ids)
        for model in self._seen:
            left = np.flatnonzero((slots < 0) & ((labels.model == model) | (labels.model == ANY_MODEL)))
            if len(left):
                slots[left] = self._rows.ring.find(self._names.hashes(hashed[left], model))
        return slots

    def _slots_of(self, keys: Sequence[Key]) -> Slots:
        """Slots of requests by name, -1 where they are not remembered."""
        slots: Slots = np.full(len(keys), -1, dtype=np.int64)
        hashed = hashes_of([row_id for _, row_id in keys])
        models = np.array([self._names.model_code(model) if model else None for model, _ in keys], dtype=np.float64)
        for model in np.unique(models[~np.isnan(models)]).tolist():
            own = np.flatnonzero(models == model)
            slots[own] = self._rows.ring.find(self._names.hashes(hashed[own], int(model)))
        return slots

    def _promote(self, slot: int, key: Key) -> None:
        """Leave a row to the machine, unless it is there already."""
        waiting = self._rows.promote(slot)
        if waiting is not None:
            self._machine.adopt(key, waiting)
            self._odd[int(self._rows.ring.rows["seq"][slot])] = key

    def _evict(self, slots: Slots) -> None:
        for seq in self._rows.evict(slots).tolist():
            self._machine.evict(self._odd.pop(seq))

    def _see(self, codes: NDArray[np.uint32]) -> None:
        """Models in the order in which the first prediction of each was remembered."""
        if len(self._seen) < len(self._names.models):
            for model in dict.fromkeys(self._names.model_of[codes].tolist()):
                if model not in self._seen:
                    self._seen.append(model)
