"""Logs that were sampled before they were read: rows of different weights are made equally likely. Pure.

Guarantee: a row counts as one or not at all, so whoever needs an honest number of rows has it. A row of weight w (it
stands for w requests) takes part with probability w / max_weight, decided by its id: in every process, and for its
labels wherever these carry the weight too. It then stands for max_weight requests, so the sum of the weights stays an
unbiased estimate of the requests (Horvitz and Thompson, 1952). Without `max_weight` every row takes part, which is
right where all weights are equal; where they are not, that is counted and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from mlcanary.formats.contract import Decoded
from mlcanary.records import Prediction, Record
from mlcanary.stats.row_choice import Stage, Unnamed, chosen_rows


class Weighing:
    """The weights of one source. `left_out`: records; `unequal`: predictions whose weight cannot be made up for."""

    def __init__(self, max_weight: float | None) -> None:
        self.max_weight = max_weight
        self.left_out = 0
        self.unequal = 0
        self._first: float | None = None
        self._unnamed = Unnamed()

    def weigh(self, decoded: Decoded) -> None:
        """Leave out what does not take part."""
        if self.max_weight is None:
            self._compare(decoded)
            return
        kept = self._thinned(decoded.records, self.max_weight)
        self.left_out += len(decoded.records) - len(kept)
        decoded.records = kept

    def _compare(self, decoded: Decoded) -> None:
        weights = [record.weight for record in decoded.records if isinstance(record, Prediction)]
        whole = sum(map(len, decoded.predictions))
        if self._first is None and (weights or whole):
            self._first = weights[0] if weights else 1.0
        if self._first is not None:
            self.unequal += len(weights) - weights.count(self._first) + (whole if self._first != 1.0 else 0)

    def _thinned(self, records: Sequence[Record], most: float) -> list[Record]:
        weighed = [record for record in records if record.weight is not None]
        shares = np.array([min(1.0, (record.weight or 1.0) / most) for record in weighed])
        self.unequal += sum(isinstance(r, Prediction) and r.weight > most for r in weighed)
        chosen = iter(chosen_rows([record.id for record in weighed], shares, self._unnamed, Stage.WEIGHT).tolist())
        kept: list[Record] = []
        for record in records:
            if record.weight is None:  # a label that does not tell: the join knows whether its prediction took part
                kept.append(record)
            elif next(chosen):
                kept.append(_standing_for(record, max(record.weight, most)))
        return kept

    def warning(self) -> str:
        """What the operator should know; empty if nothing."""
        if not self.unequal:
            return ""
        if self.max_weight is not None:
            return f"{self.unequal} rows weigh more than sampling.max_weight {self.max_weight:g}; raise it"
        return "the rows have unequal weights and all count alike; set sampling.max_weight to the greatest weight"

    def dump(self) -> Any:
        """A form that msgpack can carry."""
        return [self._first, self._unnamed.count, self.left_out, self.unequal]

    def load(self, dumped: Any) -> None:
        """Go on where a dump ended."""
        self._first, self._unnamed.count, self.left_out, self.unequal = dumped


def _standing_for(record: Record, weight: float) -> Record:
    return msgspec.structs.replace(record, weight=weight) if isinstance(record, Prediction) else record
