"""What one step of the join decided, as columns and as records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import NONE, OutcomeColumns
from mlcanary.joins.names import Names
from mlcanary.joins.row_ring import ASSUMED, HAS_USER, Rows, pick, together
from mlcanary.joins.rows import Outcomes
from mlcanary.records import ModelKey


@dataclass
class JoinOutcomes:
    """What the join decided since it was asked last. A prediction is told either in columns or as a record of `odd`.

    `joined`, `provisional`, `matured`: as in `Outcomes`; in columns no row has events. `newest`: event time of the
    newest label of each version among the `joined` ones that nobody assumed. `results` by (version, name of
    catalog.JOIN_RESULTS) and `unmatched` by model count for both; `odd` holds neither.
    """

    joined: list[OutcomeColumns] = field(default_factory=list)
    provisional: list[OutcomeColumns] = field(default_factory=list)
    matured: list[OutcomeColumns] = field(default_factory=list)
    newest: dict[ModelKey, float] = field(default_factory=dict)
    results: Counter[tuple[ModelKey, str]] = field(default_factory=Counter)
    unmatched: Counter[str] = field(default_factory=Counter)
    odd: Outcomes = field(default_factory=Outcomes)


class Decisions:
    """Collects rows as they are decided; rows handed in are never changed after."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.joined: list[Rows] = []
        self.provisional: list[Rows] = []
        self.matured: list[Rows] = []
        self.results: Counter[tuple[ModelKey, str]] = Counter()
        self.unmatched: Counter[str] = Counter()

    def count(self, result: str, codes: NDArray[np.uint32]) -> None:
        """One result for each of these versions."""
        if not len(codes):
            return
        counts = np.bincount(codes)
        for code in np.flatnonzero(counts).tolist():
            self.results[self._names.keys[code], result] += int(counts[code])

    def count_unmatched(self, codes: NDArray[np.uint32]) -> None:
        """One label without use for each of these versions."""
        for code in codes.tolist():
            self.unmatched[self._names.keys[code].model] += 1

    def take(self, odd: Outcomes) -> JoinOutcomes:
        """Everything, with what the machine decided; begins anew."""
        self.results.update(odd.results)
        self.unmatched.update(odd.unmatched)
        odd.results, odd.unmatched = [], []
        found = JoinOutcomes(results=self.results, unmatched=self.unmatched, odd=odd)
        for waiting, _, label_ts in odd.joined:
            if not waiting.assumed:
                found.newest[waiting.key] = max(found.newest.get(waiting.key, label_ts), label_ts)
        for parts, columns in (
            (self.joined, found.joined),
            (self.provisional, found.provisional),
            (self.matured, found.matured),
        ):
            if parts:
                rows = parts[0] if len(parts) == 1 else together(parts)
                for code in np.flatnonzero(np.bincount(rows["key"])).tolist():
                    own = pick(rows, rows["key"] == code)
                    columns.extend(self._columns(self._names.keys[code], own))
                    told = own["label_ts"][(own["flags"] & ASSUMED) == 0] if parts is self.joined else ()
                    if len(told):
                        key = self._names.keys[code]
                        found.newest[key] = max(found.newest.get(key, -np.inf), float(np.max(told)))
        self.joined, self.provisional, self.matured = [], [], []
        self.results, self.unmatched = Counter(), Counter()
        return found

    def _columns(self, key: ModelKey, rows: Rows) -> list[OutcomeColumns]:
        if rows["segments"].any():
            parts = [(pick(rows, where), columns) for where, columns in self._names.apart(rows["segments"])]
        else:
            parts = [(rows, ())]
        return [
            OutcomeColumns(
                key,
                part["ts"].copy(),
                part["label"].copy(),
                part["predicted"].copy(),
                part["score"].copy(),
                np.where(part["label"] == NONE, np.nan, part["label_ts"] - part["ts"]),
                part["user"].copy(),
                (part["flags"] & HAS_USER) != 0,
                (part["flags"] & ASSUMED) != 0,
                self._names.classes,
                columns,
                self._names.segment_values,
            )
            for part, columns in parts
        ]
