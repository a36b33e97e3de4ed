"""What was fed and is not joined, or not counted yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlcanary.columns import LabelColumns, PredictionColumns, alike, joined
from mlcanary.records import ModelKey, Record

ENOUGH = 4096
"""Rows that are joined, or of a version counted, at once: fewer do not pay for numpy's calls, more only take memory."""
MOST_BYTES = 8 << 20
"""As much as some 30,000 rows of 25 features. Only many versions or wide rows come to it."""


class Backlog:
    """Records and columns in the order in which they came, and the time up to which joins are to be decided after."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.predictions: list[PredictionColumns] = []
        self.labels: list[LabelColumns] = []
        self.due: float | None = None
        self._rows = self._nbytes = 0

    def __len__(self) -> int:
        """Rows that wait; labels count half, as they cost about that."""
        return self._rows

    @property
    def full(self) -> bool:
        """Whether enough rows wait to be joined, or rows so wide that no more should."""
        return self._rows >= ENOUGH or self._nbytes >= MOST_BYTES

    @property
    def columns(self) -> bool:
        """Whether columns wait: records alone gain nothing by it."""
        return bool(self.predictions or self.labels)

    def add(
        self,
        records: Sequence[Record],
        predictions: Sequence[PredictionColumns],
        labels: Sequence[LabelColumns],
    ) -> None:
        """Take in what came."""
        self.records += records
        self.predictions += predictions
        self.labels += labels
        self._nbytes += sum(batch.nbytes for batch in predictions)
        self._rows += len(records) + sum(map(len, predictions)) + sum(map(len, labels)) // 2


class _Kept:
    """Joined columns of one version. `rows` of them; the last were read at `read_at`."""

    def __init__(self) -> None:
        self.batches: list[PredictionColumns] = []
        self.rows = self.nbytes = 0
        self.read_at = 0.0


class Due(NamedTuple):
    """Rows of one version that are to be counted now, in their order; the last were read at `read_at`."""

    rows: PredictionColumns
    read_at: float


class Uncounted:
    """Joined columns that wait until there are enough of their version to be counted at once.

    Guarantee: what waits takes at most `most_bytes` and a batch, however many versions there are, however few rows
    one of them has, and however wide the rows are.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._of: dict[ModelKey, _Kept] = {}
        self.nbytes = 0

    def __iter__(self) -> Iterator[ModelKey]:
        """The versions of which rows wait."""
        return iter(self._of)

    def add(self, batch: PredictionColumns, now: float) -> list[Due]:
        """Keep columns that were read at `now`, Unix seconds; returns what is to be counted."""
        due = []
        kept = self._of.get(batch.key)
        if kept is not None and not alike(kept.batches[-1], batch):
            due.append(self._take(batch.key))
            kept = None
        if kept is None:
            kept = self._of[batch.key] = _Kept()
        batch = batch.to_keep()
        kept.batches.append(batch)
        kept.rows += len(batch)
        kept.nbytes += batch.nbytes
        kept.read_at = now
        self.nbytes += batch.nbytes
        if kept.rows >= ENOUGH:
            due.append(self._take(batch.key))
        while self.nbytes > self._most_bytes:
            due.append(self._take(max(self._of, key=lambda key: self._of[key].nbytes)))
        return due

    def take_all(self) -> list[Due]:
        """Everything that waits."""
        return [self._take(key) for key in list(self._of)]

    def _take(self, key: ModelKey) -> Due:
        kept = self._of.pop(key)
        self.nbytes -= kept.nbytes
        return Due(joined(kept.batches), kept.read_at)
