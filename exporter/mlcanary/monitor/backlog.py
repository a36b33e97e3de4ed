"""What was fed and is not joined yet."""

from __future__ import annotations

from collections.abc import Sequence

from mlcanary.columns import LabelColumns, PredictionColumns
from mlcanary.records import Record


class Backlog:
    """Records and columns in the order in which they came, and the time up to which joins are to be decided after."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.predictions: list[PredictionColumns] = []
        self.labels: list[LabelColumns] = []
        self.now = 0.0
        self.due: tuple[float, float] | None = None
        self._rows = 0

    def __len__(self) -> int:
        """Rows that wait; labels count half, as they cost about that."""
        return self._rows

    @property
    def columns(self) -> bool:
        """Whether columns wait: records alone gain nothing by it."""
        return bool(self.predictions or self.labels)

    def add(
        self,
        records: Sequence[Record],
        predictions: Sequence[PredictionColumns],
        labels: Sequence[LabelColumns],
        now: float,
    ) -> None:
        """Take in what came at `now`, Unix seconds."""
        self.records += records
        self.predictions += predictions
        self.labels += labels
        self.now = now
        self._rows += len(records) + sum(map(len, predictions)) + sum(map(len, labels)) // 2
