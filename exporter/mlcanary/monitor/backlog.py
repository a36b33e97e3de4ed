"""What was fed and is not joined, or not counted yet."""

from __future__ import annotations

from collections.abc import Sequence

from mlcanary.columns import LabelColumns, PredictionColumns, alike, joined
from mlcanary.records import Record


class Backlog:
    """Records and columns in the order in which they came, and the time up to which joins are to be decided after."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.predictions: list[PredictionColumns] = []
        self.labels: list[LabelColumns] = []
        self.due: float | None = None
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
    ) -> None:
        """Take in what came."""
        self.records += records
        self.predictions += predictions
        self.labels += labels
        self._rows += len(records) + sum(map(len, predictions)) + sum(map(len, labels)) // 2


class Kept:
    """Joined columns of one version, which are counted at once. `rows` of them; the last were read at `read_at`."""

    def __init__(self) -> None:
        self._batches: list[PredictionColumns] = []
        self.rows = 0
        self.read_at = 0.0

    def takes(self, batch: PredictionColumns) -> bool:
        """Whether these columns go with what is kept."""
        return not self._batches or alike(self._batches[-1], batch)

    def add(self, batch: PredictionColumns, now: float) -> None:
        """Keep columns that were read at `now`, Unix seconds."""
        self._batches.append(batch)
        self.rows += len(batch)
        self.read_at = now

    def whole(self) -> PredictionColumns:
        """All of them, in their order."""
        return joined(self._batches)
