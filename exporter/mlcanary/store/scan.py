"""Reads segments back: batch by batch, in the order in which their rows arrived, only those that can matter.

Guarantee: no file is held whole. A file that retention removes meanwhile is left out. Raises ConfigError for a
directory that is no store, and for a file that is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from mlcanary.errors import ConfigError
from mlcanary.store.batches import OUTCOME_FIELDS, PREDICTION_FIELDS, times
from mlcanary.store.class_numbers import NUMBER_OF, numbers_of
from mlcanary.store.feature_kinds import PREFIX
from mlcanary.store.layout import DATASETS, PREDICTIONS, Segment, segments

MODEL = pa.field("model", pa.string())
_BATCH_ROWS = 16_384


@dataclass(frozen=True)
class Span:
    """Event times from `since` up to, not including, `until`; Unix seconds, None for no bound."""

    since: float | None = None
    until: float | None = None

    def misses(self, low: datetime, high: datetime) -> bool:
        """Whether nothing between these two lies in it."""
        return (self.since is not None and high < _time(self.since)) or (
            self.until is not None and low >= _time(self.until)
        )

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that lie in it."""
        for bound, compare in ((self.since, pc.greater_equal), (self.until, pc.less)):
            if bound is not None:
                batch = batch.filter(compare(batch.column("ts"), _scalar(bound)))
        return batch


class Scan:
    """The segments that hold rows of these models in a span. `schema`: of all batches; `rows`: at most so many."""

    def __init__(self, root: Path, dataset: str, models: Sequence[str | None] | None, span: Span) -> None:
        if not any((root / name).is_dir() for name in DATASETS):
            raise ConfigError(f"{root}: no store", hint="give the `path` of `store:` in the exporter's configuration")
        self._span = span
        self._found: list[Segment] = []
        self.rows = 0
        base = PREDICTION_FIELDS if dataset == PREDICTIONS else OUTCOME_FIELDS
        fields = {field.name: field for field in (MODEL, *base)}
        for segment in sorted(segments(root, dataset), key=lambda s: (s.hour, s.sequence, s.path)):
            if models is not None and segment.model not in models:
                continue
            try:
                metadata = parquet.read_metadata(segment.path)
            except FileNotFoundError:  # retention was faster
                continue
            except pa.ArrowException as error:
                raise _damaged(segment.path, error) from error
            if _misses(metadata, span):
                continue
            self._found.append(segment)
            self.rows += metadata.num_rows
            for field in metadata.schema.to_arrow_schema():
                known = fields.setdefault(field.name, field)
                if field.name.startswith(PREFIX) and known.type != field.type:
                    fields[field.name] = pa.field(field.name, pa.string())  # a number here, a text for another model
        self.schema = pa.schema(list(fields.values()))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows in the span, under one schema."""
        for segment in self._found:
            try:
                with parquet.ParquetFile(segment.path) as file:
                    for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                        rows = self._span.rows(batch)
                        if rows.num_rows:
                            yield _under(rows, segment.model, self.schema)
            except FileNotFoundError:
                continue
            except pa.ArrowException as error:
                raise _damaged(segment.path, error) from error


def _under(batch: pa.RecordBatch, model: str | None, schema: pa.Schema) -> pa.RecordBatch:
    there = set(batch.schema.names)
    arrays = []
    for field in schema:
        if field.name == MODEL.name:
            arrays.append(pa.array([model] * batch.num_rows, pa.string()))
        elif field.name in there:
            arrays.append(batch.column(field.name).cast(field.type))
        elif NUMBER_OF.get(field.name) in there:  # a segment of schema 1
            arrays.append(numbers_of(batch.column(NUMBER_OF[field.name])))
        else:
            arrays.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _misses(metadata: parquet.FileMetaData, span: Span) -> bool:
    """Whether the statistics of a file say that none of its rows lies in the span."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    for group in groups:
        for i in range(group.num_columns):
            column = group.column(i)
            if column.path_in_schema == "ts":
                known = column.statistics
                if known is None or not known.has_min_max or not span.misses(known.min, known.max):
                    return False
    return True


def _time(seconds: float) -> datetime:
    found = _scalar(seconds).as_py()
    assert isinstance(found, datetime)  # noqa: S101 - of our own type
    return found.astimezone(UTC)


def _scalar(seconds: float) -> pa.Scalar:
    return times(np.array([seconds]))[0]


def _damaged(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path}: not a readable segment: {error}", hint="move it away to read the others")
