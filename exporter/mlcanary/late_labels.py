"""Labels of a finished log that came after their prediction was forgotten.

Guarantee: exact while there are at most `most` ids; of more, those whose checksum ends in zeros stand for all, so the
count is an estimate, which the same log always gives. Input: predictions and labels in the order of their lines; times
are Unix seconds. Cost: O(1) for each; memory for `most` ids. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple
from zlib import crc32

from mlcanary.columns import LabelColumns, PredictionColumns
from mlcanary.records import Prediction, Record


class Late(NamedTuple):
    """`labels` of a model came after `memory` seconds, for which ids are remembered; the last after `longest`."""

    labels: int
    longest: float
    memory: float


class LateLabels:
    """Meets every record once. `memory`: seconds for which the ids of a model are remembered."""

    def __init__(self, memory: Callable[[str], float], most: int = 200_000) -> None:
        self._memory, self._most = memory, most
        self._mask = 0
        self._known: dict[str, tuple[float, str]] = {}
        self._late: dict[str, Late] = {}

    def see(
        self,
        records: Iterable[Record],
        predictions: Iterable[PredictionColumns] = (),
        labels: Iterable[LabelColumns] = (),
    ) -> None:
        """A block, in which predictions come before their labels whichever way they travel."""
        for batch in predictions:
            for row_id, ts in zip(batch.ids, batch.ts.tolist(), strict=True):
                self._remember(row_id, ts, batch.key.model)
        for record in records:
            if isinstance(record, Prediction):
                self._remember(record.id, record.ts, record.key.model)
            else:
                self._meet(record.id, record.ts)
        for told in labels:
            for row_id, ts in zip(told.ids, told.ts.tolist(), strict=True):
                self._meet(row_id, ts)

    def late(self, unmatched: float) -> dict[str, Late]:
        """By model, where there are any. `unmatched`: labels that met no prediction, which are no fewer."""
        capped = {
            model: found._replace(labels=min(found.labels, int(unmatched))) for model, found in self._late.items()
        }
        return {model: found for model, found in capped.items() if found.labels}

    def _remember(self, row_id: str | None, ts: float, model: str) -> None:
        if row_id is None or (self._mask and crc32(row_id.encode()) & self._mask):
            return
        self._known.setdefault(row_id, (ts, model))
        if len(self._known) > self._most:
            self._mask = 2 * self._mask + 1
            self._known = {each: own for each, own in self._known.items() if not crc32(each.encode()) & self._mask}

    def _meet(self, row_id: str, ts: float) -> None:
        if (known := self._known.get(row_id)) is None:
            return
        delay, model = ts - known[0], known[1]
        memory = self._memory(model)
        if delay > memory:
            former = self._late.get(model, Late(0, 0.0, memory))
            self._late[model] = Late(former.labels + self._mask + 1, max(former.longest, delay), memory)
