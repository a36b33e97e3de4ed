"""Rows on their way to the journal: gathered until there are enough for a batch.

Guarantee: every row handed to `take` is given to `write` by the next `flush`, or to `drop` with a reason; one that no
column takes does not take others with it. Models are bounded, and so are the rows that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from mlcanary.columns import Floats, LabelColumns, PredictionColumns, alike, joined
from mlcanary.formats.contract import Decoded
from mlcanary.measures.plan import ModelPlan
from mlcanary.records import Label, ModelKey, Prediction
from mlcanary.store import batches
from mlcanary.store.feature_kinds import FeatureKinds
from mlcanary.store.journal import Group
from mlcanary.store.layout import OUTCOMES, PREDICTIONS, model_directory
from mlcanary.store.settings import StoreSection

_MOST_ROWS = 8192
_MOST_BYTES = 4 << 20
_UNFIT = (pa.ArrowException, ValueError, TypeError, OverflowError)

T = TypeVar("T")
Timed = tuple[float, T]
"""Time of arrival, Unix seconds, and what arrived."""


class Sink(Protocol):
    """What becomes of rows."""

    def write(self, group: Group, batch: pa.RecordBatch) -> None:
        """Keep them."""

    def drop(self, reason: str, rows: int, why: str) -> None:
        """Count them as not kept."""


class Intake:
    """What waits to be written."""

    def __init__(self, section: StoreSection, plan_of: Callable[[str], ModelPlan], sink: Sink) -> None:
        self._section = section
        self._plan_of = plan_of
        self._sink = sink
        self._kinds: dict[str, FeatureKinds] = {}
        self._columns: dict[ModelKey, list[Timed[PredictionColumns]]] = {}
        self._predictions: dict[str, list[Timed[Prediction]]] = {}
        self._label_columns: dict[str | None, list[Timed[LabelColumns]]] = {}
        self._labels: dict[str | None, list[Timed[Label]]] = {}
        self._rows = self._bytes = 0

    def dump(self) -> dict[str, dict[str, str]]:
        """The kind of each feature of each model."""
        return {model: dict(kinds.kinds) for model, kinds in self._kinds.items()}

    def load(self, models: Mapping[str, Mapping[str, str]]) -> None:
        """Go on from a former `dump`."""
        for model, kinds in models.items():
            self._kinds[model] = self._kinds_of(model, kinds)

    def take(self, decoded: Decoded, now: float, nbytes: int) -> None:
        """Keep what a block of `nbytes` gave. `now`: time of arrival, Unix seconds."""
        for batch in decoded.predictions:
            if self._admits(batch.key.model, len(batch)):
                self._columns.setdefault(batch.key, []).append((now, batch))
                self._rows += len(batch)
        for record in decoded.records:
            if isinstance(record, Prediction):
                if self._admits(record.key.model, 1):
                    self._predictions.setdefault(record.key.model, []).append((now, record))
            elif self._section.labels and self._admits(record.model, 1):
                self._labels.setdefault(record.model or None, []).append((now, record))
        self._rows += len(decoded.records)
        for labels in decoded.labels if self._section.labels else ():
            if self._admits(labels.model, len(labels)):
                self._label_columns.setdefault(labels.model or None, []).append((now, labels))
                self._rows += len(labels)
        self._bytes += nbytes
        if self._rows >= _MOST_ROWS or self._bytes >= _MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        columns, self._columns = self._columns, {}
        predictions, self._predictions = self._predictions, {}
        label_columns, self._label_columns = self._label_columns, {}
        labels, self._labels = self._labels, {}
        self._rows = self._bytes = 0
        for key, parts in columns.items():
            for some in _alike(parts):
                self._write_columns(key.model, some)
        for model, rows in predictions.items():
            self._write_predictions(model, rows)
        for name, each in labels.items():
            self._write_all((OUTCOMES, name), each, lambda some: batches.of_labels(_records(some), _arrived(some)))
        for name, found in label_columns.items():
            made = [batches.of_label_columns(batch, np.full(len(batch), when)) for when, batch in found]
            self._sink.write((OUTCOMES, name), pa.Table.from_batches(made).combine_chunks().to_batches()[0])

    def _admits(self, model: str | None, rows: int) -> bool:
        """Whether rows of this model are kept: models are bounded, and a directory must be able to bear the name."""
        if not model or model in self._kinds:
            return True
        if len(self._kinds) < self._plan_of(model).limits.models and model_directory(model) is not None:
            self._kinds[model] = self._kinds_of(model)
            return True
        self._sink.drop("models", rows, f"no room for the model {model[:64]!r}")
        return False

    def _kinds_of(self, model: str, known: Mapping[str, str] | None = None) -> FeatureKinds:
        plan = self._plan_of(model)
        wide = 0 if plan.reference is None else len(plan.reference.features)
        return FeatureKinds(self._section.keeps, max(plan.limits.features, wide), plan.reference, known)

    def _write_columns(self, model: str, parts: Sequence[Timed[PredictionColumns]]) -> None:
        batch = joined([each for _, each in parts])
        arrived = np.concatenate([np.full(len(each), when) for when, each in parts])
        if strange := batch.features.strange:
            why = f"{model}: values of {', '.join(list(strange)[:5])}, which only the reference of another model has"
            self._sink.drop("features", max(strange.values()), why)
        try:
            made = batches.of_prediction_columns(batch, arrived, self._kinds[model], user=self._section.user)
        except _UNFIT:
            self._write_predictions(model, list(zip(arrived.tolist(), batch.rows(), strict=True)))
            return
        self._sink.write((PREDICTIONS, model), made)

    def _write_predictions(self, model: str, rows: Sequence[Timed[Prediction]]) -> None:
        kinds, user = self._kinds[model], self._section.user

        def make(some: Sequence[Timed[Prediction]]) -> pa.RecordBatch:
            return batches.of_predictions(_records(some), _arrived(some), kinds, user=user)

        self._write_all((PREDICTIONS, model), rows, make)

    def _write_all(self, group: Group, rows: Sequence[T], make: Callable[[Sequence[T]], pa.RecordBatch]) -> None:
        try:
            made = make(rows)
        except _UNFIT as error:
            if len(rows) == 1:
                self._sink.drop("invalid", 1, str(error))
                return
            middle = len(rows) // 2
            self._write_all(group, rows[:middle], make)
            self._write_all(group, rows[middle:], make)
            return
        self._sink.write(group, made)


def _records(rows: Sequence[Timed[T]]) -> list[T]:
    return [each for _, each in rows]


def _arrived(rows: Sequence[Timed[Any]]) -> Floats:
    return np.array([when for when, _ in rows], dtype=np.float64)


def _alike(parts: Sequence[Timed[PredictionColumns]]) -> Iterator[list[Timed[PredictionColumns]]]:
    """Runs of batches over the same classes and features."""
    run: list[Timed[PredictionColumns]] = []
    for part in parts:
        if run and not alike(run[-1][1], part[1]):
            yield run
            run = []
        run.append(part)
    if run:
        yield run
